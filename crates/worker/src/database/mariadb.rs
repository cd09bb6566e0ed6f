//! MariaDB: all files as `mariadb-backup` sends them, or databases as dumps.

use lifeboat_adapters::endpoint::Endpoint;
use lifeboat_adapters::sql::mariadb::{Facts, Method, Physical};
use lifeboat_model::database::{BackupMethod, SetDetail};
use lifeboat_repository::Ctx;
use lifeboat_repository::intake::Intake;
use lifeboat_repository::tree::Node;

use super::backup::{DatabaseBackupOrder, Source, Stream};
use crate::JobError;

/// A server that lacks nothing for the backup that is asked for.
struct Fit {
    endpoint: Endpoint,
    method: BackupMethod,
    facts: Facts,
}

/// A backup of all files that has begun.
struct Files {
    backup: Physical,
    facts: Facts,
}

pub(super) fn open(order: &DatabaseBackupOrder, ctx: &Ctx) -> Result<Box<dyn Source>, JobError> {
    let facts = Facts::read(&order.endpoint, ctx)?;
    facts.check(match order.backup.method {
        BackupMethod::Physical => Method::Physical,
        BackupMethod::Logical => Method::Logical,
    })?;
    Ok(Box::new(Fit { endpoint: order.endpoint.clone(), method: order.backup.method, facts }))
}

impl Source for Fit {
    fn begin(self: Box<Self>, ctx: &Ctx) -> Result<Box<dyn Stream>, JobError> {
        match self.method {
            BackupMethod::Physical => {
                let backup = Physical::begin(&self.endpoint, &self.facts, ctx)?;
                Ok(Box::new(Files { backup, facts: self.facts }))
            }
            BackupMethod::Logical => Err(super::sql::unsupported(lifeboat_model::resource::Engine::Mariadb)),
        }
    }
}

impl Stream for Files {
    fn estimated_bytes(&self) -> u64 {
        self.facts.file_bytes
    }

    fn take_in(self: Box<Self>, intake: &Intake<'_>, node: Node, ctx: &Ctx) -> Result<SetDetail, JobError> {
        let taken = self.backup.stream_into(intake, node.mtime, ctx)?;
        let place = taken.binlog.map(|binlog| format!("{}:{}", binlog.file, binlog.position));
        Ok(SetDetail {
            engine_version: taken.version,
            position: place.unwrap_or_else(|| format!("lsn {}", taken.last_lsn)),
            ..SetDetail::default()
        })
    }
}

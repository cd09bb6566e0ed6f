//! MariaDB: all files as `mariadb-backup` sends them, or databases as dumps.

use lifeboat_adapters::endpoint::Endpoint;
use lifeboat_adapters::sql::mariadb::logical::dump_into;
use lifeboat_adapters::sql::mariadb::{Facts, Method, Physical};
use lifeboat_model::database::{BackupMethod, SetDetail};
use lifeboat_repository::Ctx;
use lifeboat_repository::intake::Intake;
use lifeboat_repository::tree::Node;

use super::DatabaseError;
use super::backup::{DatabaseBackupOrder, Source, Stream};
use crate::JobError;

/// A server that lacks nothing for the backup that is asked for.
struct Fit {
    endpoint: Endpoint,
    method: BackupMethod,
    databases: Vec<String>,
    facts: Facts,
}

/// A backup of all files that has begun.
struct Files {
    backup: Physical,
    facts: Facts,
}

pub(super) fn open(order: &DatabaseBackupOrder, ctx: &Ctx) -> Result<Box<dyn Source>, JobError> {
    let facts = Facts::read(&order.endpoint, ctx)?;
    if order.backup.method == BackupMethod::Physical
        && let Some(what) = order.reach.refuses(&facts.datadir)
    {
        return Err(JobError::Database(DatabaseError::new("SOURCE_RIGHTS", what)));
    }
    facts.check(match order.backup.method {
        BackupMethod::Physical => Method::Physical,
        BackupMethod::Logical => Method::Logical,
    })?;
    let databases = order.backup.databases.clone();
    Ok(Box::new(Fit { endpoint: order.endpoint.clone(), method: order.backup.method, databases, facts }))
}

impl Source for Fit {
    fn begin(self: Box<Self>, ctx: &Ctx) -> Result<Box<dyn Stream>, JobError> {
        match self.method {
            BackupMethod::Physical => {
                let backup = Physical::begin(&self.endpoint, &self.facts, ctx)?;
                Ok(Box::new(Files { backup, facts: self.facts }))
            }
            BackupMethod::Logical => Ok(self),
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

impl Stream for Fit {
    fn estimated_bytes(&self) -> u64 {
        let wanted = |name: &String| self.databases.is_empty() || self.databases.contains(name);
        self.facts.databases.iter().filter(|one| wanted(&one.name)).map(|one| one.bytes).sum()
    }

    fn take_in(self: Box<Self>, intake: &Intake<'_>, node: Node, ctx: &Ctx) -> Result<SetDetail, JobError> {
        let named = (!self.databases.is_empty()).then_some(self.databases.as_slice());
        let taken = dump_into(&self.endpoint, named, intake, node.mtime, ctx)?;
        Ok(SetDetail {
            engine_version: self.facts.version,
            databases: taken.databases.into_iter().map(|one| one.name).collect(),
            consistent_at: Some(node.mtime.seconds),
            ..SetDetail::default()
        })
    }
}

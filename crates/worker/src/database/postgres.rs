//! PostgreSQL: a whole cluster as files over the replication protocol, or databases as dumps.

use lifeboat_adapters::endpoint::Endpoint;
use lifeboat_adapters::sql::SqlError;
use lifeboat_adapters::sql::postgres::{BaseBackup, Facts, Server, dump_into};
use lifeboat_model::database::{BackupMethod, SetDetail};
use lifeboat_repository::Ctx;
use lifeboat_repository::intake::Intake;
use lifeboat_repository::tree::Node;

use super::backup::{DatabaseBackupOrder, Source, Stream};
use crate::JobError;

/// What it is called in the server's own lists while it runs.
const LABEL: &str = "lifeboat";

/// A server that lacks nothing for the backup that is asked for.
struct Fit {
    endpoint: Endpoint,
    method: BackupMethod,
    databases: Vec<String>,
    facts: Facts,
}

/// A backup of all files that has begun.
struct Base {
    backup: BaseBackup,
    facts: Facts,
}

pub(super) fn open(order: &DatabaseBackupOrder, ctx: &Ctx) -> Result<Box<dyn Source>, JobError> {
    let (endpoint, backup) = (order.endpoint.clone(), &order.backup);
    let mut server = Server::connect(&endpoint, ctx)?;
    let facts = server.facts()?;
    let lacks = match backup.method {
        BackupMethod::Physical => server.lacks_for_physical(ctx)?,
        BackupMethod::Logical => server.lacks_for_logical(&backup.databases, ctx)?,
    };
    match lacks.into_iter().next() {
        Some(lack) => Err(SqlError::from(lack).into()),
        None => {
            Ok(Box::new(Fit { endpoint, method: backup.method, databases: backup.databases.clone(), facts }))
        }
    }
}

impl Source for Fit {
    fn begin(self: Box<Self>, ctx: &Ctx) -> Result<Box<dyn Stream>, JobError> {
        match self.method {
            BackupMethod::Physical => {
                let backup = BaseBackup::begin(&self.endpoint, LABEL, ctx)?;
                Ok(Box::new(Base { backup, facts: self.facts }))
            }
            BackupMethod::Logical => Ok(self),
        }
    }
}

impl Stream for Base {
    fn estimated_bytes(&self) -> u64 {
        self.backup.estimate_bytes()
    }

    fn take_in(self: Box<Self>, intake: &Intake<'_>, _node: Node, ctx: &Ctx) -> Result<SetDetail, JobError> {
        let taken = self.backup.stream_into(intake, ctx)?;
        Ok(SetDetail {
            engine_version: self.facts.version,
            position: taken.end_lsn.to_string(),
            checksum: taken.manifest_checksum,
            settings: self.facts.settings.into_iter().collect(),
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
        let taken = dump_into(&self.endpoint, &self.databases, intake, ctx)?;
        Ok(SetDetail {
            engine_version: self.facts.version,
            databases: taken.databases.into_iter().map(|one| one.name).collect(),
            consistent_at: Some(node.mtime.seconds),
            ..SetDetail::default()
        })
    }
}

//! PostgreSQL and MariaDB: servers that are made of backups, and where they are found again.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use lifeboat_adapters::endpoint::EndpointError;
use lifeboat_adapters::sql::SqlErrorKind;
use lifeboat_adapters::sql::mariadb::instance as mariadb;
use lifeboat_adapters::sql::postgres::{Access, Instance, InstanceOptions};
use lifeboat_model::database::DatabaseRestoreTarget;
use lifeboat_model::resource::Engine;
use lifeboat_repository::Ctx;
use url::Url;

use super::restore::{DatabaseRestoreOrder, MadeServer};
use super::stored::Stored;
use super::{DatabaseError, not_a_url, tables};
use crate::progress::Progress;
use crate::{Done, JobError};

/// For group and others: to go through a folder, not to look into it.
const PASS: u32 = 0o011;

/// Makes a server of a set, or restores tables of it.
pub(super) fn restore(
    order: &DatabaseRestoreOrder,
    sets: &[Stored<'_>],
    (progress, ctx): (&Progress, &Ctx),
) -> Result<Done, JobError> {
    match &order.restore.target {
        DatabaseRestoreTarget::Instance(_) => make_server(order, sets, (progress, ctx)),
        DatabaseRestoreTarget::Tables(wanted) => match sets.first() {
            Some(set) => tables::restore(order, (set, wanted), (progress, ctx)),
            None => Err(unsupported(order.restore.engine)),
        },
        DatabaseRestoreTarget::Keys { .. } => Err(unsupported(order.restore.engine)),
    }
}

fn make_server(
    order: &DatabaseRestoreOrder,
    sets: &[Stored<'_>],
    (progress, ctx): (&Progress, &Ctx),
) -> Result<Done, JobError> {
    let (engine, folder) = (order.restore.engine, order.folder.as_path());
    // An earlier attempt may have got as far as that.
    if folder.exists() {
        stop_server(engine, folder, ctx)?;
    }
    make_way(folder)?;
    for set in sets {
        set.restore_to(folder, (order.workers, &order.vault.spool_folder), (progress, ctx))?;
    }
    let port = free_port()?;
    match engine {
        Engine::Postgresql => {
            let shared_preload_libraries = order.detail.settings.get("shared_preload_libraries").cloned();
            let access = Access::Password { port };
            let options = InstanceOptions { access, shared_preload_libraries };
            Instance::prepare(folder, &options, ctx)?;
        }
        Engine::Mariadb => mariadb::prepare(folder, ctx)?,
        Engine::Redis => return Err(unsupported(engine)),
    }
    start_server(engine, folder, port, ctx)?;
    progress.settle();
    let server = Some(MadeServer { port, version: order.detail.engine_version.clone() });
    Ok(Done { server, ..Done::default() })
}

/// Who is root gives a server to a user of its own, who must get to its folder. The folder of all servers and that of the
/// data of this one are opened for passing through, and what is in them is its owner's alone; no other is touched.
pub(super) fn make_way(folder: &Path) -> Result<(), JobError> {
    if fs::metadata("/proc/self").map_err(JobError::Begin)?.uid() != 0 {
        return Ok(());
    }
    for (above, ancestor) in folder.ancestors().enumerate().skip(1) {
        let mode = fs::metadata(ancestor).map_err(JobError::Begin)?.permissions().mode();
        if mode & PASS == PASS {
            continue;
        }
        if above > 2 {
            let what = format!(
                "the user of the database cannot get to {}, because {} lets nobody pass; set instance_root to a folder \
                 that can be reached",
                folder.display(),
                ancestor.display()
            );
            return Err(JobError::Database(DatabaseError::new("LOCAL_FILES_FAILED", what)));
        }
        let open = fs::Permissions::from_mode(mode | PASS);
        fs::set_permissions(ancestor, open).map_err(JobError::Begin)?;
    }
    Ok(())
}

/// One that nobody listens at on this machine.
fn free_port() -> Result<u16, JobError> {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    port.map(|address| address.port()).map_err(JobError::Begin)
}

/// Starts the server whose files are in `folder`. One that runs is left as it is.
pub fn start_server(engine: Engine, folder: &Path, port: u16, ctx: &Ctx) -> Result<(), JobError> {
    match engine {
        Engine::Postgresql => Ok(Instance::open(folder)?.start(ctx)?),
        Engine::Mariadb => Ok(mariadb::start(folder, port, ctx)?),
        Engine::Redis => Err(unsupported(engine)),
    }
}

/// Stops the server whose files are in `folder`; one that was never ready to be started is none.
pub fn stop_server(engine: Engine, folder: &Path, ctx: &Ctx) -> Result<(), JobError> {
    match engine {
        Engine::Postgresql => match Instance::open(folder) {
            Ok(instance) => Ok(instance.stop(ctx)?),
            Err(error) if error.kind == SqlErrorKind::NotFound => Ok(()),
            Err(error) => Err(error.into()),
        },
        Engine::Mariadb => Ok(mariadb::stop(folder, ctx)?),
        Engine::Redis => Ok(()),
    }
}

pub(super) fn unsupported(engine: Engine) -> JobError {
    let what = format!("that cannot be done with {engine}");
    JobError::Database(DatabaseError::new("SOURCE_UNSUPPORTED", what))
}

/// The same way in, at a port of this machine. Options of the source, such as those of TLS and sockets, are not its own.
pub fn url_at(url: &str, port: u16) -> Result<String, JobError> {
    let refused = || not_a_url(&EndpointError::NotUrl);
    let mut url = Url::parse(url).map_err(|_| refused())?;
    url.set_host(Some("127.0.0.1")).map_err(|_| refused())?;
    url.set_port(Some(port)).map_err(|()| refused())?;
    url.set_query(None);
    Ok(url.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_of_ours_is_reached_as_its_source_was_on_its_own_port() {
        let url = "postgresql://jo:p%2Fw@db.example:5432/shop?sslmode=require&host=/run/pg";
        assert_eq!(url_at(url, 6001).unwrap(), "postgresql://jo:p%2Fw@127.0.0.1:6001/shop");
        assert!(url_at("nonsense", 1).is_err());
    }
}

//! Databases and tables of a set, back into the server that it was taken of.
//!
//! A logical set is read as it is stored. Of a physical one a server is made for a while, in a folder of its own that
//! nobody but us gets into, and dumped as a logical backup would dump it; server and folder are gone in the end, and what
//! a crash leaves of them is removed by the next attempt at the same job. What an attempt has restored it notes, so that
//! the next one does not take it for somebody else's.

use std::fs;
use std::io::Read;
use std::path::Path;

use lifeboat_adapters::endpoint::Password;
use lifeboat_adapters::sql::mariadb::{instance, logical};
use lifeboat_adapters::sql::postgres::{
    Access, Dump, Instance, InstanceOptions, TableChoice, file_name, is_restored, restore_database,
    restore_tables,
};
use lifeboat_adapters::sql::{Journal, SqlError};
use lifeboat_model::database::{BackupMethod, RestoredDatabase, RestoredTable};
use lifeboat_model::resource::Engine;
use lifeboat_repository::Ctx;
use lifeboat_repository::crypto::fill_random;

use super::restore::DatabaseRestoreOrder;
use super::sql::{make_way, stop_server};
use super::stored::Stored;
use crate::progress::Progress;
use crate::{Done, JobError};

/// Restores what is wanted, database by database. Nothing that exists is overwritten.
pub(super) fn restore(
    order: &DatabaseRestoreOrder,
    (set, wanted): (&Stored<'_>, &[RestoredDatabase]),
    (progress, ctx): (&Progress, &Ctx),
) -> Result<Done, JobError> {
    let is_physical = order.restore.method == BackupMethod::Physical;
    let restored = restore_all(order, (set, wanted), (progress, ctx));
    if is_physical && order.folder.exists() {
        stop_if_there(order, &Ctx::default())?;
        fs::remove_dir_all(&order.folder).map_err(JobError::Begin)?;
    }
    let is_partial = restored?;
    progress.settle();
    Ok(Done { is_partial, ..Done::default() })
}

fn restore_all(
    order: &DatabaseRestoreOrder,
    (set, wanted): (&Stored<'_>, &[RestoredDatabase]),
    (progress, ctx): (&Progress, &Ctx),
) -> Result<bool, JobError> {
    if order.restore.method == BackupMethod::Physical {
        stop_if_there(order, ctx)?;
        make_way(&order.folder)?;
        let place = (order.workers, order.vault.spool_folder.as_path());
        set.restore_to(&order.folder, place, (progress, ctx))?;
    }
    match order.restore.engine {
        Engine::Postgresql => postgresql(order, (set, wanted), ctx),
        _ => mariadb_tables(order, (set, wanted), ctx),
    }
}

fn stop_if_there(order: &DatabaseRestoreOrder, ctx: &Ctx) -> Result<(), JobError> {
    if order.folder.exists() { stop_server(order.restore.engine, &order.folder, ctx) } else { Ok(()) }
}

fn postgresql(
    order: &DatabaseRestoreOrder,
    (set, wanted): (&Stored<'_>, &[RestoredDatabase]),
    ctx: &Ctx,
) -> Result<bool, JobError> {
    if order.restore.method == BackupMethod::Logical {
        for database in missing(order, wanted, ctx)? {
            let dump = set.file(Path::new(&file_name(&database.name)), &ctx.cancel)?;
            restore_one(order, (database, dump), ctx)?;
        }
        return Ok(false);
    }
    let shared_preload_libraries = order.detail.settings.get("shared_preload_libraries").cloned();
    let options = InstanceOptions { access: Access::Private, shared_preload_libraries };
    let server = Instance::prepare(&order.folder, &options, ctx)?;
    server.start(ctx)?;
    let role = order.endpoint.user.as_deref().unwrap_or("postgres");
    let endpoint = server.private_endpoint(role, ctx)?;
    for database in missing(order, wanted, ctx)? {
        let mut dump = Dump::of(&endpoint, &database.name, ctx)?;
        restore_one(order, (database, &mut dump), ctx)?;
        dump.finish(ctx)?;
    }
    Ok(false)
}

/// What no earlier attempt has restored.
fn missing<'w>(
    order: &DatabaseRestoreOrder,
    wanted: &'w [RestoredDatabase],
    ctx: &Ctx,
) -> Result<Vec<&'w RestoredDatabase>, SqlError> {
    let target = (&order.endpoint, &Journal::at(&order.notes));
    let mut missing = Vec::new();
    for database in wanted {
        if !is_restored(target, name_of(database), &choices_of(database), ctx)? {
            missing.push(database);
        }
    }
    Ok(missing)
}

fn name_of(database: &RestoredDatabase) -> &str {
    database.new_name.as_deref().unwrap_or(&database.name)
}

fn choices_of(database: &RestoredDatabase) -> Vec<TableChoice> {
    let choice =
        |table: &RestoredTable| TableChoice { name: table.name.clone(), new_name: table.new_name.clone() };
    database.tables.iter().map(choice).collect()
}

fn restore_one(
    order: &DatabaseRestoreOrder,
    (database, dump): (&RestoredDatabase, impl Read),
    ctx: &Ctx,
) -> Result<(), SqlError> {
    let (target, name) = ((&order.endpoint, &Journal::at(&order.notes)), name_of(database));
    if database.tables.is_empty() {
        return restore_database(target, dump, name, ctx);
    }
    restore_tables(target, dump, name, &choices_of(database), ctx).map(drop)
}

fn mariadb_tables(
    order: &DatabaseRestoreOrder,
    (set, wanted): (&Stored<'_>, &[RestoredDatabase]),
    ctx: &Ctx,
) -> Result<bool, JobError> {
    let wanted: Vec<_> = wanted.iter().map(wanted_of).collect();
    let id = scratch_id(&order.folder);
    let notes = (id.as_str(), &Journal::at(&order.notes));
    logical::clean_up(&order.endpoint, &id, ctx)?;
    let restored = if order.restore.method == BackupMethod::Logical {
        logical::restore(&order.endpoint, set, &wanted, notes, ctx)?
    } else {
        instance::prepare(&order.folder, ctx)?;
        let mut random = [0; 16];
        fill_random(&mut random);
        let password = Password::new(random.map(|byte| format!("{byte:02x}")).concat());
        let server = instance::Private::start(&order.folder, &password, ctx)?;
        let live = logical::Live::new(server.endpoint())?;
        logical::restore(&order.endpoint, &live, &wanted, notes, ctx)?
    };
    Ok(!restored.left_out.is_empty())
}

fn wanted_of(database: &RestoredDatabase) -> logical::Wanted {
    let or_same = |name: &str, new: &Option<String>| new.clone().unwrap_or_else(|| name.to_owned());
    let table = |table: &RestoredTable| logical::TableWanted {
        name: table.name.clone(),
        new_name: or_same(&table.name, &table.new_name),
    };
    logical::Wanted {
        name: database.name.clone(),
        new_name: or_same(&database.name, &database.new_name),
        tables: database.tables.iter().map(table).collect(),
    }
}

/// Of the job, whose folder is named after it.
fn scratch_id(folder: &Path) -> String {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    name.chars().filter(char::is_ascii_alphanumeric).collect()
}

/// A logical set, read as it is stored.
impl logical::Source for Stored<'_> {
    fn open(&self, part: logical::Part, database: &str, ctx: &Ctx) -> Result<Box<dyn Read + '_>, SqlError> {
        Ok(Box::new(self.file(&part.path(database), &ctx.cancel)?))
    }
}

//! Makes a restored backup fit to be started, see [`super::Instance::prepare`].
//!
//! The order: links of tablespaces, owners, comparison with the manifest while everything is as it was restored, what
//! the source's configuration left, the end of the log, and at last the configuration, which says that all is done.

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use lifeboat_repository::Ctx;
use rustix::fs::{AtFlags, CWD, Gid, OFlags, Uid, chownat};
use rustix::process::geteuid;

use super::instance::{Access, InstanceOptions};
use super::lsn::Lsn;
use super::manifest::Manifest;
use super::programs::{self, failed};
use crate::child::{Program, SystemUser};
use crate::sql::error::{Result, SqlError, SqlErrorKind};

pub(super) const CONFIGURATION: &str = "postgresql.conf";
const SOCKET_BYTES: usize = 107;
/// The port that the socket of a private server is named by.
const PRIVATE_PORT: u16 = 5432;
/// Who runs a server when we are root, which PostgreSQL refuses.
const USER: &str = "postgres";

pub(super) fn run(folder: &Path, options: &InstanceOptions, ctx: &Ctx) -> Result<()> {
    if fs::exists(folder.join(CONFIGURATION)).map_err(|error| cannot("look into", folder, error))? {
        return Ok(());
    }
    let data = folder.join("data");
    let programs = programs(folder)?;
    link_tablespaces(folder)?;
    let user = user()?;
    give_away(folder, user.as_ref(), ctx)?;
    for path in [folder, &data] {
        let mode = fs::Permissions::from_mode(0o700);
        fs::set_permissions(path, mode).map_err(|error| cannot("set the mode of", path, error))?;
    }
    can_be_entered(&data, user.as_ref(), ctx)?;
    let verify = programs.join("pg_verifybackup");
    if verify.is_file() && data.join("backup_label").is_file() {
        Program::new(verify).arg(&data).as_user(user.clone()).run(ctx).map_err(|error| {
            let error = failed(error);
            let kind = if error.kind == SqlErrorKind::Cancelled { error.kind } else { SqlErrorKind::Damaged };
            SqlError::new(kind, "what was restored is not what the manifest of the backup says")
                .because(error)
        })?;
    }
    // Links stand in for the map; the source's own wishes and its role as a standby end here.
    for name in ["tablespace_map", "standby.signal", "recovery.signal", "postmaster.pid", "postmaster.opts"] {
        remove(&data.join(name))?;
    }
    write(&data.join("postgresql.auto.conf"), "", user.as_ref())?;
    cut_log(&data)?;
    let control = Program::new(programs.join("pg_controldata")).arg(&data).as_user(user.clone());
    let control = control.run(ctx).map_err(failed)?;
    let configuration = configuration(folder, options, &String::from_utf8_lossy(&control))?;
    write(&folder.join("pg_hba.conf"), rules(options.access), user.as_ref())?;
    write(&folder.join("pg_ident.conf"), "", user.as_ref())?;
    let unnamed = folder.join("postgresql.conf.new");
    write(&unnamed, &configuration, user.as_ref())?;
    fs::rename(&unnamed, folder.join(CONFIGURATION)).map_err(|error| cannot("rename", &unnamed, error))
}

/// The folder of the programs of exactly the version that wrote the data.
pub(super) fn programs(folder: &Path) -> Result<PathBuf> {
    let file = folder.join("data/PG_VERSION");
    let version = fs::read_to_string(&file).map_err(|error| cannot("read", &file, error))?;
    let major = version.trim().parse().map_err(|_| {
        SqlError::new(
            SqlErrorKind::Unsupported,
            format!("{} is not of PostgreSQL 13 or newer", folder.display()),
        )
    })?;
    let postgres = programs::exact("postgres", major);
    postgres.and_then(|path| path.parent().map(Path::to_owned)).ok_or_else(|| {
        let what =
            format!("PostgreSQL {major}, which wrote the data, is not here: install postgresql-{major}");
        SqlError::new(SqlErrorKind::Program, what)
    })
}

/// Who is to run a server; none means ourselves.
pub(super) fn user() -> Result<Option<SystemUser>> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    let user = SystemUser::find(USER).map_err(|error| SqlError::io("cannot read /etc/passwd", error))?;
    let missing =
        || SqlError::new(SqlErrorKind::Program, "the user postgres, who is to run servers, is not here");
    user.map(Some).ok_or_else(missing)
}

fn link_tablespaces(folder: &Path) -> Result<()> {
    let (from, links) = (folder.join("tablespaces"), folder.join("data/pg_tblspc"));
    let entries = match fs::read_dir(&from) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(|error| cannot("read", &from, error))?,
    };
    for entry in entries {
        let name = entry.map_err(|error| cannot("read", &from, error))?.file_name();
        let link = links.join(&name);
        remove(&link)?;
        symlink(from.join(&name), &link).map_err(|error| cannot("make", &link, error))?;
    }
    Ok(())
}

/// Gives everything to `user`. Links are given away themselves and never followed.
fn give_away(path: &Path, user: Option<&SystemUser>, ctx: &Ctx) -> Result<()> {
    let Some(user) = user else { return Ok(()) };
    ctx.cancel.check()?;
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    chownat(CWD, path, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|error| cannot("give away", path, error.into()))?;
    let metadata = fs::symlink_metadata(path).map_err(|error| cannot("look at", path, error))?;
    if metadata.is_dir() {
        for entry in fs::read_dir(path).map_err(|error| cannot("read", path, error))? {
            give_away(&entry.map_err(|error| cannot("read", path, error))?.path(), Some(user), ctx)?;
        }
    }
    Ok(())
}

/// The user must be able to get to the data through all folders above.
fn can_be_entered(data: &Path, user: Option<&SystemUser>, ctx: &Ctx) -> Result<()> {
    let Some(user) = user else { return Ok(()) };
    let test = Program::new("/usr/bin/test").arg("-x").arg(data).as_user(Some(user.clone()));
    test.run(ctx).map(drop).map_err(|error| {
        let text = format!(
            "the user {} cannot enter {}: every folder above it must let others through (chmod o+x)",
            user.name,
            data.display()
        );
        SqlError::new(SqlErrorKind::Io, text).because(error)
    })
}

/// Takes away the log after the end of the backup: what the source did later is no part of it.
fn cut_log(data: &Path) -> Result<()> {
    let file = data.join("backup_manifest");
    let manifest = fs::read(&file).map_err(|error| cannot("read", &file, error))?;
    let end = Manifest::from_bytes(manifest).end()?;
    let folder = data.join("pg_wal");
    for entry in fs::read_dir(&folder).map_err(|error| cannot("read", &folder, error))? {
        let path = entry.map_err(|error| cannot("read", &folder, error))?.path();
        let metadata = fs::symlink_metadata(&path).map_err(|error| cannot("look at", &path, error))?;
        // Nothing else is part of a log, least of all a link that leads out of it.
        if !metadata.is_file() {
            continue;
        }
        let bytes = metadata.len();
        let Some(start) = start_of(&path, bytes) else { continue };
        if start >= end {
            remove(&path)?;
        } else if start.0 + bytes > end.0 {
            fill_with_zeros(&path, end.0 - start.0, bytes).map_err(|error| cannot("cut", &path, error))?;
        }
    }
    Ok(())
}

/// Where the log file `path` begins; none when it is no log file.
fn start_of(path: &Path, bytes: u64) -> Option<Lsn> {
    let name = path.file_name()?.to_str()?;
    if name.len() != 24 || bytes == 0 {
        return None;
    }
    let number = |from: usize| u64::from_str_radix(name.get(from..from + 8)?, 16).ok();
    Some(Lsn((number(8)? << 32) + number(16)? * bytes))
}

fn fill_with_zeros(path: &Path, from: u64, to: u64) -> std::io::Result<()> {
    let flags = OFlags::NOFOLLOW.bits().cast_signed();
    let mut file = fs::OpenOptions::new().write(true).custom_flags(flags).open(path)?;
    file.seek(SeekFrom::Start(from))?;
    std::io::copy(&mut std::io::Read::take(std::io::repeat(0), to - from), &mut file)?;
    file.sync_all()
}

fn configuration(folder: &Path, options: &InstanceOptions, control: &str) -> Result<String> {
    let text = folder.to_str().filter(|text| !text.contains(char::is_control));
    let text = text.ok_or_else(|| {
        SqlError::new(SqlErrorKind::InvalidInput, format!("the server cannot work in {}", folder.display()))
    })?;
    let quoted = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"));
    let inner = |name: &str| quoted(&format!("{text}/{name}"));
    let (listen, port) = match options.access {
        Access::Password { port } => ("'127.0.0.1'", port),
        Access::Private => ("''", PRIVATE_PORT),
    };
    let has_room = text.len() + "/.s.PGSQL.65535".len() <= SOCKET_BYTES;
    let socket = if has_room { quoted(text) } else { "''".to_owned() };
    let mut lines = vec![
        "# Written when this server was made of a backup; it may be changed.".to_owned(),
        format!("data_directory = {}", inner("data")),
        format!("hba_file = {}\nident_file = {}", inner("pg_hba.conf"), inner("pg_ident.conf")),
        format!("listen_addresses = {listen}\nport = {port}\nunix_socket_directories = {socket}"),
        // One file for each day of the week, written over a week later.
        format!(
            "logging_collector = on\nlog_directory = {}\nlog_filename = 'postgresql-%a.log'",
            inner("log")
        ),
        "log_rotation_age = 1d\nlog_rotation_size = 0\nlog_truncate_on_rotation = on".to_owned(),
        "archive_mode = off\nrestart_after_crash = on".to_owned(),
    ];
    let said = |name: &str| {
        let value = control.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" setting:"));
        value.map(|value| value.trim().to_owned())
    };
    for (name, setting) in [
        ("wal_level", "wal_level"),
        ("max_connections", "max_connections"),
        ("max_worker_processes", "max_worker_processes"),
        ("max_wal_senders", "max_wal_senders"),
        ("max_prepared_xacts", "max_prepared_transactions"),
        ("max_locks_per_xact", "max_locks_per_transaction"),
    ] {
        lines.extend(said(name).map(|value| format!("{setting} = {value}")));
    }
    if let Some(libraries) = &options.shared_preload_libraries {
        lines.push(format!("shared_preload_libraries = {}", quoted(libraries)));
    }
    Ok(lines.join("\n") + "\n")
}

/// `md5` takes passwords of either kind, as the source may have both, and asks for SCRAM where it can.
fn rules(access: Access) -> &'static str {
    match access {
        Access::Password { .. } => "local all all md5\nhost all all 127.0.0.1/32 md5\n",
        Access::Private => "local all all trust\n",
    }
}

fn write(path: &Path, text: &str, user: Option<&SystemUser>) -> Result<()> {
    remove(path)?;
    let written = fs::OpenOptions::new().write(true).create_new(true).open(path).and_then(|mut file| {
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.map_err(|error| cannot("write", path, error))?;
    give_away(path, user, &Ctx::default())
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(cannot("remove", path, error)),
        _ => Ok(()),
    }
}

fn cannot(what: &str, path: &Path, error: std::io::Error) -> SqlError {
    SqlError::io(format!("cannot {what} {}", path.display()), error)
}

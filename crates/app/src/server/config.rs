//! Configuration: an option of the command line wins over the file, the file over what goes without saying.
//!
//! The file is TOML. A key that is not known, or a value that makes no sense, is refused with its line before anything
//! is started or written. Relative paths in it are below the folder it is in.

use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use lifeboat_model::id::AccountId;
use lifeboat_service::{CatalogPlace, Limits};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::{DEFAULT_ADDRESS, default_folder};
use crate::app::App;
use crate::cli::server::{LogFormat, MetricsFor, ServerArgs};

/// Everything that can be decided about a server.
#[derive(Debug)]
pub(super) struct Config {
    pub(super) data: PathBuf,
    pub(super) listen: SocketAddr,
    pub(super) tls: Option<TlsFiles>,
    pub(super) database: Option<String>,
    pub(super) vault_root: Option<PathBuf>,
    pub(super) instance_root: Option<PathBuf>,
    pub(super) region: Option<String>,
    pub(super) metrics: MetricsFor,
    pub(super) log_format: LogFormat,
    pub(super) limits: Limits,
    pub(super) most_connections: usize,
}

/// Where the certificate is, and its key.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TlsFiles {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

/// The file as it is written.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    data: Option<PathBuf>,
    listen: Option<SocketAddr>,
    insecure: bool,
    region: Option<Region>,
    database: Option<DatabaseUrl>,
    vault_root: Option<PathBuf>,
    /// Where servers that are made of backups have their files.
    instance_root: Option<PathBuf>,
    /// The folders that jobs may read and write.
    client_paths: Option<Vec<ClientPath>>,
    /// Accounts whose databases may use sockets and files of this machine, and may become servers on it.
    local_accounts: Vec<Account>,
    metrics: Option<MetricsFor>,
    log_format: Option<LogFormat>,
    tls: Option<TlsFiles>,
    limits: FileLimits,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FileLimits {
    jobs_at_once: Option<Within<1, 256>>,
    vaults_per_account: Option<Within<1, 1_000_000>>,
    lease_seconds: Option<Within<5, 3600>>,
    job_waits_hours: Option<Within<1, 8760>>,
    reports_days: Option<Within<1, 3650>>,
    connections: Option<Within<1, 100_000>>,
    stop_seconds: Option<Within<0, 86_400>>,
    vault_deletion_minutes: Option<Within<0, 1_000_000>>,
    uploads_at_once: Option<Within<1, 256>>,
    database_backups_a_day: Option<Within<1, 1_000_000>>,
    tasks_days: Option<Within<1, 3650>>,
}

/// A whole number between two ends.
#[derive(Clone, Copy, Debug)]
struct Within<const LEAST: u64, const MOST: u64>(u64);

impl<'de, const LEAST: u64, const MOST: u64> Deserialize<'de> for Within<LEAST, MOST> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let number = u64::deserialize(from)?;
        if (LEAST..=MOST).contains(&number) {
            return Ok(Self(number));
        }
        Err(D::Error::custom(format!("{number} is not a whole number from {LEAST} to {MOST}")))
    }
}

/// A folder that is named from the root, without any step back.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ClientPath(PathBuf);

impl<'de> Deserialize<'de> for ClientPath {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let path = PathBuf::deserialize(from)?;
        let is_plain = |part: Component<'_>| matches!(part, Component::RootDir | Component::Normal(_));
        if path.is_absolute() && path.components().all(is_plain) {
            return Ok(Self(path));
        }
        Err(D::Error::custom(format!("{} is not an absolute path without ..", path.display())))
    }
}

/// The number of an account, as text like everywhere else.
#[derive(Clone, Copy, Debug)]
struct Account(AccountId);

impl<'de> Deserialize<'de> for Account {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let account = text.parse().ok().and_then(AccountId::from_number).map(Self);
        account.ok_or_else(|| D::Error::custom(format!("{text:?} is not the number of an account")))
    }
}

/// The name of a region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Region(String);

impl std::str::FromStr for Region {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if (1..=64).contains(&text.len()) && text.chars().all(is_plain) {
            return Ok(Self(text.to_owned()));
        }
        Err(format!("{text:?} is not the name of a region: 1 to 64 of a-z, 0-9 and - are accepted"))
    }
}

impl<'de> Deserialize<'de> for Region {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

/// Where PostgreSQL is. It may hold a password, so it is never printed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct DatabaseUrl(String);

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl std::str::FromStr for DatabaseUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if ["postgres://", "postgresql://"].iter().any(|scheme| text.starts_with(scheme)) {
            return Ok(Self(text.to_owned()));
        }
        Err("a database is written as postgres://user:password@host/database".to_owned())
    }
}

impl<'de> Deserialize<'de> for DatabaseUrl {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

impl Config {
    /// What the command line and the file it names say together.
    pub(super) fn read(app: &App, args: &ServerArgs) -> anyhow::Result<Self> {
        let file = args.config.as_deref().map(File::read).transpose()?.unwrap_or_default();
        let data = match args.data.clone().or(file.data) {
            Some(folder) => folder,
            None => default_folder(app)?,
        };
        let tls = match (&args.tls_certificate, &args.tls_key) {
            (Some(certificate), Some(key)) => {
                Some(TlsFiles { certificate: certificate.clone(), key: key.clone() })
            }
            _ => file.tls,
        };
        let default = DEFAULT_ADDRESS.parse().context("the default address is none")?;
        // Programs of databases run elsewhere, and are told of folders below it.
        let absolute = |folder: PathBuf| {
            std::path::absolute(&folder).with_context(|| format!("cannot tell where {} is", folder.display()))
        };
        let config = Self {
            data: absolute(data)?,
            listen: args.listen.or(file.listen).unwrap_or(default),
            tls,
            database: args.database.clone().or(file.database).map(|url| url.0),
            vault_root: args.vault_root.clone().or(file.vault_root),
            instance_root: file.instance_root.map(absolute).transpose()?,
            region: args.region.clone().or(file.region).map(|region| region.0),
            metrics: args.metrics.or(file.metrics).unwrap_or_default(),
            log_format: args.log_format.or(file.log_format).unwrap_or_default(),
            limits: file.limits.of_service(file.client_paths, file.local_accounts),
            most_connections: file.limits.connections.map_or(1000, |most| to_usize(most.0)),
        };
        if !config.listen.ip().is_loopback() && config.tls.is_none() && !args.insecure && !file.insecure {
            bail!(
                "listening on {} without TLS would send data in the clear; give a certificate ([tls] in the file, or \
                 --tls-certificate and --tls-key), listen on 127.0.0.1, or say --insecure where something else encrypts",
                config.listen
            );
        }
        Ok(config)
    }

    /// Where the rows are; a file in the data folder where nothing else is said.
    pub(super) fn catalog(&self, file: PathBuf) -> CatalogPlace {
        self.database.clone().map_or(CatalogPlace::Sqlite(file), CatalogPlace::Postgres)
    }
}

impl File {
    fn read(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        let text =
            fs::read_to_string(path).with_context(|| format!("cannot read the configuration {shown}"))?;
        let mut file: Self =
            toml::from_str(&text).with_context(|| format!("the configuration {shown} is refused"))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        for path in [&mut file.data, &mut file.vault_root, &mut file.instance_root].into_iter().flatten() {
            *path = folder.join(&path);
        }
        if let Some(tls) = &mut file.tls {
            tls.certificate = folder.join(&tls.certificate);
            tls.key = folder.join(&tls.key);
        }
        Ok(file)
    }
}

impl FileLimits {
    fn of_service(&self, client_paths: Option<Vec<ClientPath>>, local_accounts: Vec<Account>) -> Limits {
        let default = Limits::default();
        Limits {
            jobs_at_once: self.jobs_at_once.map_or(default.jobs_at_once, |most| to_usize(most.0)),
            vaults_per_account: self.vaults_per_account.map_or(default.vaults_per_account, |most| most.0),
            lease: self.lease_seconds.map_or(default.lease, |seconds| Duration::from_secs(seconds.0)),
            job_waits: self.job_waits_hours.map_or(default.job_waits, |hours| hours_of(hours.0)),
            client_paths: client_paths
                .map_or(default.client_paths, |paths| paths.into_iter().map(|path| path.0).collect()),
            local_accounts: local_accounts.into_iter().map(|account| account.0).collect(),
            reports_kept: self.reports_days.map_or(default.reports_kept, |days| hours_of(days.0 * 24)),
            stop_waits: self
                .stop_seconds
                .map_or(default.stop_waits, |seconds| Duration::from_secs(seconds.0)),
            vault_deletion_wait: self
                .vault_deletion_minutes
                .map_or(default.vault_deletion_wait, |minutes| Some(Duration::from_secs(minutes.0 * 60))),
            upkeep_every: default.upkeep_every,
            uploads_at_once: self.uploads_at_once.map_or(default.uploads_at_once, |most| to_usize(most.0)),
            database_backups_a_day: self
                .database_backups_a_day
                .map_or(default.database_backups_a_day, |most| most.0),
            tasks_kept: self.tasks_days.map_or(default.tasks_kept, |days| hours_of(days.0 * 24)),
        }
    }
}

fn hours_of(hours: u64) -> Duration {
    Duration::from_secs(hours * 3600)
}

fn to_usize(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("lifeboat.toml");
        fs::write(&file, text).unwrap();
        let error = File::read(&file).map(drop).unwrap_err();
        crate::output::text::chain(error.as_ref())
    }

    #[test]
    fn what_is_not_known_or_makes_no_sense_is_refused_with_its_line() {
        for (text, line, said) in [
            ("listen = \"127.0.0.1:1\"\nlisten_on = 1\n", 2, "unknown field `listen_on`"),
            ("\n\n[limits]\njobs_at_once = 0\n", 4, "0 is not a whole number from 1 to 256"),
            ("[limits]\njobs = 1\n", 2, "unknown field `jobs`"),
            ("region = \"a b\"\n", 1, "is not the name of a region"),
            ("data = \"a\"\nlisten = \"localhost\"\n", 2, "invalid socket address"),
            ("\ndatabase = \"mysql://x\"\n", 2, "postgres://user:password@host/database"),
            ("client_paths = [\n\"/a\",\n\"/a/../b\"]\n", 1, "is not an absolute path without .."),
            ("local_accounts = [\"me\"]\n", 1, "is not the number of an account"),
            ("[tls]\ncertificate = \"c\"\n", 1, "missing field `key`"),
            ("log_format = \"xml\"\n", 1, "unknown variant `xml`"),
            ("data = \"a\"\ndata = \"b\"\n", 2, "duplicate key"),
        ] {
            let refused = refusal(text);
            assert!(refused.contains(&format!("line {line}")) && refused.contains(said), "{text}: {refused}");
        }
    }

    #[test]
    fn a_password_in_a_url_is_not_printed() {
        let url: DatabaseUrl = "postgres://u:secret@h/d".parse().unwrap();
        assert_eq!(format!("{url:?}"), "***");
        assert!(!"mysql://u:secret@h".parse::<DatabaseUrl>().unwrap_err().contains("secret"));
    }

    #[test]
    fn paths_in_the_file_are_below_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("lifeboat.toml");
        fs::write(
            &file,
            "data = \"d\"\nvault_root = \"/v\"\n[tls]\ncertificate = \"c.pem\"\nkey = \"k.pem\"\n",
        )
        .unwrap();
        let read = File::read(&file).unwrap();
        assert_eq!(read.data, Some(folder.path().join("d")));
        assert_eq!(read.vault_root, Some(PathBuf::from("/v")));
        assert_eq!(read.tls.unwrap().key, folder.path().join("k.pem"));
    }
}

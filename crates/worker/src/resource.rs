//! Databases and Redis servers: what their URLs say, and whether they can be backed up.
//!
//! Nothing that is returned, logged or printed in here holds a password.

use std::path::{Path, PathBuf};

use lifeboat_adapters::endpoint::{Endpoint, EndpointError};
use lifeboat_adapters::redis;
use lifeboat_adapters::sql::{SqlError, mariadb, postgres};
use lifeboat_model::resource::{Address, Engine};
use lifeboat_repository::Ctx;

const MOST_URL_BYTES: usize = 4096;
const PHYSICAL: &str = "physical backups";
const LOGICAL: &str = "logical backups";

/// Why a text is not the URL of a resource. It does not repeat the text.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    #[error(transparent)]
    Url(#[from] EndpointError),
    #[error("a URL of {0} begins with {1}:// or {2}://")]
    Scheme(Engine, &'static str, &'static str),
    #[error("the URL names neither a host nor a socket")]
    NoHost,
    #[error("a URL has {MOST_URL_BYTES} bytes at most")]
    TooLong,
}

/// What a resource has told of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TestReport {
    pub version: Option<String>,
    /// What is missing for backups, in plain words.
    pub remarks: Vec<String>,
}

/// What a backup may read of this machine beside its network.
#[derive(Clone, Debug, Default)]
pub enum Reach {
    #[default]
    Nothing,
    /// All files but those below `closed`, and what is below `own` for all that.
    Files { closed: Vec<PathBuf>, own: Option<PathBuf> },
}

impl Reach {
    /// Why the data directory of a MariaDB may not be read, if so. The server tells where it is, and may say anything.
    pub(crate) fn refuses(&self, datadir: &Path) -> Option<String> {
        let Self::Files { closed, own } = self else {
            return Some(
                "a physical backup of MariaDB reads files of this machine, which is for the account that the server \
                 belongs to and those in local_accounts of its configuration; a logical backup can be taken"
                    .to_owned(),
            );
        };
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let datadir = real(datadir);
        if own.as_ref().is_some_and(|own| datadir.starts_with(real(own))) {
            return None;
        }
        let closed = closed.iter().map(|folder| real(folder));
        let mut touched = closed.filter(|folder| datadir.starts_with(folder) || folder.starts_with(&datadir));
        touched.next().map(|folder| {
            let (datadir, folder) = (datadir.display(), folder.display());
            format!("the server says that its files are in {datadir}, and {folder} is Lifeboat's own")
        })
    }
}

/// Why a resource could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum TestError {
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error(transparent)]
    Sql(#[from] SqlError),
    #[error(transparent)]
    Redis(#[from] redis::RedisError),
}

/// Whether a URL uses nothing of this machine but its network: no sockets, no files.
pub fn is_of_the_network(url: &str) -> bool {
    url.parse::<Endpoint>().is_ok_and(|endpoint| endpoint.is_of_the_network())
}

/// Where a resource is, of what may be shown of its URL.
pub fn resource_address(engine: Engine, url: &str) -> Result<Address, AddressError> {
    if url.len() > MOST_URL_BYTES {
        return Err(AddressError::TooLong);
    }
    let endpoint: Endpoint = url.parse()?;
    let [first, second] = engine.schemes();
    if endpoint.scheme != first && endpoint.scheme != second {
        return Err(AddressError::Scheme(engine, first, second));
    }
    let host = endpoint.socket_path().unwrap_or(&endpoint.host).to_owned();
    if host.is_empty() {
        return Err(AddressError::NoHost);
    }
    Ok(Address {
        scheme: endpoint.scheme,
        user: endpoint.user,
        host,
        port: endpoint.port.unwrap_or_else(|| engine.default_port()),
        database: Some(endpoint.path).filter(|path| !path.is_empty()),
    })
}

/// Connects to a resource and asks whether it can be backed up. `is_cluster` is what its owner says of it.
pub fn test_resource(
    engine: Engine,
    url: &str,
    (is_cluster, reach): (bool, &Reach),
    ctx: &Ctx,
) -> Result<TestReport, TestError> {
    resource_address(engine, url)?;
    let endpoint: Endpoint = url.parse().map_err(AddressError::Url)?;
    match engine {
        Engine::Redis => Ok(test_redis(&endpoint, is_cluster, ctx)?),
        Engine::Postgresql => Ok(test_postgres(&endpoint, ctx)?),
        Engine::Mariadb => Ok(test_mariadb(&endpoint, reach, ctx)?),
    }
}

fn test_postgres(endpoint: &Endpoint, ctx: &Ctx) -> Result<TestReport, SqlError> {
    let mut server = postgres::Server::connect(endpoint, ctx)?;
    let version = server.facts()?.version;
    let mut remarks = Vec::new();
    for (method, lacks) in
        [(PHYSICAL, server.lacks_for_physical(ctx)?), (LOGICAL, server.lacks_for_logical(&[], ctx)?)]
    {
        remarks.extend(lacks.iter().map(|lack| format!("for {method}: {}: {}", lack.what, lack.remedy)));
    }
    Ok(TestReport { version: Some(version), remarks })
}

fn test_mariadb(endpoint: &Endpoint, reach: &Reach, ctx: &Ctx) -> Result<TestReport, SqlError> {
    let facts = mariadb::Facts::read(endpoint, ctx)?;
    let mut remarks = Vec::new();
    for (method, name) in [(mariadb::Method::Physical, PHYSICAL), (mariadb::Method::Logical, LOGICAL)] {
        let refused = reach.refuses(&facts.datadir).filter(|_| method == mariadb::Method::Physical);
        match refused {
            // What is wrong with its files is told only to who may read them.
            Some(refused) => remarks.push(format!("for {name}: {refused}")),
            None => {
                remarks.extend(facts.lacks(method).iter().map(|lack| format!("for {name}: {}", lack.text)));
            }
        }
    }
    Ok(TestReport { version: Some(facts.version), remarks })
}

fn test_redis(endpoint: &Endpoint, is_cluster: bool, ctx: &Ctx) -> redis::Result<TestReport> {
    let facts = redis::Server::connect(endpoint, ctx)?.check(ctx)?;
    let remark = match (facts.is_cluster, is_cluster) {
        (true, false) => Some("it is a node of a cluster; remove it and add it with --cluster"),
        (false, true) => Some("it is no cluster; remove it and add it without --cluster"),
        _ => None,
    };
    Ok(TestReport {
        version: Some(facts.version.to_string()),
        remarks: remark.map(str::to_owned).into_iter().collect(),
    })
}

#[cfg(test)]
mod tests {
    use lifeboat_testkit::redis::Redis;

    use super::*;

    #[test]
    fn an_address_is_the_url_without_its_secrets() {
        let shown = |engine, url: &str| resource_address(engine, url).unwrap().to_string();
        let url = "postgresql://jo:geheim@db/shop?sslkey=geheim";
        assert_eq!(shown(Engine::Postgresql, url), "postgresql://jo@db:5432/shop");
        assert_eq!(shown(Engine::Redis, "rediss://:geheim@[::1]:7000"), "rediss://[::1]:7000");
        let socket = resource_address(Engine::Mariadb, "mysql://jo@localhost/?socket=/run/my.sock").unwrap();
        assert_eq!((socket.host.as_str(), socket.database), ("/run/my.sock", None));
    }

    #[test]
    fn what_is_no_url_of_the_engine_is_refused_without_being_repeated() {
        let long = format!("redis://geheim/{}", "x".repeat(5000));
        for (engine, url) in [
            (Engine::Postgresql, "mysql://geheim@db"),
            (Engine::Redis, "redis://"),
            (Engine::Redis, "geheim"),
            (Engine::Redis, long.as_str()),
        ] {
            let refused = resource_address(engine, url).unwrap_err();
            assert!(!format!("{refused} {refused:?}").contains("geheim"), "{refused}");
        }
    }

    #[test]
    fn of_this_machine_only_what_is_nobodys_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let below = |name: &str| folder.path().join(name);
        for name in ["data/instances/rm-1/data", "data/vaults", "mysql"] {
            std::fs::create_dir_all(below(name)).unwrap();
        }
        std::os::unix::fs::symlink(below("data/vaults"), below("link")).unwrap();
        let own = Some(below("data/instances/rm-1"));
        let reach = Reach::Files { closed: vec![below("data")], own };
        for (name, is_refused) in [
            ("mysql", false),
            ("data/instances/rm-1/data", false),
            ("data/instances", true),
            ("data/vaults", true),
            ("link", true),
            ("", true),
        ] {
            assert_eq!(reach.refuses(&below(name)).is_some(), is_refused, "{name}");
        }
        assert!(Reach::Nothing.refuses(&below("mysql")).unwrap().contains("local_accounts"));
    }

    #[test]
    fn a_redis_tells_its_version_and_what_is_missing() {
        let redis = Redis::start(&["--requirepass", "geheim"]);
        let test = |user: &str, is_cluster| {
            let url = format!("redis://{user}@127.0.0.1:{}", redis.port());
            test_resource(Engine::Redis, &url, (is_cluster, &Reach::Nothing), &Ctx::default())
        };
        let report = test(":geheim", false).unwrap();
        let version = report.version.clone().unwrap();
        assert!(report.remarks.is_empty() && version.starts_with(|c: char| c.is_ascii_digit()), "{report:?}");
        assert!(test(":geheim", true).unwrap().remarks[0].contains("without --cluster"));
        let refused = test(":falsch", false).unwrap_err();
        let TestError::Redis(error) = &refused else { panic!("{refused:?}") };
        assert_eq!(error.kind, redis::RedisErrorKind::Authentication);
        assert!(!format!("{refused} {refused:?}").contains("falsch"), "{refused:?}");
    }
}

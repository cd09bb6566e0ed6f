//! TLS: what `sslmode` asks for is so, and a backup goes through it.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

use lifeboat_adapters::endpoint::Endpoint;
use lifeboat_adapters::sql::SqlErrorKind;
use lifeboat_adapters::sql::postgres::Server;
use lifeboat_repository::Ctx;
use lifeboat_testkit::postgres::{Postgres, run};
use rcgen::{CertifiedKey, generate_simple_self_signed};

use super::world::{back_up_at, until, vault};

const RULES: &str =
    "local all all trust\nhostssl all all 127.0.0.1/32 trust\nhostssl replication all 127.0.0.1/32 trust\n";

/// Writes a file that the server may read.
fn put(folder: &Path, name: &str, text: &str) -> String {
    let (path, owner) = (folder.join(name), fs::metadata(folder).unwrap());
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    chown(&path, Some(owner.uid()), Some(owner.gid())).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_session_is_as_safe_as_sslmode_says() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let server = Postgres::start_with(&["listen_addresses=127.0.0.1", &format!("port={port}")], Some(RULES));
    let at = |host: &str, options: &str| -> Endpoint {
        format!("postgresql://lifeboat@{host}:{port}/postgres?{options}").parse().unwrap()
    };
    let log_in = |host: &str, options: &str| {
        Server::connect(&at(host, options), &Ctx::default()).map(drop).map_err(|error| error.kind)
    };
    // Yet it speaks no TLS.
    assert_eq!(log_in("127.0.0.1", "sslmode=require"), Err(SqlErrorKind::Unsupported));

    let folder = server.new_folder("tls");
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let other = generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let authority = put(&folder, "cert.pem", &cert.pem());
    let key = put(&folder, "key.pem", &signing_key.serialize_pem());
    let stranger = put(&folder, "other.pem", &other.cert.pem());
    for sql in [
        format!("ALTER SYSTEM SET ssl_cert_file = '{authority}'"),
        format!("ALTER SYSTEM SET ssl_key_file = '{key}'"),
        "ALTER SYSTEM SET ssl = on".to_owned(),
        "SELECT pg_reload_conf()".to_owned(),
    ] {
        run(server.program("psql").env("PGPORT", port.to_string()).args(["-Xqd", "postgres", "-c", &sql]));
    }
    until("the server speaks TLS", || log_in("127.0.0.1", "sslmode=require").is_ok());
    assert_eq!(log_in("127.0.0.1", ""), Ok(()));
    assert_eq!(log_in("127.0.0.1", "sslmode=disable"), Err(SqlErrorKind::Authentication));
    let full = |file: &str| format!("sslmode=verify-full&sslrootcert={file}");
    assert_eq!(log_in("127.0.0.1", &full(&authority)), Ok(()));
    assert_eq!(log_in("127.0.0.1", &full(&stranger)), Err(SqlErrorKind::Authentication));
    assert_eq!(log_in("localhost", &full(&authority)), Err(SqlErrorKind::Authentication));
    assert_eq!(log_in("localhost", &format!("sslmode=verify-ca&sslrootcert={authority}")), Ok(()));
    assert_eq!(log_in("127.0.0.1", "sslmode=verify-full"), Err(SqlErrorKind::InvalidInput));
    assert_eq!(log_in("127.0.0.1", "sslmode=sometimes"), Err(SqlErrorKind::InvalidInput));

    let (_, summary) = back_up_at(&at("127.0.0.1", &full(&authority)), &vault()).unwrap();
    assert!(summary.files > 900, "{summary:?}");
}

//! PostgreSQL and MariaDB: servers that are made of backups.

use std::path::Path;

use lifeboat_adapters::endpoint::EndpointError;
use lifeboat_model::resource::Engine;
use lifeboat_repository::Ctx;
use url::Url;

use super::{DatabaseError, not_a_url};
use crate::JobError;

/// Starts the server whose files are in `folder`. One that runs is left as it is.
pub fn start_server(engine: Engine, _folder: &Path, _port: u16, _ctx: &Ctx) -> Result<(), JobError> {
    Err(unsupported(engine))
}

/// Stops the server whose files are in `folder`.
pub fn stop_server(engine: Engine, _folder: &Path, _ctx: &Ctx) -> Result<(), JobError> {
    Err(unsupported(engine))
}

pub(super) fn unsupported(engine: Engine) -> JobError {
    let what = format!("this server cannot do that with {engine} yet");
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

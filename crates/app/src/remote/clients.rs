//! `client`: the machines whose files a server can back up.

use lifeboat_api::native::{Client, List};

use super::Remote;
use crate::cli::remote::ClientAction;
use crate::exit::Status;

pub(super) fn run(remote: &Remote<'_>, action: ClientAction) -> anyhow::Result<Status> {
    let ClientAction::List = action;
    let found: List<Client> = remote.get("/clients", &[])?;
    remote.table(&["ID", "Instance", "Host", "Version", "Heard of"], (&found.rows, found.total), |client| {
        vec![
            client.client_id.clone(),
            client.instance_id.clone(),
            client.hostname.clone(),
            client.version.clone(),
            remote.moment(Some(client.heard_of)),
        ]
    })
}

//! What of this machine a resource may use beside its network: sockets, files, and servers that are made of backups.
//!
//! All of it is reached as the user that this server runs as, and all servers made of backups run as one user. So it is
//! for the account that the server belongs to, and for those that its configuration names. It is asked whenever something
//! is opened, not only when a resource is added, because the configuration may change.

use lifeboat_catalog::ResourceRow;
use lifeboat_model::database::BackupMethod;
use lifeboat_model::id::AccountId;
use lifeboat_model::resource::Engine;
use lifeboat_worker::{Reach, is_of_the_network};

use crate::{Result, Service, ServiceError};

const FOR_WHOM: &str = "which is for the account that the server belongs to and those in local_accounts of its \
    configuration";

impl Service {
    fn is_local(&self, account: AccountId) -> bool {
        account == self.root || self.limits.local_accounts.contains(&account)
    }

    /// Refuses a URL that uses more of this machine than its account may.
    pub(crate) fn check_url(&self, account: AccountId, url: &str) -> Result<()> {
        if self.is_local(account) || is_of_the_network(url) {
            return Ok(());
        }
        let what = format!(
            "the URL names a socket or a file of this machine, {FOR_WHOM}; name a host and a port, and no certificates"
        );
        Err(ServiceError::NotLocal(what))
    }

    /// Refuses a backup that reads files of this machine which its account may not read.
    pub(crate) fn check_method(&self, row: &ResourceRow, method: BackupMethod) -> Result<()> {
        if self.is_local(row.account) || row.engine != Engine::Mariadb || method != BackupMethod::Physical {
            return Ok(());
        }
        let what = format!(
            "a physical backup of MariaDB reads files of this machine, {FOR_WHOM}; a logical backup can be taken"
        );
        Err(ServiceError::NotLocal(what))
    }

    /// Refuses to run a server of a physical set, for ever or to take tables from it.
    pub(crate) fn check_server(&self, row: &ResourceRow, method: BackupMethod) -> Result<()> {
        if self.is_local(row.account) || method != BackupMethod::Physical {
            return Ok(());
        }
        let what = format!(
            "of a physical set a server is run on this machine, {FOR_WHOM}; tables of a logical set can be restored"
        );
        Err(ServiceError::NotLocal(what))
    }

    /// What backups of a resource may read.
    pub(crate) fn reach(&self, row: &ResourceRow) -> Reach {
        if !self.is_local(row.account) {
            return Reach::Nothing;
        }
        let closed = [&self.data_folder, &self.vault_root, &self.instance_root, &self.temp_folder];
        Reach::Files { closed: closed.map(Clone::clone).to_vec(), own: self.resource_folder(row) }
    }
}

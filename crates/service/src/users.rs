//! Accounts, their users and access keys: made, listed, disabled, deleted.
//!
//! The secret of a key is told once, to whoever makes it; what is kept is sealed. A new account is there before its
//! first key: a crash between leaves an account without one, for which the server's owner can make another key.

use argon2::Argon2;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use lifeboat_catalog::{AccessKeyRow, AccountRow, NewAccessKey, UserRow};
use lifeboat_model::id::{AccountId, random_characters};

use crate::error::Invalid;
use crate::signing::owner;
use crate::{Caller, Denial, Missing, Result, Secret, Service, ServiceError, bridge};

/// An access key as it is told to its maker, once.
#[derive(Clone, Debug)]
pub struct NewKey {
    pub account: AccountId,
    pub user: Option<String>,
    pub id: String,
    pub secret: Secret,
}

impl Service {
    /// Makes an account with a key of its own. Only the account that the server belongs to can.
    pub async fn create_account(&self, caller: &Caller, name: &str) -> Result<NewKey> {
        self.must_be_owner(caller, "ram:CreateAccount")?;
        check_name("account name", name, "._-")?;
        let id = AccountId::new(self.random.number());
        self.catalog.insert_account(id, name, self.now()).await?;
        self.make_key(id, None).await
    }

    /// All accounts. Only the account that the server belongs to sees them.
    pub async fn accounts(&self, caller: &Caller) -> Result<Vec<AccountRow>> {
        self.must_be_owner(caller, "ram:ListAccounts")?;
        Ok(self.catalog.accounts().await?)
    }

    pub async fn create_user(
        &self,
        caller: &Caller,
        name: &str,
        password: Option<Secret>,
    ) -> Result<UserRow> {
        check_name("user name", name, "._-")?;
        let hash = match password {
            Some(password) => Some(self.hash(password).await?),
            None => None,
        };
        self.catalog.insert_user(caller.account, name, hash.as_deref(), self.now()).await?;
        self.user(caller, name).await
    }

    pub async fn users(&self, caller: &Caller) -> Result<Vec<UserRow>> {
        Ok(self.catalog.users(caller.account).await?)
    }

    /// Removes a user, with his keys and what is attached to him.
    pub async fn delete_user(&self, caller: &Caller, name: &str) -> Result<()> {
        self.user(caller, name).await?;
        Ok(self.catalog.delete_user(caller.account, name).await?)
    }

    /// Makes a key of a user, or without one, of the account itself.
    pub async fn create_access_key(&self, caller: &Caller, user: Option<&str>) -> Result<NewKey> {
        match user {
            Some(name) => self.user(caller, name).await.map(drop)?,
            None => must_be_account(caller, "ram:CreateAccessKey")?,
        }
        self.make_key(caller.account, user).await
    }

    /// The keys of the account and of its users, or of one user; their secrets stay sealed.
    pub async fn access_keys(&self, caller: &Caller, user: Option<&str>) -> Result<Vec<AccessKeyRow>> {
        let mut keys = self.catalog.access_keys(caller.account).await?;
        if let Some(name) = user {
            self.user(caller, name).await?;
            keys.retain(|key| key.user.as_deref() == Some(name));
        }
        Ok(keys)
    }

    /// Lets a key work again, or no longer. The key that asks cannot shut itself out.
    pub async fn set_access_key_active(&self, caller: &Caller, id: &str, is_active: bool) -> Result<()> {
        self.changeable_key(caller, id, "ram:UpdateAccessKey").await?;
        self.catalog.set_access_key_active(caller.account, id, is_active).await?;
        Ok(())
    }

    /// Removes a key for ever.
    pub async fn delete_access_key(&self, caller: &Caller, id: &str) -> Result<()> {
        self.changeable_key(caller, id, "ram:DeleteAccessKey").await?;
        self.catalog.delete_access_key(caller.account, id).await?;
        Ok(())
    }

    pub(crate) async fn user(&self, caller: &Caller, name: &str) -> Result<UserRow> {
        let found = self.catalog.user(caller.account, name).await?;
        found.ok_or_else(|| ServiceError::Missing(Missing::User, name.to_owned()))
    }

    async fn changeable_key(&self, caller: &Caller, id: &str, action: &str) -> Result<()> {
        let found = self.catalog.access_key(id).await?.filter(|key| key.account == caller.account);
        let key = found.ok_or_else(|| ServiceError::Missing(Missing::AccessKey, id.to_owned()))?;
        if key.user.is_none() {
            must_be_account(caller, action)?;
        }
        if key.id == caller.access_key_id {
            return Err(ServiceError::Conflict(format!("the access key {id} is the one that asks")));
        }
        Ok(())
    }

    async fn make_key(&self, account: AccountId, user: Option<&str>) -> Result<NewKey> {
        let characters = || random_characters(self.random.number());
        let id = format!("LTAI{}", characters());
        let secret = Secret::new(format!("{}{}", characters(), characters()));
        let user = user.map(str::to_owned);
        let sealed = self.sealer.seal(&owner(&id), secret.expose());
        let new = NewAccessKey { id: id.clone(), account, user: user.clone(), secret: sealed };
        self.catalog.insert_access_key(new, self.now()).await?;
        Ok(NewKey { account, user, id, secret })
    }

    /// The text that passwords are kept as.
    async fn hash(&self, password: Secret) -> Result<String> {
        let most = argon2::MAX_PWD_LEN;
        if !(8..=most.min(1024)).contains(&password.expose().len()) {
            return Err(Invalid::new("password", "***", "It must have 8 to 1024 bytes.").into());
        }
        let salt = self.random.number().to_le_bytes();
        Ok(bridge::run(move || {
            let mut hash = [0; 32];
            let argon = Argon2::default();
            let hashed = argon.hash_password_into(password.expose().as_bytes(), &salt, &mut hash);
            hashed.expect("lengths of password, salt and hash are within bounds");
            let (params, encode) = (argon.params(), |bytes: &[u8]| STANDARD_NO_PAD.encode(bytes));
            let (memory, passes, lanes) = (params.m_cost(), params.t_cost(), params.p_cost());
            format!("$argon2id$v=19$m={memory},t={passes},p={lanes}${}${}", encode(&salt), encode(&hash))
        })
        .await)
    }

    /// What is done for other accounts is for the own keys of the account that the server belongs to.
    pub(crate) fn must_be_owners_own(&self, caller: &Caller, action: &str) -> Result<()> {
        self.must_be_owner(caller, action)?;
        must_be_account(caller, action)
    }

    fn must_be_owner(&self, caller: &Caller, action: &str) -> Result<()> {
        if caller.account == self.root { Ok(()) } else { Err(denied(caller, action)) }
    }
}

/// What would give the rights of the account itself is for its own keys only, whatever documents say.
fn must_be_account(caller: &Caller, action: &str) -> Result<()> {
    if caller.user.is_none() { Ok(()) } else { Err(denied(caller, action)) }
}

fn denied(caller: &Caller, action: &str) -> ServiceError {
    ServiceError::Denied(Denial {
        action: action.to_owned(),
        principal: caller.user.clone().unwrap_or_else(|| format!("the account {}", caller.account)),
        account: caller.account,
        is_explicit: true,
    })
}

/// Names are letters, digits and `others`, 64 at most.
pub(crate) fn check_name(what: &'static str, name: &str, others: &str) -> Result<()> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || others.contains(c);
    if (1..=64).contains(&name.len()) && name.chars().all(is_plain) {
        return Ok(());
    }
    let accepted = format!("It must have 1 to 64 characters, each a letter, a digit or one of {others}");
    Err(Invalid::new(what, name, accepted).into())
}

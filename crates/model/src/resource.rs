//! Resources: databases and Redis servers that can be backed up, under the ids that the dialects use.
//!
//! Of the address of one only what may be shown is kept in here; what opens it is sealed elsewhere.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

const MOST_ID_CHARACTERS: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ResourceKind {
    Database,
    Redis,
}

/// What a resource runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Engine {
    Postgresql,
    Mariadb,
    Redis,
}

/// Whether a resource can be worked with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ResourceState {
    /// As far as is known: nobody asks a server that is not ours whether it is up.
    Running,
    /// An instance of ours that a restore is making.
    Creating,
    /// Being overwritten by a restore.
    Restoring,
    /// An instance of ours that could not be made or started.
    Failed,
}

/// A text that is no id of a resource.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not the id of a resource: it must be rm- (a database) or r- (a redis) and then lower-case letters, digits \
     and hyphens, {MOST_ID_CHARACTERS} characters at most"
)]
pub struct ParseResourceIdError(String);

/// The id that the owner of a resource gives it. Unique on a server, whoever's it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ResourceId(String);

/// Where a resource is and as whom it is spoken to: its URL without the password and the options.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    pub scheme: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    pub host: String,
    pub port: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
}

impl ResourceKind {
    pub const ALL: [Self; 2] = [Self::Database, Self::Redis];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Database => "database",
            Self::Redis => "redis",
        }
    }

    /// What the ids of the kind begin with.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Database => "rm-",
            Self::Redis => "r-",
        }
    }
}

impl Engine {
    pub const ALL: [Self; 3] = [Self::Postgresql, Self::Mariadb, Self::Redis];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Postgresql => "postgresql",
            Self::Mariadb => "mariadb",
            Self::Redis => "redis",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|engine| engine.as_str() == text)
    }

    pub fn kind(self) -> ResourceKind {
        match self {
            Self::Postgresql | Self::Mariadb => ResourceKind::Database,
            Self::Redis => ResourceKind::Redis,
        }
    }

    /// How URLs of it begin.
    pub fn schemes(self) -> [&'static str; 2] {
        match self {
            Self::Postgresql => ["postgresql", "postgres"],
            Self::Mariadb => ["mariadb", "mysql"],
            Self::Redis => ["redis", "rediss"],
        }
    }

    /// Where it listens unless its URL says otherwise.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Postgresql => 5432,
            Self::Mariadb => 3306,
            Self::Redis => 6379,
        }
    }
}

impl ResourceState {
    pub const ALL: [Self; 4] = [Self::Running, Self::Creating, Self::Restoring, Self::Failed];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Creating => "CREATING",
            Self::Restoring => "RESTORING",
            Self::Failed => "FAILED",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

impl ResourceId {
    pub fn kind(&self) -> ResourceKind {
        if self.0.starts_with(ResourceKind::Database.prefix()) {
            ResourceKind::Database
        } else {
            ResourceKind::Redis
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ResourceId {
    type Err = ParseResourceIdError;

    fn from_str(text: &str) -> Result<Self, ParseResourceIdError> {
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let rest = ResourceKind::ALL.into_iter().find_map(|kind| text.strip_prefix(kind.prefix()));
        match rest.filter(|rest| !rest.is_empty() && rest.chars().all(is_plain)) {
            Some(_) if text.len() <= MOST_ID_CHARACTERS => Ok(Self(text.to_owned())),
            _ => Err(ParseResourceIdError(text.chars().take(2 * MOST_ID_CHARACTERS).collect())),
        }
    }
}

impl TryFrom<String> for ResourceId {
    type Error = ParseResourceIdError;

    fn try_from(text: String) -> Result<Self, ParseResourceIdError> {
        text.parse()
    }
}

impl From<ResourceId> for String {
    fn from(id: ResourceId) -> Self {
        id.0
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme)?;
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        if self.host.contains(':') { write!(f, "[{}]", self.host) } else { f.write_str(&self.host) }?;
        write!(f, ":{}", self.port)?;
        match &self.database {
            Some(database) => write!(f, "/{database}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_tells_the_kind() {
        let kind = |text: &str| text.parse::<ResourceId>().unwrap().kind();
        assert_eq!(kind("rm-uf6wjk5xxxxxxx"), ResourceKind::Database);
        assert_eq!(kind("r-bp1zxszhcgatnx"), ResourceKind::Redis);
        for engine in Engine::ALL {
            assert_eq!(kind(&format!("{}a-1", engine.kind().prefix())), engine.kind());
            assert_eq!(Engine::parse(engine.as_str()), Some(engine));
        }
    }

    #[test]
    fn what_is_no_id_is_refused_with_what_would_be() {
        let long = format!("rm-{}", "a".repeat(62));
        for text in
            ["", "rm-", "r-", "rm", "db-1", "rm-A", "rm-a_b", "r-ä", "rm-a/../b", "r-a b", long.as_str()]
        {
            let refused = text.parse::<ResourceId>().unwrap_err().to_string();
            assert!(refused.contains("must be rm- (a database) or r- (a redis)"), "{refused}");
        }
        assert!(long[..64].parse::<ResourceId>().is_ok());
    }

    #[test]
    fn an_address_is_shown_as_a_url_without_its_password() {
        let address = Address {
            scheme: "postgresql".to_owned(),
            user: Some("ada".to_owned()),
            host: "::1".to_owned(),
            port: 5432,
            database: Some("shop".to_owned()),
        };
        assert_eq!(address.to_string(), "postgresql://ada@[::1]:5432/shop");
        let bare = Address { user: None, host: "db".to_owned(), database: None, ..address };
        assert_eq!(bare.to_string(), "postgresql://db:5432");
    }
}

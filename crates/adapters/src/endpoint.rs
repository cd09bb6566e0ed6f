//! Where a server is and who to be there: a URL, taken apart.
//!
//! A URL often holds a password. It is taken out here, and nothing that can be printed shows it.

use std::fmt;
use std::str::FromStr;

use percent_encoding::percent_decode_str;
use url::Url;

/// A server and the way in.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub scheme: String,
    pub user: Option<String>,
    pub password: Option<Password>,
    /// A name, an address, or the absolute path of a socket or of its folder; empty where the URL has none.
    pub host: String,
    pub port: Option<u16>,
    /// What follows the host, without the first slash: the name or the number of a database.
    pub path: String,
    /// What follows the question mark.
    pub options: Vec<(String, String)>,
}

/// A password. It cannot be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    pub fn new(password: impl Into<String>) -> Self {
        Self(password.into())
    }

    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Options whose values are files of this machine, whichever engine reads them.
const FILES: [&str; 5] = ["sslrootcert", "ssl-ca", "ssl-cert", "ssl-key", "cacert"];

/// Why a text is not the URL of a server. It does not repeat the text, which may hold a password.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum EndpointError {
    #[error("this is not a URL such as scheme://user:password@host:port/database")]
    NotUrl,
    #[error("the {0} of the URL is not UTF-8 where %XX is decoded")]
    NotText(&'static str),
}

impl Endpoint {
    /// The value of an option, the last one where it is given twice.
    pub fn option(&self, name: &str) -> Option<&str> {
        self.options.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The socket of the server, or its folder, where the host or the option `host` or `socket` is a path.
    pub fn socket_path(&self) -> Option<&str> {
        let named = self.option("socket").or_else(|| self.option("host"));
        [Some(self.host.as_str()), named].into_iter().flatten().find(|host| host.starts_with('/'))
    }

    /// Whether nothing of this machine is used but its network: no socket, no file, no list of hosts that could hide one.
    pub fn is_of_the_network(&self) -> bool {
        let names_a_file = self.options.iter().any(|(name, _)| FILES.contains(&name.as_str()));
        // Without a port MariaDB's programs take it for their socket.
        let is_default_socket = self.host.eq_ignore_ascii_case("localhost") && self.port.is_none();
        let is_mariadb = ["mariadb", "mysql"].contains(&self.scheme.as_str());
        self.socket_path().is_none()
            && is_network_name(&self.host)
            && !names_a_file
            && !(is_mariadb && is_default_socket)
    }
}

/// Whether a text can only be a name or an address of the network, and no path or other kind of socket.
pub fn is_network_name(host: &str) -> bool {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || ".-_:%".contains(c);
    !host.is_empty() && host.chars().all(is_of_name)
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let url = Url::parse(text).map_err(|_| EndpointError::NotUrl)?;
        if url.cannot_be_a_base() || !text.contains("://") {
            return Err(EndpointError::NotUrl);
        }
        let decoded = |part: &str, what| {
            let text = percent_decode_str(part).decode_utf8().map_err(|_| EndpointError::NotText(what))?;
            Ok::<_, EndpointError>(text.into_owned())
        };
        let user = decoded(url.username(), "user")?;
        let password = url.password().map(|password| decoded(password, "password")).transpose()?;
        let host = decoded(url.host_str().unwrap_or_default(), "host")?;
        Ok(Self {
            scheme: url.scheme().to_owned(),
            user: (!user.is_empty()).then_some(user),
            password: password.map(Password),
            host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            port: url.port(),
            path: decoded(url.path().trim_start_matches('/'), "database")?,
            options: url.query_pairs().map(|(key, value)| (key.into_owned(), value.into_owned())).collect(),
        })
    }
}

/// Without the password and the options, which may hold secrets too.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme)?;
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        let host = self.socket_path().unwrap_or(&self.host);
        if host.contains(':') { write!(f, "[{host}]") } else { f.write_str(host) }?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        if !self.path.is_empty() {
            write!(f, "/{}", self.path)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(text: &str) -> Endpoint {
        text.parse().unwrap()
    }

    #[test]
    fn a_url_is_taken_apart() {
        let found = endpoint("postgresql://jo%40x:p%2Fw%20d@db.example:5433/my%20db?sslmode=require");
        assert_eq!(found.user.as_deref(), Some("jo@x"));
        assert_eq!(found.password.as_ref().map(Password::expose), Some("p/w d"));
        assert_eq!((found.host.as_str(), found.port), ("db.example", Some(5433)));
        assert_eq!((found.path.as_str(), found.option("sslmode")), ("my db", Some("require")));
        assert_eq!(endpoint("redis://[::1]:6379/3").host, "::1");
        assert_eq!(endpoint("redis://:pw@h").user, None);
    }

    #[test]
    fn a_socket_is_the_host_or_an_option() {
        assert_eq!(endpoint("postgresql://me@%2Frun%2Fpg/db").socket_path(), Some("/run/pg"));
        assert_eq!(endpoint("postgresql://me@localhost/db?host=/run/pg").socket_path(), Some("/run/pg"));
        assert_eq!(
            endpoint("mariadb://me@localhost/?socket=/run/my.sock").socket_path(),
            Some("/run/my.sock")
        );
        assert_eq!(endpoint("mariadb://me@localhost/").socket_path(), None);
    }

    #[test]
    fn what_uses_more_of_this_machine_than_its_network_is_told_apart() {
        for of_the_network in [
            "postgresql://me@db.example:5433/x?sslmode=require",
            "postgresql://me@localhost/x",
            "mariadb://me@localhost:3306",
            "redis://[::1]:6379",
        ] {
            assert!(endpoint(of_the_network).is_of_the_network(), "{of_the_network}");
        }
        for of_this_machine in [
            "postgresql://me@%2Frun%2Fpg/x",
            "postgresql://me@localhost/x?host=/run/pg",
            "postgresql://me@a%2C%2Frun%2Fpg/x",
            "postgresql://me@%40abstract/x",
            "postgresql://me@db/x?sslmode=verify-ca&sslrootcert=/etc/shadow",
            "mariadb://me@localhost/",
            "mysql://me@LOCALHOST/",
            "mariadb://me@db/?socket=/run/my.sock",
            "mariadb://me@db/?ssl-key=/etc/key",
            "rediss://db?cacert=/dev/zero",
        ] {
            assert!(!endpoint(of_this_machine).is_of_the_network(), "{of_this_machine}");
        }
    }

    #[test]
    fn nothing_that_is_printed_shows_the_password() {
        let found = endpoint("mariadb://jo:geheim@db:3306/x?ssl-key=geheim");
        assert_eq!(found.to_string(), "mariadb://jo@db:3306/x");
        assert!(!format!("{found:?} {:?}", found.password).contains("geheim"));
    }

    #[test]
    fn what_is_no_url_is_refused_without_being_repeated() {
        for text in ["", "geheim", "host:5432", "mailto:geheim@x", "/run/x", "redis:geheim"] {
            let refused = text.parse::<Endpoint>().unwrap_err();
            assert_eq!(refused, EndpointError::NotUrl, "{text}");
        }
    }
}

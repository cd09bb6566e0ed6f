//! One HTTP request and one reply, as dialects see them: whole, with the target as it came over the wire.

use std::net::IpAddr;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use lifeboat_model::id::AccountId;
use lifeboat_service::Caller;

/// A request whose body has been read.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: Method,
    /// Without the query.
    pub path: String,
    /// What came after the question mark, not decoded.
    pub query: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// Where the request came from.
    pub peer: IpAddr,
    /// Whether it came through TLS.
    pub is_secure: bool,
}

impl Request {
    /// The value of a header, trimmed; several are joined by commas. `None` when it is absent or not text.
    pub fn header(&self, name: &str) -> Option<String> {
        let mut values =
            self.headers.get_all(name).iter().map(|value| value.to_str().map(str::trim)).peekable();
        values.peek()?;
        let values = values.collect::<Result<Vec<_>, _>>().ok()?;
        Some(values.join(","))
    }
}

#[derive(Clone, Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub content_type: &'static str,
    /// Further headers.
    pub headers: Vec<(&'static str, String)>,
    pub body: Bytes,
}

/// What the log says of a request; what is not known yet when it is refused is absent.
#[derive(Clone, Debug, Default)]
pub struct Note {
    /// An operation that there is.
    pub action: Option<String>,
    /// Who asked, once his signature was found right.
    pub account: Option<AccountId>,
    pub user: Option<String>,
    pub access_key_id: Option<String>,
    /// The code of a refusal.
    pub code: Option<String>,
}

impl Note {
    pub(crate) fn caller(&mut self, caller: &Caller) {
        self.account = Some(caller.account);
        self.user.clone_from(&caller.user);
        self.access_key_id = Some(caller.access_key_id.clone());
    }
}

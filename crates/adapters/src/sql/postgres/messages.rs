//! What a server says: frames, rows, and errors with the state that tells what they mean.

use bytes::Bytes;

use crate::sql::error::{Result, SqlError, SqlErrorKind};

/// One message of the server.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) tag: u8,
    pub(super) body: Bytes,
}

/// The columns of a row, as text.
pub(super) type Row = Vec<Option<String>>;

/// An error or a notice, in the server's own words.
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error)]
#[error("{severity} {code}: {message}")]
pub struct ServerError {
    /// `ERROR`, `FATAL`, `WARNING` and so on, never translated.
    pub severity: String,
    /// The SQLSTATE.
    pub code: String,
    pub message: String,
}

impl ServerError {
    /// What the body of an ErrorResponse or a NoticeResponse says.
    pub(super) fn parse(body: &[u8]) -> Self {
        let mut error = Self::default();
        for field in body.split(|byte| *byte == 0) {
            let Some((kind, text)) = field.split_first() else { continue };
            let text = || String::from_utf8_lossy(text).into_owned();
            match kind {
                b'V' => error.severity = text(),
                b'C' => error.code = text(),
                b'M' => error.message = text(),
                // Where to look and what to do are said after it.
                b'D' | b'H' => error.message = format!("{} ({})", error.message, text()),
                _ => {}
            }
        }
        error
    }

    pub(super) fn kind(&self) -> SqlErrorKind {
        match (self.code.as_str(), self.code.get(..2).unwrap_or_default()) {
            ("42501", _) => SqlErrorKind::Rights,
            ("3D000" | "42P01" | "3F000", _) => SqlErrorKind::NotFound,
            ("42P04" | "42P07" | "42P06" | "42710", _) => SqlErrorKind::Exists,
            ("57P01" | "57P02" | "57P03", _) => SqlErrorKind::SourceGone,
            (_, "28") => SqlErrorKind::Authentication,
            (_, "0A" | "53" | "55") => SqlErrorKind::Unsupported,
            (_, "XX") => SqlErrorKind::Damaged,
            _ => SqlErrorKind::Statement,
        }
    }

    pub(super) fn into_error(self, what: impl Into<String>) -> SqlError {
        SqlError::new(self.kind(), what).because(self)
    }
}

/// A reader of the fields of a message; whatever is missing is an error.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn bytes(&mut self, len: usize) -> Result<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(len).ok_or_else(garbled)?;
        self.0 = rest;
        Ok(bytes)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.bytes(N)?.try_into().map_err(|_| garbled())
    }

    pub(super) fn i32(&mut self) -> Result<i32> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    /// A text that a zero ends.
    pub(super) fn text(&mut self) -> Result<&'a [u8]> {
        let len = self.0.iter().position(|byte| *byte == 0).ok_or_else(garbled)?;
        let text = self.bytes(len)?;
        self.bytes(1)?;
        Ok(text)
    }
}

/// The columns of a DataRow.
pub(super) fn row(body: &[u8]) -> Result<Row> {
    let mut fields = Fields(body);
    let columns = u16::from_be_bytes(fields.array()?);
    let column = |_| {
        let Ok(len) = usize::try_from(fields.i32()?) else { return Ok(None) };
        Ok(Some(String::from_utf8_lossy(fields.bytes(len)?).into_owned()))
    };
    (0..columns).map(column).collect()
}

pub(super) fn garbled() -> SqlError {
    SqlError::damaged("the server has sent a message that cannot be understood")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_how_bad_it_is_and_what_to_do() {
        let error = ServerError::parse(b"SFATAL\0VFATAL\0C28P01\0Mno\0Dyou\0Hask\0\0");
        assert_eq!(error.to_string(), "FATAL 28P01: no (you) (ask)");
        assert_eq!(error.kind(), SqlErrorKind::Authentication);
    }

    #[test]
    fn a_row_that_is_cut_short_is_an_error() {
        let whole = b"\0\x02\0\0\0\x01a\xff\xff\xff\xff";
        assert_eq!(row(whole).unwrap(), [Some("a".to_owned()), None]);
        for len in 0..whole.len() {
            assert!(row(&whole[..len]).is_err(), "{len}");
        }
    }
}

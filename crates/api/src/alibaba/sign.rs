//! Signatures: RPC version 1 (HMAC-SHA1 over all parameters) and ACS3 (HMAC-SHA256 over the request and its headers).
//!
//! [`Signed::read`] takes a request apart without knowing any secret; [`Signed::verify`] compares in constant time.
//! What is not signed is not read: of an ACS3 request action and version are headers that must be signed, of a
//! version 1 request they are parameters, and its headers of that name count for nothing. [`sign`] is what a client does.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderValue, Method};
use jiff::Timestamp;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::params::strict;
use super::{Params, WireError};
use crate::http_types::Request;

/// Headers without which an ACS3 signature would say too little.
const MUST_BE_SIGNED: [&str; 6] =
    ["host", "x-acs-action", "x-acs-content-sha256", "x-acs-date", "x-acs-signature-nonce", "x-acs-version"];

/// A request taken apart: who says he sent it, what for, and what there is to verify.
#[derive(Clone, Debug)]
pub struct Signed {
    pub action: String,
    pub version: String,
    pub access_key_id: String,
    pub nonce: String,
    pub time: Timestamp,
    pub security_token: Option<String>,
    /// Of the operation and, in version 1, of the signature as well.
    pub params: Params,
    scheme: Scheme,
    string_to_sign: String,
    signature: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    /// The signature is base64.
    HmacSha1,
    /// The signature is hexadecimal.
    HmacSha256,
}

/// A key as its owner has it.
#[derive(Clone, Copy)]
pub struct KeyPair<'a> {
    pub id: &'a str,
    pub secret: &'a str,
}

/// Signs a request that has a `host` header and all it shall have but these: its action, its version, the time, a
/// nonce.
pub fn sign(
    request: &mut Request,
    key: KeyPair<'_>,
    (action, version): (&str, &str),
    (time, nonce): (Timestamp, u128),
) -> Result<(), WireError> {
    let date = time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    put(request, "x-acs-action", action)?;
    put(request, "x-acs-version", version)?;
    put(request, "x-acs-date", &date)?;
    put(request, "x-acs-signature-nonce", &format!("{nonce:032x}"))?;
    let payload = hex::encode(Sha256::digest(&request.body));
    put(request, "x-acs-content-sha256", &payload)?;
    let begin = format!("ACS3-HMAC-SHA256 Credential={},SignedHeaders={}", key.id, MUST_BE_SIGNED.join(";"));
    // Read as the server will, with any signature, to find out what is to be signed.
    let mut query = Params::default();
    query.decode(request.query.as_bytes())?;
    let unsigned = acs3(request, &format!("{begin},Signature=0"), &query, Params::default())?;
    let signature = unsigned.signature_with(key.secret);
    put(request, "authorization", &format!("{begin},Signature={signature}"))
}

fn put(request: &mut Request, name: &'static str, value: &str) -> Result<(), WireError> {
    let value =
        HeaderValue::from_str(value).map_err(|_| WireError::invalid(name, "…", "It must be printable."))?;
    request.headers.insert(name, value);
    Ok(())
}

/// The signature does not fit; the server's string to sign tells a client with a wrong secret from one that signs
/// wrongly.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Specified signature is not matched with our calculation. server string to sign is:{string_to_sign}")]
pub struct SigningError {
    pub string_to_sign: String,
}

impl Signed {
    pub fn read(request: &Request) -> Result<Self, WireError> {
        let mut query = Params::default();
        query.decode(request.query.as_bytes())?;
        let mut params = query.clone();
        if is_form(request) {
            params.decode(&request.body)?;
        }
        match request.header("authorization") {
            Some(authorization) if authorization.starts_with("ACS3-") => {
                acs3(request, &authorization, &query, params)
            }
            _ => version_1(&request.method, params),
        }
    }

    /// Compares the signature with the one that `secret` makes.
    pub fn verify(&self, secret: &str) -> Result<(), SigningError> {
        let expected = self.signature_with(secret);
        if bool::from(expected.as_bytes().ct_eq(self.signature.as_bytes())) {
            return Ok(());
        }
        Err(SigningError { string_to_sign: self.string_to_sign.clone() })
    }

    fn signature_with(&self, secret: &str) -> String {
        let text = self.string_to_sign.as_bytes();
        match self.scheme {
            Scheme::HmacSha1 => {
                let key = format!("{secret}&");
                let mac =
                    Hmac::<Sha1>::new_from_slice(key.as_bytes()).expect("HMAC takes keys of any length");
                STANDARD.encode(mac.chain_update(text).finalize().into_bytes())
            }
            Scheme::HmacSha256 => {
                let mac =
                    Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
                hex::encode(mac.chain_update(text).finalize().into_bytes())
            }
        }
    }
}

fn is_form(request: &Request) -> bool {
    let content_type = request.header("content-type").unwrap_or_default();
    content_type.to_ascii_lowercase().starts_with("application/x-www-form-urlencoded")
}

// --- version 1 ---------------------------------------------------------------------------------------------

fn version_1(method: &Method, params: Params) -> Result<Signed, WireError> {
    let required = |name: &str| params.required(name).map(str::to_owned);
    let action = required("Action")?;
    let version = required("Version")?;
    let access_key_id = required("AccessKeyId")?;
    let signature = required("Signature")?;
    let method_of_signature = required("SignatureMethod")?;
    if !method_of_signature.eq_ignore_ascii_case("HMAC-SHA1") {
        let what = format!("The signature method {method_of_signature:?} is not supported; use HMAC-SHA1.");
        return Err(WireError::bad_request("InvalidSignatureMethod", what));
    }
    let version_of_signature = required("SignatureVersion")?;
    if version_of_signature != "1.0" {
        return Err(WireError::invalid("SignatureVersion", &version_of_signature, "It must be 1.0."));
    }
    let nonce = required("SignatureNonce")?;
    let time = time(&required("Timestamp")?)?;
    let canonical = params.canonical("Signature");
    let string_to_sign = format!("{method}&%2F&{}", strict(&canonical));
    let security_token = params.text("SecurityToken").map(str::to_owned);
    let scheme = Scheme::HmacSha1;
    Ok(Signed {
        action,
        version,
        access_key_id,
        nonce,
        time,
        security_token,
        params,
        scheme,
        string_to_sign,
        signature,
    })
}

// --- ACS3 --------------------------------------------------------------------------------------------------

fn acs3(request: &Request, authorization: &str, query: &Params, params: Params) -> Result<Signed, WireError> {
    let parts = Authorization::parse(authorization)?;
    let missing =
        MUST_BE_SIGNED.iter().find(|name| !parts.signed_headers.iter().any(|signed| signed == *name));
    if let Some(missing) = missing {
        let what = format!("The header {missing} must be among the SignedHeaders.");
        return Err(WireError::bad_request("IncompleteSignature", what));
    }
    let payload = hex::encode(Sha256::digest(&request.body));
    let claimed = header(request, "x-acs-content-sha256")?;
    if !bool::from(payload.as_bytes().ct_eq(claimed.to_ascii_lowercase().as_bytes())) {
        let what = "The header x-acs-content-sha256 is not the SHA-256 of the body.";
        return Err(WireError::bad_request("InvalidParameter.Format", what));
    }
    let mut canonical = format!("{}\n{}\n{}\n", request.method, request.path, query.canonical(""));
    for name in &parts.signed_headers {
        let value = header(request, name)?;
        canonical.push_str(&format!("{name}:{value}\n"));
    }
    canonical.push_str(&format!("\n{}\n{payload}", parts.signed_headers.join(";")));
    let digest = hex::encode(Sha256::digest(canonical.as_bytes()));
    Ok(Signed {
        action: header(request, "x-acs-action")?,
        version: header(request, "x-acs-version")?,
        access_key_id: parts.access_key_id,
        nonce: header(request, "x-acs-signature-nonce")?,
        time: time(&header(request, "x-acs-date")?)?,
        security_token: request.header("x-acs-security-token").filter(|token| !token.is_empty()),
        params,
        scheme: Scheme::HmacSha256,
        string_to_sign: format!("ACS3-HMAC-SHA256\n{digest}"),
        signature: parts.signature,
    })
}

/// `ACS3-HMAC-SHA256 Credential=…,SignedHeaders=a;b,Signature=…`
struct Authorization {
    access_key_id: String,
    signed_headers: Vec<String>,
    signature: String,
}

impl Authorization {
    fn parse(text: &str) -> Result<Self, WireError> {
        let Some(rest) = text.strip_prefix("ACS3-HMAC-SHA256 ") else {
            let method = text.split(' ').next().unwrap_or_default();
            let what = format!("The signature method {method:?} is not supported; use ACS3-HMAC-SHA256.");
            return Err(WireError::bad_request("InvalidSignatureMethod", what));
        };
        let part = |name: &str| {
            let found = rest.split(',').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='));
            let what = || format!("The Authorization header has no {name}.");
            found
                .filter(|value| !value.is_empty())
                .map(str::to_owned)
                .ok_or_else(|| WireError::bad_request("IncompleteSignature", what()))
        };
        let signed_headers = part("SignedHeaders")?.to_ascii_lowercase();
        Ok(Self {
            access_key_id: part("Credential")?,
            signed_headers: signed_headers.split(';').map(str::to_owned).collect(),
            signature: part("Signature")?.to_ascii_lowercase(),
        })
    }
}

fn header(request: &Request, name: &str) -> Result<String, WireError> {
    let what = || format!("The header {name} is mandatory for this action.");
    request.header(name).ok_or_else(|| WireError::bad_request("IncompleteSignature", what()))
}

fn time(text: &str) -> Result<Timestamp, WireError> {
    // Exactly this form: a more generous parser would accept what other servers refuse.
    let is_plain = text.len() == 20 && text.ends_with('Z');
    let time = text.parse::<Timestamp>().ok().filter(|_| is_plain);
    let what = || format!("The time {text:?} is not valid; write it as 2026-11-22T08:00:00Z.");
    time.ok_or_else(|| WireError::bad_request("InvalidTimeStamp.Format", what()))
}

#[cfg(test)]
mod tests;

//! Secrets at rest: sealed with the server's own key, each bound to the row it belongs to.
//!
//! AES-256-GCM with a random nonce in front, as base64. A sealed text moved to another row does not open.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use crate::{Result, ServiceError};

/// How long the server's key is.
const KEY_BYTES: usize = 32;

/// Seals and opens secrets.
pub struct Sealer {
    key: RandomizedNonceKey,
    /// Derived from the same, for what is signed and not sealed.
    signing: hmac::Key,
}

impl Sealer {
    pub fn new(key: &[u8; KEY_BYTES]) -> Self {
        let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), b"lifeboat signatures");
        Self {
            key: RandomizedNonceKey::new(&AES_256_GCM, key).expect("the key has the length the cipher wants"),
            signing: hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()),
        }
    }

    /// Seals `secret` for the row named `owner`.
    pub fn seal(&self, owner: &str, secret: &str) -> String {
        let mut text = secret.as_bytes().to_vec();
        let nonce = self.key.seal_in_place_append_tag(Aad::from(owner.as_bytes()), &mut text);
        let nonce = nonce.expect("secrets are far shorter than what the cipher takes");
        STANDARD.encode([nonce.as_ref().as_slice(), &text].concat())
    }

    /// A number that is the same for the same text, and that nobody else can tell.
    pub(crate) fn number_of(&self, text: &str) -> u128 {
        let signed = hmac::sign(&self.signing, text.as_bytes());
        signed.as_ref().first_chunk().map_or(0, |bytes| u128::from_le_bytes(*bytes))
    }

    /// Signs a text, as characters that an address may have.
    pub fn sign(&self, text: &str) -> String {
        URL_SAFE_NO_PAD.encode(hmac::sign(&self.signing, text.as_bytes()))
    }

    /// Whether this is the signature of a text; takes as long for a wrong one.
    pub fn has_signed(&self, text: &str, signature: &str) -> bool {
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap_or_default();
        hmac::verify(&self.signing, text.as_bytes(), &signature).is_ok()
    }

    /// Opens what was sealed for `owner`.
    pub fn open(&self, owner: &str, sealed: &str) -> Result<String> {
        let bytes = STANDARD.decode(sealed).map_err(|_| ServiceError::Sealed)?;
        let (nonce, text) = bytes.split_first_chunk::<NONCE_LEN>().ok_or(ServiceError::Sealed)?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let mut text = text.to_vec();
        let opened = self.key.open_in_place(nonce, Aad::from(owner.as_bytes()), &mut text);
        let opened = opened.map_err(|_| ServiceError::Sealed)?.to_vec();
        String::from_utf8(opened).map_err(|_| ServiceError::Sealed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_opens_for_its_owner_alone() {
        let sealer = Sealer::new(&[7; KEY_BYTES]);
        let sealed = sealer.seal("vault v-1", "a secret");
        assert_eq!(sealer.open("vault v-1", &sealed).unwrap(), "a secret");
        assert!(sealer.open("vault v-2", &sealed).is_err());
        assert!(Sealer::new(&[8; KEY_BYTES]).open("vault v-1", &sealed).is_err());
        assert!(sealer.open("vault v-1", "AAAA").is_err());
        assert_ne!(sealed, sealer.seal("vault v-1", "a secret"));
    }
}

//! Secrets at rest: sealed with the server's own key, each bound to the row it belongs to.
//!
//! AES-256-GCM with a random nonce in front, as base64. A sealed text moved to another row does not open.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::{Result, ServiceError};

/// How long the server's key is.
const KEY_BYTES: usize = 32;

/// Seals and opens secrets.
pub struct Sealer(RandomizedNonceKey);

impl Sealer {
    pub fn new(key: &[u8; KEY_BYTES]) -> Self {
        Self(RandomizedNonceKey::new(&AES_256_GCM, key).expect("the key has the length the cipher wants"))
    }

    /// Seals `secret` for the row named `owner`.
    pub fn seal(&self, owner: &str, secret: &str) -> String {
        let mut text = secret.as_bytes().to_vec();
        let nonce = self.0.seal_in_place_append_tag(Aad::from(owner.as_bytes()), &mut text);
        let nonce = nonce.expect("secrets are far shorter than what the cipher takes");
        STANDARD.encode([nonce.as_ref().as_slice(), &text].concat())
    }

    /// Opens what was sealed for `owner`.
    pub fn open(&self, owner: &str, sealed: &str) -> Result<String> {
        let bytes = STANDARD.decode(sealed).map_err(|_| ServiceError::Sealed)?;
        let (nonce, text) = bytes.split_first_chunk::<NONCE_LEN>().ok_or(ServiceError::Sealed)?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let mut text = text.to_vec();
        let opened = self.0.open_in_place(nonce, Aad::from(owner.as_bytes()), &mut text);
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

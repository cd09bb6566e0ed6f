//! AES-256-CTR with Poly1305-AES, as restic seals everything it stores but key files.
//!
//! A sealed message is `nonce (16) ‖ ciphertext ‖ tag (16)`; the nonce is random and is both the counter
//! block of the cipher and the input of the one-time authenticator key. Nothing is ever decrypted before its
//! tag was found right. (restic: Design, section "Keys, Encryption and MAC".)

mod mac;
mod stream;

use aws_lc_rs::cipher::{AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use zeroize::{Zeroize, ZeroizeOnDrop};

use self::mac::OneTimeMac;
pub use self::stream::{OpenReader, SealWriter};

/// Length of the nonce at the front of a sealed message.
pub const NONCE_BYTES: usize = 16;
/// Length of the tag at its end.
pub const TAG_BYTES: usize = 16;
/// By how much sealing makes a message longer.
pub const OVERHEAD_BYTES: usize = NONCE_BYTES + TAG_BYTES;

/// A sealed message that is too short, altered, or sealed with another key.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the ciphertext does not verify: it was altered or belongs to another key")]
pub struct OpenError;

/// The three secrets a repository is sealed with.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct KeyMaterial {
    pub encrypt: [u8; 32],
    pub mac_k: [u8; 16],
    pub mac_r: [u8; 16],
}

/// Seals and opens messages. Clones share nothing but the secrets.
pub struct MasterKey {
    material: KeyMaterial,
    cipher: EncryptingKey,
}

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MasterKey(***)")
    }
}

impl MasterKey {
    pub fn new(material: KeyMaterial) -> Self {
        let key = UnboundCipherKey::new(&AES_256, &material.encrypt).expect("AES-256 keys are 32 bytes long");
        let cipher = EncryptingKey::ctr(key).expect("AES-256 can be used in counter mode");
        Self { material, cipher }
    }

    /// A new key from the system's random source.
    pub fn random() -> Self {
        let mut material = KeyMaterial { encrypt: [0; 32], mac_k: [0; 16], mac_r: [0; 16] };
        fill_random(&mut material.encrypt);
        fill_random(&mut material.mac_k);
        fill_random(&mut material.mac_r);
        mac::clamp(&mut material.mac_r);
        Self::new(material)
    }

    pub fn material(&self) -> &KeyMaterial {
        &self.material
    }

    /// Appends the sealed form of `plaintext` to `out`.
    pub fn seal(&self, plaintext: &[u8], out: &mut Vec<u8>) {
        let nonce = random_nonce();
        out.reserve(plaintext.len() + OVERHEAD_BYTES);
        out.extend_from_slice(&nonce);
        let start = out.len();
        out.extend_from_slice(plaintext);
        let (_, text) = out.split_at_mut(start);
        self.apply_keystream(&nonce, 0, text);
        let tag = self.mac(&nonce).tag(text);
        out.extend_from_slice(&tag);
    }

    /// The plaintext of `sealed`, replacing what is in `out`.
    pub fn open(&self, sealed: &[u8], out: &mut Vec<u8>) -> Result<(), OpenError> {
        let (nonce, rest) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or(OpenError)?;
        let (ciphertext, tag) = rest.split_last_chunk::<TAG_BYTES>().ok_or(OpenError)?;
        self.mac(nonce).verify(ciphertext, tag)?;
        out.clear();
        out.extend_from_slice(ciphertext);
        self.apply_keystream(nonce, 0, out);
        Ok(())
    }

    fn mac(&self, nonce: &[u8; NONCE_BYTES]) -> OneTimeMac {
        OneTimeMac::new(&self.material.mac_k, &self.material.mac_r, nonce)
    }

    /// Encrypts or decrypts in place, `first_block` blocks into the message.
    fn apply_keystream(&self, nonce: &[u8; NONCE_BYTES], first_block: u128, text: &mut [u8]) {
        let counter = u128::from_be_bytes(*nonce).wrapping_add(first_block);
        let context = EncryptionContext::Iv128(FixedLength::from(counter.to_be_bytes()));
        let done = self.cipher.less_safe_encrypt(text, context);
        done.expect("counter mode takes any length");
    }
}

/// Fills `bytes` from the system's random source.
pub fn fill_random(bytes: &mut [u8]) {
    aws_lc_rs::rand::fill(bytes).expect("the system has a random source");
}

fn random_nonce() -> [u8; NONCE_BYTES] {
    let mut nonce = [0; NONCE_BYTES];
    fill_random(&mut nonce);
    nonce
}

#[cfg(test)]
mod tests;

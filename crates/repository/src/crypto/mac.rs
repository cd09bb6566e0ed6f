//! Poly1305-AES (Bernstein 2005): Poly1305 whose one-time key is `r ‖ AES-128_k(nonce)`.

use aes::Aes128;
use aes::cipher::{BlockCipherEncrypt, KeyInit};
use poly1305::Poly1305;
use poly1305::universal_hash::UniversalHash;
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use super::{NONCE_BYTES, OpenError, TAG_BYTES};

/// Authenticates one message.
pub(super) struct OneTimeMac(Poly1305);

impl OneTimeMac {
    pub(super) fn new(k: &[u8; 16], r: &[u8; 16], nonce: &[u8; NONCE_BYTES]) -> Self {
        let mut block = (*nonce).into();
        Aes128::new(k.into()).encrypt_block(&mut block);
        let mut key = [0; 32];
        let (front, back) = key.split_at_mut(16);
        front.copy_from_slice(r);
        back.copy_from_slice(&block);
        let mac = Poly1305::new(&key.into());
        key.zeroize();
        Self(mac)
    }

    /// Takes in part of a message; every part but the last is a multiple of 16 bytes long.
    pub(super) fn update(&mut self, part: &[u8]) -> &mut Self {
        let (blocks, rest) = poly1305::Block::slice_as_chunks(part);
        debug_assert!(rest.is_empty(), "only the last part may end inside a block");
        self.0.update(blocks);
        self
    }

    /// The tag of everything taken in, with `last` after it.
    pub(super) fn tag(mut self, last: &[u8]) -> [u8; TAG_BYTES] {
        let (blocks, rest) = poly1305::Block::slice_as_chunks(last);
        self.0.update(blocks);
        self.0.compute_unpadded(rest).into()
    }

    /// Fails when `tag` is not the tag of everything taken in, with `last` after it.
    pub(super) fn verify(self, last: &[u8], tag: &[u8; TAG_BYTES]) -> Result<(), OpenError> {
        if bool::from(self.tag(last).ct_eq(tag)) { Ok(()) } else { Err(OpenError) }
    }
}

/// Clears the bits of `r` that Poly1305 ignores, as restic stores it.
pub(super) fn clamp(r: &mut [u8; 16]) {
    const MASK: u128 = 0x0fff_fffc_0fff_fffc_0fff_fffc_0fff_ffff;
    *r = (u128::from_le_bytes(*r) & MASK).to_le_bytes();
}

//! Sealing and opening against known answers, against damage, and whole against streamed.

use std::io::{Read, Write};

use proptest::prelude::*;

use super::*;
use crate::spool::Spool;

fn bytes16(hex: &str) -> [u8; 16] {
    hex::decode(hex).unwrap().try_into().unwrap()
}

/// The Poly1305-AES paper (Bernstein 2005), appendix B.
#[test]
fn tags_equal_the_vectors_of_the_poly1305_aes_paper() {
    let vectors = [
        (
            "ec074c835580741701425b623235add6",
            "851fc40c3467ac0be05cc20404f3f700",
            "fb447350c4e868c52ac3275cf9d4327e",
            "f3f6",
            "f4c633c3044fc145f84f335cb81953de",
        ),
        (
            "75deaa25c09f208e1dc4ce6b5cad3fbf",
            "a0f3080000f46400d0c7e9076c834403",
            "61ee09218d29b0aaed7e154a2c5509cc",
            "",
            "dd3fab2251f11ac759f0887129cc2ee7",
        ),
        (
            "6acb5f61a7176dd320c5c1eb2edcdc74",
            "48443d0bb0d21109c89a100b5ce2c208",
            "ae212a55399729595dea458bc621ff0e",
            "663cea190ffb83d89593f3f476b6bc24d7e679107ea26adb8caf6652d0656136",
            "0ee1c16bb73f0f4fd19881753c01cdbe",
        ),
    ];
    for (k, r, nonce, message, tag) in vectors {
        let mac = OneTimeMac::new(&bytes16(k), &bytes16(r), &bytes16(nonce));
        assert_eq!(hex::encode(mac.tag(&hex::decode(message).unwrap())), tag);
    }
}

#[test]
fn a_sealed_message_opens_again_and_every_flipped_bit_is_noticed() {
    let key = MasterKey::random();
    let (mut sealed, mut opened) = (Vec::new(), Vec::new());
    key.seal(b"the only copy", &mut sealed);
    key.open(&sealed, &mut opened).unwrap();
    assert_eq!(opened, b"the only copy");
    for bit in 0..sealed.len() * 8 {
        let mut damaged = sealed.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(key.open(&damaged, &mut opened).is_err(), "bit {bit}");
    }
    for length in 0..sealed.len() {
        assert!(key.open(&sealed[..length], &mut opened).is_err(), "cut to {length}");
    }
}

fn sealed_in_a_spool(key: &MasterKey, plaintext: &[u8], step: usize) -> Spool {
    let mut writer = SealWriter::new(key, Spool::create(&std::env::temp_dir()).unwrap()).unwrap();
    for part in plaintext.chunks(step) {
        writer.write_all(part).unwrap();
    }
    let (spool, length) = writer.finish().unwrap();
    assert_eq!(spool.len(), length);
    spool
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn streams_and_messages_are_one_format(
        length in prop_oneof![0usize..200, 65_500usize..65_600, 131_000usize..131_200],
        step in 1usize..70_000,
    ) {
        let key = MasterKey::random();
        let plaintext: Vec<u8> = (0..=250u8).cycle().take(length).collect();
        let spool = sealed_in_a_spool(&key, &plaintext, step);
        let (mut sealed, mut opened) = (Vec::new(), Vec::new());
        spool.reader().read_to_end(&mut sealed).unwrap();
        key.open(&sealed, &mut opened).unwrap();
        prop_assert_eq!(&opened, &plaintext);
        let mut streamed = Vec::new();
        OpenReader::open(&key, spool).unwrap().read_to_end(&mut streamed).unwrap();
        prop_assert_eq!(&streamed, &plaintext);
    }
}

#[test]
fn a_damaged_stream_yields_no_plaintext_at_all() {
    let key = MasterKey::random();
    let spool = sealed_in_a_spool(&key, &vec![7; 200_000], 4096);
    let mut sealed = Vec::new();
    spool.reader().read_to_end(&mut sealed).unwrap();
    sealed[199_000] ^= 1;
    let mut damaged = Spool::create(&std::env::temp_dir()).unwrap();
    damaged.write_all(&sealed).unwrap();
    assert!(OpenReader::open(&key, damaged).is_err());
}

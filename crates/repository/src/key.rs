//! Key files: each holds the master key, sealed with a key derived from one password by scrypt.
//!
//! A key file is plain JSON named by its own SHA-256, so any number of passwords may open one repository and
//! none of them can be learnt from it. (restic: Design, section "Keys, Encryption and MAC".)

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::crypto::{KeyMaterial, MasterKey, fill_random};
use crate::error::{Error, ErrorKind, Result};

/// A password; never printed.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Password(Vec<u8>);

impl Password {
    pub fn new(password: impl Into<Vec<u8>>) -> Self {
        Self(password.into())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// For writing it where its owner keeps it.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(***)")
    }
}

/// What scrypt shall cost. Memory is `128 · 2^log_n · r` bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KdfCost {
    pub log_n: u8,
    pub r: u32,
    pub p: u32,
}

impl Default for KdfCost {
    /// 32 MiB and about a tenth of a second: what restic uses before calibration.
    fn default() -> Self {
        Self { log_n: 15, r: 8, p: 1 }
    }
}

impl KdfCost {
    /// The least cost there is, for repositories that nobody gets hold of: in memory, in tests.
    pub const CHEAPEST: Self = Self { log_n: 1, r: 1, p: 1 };

    /// Beyond this a key file is taken for an attack on our memory and time.
    const MOST_BYTES: u64 = 1 << 30;
    const MOST_ROUNDS: u32 = 1024;

    fn from_file(n: u64, r: u32, p: u32) -> Option<Self> {
        let log_n = u8::try_from(n.checked_ilog2()?).ok()?;
        let bytes = n.checked_mul(128)?.checked_mul(u64::from(r))?;
        let sane = n.is_power_of_two() && n > 1 && bytes <= Self::MOST_BYTES && p <= Self::MOST_ROUNDS;
        sane.then_some(Self { log_n, r, p })
    }

    fn derive(self, password: &Password, salt: &[u8]) -> Result<MasterKey> {
        let invalid =
            |cause: String| Error::damaged("the key file has impossible scrypt parameters").because(cause);
        let params = scrypt::Params::new(self.log_n, self.r, self.p).map_err(|e| invalid(e.to_string()))?;
        let mut derived = [0; 64];
        scrypt::scrypt(&password.0, salt, &params, &mut derived).map_err(|e| invalid(e.to_string()))?;
        let mut material = KeyMaterial { encrypt: [0; 32], mac_k: [0; 16], mac_r: [0; 16] };
        let (encrypt, mac) = derived.split_at(32);
        let (mac_k, mac_r) = mac.split_at(16);
        material.encrypt.copy_from_slice(encrypt);
        material.mac_k.copy_from_slice(mac_k);
        material.mac_r.copy_from_slice(mac_r);
        derived.zeroize();
        Ok(MasterKey::new(material))
    }
}

/// Who made a key and when, for people who list keys.
#[derive(Clone, Debug)]
pub struct KeyOrigin {
    pub created: Timestamp,
    pub hostname: String,
    pub username: String,
}

/// The JSON of a key file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KeyFile {
    #[serde(default)]
    pub created: String,
    #[serde(default)]
    pub username: String,
    #[serde(default)]
    pub hostname: String,
    kdf: String,
    #[serde(rename = "N")]
    n: u64,
    r: u32,
    p: u32,
    salt: String,
    data: String,
}

#[derive(Serialize, Deserialize)]
struct MasterJson {
    mac: MacJson,
    encrypt: String,
}

#[derive(Serialize, Deserialize)]
struct MacJson {
    k: String,
    r: String,
}

const SALT_BYTES: usize = 64;

impl KeyFile {
    /// Seals `master` for `password`.
    pub fn create(master: &MasterKey, password: &Password, cost: KdfCost, origin: KeyOrigin) -> Result<Self> {
        let mut salt = [0; SALT_BYTES];
        fill_random(&mut salt);
        let material = master.material();
        let mac =
            MacJson { k: BASE64_STANDARD.encode(material.mac_k), r: BASE64_STANDARD.encode(material.mac_r) };
        let json = MasterJson { mac, encrypt: BASE64_STANDARD.encode(material.encrypt) };
        let mut plain = serde_json::to_vec(&json).expect("strings serialize");
        let mut sealed = Vec::new();
        cost.derive(password, &salt)?.seal(&plain, &mut sealed);
        plain.zeroize();
        Ok(Self {
            created: origin.created.to_string(),
            username: origin.username,
            hostname: origin.hostname,
            kdf: "scrypt".to_owned(),
            n: 1 << cost.log_n,
            r: cost.r,
            p: cost.p,
            salt: BASE64_STANDARD.encode(salt),
            data: BASE64_STANDARD.encode(sealed),
        })
    }

    pub fn parse(content: &[u8]) -> Result<Self> {
        serde_json::from_slice(content)
            .map_err(|e| Error::damaged("the key file is not valid JSON").because(e))
    }

    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings and numbers serialize")
    }

    /// The master key, or [`ErrorKind::WrongPassword`].
    pub fn open(&self, password: &Password) -> Result<MasterKey> {
        if self.kdf != "scrypt" {
            let what = format!("the key file uses the key derivation {:?}; only scrypt is known", self.kdf);
            return Err(Error::new(ErrorKind::Unsupported, what));
        }
        let cost = KdfCost::from_file(self.n, self.r, self.p)
            .ok_or_else(|| Error::damaged("the key file has impossible scrypt parameters"))?;
        let (salt, data) = (decode("salt", &self.salt)?, decode("data", &self.data)?);
        let mut plain = Vec::new();
        let opened = cost.derive(password, &salt)?.open(&data, &mut plain);
        opened.map_err(|e| {
            Error::new(ErrorKind::WrongPassword, "the password does not open this key").because(e)
        })?;
        let master = parse_master(&plain);
        plain.zeroize();
        master
    }
}

fn parse_master(plain: &[u8]) -> Result<MasterKey> {
    let json: MasterJson = serde_json::from_slice(plain)
        .map_err(|e| Error::damaged("the key file holds something that is not a master key").because(e))?;
    let array = |field, text: &str| {
        let bytes = decode(field, text)?;
        bytes
            .try_into()
            .map_err(|_| Error::damaged(format!("the field {field} of the master key has a wrong length")))
    };
    let mac_k: [u8; 16] = array("k", &json.mac.k)?;
    let mac_r: [u8; 16] = array("r", &json.mac.r)?;
    let encrypt = decode("encrypt", &json.encrypt)?
        .try_into()
        .map_err(|_| Error::damaged("the field encrypt of the master key has a wrong length"))?;
    Ok(MasterKey::new(KeyMaterial { encrypt, mac_k, mac_r }))
}

fn decode(field: &str, text: &str) -> Result<Vec<u8>> {
    let decoded = BASE64_STANDARD.decode(text);
    decoded.map_err(|e| Error::damaged(format!("the field {field} of the key file is not base64")).because(e))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin() -> KeyOrigin {
        KeyOrigin { created: Timestamp::UNIX_EPOCH, hostname: "h".into(), username: "u".into() }
    }

    #[test]
    fn only_the_right_password_opens_a_key_file() {
        let master = MasterKey::random();
        let file = KeyFile::create(&master, &Password::new("right"), KdfCost::CHEAPEST, origin()).unwrap();
        let file = KeyFile::parse(&file.to_json()).unwrap();
        let opened = file.open(&Password::new("right")).unwrap();
        assert!(opened.material() == master.material());
        assert_eq!(file.open(&Password::new("wrong")).unwrap_err().kind, ErrorKind::WrongPassword);
    }

    #[test]
    fn key_files_that_would_take_gigabytes_are_refused() {
        let mut file =
            KeyFile::create(&MasterKey::random(), &Password::new("p"), KdfCost::CHEAPEST, origin()).unwrap();
        for (n, r, p) in
            [(1 << 40, 8, 1), (1 << 20, u32::MAX, 1), (3, 8, 1), (0, 8, 1), (1, 8, 1), (2, 1, u32::MAX)]
        {
            (file.n, file.r, file.p) = (n, r, p);
            assert_eq!(file.open(&Password::new("p")).unwrap_err().kind, ErrorKind::Damaged, "{n} {r} {p}");
        }
    }
}

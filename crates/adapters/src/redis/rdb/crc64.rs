//! The checksum of RDB files and of the payloads of RESTORE: CRC-64 with the polynomial of Jones, reflected.
//!
//! Eight bytes at a time, from tables that are made when the program is compiled.

/// 0xad93d23594c935a9 with its bits in reverse order.
const POLYNOMIAL: u64 = 0x95ac_9329_ac4b_c9b5;

/// The first is the usual table of bytes; each further one is that of the byte before.
static TABLES: [[u64; 256]; 8] = tables();

/// A checksum that bytes are added to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Crc64(u64);

impl Crc64 {
    pub fn of(bytes: &[u8]) -> u64 {
        let mut crc = Self::default();
        crc.update(bytes);
        crc.value()
    }

    pub fn update(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            let mixed = (self.0 ^ u64::from_le_bytes(*word)).to_le_bytes();
            let tables = TABLES.iter().rev().zip(mixed);
            self.0 = tables.fold(0, |crc, (table, byte)| crc ^ entry(table, byte));
        }
        let [table, ..] = &TABLES;
        for byte in rest {
            let [low, ..] = self.0.to_le_bytes();
            self.0 = (self.0 >> 8) ^ entry(table, low ^ byte);
        }
    }

    pub fn value(self) -> u64 {
        self.0
    }
}

#[expect(clippy::indexing_slicing, reason = "a byte is less than 256")]
fn entry(table: &[u64; 256], byte: u8) -> u64 {
    table[usize::from(byte)]
}

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler, which would say so")]
const fn tables() -> [[u64; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u64;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ POLYNOMIAL } else { crc >> 1 };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut nth = 1;
    while nth < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before: u64 = tables[nth - 1][byte];
            tables[nth][byte] = (before >> 8) ^ tables[0][(before & 0xff) as usize];
            byte += 1;
        }
        nth += 1;
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_checksum_that_redis_computes() {
        assert_eq!(Crc64::of(b"123456789"), 0xe9c6_d914_c4b8_d9ca);
        assert_eq!(Crc64::of(b""), 0);
    }

    #[test]
    fn the_bytes_may_come_in_any_pieces() {
        let bytes: Vec<u8> = (0..=255).cycle().take(1000).collect();
        for at in 0..40 {
            let mut crc = Crc64::default();
            let (first, second) = bytes.split_at(at);
            crc.update(first);
            crc.update(second);
            assert_eq!(crc.value(), Crc64::of(&bytes), "{at}");
        }
    }
}

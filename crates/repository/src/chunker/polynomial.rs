//! The polynomial that decides where a repository cuts files, over the field of two elements.
//!
//! A repository draws one at random and keeps it in its config, so that nobody can tell files by the
//! lengths of their chunks. A [`Polynomial`] always has degree 53 and is irreducible.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The degree of every polynomial: eight bits more still fit a `u64`, and 53 is prime.
pub(super) const DEGREE: u32 = 53;

/// An irreducible polynomial of degree 53; bit i is the coefficient of x^i. Prints as plain hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Polynomial(u64);

/// A number or text that is not an irreducible polynomial of degree 53.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not an irreducible polynomial of degree 53 in hexadecimal")]
pub struct InvalidPolynomial(String);

impl Polynomial {
    /// Draws numbers until one is irreducible; about one in 27 is.
    pub fn random(draw: &mut dyn FnMut() -> u64) -> Self {
        loop {
            // The highest bit gives the degree, the lowest keeps x from being a factor.
            let candidate = draw() & ((1 << DEGREE) - 1) | (1 << DEGREE) | 1;
            if is_irreducible(candidate) {
                return Self(candidate);
            }
        }
    }

    pub const fn bits(self) -> u64 {
        self.0
    }

    /// What is left of `dividend` after dividing by this polynomial.
    pub(super) fn remainder_of(self, dividend: u64) -> u64 {
        remainder(dividend, self.0)
    }
}

impl TryFrom<u64> for Polynomial {
    type Error = InvalidPolynomial;

    fn try_from(bits: u64) -> Result<Self, InvalidPolynomial> {
        if bits >> DEGREE == 1 && is_irreducible(bits) {
            Ok(Self(bits))
        } else {
            Err(InvalidPolynomial(format!("{bits:x}")))
        }
    }
}

impl FromStr for Polynomial {
    type Err = InvalidPolynomial;

    fn from_str(text: &str) -> Result<Self, InvalidPolynomial> {
        let bits = u64::from_str_radix(text, 16).map_err(|_| InvalidPolynomial(text.to_owned()))?;
        Self::try_from(bits)
    }
}

impl fmt::Display for Polynomial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

impl Serialize for Polynomial {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Polynomial {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Ben-Or's test: f has no factor of degree i exactly when it shares none with x^(2^i) - x.
fn is_irreducible(f: u64) -> bool {
    let Some(degree) = f.checked_ilog2() else { return false };
    if degree == 0 {
        return false;
    }
    let x = remainder(2, f);
    let mut power = x;
    (1..=degree / 2).all(|_| {
        power = product_mod(power, power, f);
        common_factor(f, power ^ x) == 1
    })
}

/// The remainder of a / b; b is not zero.
fn remainder(mut a: u64, b: u64) -> u64 {
    let degree = b.ilog2();
    while let Some(excess) = a.checked_ilog2().and_then(|a| a.checked_sub(degree)) {
        a ^= b << excess;
    }
    a
}

/// a * b mod f, for a and b of lower degree than f, and f of degree below 64.
fn product_mod(a: u64, b: u64, f: u64) -> u64 {
    let top = 1 << f.ilog2();
    (0..64 - b.leading_zeros()).rev().fold(0, |product: u64, bit| {
        let mut product = product << 1;
        if product & top != 0 {
            product ^= f;
        }
        if b >> bit & 1 == 1 { product ^ a } else { product }
    })
}

/// The greatest common divisor.
fn common_factor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, remainder(a, b));
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has_factor(f: u64) -> bool {
        (2..1 << (f.ilog2() / 2 + 1)).any(|divisor| remainder(f, divisor) == 0)
    }

    #[test]
    fn small_numbers_are_irreducible_exactly_when_nothing_divides_them() {
        assert!(!is_irreducible(0));
        assert!(!is_irreducible(1));
        for f in 2..5000 {
            assert_eq!(is_irreducible(f), !has_factor(f), "{f:#b}");
        }
    }

    #[test]
    fn polynomials_known_to_be_irreducible_are_accepted_and_others_refused() {
        for text in ["3da3358b4dc173", "2482734cacca49"] {
            let polynomial: Polynomial = text.parse().unwrap();
            assert_eq!(polynomial.to_string(), text);
            assert!(Polynomial::try_from(polynomial.bits() ^ 1).is_err(), "x divides it");
        }
        for bits in [0x38f1e565e288df, 0x30a8295b9d5c91, 0x3f2ac7488bd429, 0x3143d0464b3299] {
            assert!(Polynomial::try_from(bits).is_err(), "{bits:x}");
        }
    }

    #[test]
    fn other_degrees_and_other_texts_are_refused() {
        for text in ["", "0", "7", "0x3da3358b4dc173", "zz", "13da3358b4dc173", "ffffffffffffffffff"] {
            assert!(text.parse::<Polynomial>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn random_polynomials_have_degree_53_and_differ() {
        let mut state = 1u64;
        let mut draw = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            state ^ state >> 29
        };
        let drawn: Vec<_> = (0..20).map(|_| Polynomial::random(&mut draw)).collect();
        for (at, polynomial) in drawn.iter().enumerate() {
            assert_eq!(Polynomial::try_from(polynomial.bits()).unwrap(), *polynomial);
            assert!(!drawn[..at].contains(polynomial));
        }
    }

    #[test]
    fn the_config_carries_it_as_a_hex_string() {
        let polynomial: Polynomial = serde_json::from_str("\"3da3358b4dc173\"").unwrap();
        assert_eq!(serde_json::to_string(&polynomial).unwrap(), "\"3da3358b4dc173\"");
    }
}

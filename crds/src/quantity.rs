//! Amounts of storage and memory as Kubernetes writes them: `1Gi`, `500M`.
//!
//! Must not: accept fractions or milli-units, which have no meaning for bytes.
//! Invariants: a value prints back exactly as it was written.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A whole number of bytes with an optional suffix `k`, `M`, `G`, `T`, `Ki`, `Mi`, `Gi` or `Ti`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bytes {
    count: u32,
    suffix: &'static str,
    factor: u64,
}

/// The text is not an amount of bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an amount of bytes: write a whole number and a suffix such as Mi or Gi")]
pub struct BytesError {
    text: String,
}

const SUFFIXES: [(&str, u64); 9] = [
    ("", 1),
    ("k", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("T", 1_000_000_000_000),
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("Ti", 1 << 40),
];

impl Bytes {
    /// The pattern that the API server applies to every amount of bytes.
    pub const PATTERN: &'static str = "^[1-9][0-9]{0,5}(k|M|G|T|Ki|Mi|Gi|Ti)?$";
    /// The longest text of an amount, in characters.
    pub const MAX_LENGTH: u32 = 8;

    /// `count` gibibytes.
    pub const fn gibibytes(count: u32) -> Self {
        Self { count, suffix: "Gi", factor: 1 << 30 }
    }

    /// The amount in bytes.
    pub const fn as_u64(self) -> u64 {
        self.count as u64 * self.factor
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.count, self.suffix)
    }
}

impl FromStr for Bytes {
    type Err = BytesError;

    fn from_str(text: &str) -> Result<Self, BytesError> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (count, written) = text.split_at(digits);
        let canonical = (1..=6).contains(&digits) && !count.starts_with('0');
        let known = SUFFIXES.into_iter().find(|(suffix, _)| *suffix == written);
        match (canonical, count.parse(), known) {
            (true, Ok(count), Some((suffix, factor))) => Ok(Self { count, suffix, factor }),
            _ => Err(BytesError { text: text.to_owned() }),
        }
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<str>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Bytes {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Bytes".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": Self::PATTERN, "maxLength": Self::MAX_LENGTH})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binary_and_decimal_suffixes_differ() {
        let bytes = |text: &str| text.parse::<Bytes>().unwrap().as_u64();
        assert_eq!(bytes("1Gi"), 1_073_741_824);
        assert_eq!(bytes("1G"), 1_000_000_000);
        assert_eq!("512Mi".parse::<Bytes>().unwrap().to_string(), "512Mi");
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "Gi", "0Gi", "1.5Gi", "100m", "1 Gi", "1gi", "-1Gi"] {
            assert!(text.parse::<Bytes>().is_err(), "{text}");
        }
    }
}

//! Versions of the files and objects that the operator and the workers give each other.
//!
//! Invariant: a text of another version than the type's is refused, so that nobody acts on what it only half reads.

use serde::{Deserialize, Deserializer, Serialize, de};

/// Version `N` of one contract, written as that number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Version<const N: u32>;

impl<const N: u32> Serialize for Version<N> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(N)
    }
}

impl<'de, const N: u32> Deserialize<'de> for Version<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u32::deserialize(deserializer)? {
            known if known == N => Ok(Self),
            other => Err(de::Error::custom(format!("version {other} is not known, only {N}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_version_is_refused_and_named() {
        assert_eq!(serde_json::to_string(&Version::<1>).unwrap(), "1");
        assert_eq!(serde_json::from_str::<Version<1>>("1").unwrap(), Version);
        let error = serde_json::from_str::<Version<1>>("2").unwrap_err().to_string();
        assert!(error.starts_with("version 2 is not known, only 1"), "{error}");
    }
}

//! The longest allowed stay: a word or a duration.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::duration::Duration;

/// The longest allowed stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DwellLimit {
    /// As the zone's policy says.
    Policy,
    /// The same everywhere.
    Fixed(Duration),
}

/// The text is neither `policy` nor a duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no limit: write `policy` or a duration such as 120m")]
pub struct DwellLimitError(String);

impl fmt::Display for DwellLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policy => f.write_str("policy"),
            Self::Fixed(limit) => limit.fmt(f),
        }
    }
}

impl FromStr for DwellLimit {
    type Err = DwellLimitError;

    fn from_str(text: &str) -> Result<Self, DwellLimitError> {
        if text == "policy" {
            return Ok(Self::Policy);
        }
        text.parse().map(Self::Fixed).map_err(|_| DwellLimitError(text.to_owned()))
    }
}

impl Serialize for DwellLimit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DwellLimit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<str>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for DwellLimit {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "DwellLimit".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "minLength": 2,
            "maxLength": 32,
            "pattern": "^(policy|([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?)$",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_the_word_policy_or_a_duration() {
        assert_eq!("policy".parse(), Ok(DwellLimit::Policy));
        assert_eq!("120m".parse(), Ok(DwellLimit::Fixed(Duration::from_secs(7_200))));
        assert!("Policy".parse::<DwellLimit>().is_err());
    }
}

//! Lengths of time as people write them in files: `30s`, `1h30m`, `7d`.
//!
//! Parsed once, at the border; inside it is a whole number of milliseconds. A day is 24 hours.

use std::{borrow::Cow, fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::event::Millis;

/// A length of time, never negative, at most 100 years. Units: `ms s m h d`, each at most once, largest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(Millis);

/// Why a text is no length of time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a duration: write a number and a unit (ms, s, m, h, d), for example 30s, 1h30m or 7d")]
pub struct ParseDurationError(String);

const UNITS: [(&str, Millis); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
const MAX: Millis = 36_525 * 86_400_000;

impl Duration {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// From milliseconds; negative or oversized values are cut to the range.
    pub const fn from_millis(millis: Millis) -> Self {
        Self(if millis < 0 {
            0
        } else if millis > MAX {
            MAX
        } else {
            millis
        })
    }

    /// From seconds.
    pub const fn from_secs(secs: i64) -> Self {
        Self::from_millis(secs.saturating_mul(1_000))
    }

    /// In milliseconds.
    pub const fn millis(self) -> Millis {
        self.0
    }
}

impl From<Duration> for std::time::Duration {
    fn from(duration: Duration) -> Self {
        // Never negative.
        Self::from_millis(duration.0.unsigned_abs())
    }
}

impl FromStr for Duration {
    type Err = ParseDurationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = || ParseDurationError(text.to_owned());
        let (mut total, mut rest, mut units) = (0_i64, text, UNITS.iter());
        if text.is_empty() {
            return Err(refuse());
        }
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(refuse)?;
            let (number, tail) = rest.split_at(digits);
            let unit_len = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
            let (unit, tail) = tail.split_at(unit_len);
            let (_, factor) = units.find(|(name, _)| *name == unit).ok_or_else(refuse)?;
            let number: Millis = number.parse().map_err(|_| refuse())?;
            total =
                number.checked_mul(*factor).and_then(|part| total.checked_add(part)).ok_or_else(refuse)?;
            rest = tail;
        }
        if total > MAX { Err(refuse()) } else { Ok(Self(total)) }
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        let mut rest = self.0;
        for (unit, factor) in UNITS {
            let count = rest / factor;
            if count > 0 {
                write!(f, "{count}{unit}")?;
                rest -= count * factor;
            }
        }
        Ok(())
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl schemars::JsonSchema for Duration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "minLength": 2,
            "maxLength": 32,
            "pattern": "^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_add_up() {
        for (text, millis) in
            [("30s", 30_000), ("1h30m", 5_400_000), ("7d", 604_800_000), ("250ms", 250), ("0s", 0)]
        {
            assert_eq!(text.parse::<Duration>().unwrap().millis(), millis);
        }
    }

    #[test]
    fn what_people_mistype_is_refused() {
        for text in ["", "5", "s", "5m1h", "5x", "-5s", "1.5h", "5s5s", "99999999999d"] {
            assert!(text.parse::<Duration>().is_err(), "{text}");
        }
    }

    #[test]
    fn display_parses_back() {
        for millis in [0, 1, 999, 60_000, 90_061_001] {
            let duration = Duration::from_millis(millis);
            assert_eq!(duration.to_string().parse::<Duration>().unwrap(), duration);
        }
    }
}

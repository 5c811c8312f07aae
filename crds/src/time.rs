//! Local time in specs: time zones, times of day, days of the week, schedules.
//!
//! Must not: read a clock. Invariants: whatever parses can be used; a time zone that parses is known.

use std::{borrow::Cow, fmt, str::FromStr};

use jiff::{civil, tz::TimeZone};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

pub mod day;
mod schedule;
mod windows;

pub use schedule::{Schedule, ScheduleError};
pub use windows::{Bucket, Calendar, DayType, Window};

/// An IANA time zone, such as `Europe/London`.
#[derive(Clone, Debug, PartialEq)]
pub struct ZoneName {
    name: String,
    zone: TimeZone,
}

/// The text names no time zone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a time zone of the IANA database, such as Europe/London")]
pub struct ZoneNameError(String);

impl ZoneName {
    /// The pattern that the API server applies; only the parser knows which names exist.
    pub const PATTERN: &'static str = "^[A-Za-z][-+_/A-Za-z0-9]*$";
    /// The longest name, in characters.
    pub const MAX_LENGTH: u32 = 64;

    /// The rules of the time zone.
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// The name as it was written.
    pub fn as_str(&self) -> &str {
        &self.name
    }
}

impl FromStr for ZoneName {
    type Err = ZoneNameError;

    fn from_str(text: &str) -> Result<Self, ZoneNameError> {
        let zone = TimeZone::get(text).map_err(|_| ZoneNameError(text.to_owned()))?;
        Ok(Self { name: text.to_owned(), zone })
    }
}

impl fmt::Display for ZoneName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// A time of day, `HH:MM`, local.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeOfDay {
    minutes: u16,
}

/// The text is no time of day.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a time of day: write HH:MM from 00:00 to 24:00")]
pub struct TimeOfDayError(String);

impl TimeOfDay {
    /// The pattern that the API server applies.
    pub const PATTERN: &'static str = "^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$";
    /// The longest text, in characters.
    pub const MAX_LENGTH: u32 = 5;

    /// Minutes since the day's beginning, up to 1440.
    pub const fn minutes(self) -> u16 {
        self.minutes
    }
}

impl FromStr for TimeOfDay {
    type Err = TimeOfDayError;

    fn from_str(text: &str) -> Result<Self, TimeOfDayError> {
        let two_digits = |part: &str| -> Option<u16> {
            (part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit())).then(|| part.parse().ok())?
        };
        text.split_once(':')
            .and_then(|(hours, minutes)| Some((two_digits(hours)?, two_digits(minutes)?)))
            .filter(|&(hours, minutes)| (hours < 24 && minutes < 60) || (hours, minutes) == (24, 0))
            .map(|(hours, minutes)| Self { minutes: hours * 60 + minutes })
            .ok_or_else(|| TimeOfDayError(text.to_owned()))
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.minutes / 60, self.minutes % 60)
    }
}

macro_rules! as_text {
    ($($name:ident),+) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Cow::<str>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string", "pattern": Self::PATTERN, "maxLength": Self::MAX_LENGTH})
            }
        }
    )+};
}

as_text!(ZoneName, TimeOfDay, Schedule);

/// A day of the week, as CDS abbreviates it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Weekday {
    /// Monday.
    Mon,
    /// Tuesday.
    Tue,
    /// Wednesday.
    Wed,
    /// Thursday.
    Thu,
    /// Friday.
    Fri,
    /// Saturday.
    Sat,
    /// Sunday.
    Sun,
}

impl From<civil::Weekday> for Weekday {
    fn from(day: civil::Weekday) -> Self {
        match day {
            civil::Weekday::Monday => Self::Mon,
            civil::Weekday::Tuesday => Self::Tue,
            civil::Weekday::Wednesday => Self::Wed,
            civil::Weekday::Thursday => Self::Thu,
            civil::Weekday::Friday => Self::Fri,
            civil::Weekday::Saturday => Self::Sat,
            civil::Weekday::Sunday => Self::Sun,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_day_reaches_from_midnight_to_midnight() {
        for (text, minutes) in [("00:00", 0), ("07:30", 450), ("23:59", 1439), ("24:00", 1440)] {
            let time: TimeOfDay = text.parse().unwrap();
            assert_eq!((time.minutes(), time.to_string().as_str()), (minutes, text));
        }
        for text in ["", "7:30", "24:01", "12:60", "+1:00", "12-30"] {
            assert!(text.parse::<TimeOfDay>().is_err(), "{text}");
        }
    }

    #[test]
    fn only_known_time_zones_are_accepted() {
        assert_eq!("Europe/London".parse::<ZoneName>().unwrap().as_str(), "Europe/London");
        assert!("Europe/Atlantis".parse::<ZoneName>().is_err());
    }
}

//! Decimal numbers as they are written in specs: `"0.98"`. Custom resources carry no floats.
//!
//! Must not: round. Invariants: a value prints back exactly as it was written and compares by its value.

use std::{borrow::Cow, cmp::Ordering, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A decimal number with up to nine digits before and nine digits after the point.
#[derive(Clone, Copy, Debug)]
pub struct Decimal {
    mantissa: i64,
    fraction_digits: u8,
}

/// The text is not a decimal number.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a decimal: write up to nine digits before and after the point, such as \"0.98\"")]
pub struct DecimalError {
    text: String,
}

impl Decimal {
    /// The pattern that the API server applies to every decimal.
    pub const PATTERN: &'static str = r"^(0|-?[1-9][0-9]{0,8}|-?(0|[1-9][0-9]{0,8})\.[0-9]{1,9})$";
    /// The longest text of a decimal, in characters.
    pub const MAX_LENGTH: u32 = 20;

    /// One half.
    pub const HALF: Self = Self { mantissa: 5, fraction_digits: 1 };

    /// The nearest binary floating point number.
    #[expect(clippy::cast_precision_loss, reason = "this is the documented purpose")]
    pub fn to_f64(self) -> f64 {
        self.mantissa as f64 / 10_f64.powi(i32::from(self.fraction_digits))
    }

    /// The value in units of 10⁻⁹.
    pub fn nanos(self) -> i128 {
        i128::from(self.mantissa) * 10_i128.pow(u32::from(9 - self.fraction_digits))
    }
}

impl PartialEq for Decimal {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Decimal {}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nanos().cmp(&other.nanos())
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.mantissa < 0 { "-" } else { "" };
        let digits = usize::from(self.fraction_digits);
        let padded = format!("{:0>width$}", self.mantissa.unsigned_abs(), width = digits + 1);
        let (whole, fraction) = padded.split_at(padded.len() - digits);
        let point = if digits == 0 { "" } else { "." };
        write!(f, "{sign}{whole}{point}{fraction}")
    }
}

impl FromStr for Decimal {
    type Err = DecimalError;

    fn from_str(text: &str) -> Result<Self, DecimalError> {
        parse(text).ok_or_else(|| DecimalError { text: text.to_owned() })
    }
}

fn parse(text: &str) -> Option<Decimal> {
    let (negative, unsigned) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, fraction) = match unsigned.split_once('.') {
        Some((_, "")) => return None,
        Some(parts) => parts,
        None => (unsigned, ""),
    };
    let all_digits = |part: &str| part.len() <= 9 && part.bytes().all(|b| b.is_ascii_digit());
    let canonical = !whole.is_empty() && (whole == "0" || !whole.starts_with('0'));
    if !(canonical && all_digits(whole) && all_digits(fraction)) {
        return None;
    }
    let magnitude: i64 = format!("{whole}{fraction}").parse().ok()?;
    if negative && magnitude == 0 {
        return None;
    }
    let mantissa = if negative { -magnitude } else { magnitude };
    Some(Decimal { mantissa, fraction_digits: u8::try_from(fraction.len()).ok()? })
}

impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<str>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Decimal {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Decimal".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": Self::PATTERN, "maxLength": Self::MAX_LENGTH})
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_compare_by_value_not_by_text() {
        let read = |text: &str| text.parse::<Decimal>().unwrap();
        assert_eq!(read("0.5"), read("0.50"));
        assert!(read("0.95") < read("0.98"));
        assert!(read("-1.5") < read("0"));
        assert!((read("0.98").to_f64() - 0.98).abs() < 1e-15);
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", ".", ".5", "1.", "-", "-0", "-0.0", "+1", "1e3", "01", "1,5", "NaN", "0.1234567891"]
        {
            assert!(text.parse::<Decimal>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_decimal_prints_back(text in r"-?(0|[1-9][0-9]{0,8})\.[0-9]{0,8}[1-9]|0|-?[1-9][0-9]{0,8}") {
            prop_assert_eq!(text.parse::<Decimal>().unwrap().to_string(), text);
        }
    }
}

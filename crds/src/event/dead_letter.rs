//! Why a record is refused (G5).
//!
//! Invariants: the list is closed, and its words are stable: tables and metric labels carry them.

use serde::{Deserialize, Serialize};

/// Why a record is refused: the closed list (G5). Stable words, used in tables and metric labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeadLetterReason {
    /// Larger than the limit of a record.
    TooLarge,
    /// Not UTF-8.
    NotUtf8,
    /// Not JSON, or JSON that was cut.
    Malformed,
    /// A required field is absent.
    MissingField,
    /// A field has a value that it cannot have.
    InvalidValue,
    /// Neither an event nor a companion record that we know.
    UnknownType,
    /// A zone that the inventory does not have.
    UnknownZone,
    /// A space that its zone does not have.
    UnknownSpace,
    /// A count below zero.
    NegativeCount,
    /// Event time more than `maxAge` before publication.
    TooOld,
    /// Event time more than `maxAhead` after publication.
    TooFarAhead,
    /// Below the duplicate window and beyond the memory of ids: cannot be told from a duplicate.
    UndecidableAge,
}

impl DeadLetterReason {
    /// All of them, in the order of their checks.
    pub const ALL: [Self; 12] = [
        Self::TooLarge,
        Self::NotUtf8,
        Self::Malformed,
        Self::MissingField,
        Self::InvalidValue,
        Self::UnknownType,
        Self::UnknownZone,
        Self::UnknownSpace,
        Self::NegativeCount,
        Self::TooOld,
        Self::TooFarAhead,
        Self::UndecidableAge,
    ];

    /// The stable word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::NotUtf8 => "not_utf8",
            Self::Malformed => "malformed",
            Self::MissingField => "missing_field",
            Self::InvalidValue => "invalid_value",
            Self::UnknownType => "unknown_type",
            Self::UnknownZone => "unknown_zone",
            Self::UnknownSpace => "unknown_space",
            Self::NegativeCount => "negative_count",
            Self::TooOld => "too_old",
            Self::TooFarAhead => "too_far_ahead",
            Self::UndecidableAge => "undecidable_age",
        }
    }
}

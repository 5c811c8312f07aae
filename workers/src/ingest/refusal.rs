//! Why a record is refused, as its sender is told.
//!
//! Invariants: the words are stable, metrics and answers carry them; a detail names the field and never
//! holds a plate.

use std::borrow::Cow;

use parking_crds::event::DeadLetterReason;

use crate::domain::record;

/// Why a record is refused: the closed list of dead letters, and what only ingest can refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// No stage could use it.
    Unusable(DeadLetterReason),
    /// The key is another tenant's.
    WrongTenant,
    /// The key lacks the right to write such a record.
    NoRight,
    /// It holds a plate in clear, and there is no key to replace it by a token.
    NoPlateKey,
}

impl Reason {
    /// The stable word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unusable(reason) => reason.as_str(),
            Self::WrongTenant => "wrong_tenant",
            Self::NoRight => "no_right",
            Self::NoPlateKey => "no_plate_key",
        }
    }

    /// Whether another key might have been let in.
    pub fn is_about_the_key(self) -> bool {
        matches!(self, Self::WrongTenant | Self::NoRight)
    }

    /// The word where only those of dead letters are known.
    pub fn as_dead_letter(self) -> DeadLetterReason {
        match self {
            Self::Unusable(reason) => reason,
            Self::WrongTenant | Self::NoRight | Self::NoPlateKey => DeadLetterReason::InvalidValue,
        }
    }
}

/// One record that is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// For programs.
    pub reason: Reason,
    /// For people.
    pub detail: Cow<'static, str>,
}

impl Refusal {
    pub(super) fn new(reason: Reason, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { reason, detail: detail.into() }
    }

    pub(super) fn unusable(reason: DeadLetterReason, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Reason::Unusable(reason), detail)
    }

    pub(super) fn invalid(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::unusable(DeadLetterReason::InvalidValue, detail)
    }
}

impl From<record::Refusal> for Refusal {
    fn from(refusal: record::Refusal) -> Self {
        Self::unusable(refusal.reason, refusal.detail)
    }
}

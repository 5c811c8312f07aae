//! The kinds of condition, one file each.
//!
//! A new kind is a file here, a variant below and an arm in [`Condition::compile`]; what wakes it up
//! is one of the three watches of the engine. Must not hold state: state belongs to instances.

use parking_crds::alert_rule::{Condition as Spec, ConditionKind, RuleError};

pub(super) mod absence;
pub(super) mod dwell;
pub(super) mod threshold;

use absence::Absence;
use dwell::Dwell;
use threshold::Threshold;

/// A compiled condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// Watches the view of a zone.
    Threshold(Threshold),
    /// Watches the stays in a zone.
    Dwell(Dwell),
    /// Watches the devices of a zone.
    Absence(Absence),
}

/// What a condition says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Truth {
    /// It holds.
    True,
    /// It does not.
    False,
    /// Too little is known.
    Unknown,
}

impl Condition {
    /// Compiles the one member of a condition.
    pub(super) fn compile(spec: &Spec) -> Result<Self, RuleError> {
        match spec.kind() {
            Some(ConditionKind::Threshold(threshold)) => Ok(Self::Threshold(Threshold::compile(threshold))),
            Some(ConditionKind::Dwell(dwell)) => Ok(Self::Dwell(Dwell::compile(dwell))),
            Some(ConditionKind::Absence(absence)) => Ok(Self::Absence(Absence::compile(absence))),
            Some(other) => Err(RuleError::UnsupportedCondition { kind: other.as_str() }),
            None => Err(RuleError::invalid("spec.condition", "must have exactly one member")),
        }
    }
}

//! The kinds of condition, one file each.
//!
//! A new kind is a file here, a variant below and an arm in [`Condition::compile`]; what wakes it up
//! is one of the three watches of the engine. Must not hold state: state belongs to instances.

use parking_crds::alert_rule::{Condition as Spec, ConditionKind, InstanceLabel};

use super::rule::RuleError;

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
        let unsupported = |kind| Err(RuleError::UnsupportedCondition { kind });
        match spec.kind() {
            Some(ConditionKind::Threshold(threshold)) => Threshold::compile(threshold).map(Self::Threshold),
            Some(ConditionKind::Dwell(dwell)) => Ok(Self::Dwell(Dwell::compile(dwell))),
            Some(ConditionKind::Absence(absence)) => Ok(Self::Absence(Absence::compile(absence))),
            Some(ConditionKind::Rate(_)) => unsupported("rate"),
            Some(ConditionKind::Sequence(_)) => unsupported("sequence"),
            Some(ConditionKind::Entitlement(_)) => unsupported("entitlement"),
            Some(ConditionKind::Anomaly(_)) => unsupported("anomaly"),
            Some(ConditionKind::Cel(_)) => unsupported("cel"),
            None => Err(RuleError::invalid("spec.condition", "must have exactly one member")),
        }
    }

    /// The label that tells its instances apart, which an instance key must hold.
    pub(super) fn identity(&self) -> InstanceLabel {
        match self {
            Self::Threshold(_) => InstanceLabel::CurbZoneId,
            Self::Dwell(_) => InstanceLabel::EventSessionId,
            Self::Absence(_) => InstanceLabel::DataSourceDeviceId,
        }
    }

    /// The labels that its instances have.
    pub(super) fn labels(&self) -> &'static [InstanceLabel] {
        match self {
            Self::Threshold(_) => &[InstanceLabel::CurbZoneId, InstanceLabel::CurbAreaId],
            Self::Dwell(_) => &[
                InstanceLabel::CurbZoneId,
                InstanceLabel::CurbAreaId,
                InstanceLabel::CurbSpaceId,
                InstanceLabel::EventSessionId,
                InstanceLabel::DataSourceDeviceId,
            ],
            Self::Absence(_) => &[
                InstanceLabel::CurbZoneId,
                InstanceLabel::CurbAreaId,
                InstanceLabel::CurbSpaceId,
                InstanceLabel::DataSourceDeviceId,
            ],
        }
    }
}

//! `absence`: a device of the inventory is silent for longer than it should be.

use parking_crds::{
    alert_rule::Absence as Spec,
    duration::Duration,
    event::{Millis, SourceType},
    inventory::Zone,
};

/// How often a device reports where nobody says.
const DEFAULT_INTERVAL: Millis = 300_000;

/// A compiled `absence`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Absence {
    /// Kinds of devices; none means every kind.
    types: Vec<SourceType>,
    interval: Option<Millis>,
    missed: i64,
}

impl Absence {
    pub(super) fn compile(spec: &Spec) -> Self {
        Self {
            types: spec.of.as_ref().map(|of| of.device_types.clone()).unwrap_or_default(),
            interval: spec.expected_interval.map(Duration::millis),
            missed: i64::from(spec.missed()),
        }
    }

    /// Whether devices of the kind are watched.
    pub(in super::super) fn watches(&self, source_type: SourceType) -> bool {
        self.types.is_empty() || self.types.contains(&source_type)
    }

    /// How long a device of the zone may be silent.
    pub(in super::super) fn patience(&self, zone: &Zone) -> Millis {
        let expected = zone.expected_report_interval.map(Duration::millis);
        self.interval.or(expected).unwrap_or(DEFAULT_INTERVAL).saturating_mul(self.missed)
    }
}

//! The rules of every run: numbers that the oracle reads, and the manifests that the engine compiles.

use std::sync::{Arc, OnceLock};

use parking_crds::{alert_rule::AlertRule, event::Millis};
use parking_workers::domain::alert::RuleSet;
use serde_json::{Value, json};

pub(crate) const TENANT: &str = "city";

/// What missing data means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoData {
    KeepState,
    Ok,
    Alerting,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Condition {
    /// Hundredths of the known spaces that are occupied.
    Occupancy { value: i64, recover: i64 },
    /// Vehicles.
    Occupied { value: i64 },
    /// The policy's limit, else this one.
    Dwell { fallback: Millis, grace: Millis, close_after: Millis },
    /// Of devices in the ground and cameras.
    Absence { patience: Millis },
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    pub(crate) name: &'static str,
    pub(crate) condition: Condition,
    pub(crate) hold: Millis,
    pub(crate) keep_firing: Millis,
    pub(crate) no_data: NoData,
}

const MINUTE: Millis = 60_000;

pub(crate) const RULES: [Rule; 5] = [
    Rule {
        name: "busy",
        condition: Condition::Occupancy { value: 60, recover: 40 },
        hold: 0,
        keep_firing: 0,
        no_data: NoData::KeepState,
    },
    Rule {
        name: "crowded",
        condition: Condition::Occupancy { value: 50, recover: 50 },
        hold: 2 * MINUTE,
        keep_firing: 3 * MINUTE,
        no_data: NoData::Ok,
    },
    Rule {
        name: "two-or-blind",
        condition: Condition::Occupied { value: 2 },
        hold: 0,
        keep_firing: MINUTE,
        no_data: NoData::Alerting,
    },
    Rule {
        name: "overstay",
        condition: Condition::Dwell { fallback: 10 * MINUTE, grace: MINUTE, close_after: 1_440 * MINUTE },
        hold: 0,
        keep_firing: 30_000,
        no_data: NoData::KeepState,
    },
    Rule {
        name: "silent",
        condition: Condition::Absence { patience: 8 * MINUTE },
        hold: MINUTE,
        keep_firing: 2 * MINUTE,
        no_data: NoData::KeepState,
    },
];

impl Rule {
    fn manifest(&self) -> AlertRule {
        let seconds = |length: Millis| format!("{}s", length / 1_000);
        let hundredths = |value: i64| format!("{}.{:02}", value / 100, value % 100);
        let condition = match self.condition {
            Condition::Occupancy { value, recover } => json!({"threshold": {
                "metric": "occupancy_now", "op": ">=", "value": hundredths(value), "recover": hundredths(recover),
            }}),
            Condition::Occupied { value } => {
                json!({"threshold": {"metric": "occupied", "op": ">=", "value": value.to_string()}})
            }
            Condition::Dwell { fallback, grace, close_after } => json!({"dwell": {
                "limit": "policy", "fallback": seconds(fallback), "grace": seconds(grace),
                "closeAfter": seconds(close_after),
            }}),
            Condition::Absence { patience } => json!({"absence": {
                "of": {"deviceTypes": ["in_ground", "camera"]},
                "expectedInterval": seconds(patience / 2), "missed": 2,
            }}),
        };
        let no_data = match self.no_data {
            NoData::KeepState => "KeepState",
            NoData::Ok => "Ok",
            NoData::Alerting => "Alerting",
        };
        let manifest: Value = json!({
            "apiVersion": "parking.tinyx.io/v1alpha1",
            "kind": "AlertRule",
            "metadata": {"name": self.name, "namespace": "parking"},
            "spec": {
                "pipelineRef": {"name": "city"}, "severity": "warning", "condition": condition,
                "for": seconds(self.hold), "keepFiringFor": seconds(self.keep_firing), "noData": no_data,
            },
        });
        serde_json::from_value(manifest).unwrap()
    }
}

/// The rules as the engine runs them.
pub(crate) fn compiled() -> Arc<RuleSet> {
    static COMPILED: OnceLock<Arc<RuleSet>> = OnceLock::new();
    let compile = || {
        let (rules, refused) = RuleSet::compile(&RULES.map(|rule| rule.manifest()));
        assert!(refused.is_empty(), "{refused:?}");
        Arc::new(rules)
    };
    Arc::clone(COMPILED.get_or_init(compile))
}

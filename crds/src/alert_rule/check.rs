//! What can be wrong with a rule whose spec passes the schema: the same for the engine that runs it and for the
//! operator that accepts it.
//!
//! Must not: look at other objects. Invariant: a rule that passes [`AlertRuleSpec::check`] compiles in the engine.

use super::{
    Aggregate, AlertRuleSpec, Condition, ConditionKind, InstanceLabel, Op, Requirement, Scope, Threshold,
};

/// Why a rule cannot be run. `Display` begins with the field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// The field has a value that it cannot have.
    #[error("{field}: {problem}")]
    Invalid {
        /// Path in the object.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The value is right, but the engine cannot run it yet.
    #[error("{field}: this engine supports {supported}")]
    Unsupported {
        /// Path in the object.
        field: &'static str,
        /// What it can run.
        supported: &'static str,
    },
    /// The kind of condition is right, but the engine cannot run it yet.
    #[error("spec.condition.{kind}: this engine does not support the condition yet")]
    UnsupportedCondition {
        /// The member.
        kind: &'static str,
    },
}

impl RuleError {
    /// A value that the field cannot have.
    pub fn invalid(field: &'static str, problem: impl Into<String>) -> Self {
        Self::Invalid { field, problem: problem.into() }
    }

    /// The reason of the condition `Accepted=False`.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Invalid { .. } => "Invalid",
            Self::Unsupported { .. } => "UnsupportedField",
            Self::UnsupportedCondition { .. } => "UnsupportedCondition",
        }
    }
}

/// How the instances of a condition are told apart.
struct Instances {
    /// The label that an instance key must hold.
    identity: InstanceLabel,
    /// The labels that an instance has.
    labels: &'static [InstanceLabel],
}

impl AlertRuleSpec {
    /// Whether the engine can run the rule.
    pub fn check(&self) -> Result<(), RuleError> {
        let instances = instances(&self.condition)?;
        if self.condition.absence.is_some() && !self.active_windows.is_empty() {
            let field = "spec.activeWindows";
            return Err(RuleError::Unsupported { field, supported: "none with `absence`" });
        }
        self.scope.as_ref().map_or(Ok(Vec::new()), Scope::requirements)?;
        self.check_instance_key(&instances)
    }

    /// Labels that tell one alert from another: those of the spec, or the one that the condition suggests.
    pub fn instance_key(&self) -> Result<Vec<InstanceLabel>, RuleError> {
        let instances = instances(&self.condition)?;
        self.check_instance_key(&instances)?;
        let suggested = vec![instances.identity];
        Ok(if self.instance_key.is_empty() { suggested } else { self.instance_key.clone() })
    }

    fn check_instance_key(&self, instances: &Instances) -> Result<(), RuleError> {
        const FIELD: &str = "spec.instanceKey";
        let key = &self.instance_key;
        if key.is_empty() {
            return Ok(());
        }
        if !key.contains(&instances.identity) {
            return Err(RuleError::invalid(FIELD, format!("must hold {}", instances.identity.as_str())));
        }
        match key.iter().find(|label| !instances.labels.contains(label)) {
            Some(label) => {
                let problem = format!("{} is not known to this kind of condition", label.as_str());
                Err(RuleError::invalid(FIELD, problem))
            }
            None => Ok(()),
        }
    }
}

fn instances(condition: &Condition) -> Result<Instances, RuleError> {
    use InstanceLabel::{CurbAreaId, CurbSpaceId, CurbZoneId, DataSourceDeviceId, EventSessionId};
    match condition.kind() {
        Some(ConditionKind::Threshold(threshold)) => {
            check_threshold(threshold)?;
            Ok(Instances { identity: CurbZoneId, labels: &[CurbZoneId, CurbAreaId] })
        }
        Some(ConditionKind::Dwell(_)) => Ok(Instances {
            identity: EventSessionId,
            labels: &[CurbZoneId, CurbAreaId, CurbSpaceId, EventSessionId, DataSourceDeviceId],
        }),
        Some(ConditionKind::Absence(_)) => Ok(Instances {
            identity: DataSourceDeviceId,
            labels: &[CurbZoneId, CurbAreaId, CurbSpaceId, DataSourceDeviceId],
        }),
        Some(
            other @ (ConditionKind::Rate(_)
            | ConditionKind::Sequence(_)
            | ConditionKind::Entitlement(_)
            | ConditionKind::Anomaly(_)
            | ConditionKind::Cel(_)),
        ) => Err(RuleError::UnsupportedCondition { kind: other.as_str() }),
        None => Err(RuleError::invalid("spec.condition", "must have exactly one member")),
    }
}

fn check_threshold(threshold: &Threshold) -> Result<(), RuleError> {
    if threshold.aggregate() != Aggregate::Last {
        let field = "spec.condition.threshold.aggregate";
        return Err(RuleError::Unsupported { field, supported: "only `last`" });
    }
    let (value, recover) = (threshold.value.nanos(), threshold.recover().nanos());
    let far_side = match threshold.op {
        Op::AtLeast | Op::Above => recover <= value,
        Op::AtMost | Op::Below => recover >= value,
    };
    if far_side {
        return Ok(());
    }
    Err(RuleError::invalid("spec.condition.threshold.recover", "must lie on the far side of `value`"))
}

impl Scope {
    /// The selector's expressions, read.
    pub fn requirements(&self) -> Result<Vec<Requirement>, RuleError> {
        let written =
            self.zone_selector.iter().flat_map(|selector| selector.match_expressions.iter().flatten());
        let read = |one| {
            Requirement::read(one)
                .map_err(|problem| RuleError::invalid("spec.scope.zoneSelector.matchExpressions", problem))
        };
        written.map(read).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(members: &str) -> Result<(), RuleError> {
        rule(members).check()
    }

    fn rule(members: &str) -> AlertRuleSpec {
        let text = format!("{{pipelineRef: {{name: city}}, severity: warning, {members}}}");
        serde_saphyr::from_str(&text).unwrap()
    }

    fn full(members: &str) -> String {
        format!("condition: {{threshold: {{metric: free, op: '<', value: '5'{members}}}}}")
    }

    #[test]
    fn each_refusal_begins_with_the_field() {
        let selector = "scope: {zoneSelector: {matchExpressions: [{key: a, operator: Near}]}}";
        let window = "activeWindows: [{time_of_day_start: '08:00', time_of_day_end: '09:00'}]";
        for (members, field) in [
            ("condition: {}".to_owned(), "spec.condition:"),
            ("condition: {cel: {expression: 'true'}}".to_owned(), "spec.condition.cel:"),
            (full(", aggregate: mean"), "spec.condition.threshold.aggregate:"),
            (full(", recover: '4'"), "spec.condition.threshold.recover:"),
            (format!("{}, instanceKey: [event_session_id]", full("")), "spec.instanceKey:"),
            (format!("{}, instanceKey: [curb_zone_id, event_id]", full("")), "spec.instanceKey:"),
            (format!("{}, {selector}", full("")), "spec.scope.zoneSelector.matchExpressions:"),
            (format!("condition: {{absence: {{}}}}, {window}"), "spec.activeWindows:"),
        ] {
            let error = checked(&members).unwrap_err().to_string();
            assert!(error.starts_with(field), "{field} {error}");
        }
    }

    #[test]
    fn a_good_rule_passes_and_has_the_key_that_its_condition_suggests() {
        assert_eq!(checked(&full(", recover: '6'")), Ok(()));
        let text = format!("{{pipelineRef: {{name: city}}, severity: warning, {}}}", full(""));
        let spec: AlertRuleSpec = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(spec.instance_key(), Ok(vec![InstanceLabel::CurbZoneId]));
    }
}

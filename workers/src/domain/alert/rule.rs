//! A rule as the engine runs it, compiled once from an `AlertRule`.
//!
//! Must not hold state. Invariants: what compiles can be evaluated on every record; a rule that does
//! not compile names the field that is wrong and harms no other rule (G7).

use std::{cmp::Ordering, collections::BTreeMap};

use jiff::{Timestamp, civil, tz::TimeZone};
use parking_crds::{
    alert_rule::{
        ActiveWindow, AlertRule, AlertRuleSpec, Inhibition, InstanceLabel, NoData, Scope, Severity,
    },
    event::Millis,
    inventory::Zone,
};

use super::{condition::Condition, id::short_hash, instance::Pace};

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
    /// The value is right, but this engine cannot run it yet.
    #[error("{field}: this engine supports {supported}")]
    Unsupported {
        /// Path in the object.
        field: &'static str,
        /// What it can run.
        supported: &'static str,
    },
    /// The kind of condition is right, but this engine cannot run it yet.
    #[error("spec.condition.{kind}: this engine does not support the condition yet")]
    UnsupportedCondition {
        /// The member.
        kind: &'static str,
    },
}

impl RuleError {
    pub(super) fn invalid(field: &'static str, problem: impl Into<String>) -> Self {
        Self::Invalid { field, problem: problem.into() }
    }

    pub(super) fn unsupported(field: &'static str, supported: &'static str) -> Self {
        Self::Unsupported { field, supported }
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

/// A compiled rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// `namespace/name`.
    pub(super) id: String,
    pub(super) name: String,
    pub(super) hash: String,
    pub(super) severity: Severity,
    pub(super) condition: Condition,
    pub(super) pace: Pace,
    pub(super) no_data: NoData,
    pub(super) max_active: u32,
    pub(super) instance_key: Vec<InstanceLabel>,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) inhibited_by: Vec<Inhibition>,
    exact: BTreeMap<String, String>,
    requirements: Vec<Requirement>,
    classes: Vec<String>,
    windows: Vec<ActiveWindow>,
    time_zone: Option<TimeZone>,
}

impl Rule {
    /// Compiles a rule.
    pub fn compile(rule: &AlertRule) -> Result<Self, RuleError> {
        let name = rule.metadata.name.clone().unwrap_or_default();
        if name.is_empty() {
            return Err(RuleError::invalid("metadata.name", "must be set"));
        }
        let spec = &rule.spec;
        let condition = Condition::compile(&spec.condition)?;
        let scope = spec.scope.clone().unwrap_or_default();
        if matches!(condition, Condition::Absence(_)) && !spec.active_windows.is_empty() {
            return Err(RuleError::unsupported("spec.activeWindows", "none with `absence`"));
        }
        Ok(Self {
            id: format!("{}/{name}", rule.metadata.namespace.as_deref().unwrap_or("default")),
            name,
            hash: hash(spec)?,
            severity: spec.severity,
            pace: Pace { hold: spec.hold().millis(), keep_firing: spec.keep_firing_for().millis() },
            no_data: spec.no_data(),
            max_active: spec.max_active(),
            instance_key: instance_key(spec, &condition)?,
            labels: spec.labels.clone(),
            annotations: spec.annotations.clone(),
            inhibited_by: spec.inhibited_by.clone(),
            exact: scope.zone_selector.iter().filter_map(|one| one.match_labels.clone()).flatten().collect(),
            requirements: requirements(&scope)?,
            classes: scope.space_classes.iter().map(ToString::to_string).collect(),
            windows: spec.active_windows.clone(),
            time_zone: spec.time.as_ref().and_then(|time| Some(time.zone.as_ref()?.zone().clone())),
            condition,
        })
    }

    /// `namespace/name`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Hash of the compiled rule.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// Whether the selector takes the zone.
    pub(super) fn selects(&self, zone: &Zone) -> bool {
        self.exact.iter().all(|(name, value)| zone.labels.get(name) == Some(value))
            && self.requirements.iter().all(|requirement| requirement.is_met_by(zone))
    }

    /// Whether the scope names no class of spaces.
    pub(super) fn takes_every_class(&self) -> bool {
        self.classes.is_empty()
    }

    /// Whether the scope takes a class of spaces.
    pub(super) fn takes_class(&self, class: &str) -> bool {
        self.takes_every_class() || self.classes.iter().any(|own| own == class)
    }

    /// Whether it matters that a count goes stale before the next one comes.
    pub(super) fn cares_for_staleness(&self) -> bool {
        self.no_data != NoData::KeepState || self.pace.hold > 0
    }

    /// Whether the rule applies at a time; `local` is the zone's own time zone.
    pub(super) fn applies_at(&self, time: Millis, local: &TimeZone) -> bool {
        if self.windows.is_empty() {
            return true;
        }
        let Ok(instant) = Timestamp::from_millisecond(time) else { return false };
        let local = self.time_zone.as_ref().unwrap_or(local).to_datetime(instant);
        let minute = i16::from(local.hour()) * 60 + i16::from(local.minute());
        let minute = u16::try_from(minute).unwrap_or(0);
        let (today, yesterday) = (local.weekday(), local.weekday().previous());
        self.windows.iter().any(|window| {
            let (start, end) = (window.time_of_day_start.minutes(), window.time_of_day_end.minutes());
            let on = |day: civil::Weekday| {
                window.days_of_week.is_empty() || window.days_of_week.contains(&day.into())
            };
            match start.cmp(&end) {
                Ordering::Less | Ordering::Equal => on(today) && (start..end).contains(&minute),
                Ordering::Greater => (on(today) && minute >= start) || (on(yesterday) && minute < end),
            }
        })
    }
}

fn hash(spec: &AlertRuleSpec) -> Result<String, RuleError> {
    let text = serde_json::to_vec(spec).map_err(|error| RuleError::invalid("spec", error.to_string()))?;
    Ok(short_hash(&text))
}

fn instance_key(spec: &AlertRuleSpec, condition: &Condition) -> Result<Vec<InstanceLabel>, RuleError> {
    const FIELD: &str = "spec.instanceKey";
    let identity = condition.identity();
    if spec.instance_key.is_empty() {
        return Ok(vec![identity]);
    }
    if !spec.instance_key.contains(&identity) {
        return Err(RuleError::invalid(FIELD, format!("must hold {}", identity.as_str())));
    }
    if let Some(label) = spec.instance_key.iter().find(|label| !condition.labels().contains(label)) {
        let problem = format!("{} is not known to this kind of condition", label.as_str());
        return Err(RuleError::invalid(FIELD, problem));
    }
    Ok(spec.instance_key.clone())
}

/// One of `matchExpressions`.
#[derive(Clone, Debug)]
struct Requirement {
    key: String,
    operator: Operator,
    values: Vec<String>,
}

#[derive(Clone, Copy, Debug)]
enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
}

impl Requirement {
    fn is_met_by(&self, zone: &Zone) -> bool {
        let value = zone.labels.get(&self.key);
        let listed = value.is_some_and(|value| self.values.contains(value));
        match self.operator {
            Operator::In => listed,
            Operator::NotIn => !listed,
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
        }
    }
}

fn requirements(scope: &Scope) -> Result<Vec<Requirement>, RuleError> {
    let written = scope.zone_selector.iter().flat_map(|selector| selector.match_expressions.iter().flatten());
    written
        .map(|one| {
            let operator = match one.operator.as_str() {
                "In" => Operator::In,
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::DoesNotExist,
                other => {
                    return Err(RuleError::invalid(
                        "spec.scope.zoneSelector.matchExpressions",
                        format!("`{other}` is no operator: write In, NotIn, Exists or DoesNotExist"),
                    ));
                }
            };
            Ok(Requirement { key: one.key.clone(), operator, values: one.values.clone().unwrap_or_default() })
        })
        .collect()
}

/// The rules of one bundle, in the order in which they are evaluated: rules that silence others first.
#[derive(Clone, Debug, Default)]
pub struct RuleSet {
    rules: Vec<Rule>,
}

impl RuleSet {
    /// Compiles every enabled rule; those that cannot be run are told and left out.
    pub fn compile<'a>(rules: impl IntoIterator<Item = &'a AlertRule>) -> (Self, Vec<(String, RuleError)>) {
        let (mut compiled, mut refused) = (Vec::new(), Vec::new());
        for rule in rules.into_iter().filter(|rule| rule.spec.enabled()) {
            match Rule::compile(rule) {
                Ok(rule) => compiled.push(rule),
                Err(error) => refused.push((rule.metadata.name.clone().unwrap_or_default(), error)),
            }
        }
        (Self::new(compiled), refused)
    }

    /// A set of compiled rules.
    pub fn new(mut rules: Vec<Rule>) -> Self {
        let rank = |rule: &Rule| (rule.id.clone(), depth(rule, &rules, rules.len()));
        let ranks: BTreeMap<_, _> = rules.iter().map(rank).collect();
        rules.sort_by(|a, b| (ranks.get(&a.id), &a.id).cmp(&(ranks.get(&b.id), &b.id)));
        Self { rules }
    }

    /// The rules, in the order of evaluation.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// One hash of all: what a commit stores to say which rules judged its records.
    pub fn hash(&self) -> String {
        let parts: Vec<_> = self.rules.iter().map(|rule| format!("{}={}\n", rule.id, rule.hash)).collect();
        short_hash(parts.concat().as_bytes())
    }

    pub(super) fn get(&self, index: u32) -> Option<&Rule> {
        self.rules.get(index as usize)
    }

    /// Rules with their indexes.
    pub(super) fn indexed(&self) -> impl Iterator<Item = (u32, &Rule)> {
        (0_u32..).zip(&self.rules)
    }

    pub(super) fn position(&self, id: &str) -> Option<u32> {
        self.indexed().find(|(_, rule)| rule.id == id).map(|(index, _)| index)
    }
}

/// How many rules stand between a rule and those that nothing silences; a cycle ends after `fuel`.
fn depth(rule: &Rule, rules: &[Rule], fuel: usize) -> usize {
    let Some(fuel) = fuel.checked_sub(1) else { return 0 };
    let sources = rule.inhibited_by.iter().filter_map(|inhibition| {
        rules.iter().find(|other| other.name == inhibition.rule_ref.as_str() && other.id != rule.id)
    });
    sources.map(|source| 1 + depth(source, rules, fuel)).max().unwrap_or(0)
}

/// The name of a rule without its namespace: what reports, routes and people call it.
pub fn bare_name(rule: &str) -> &str {
    rule.rsplit_once('/').map_or(rule, |(_, name)| name)
}

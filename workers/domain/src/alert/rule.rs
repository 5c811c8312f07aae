//! A rule as the engine runs it, compiled once from an `AlertRule`.
//!
//! Must not hold state. Invariants: what compiles can be evaluated on every record; a rule that does
//! not compile names the field that is wrong and harms no other rule (G7).

use std::{cmp::Ordering, collections::BTreeMap};

use jiff::{Timestamp, civil, tz::TimeZone};
use parking_crds::{
    alert_rule::{
        ActiveWindow, AlertRule, AlertRuleSpec, Inhibition, InstanceLabel, NoData, Requirement, Severity,
    },
    event::Millis,
    inventory::Zone,
};

pub use parking_crds::alert_rule::RuleError;

use super::{condition::Condition, id::short_hash, instance::Pace};

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
        spec.check()?;
        let condition = Condition::compile(&spec.condition)?;
        let scope = spec.scope.clone().unwrap_or_default();
        Ok(Self {
            id: format!("{}/{name}", rule.metadata.namespace.as_deref().unwrap_or("default")),
            name,
            hash: hash(spec)?,
            severity: spec.severity,
            pace: Pace { hold: spec.hold().millis(), keep_firing: spec.keep_firing_for().millis() },
            no_data: spec.no_data(),
            max_active: spec.max_active(),
            instance_key: spec.instance_key()?,
            labels: spec.labels.clone().into_iter().collect(),
            annotations: spec.annotations.clone().into_iter().collect(),
            inhibited_by: spec.inhibited_by.clone(),
            exact: scope.zone_selector.iter().filter_map(|one| one.match_labels.clone()).flatten().collect(),
            requirements: scope.requirements()?,
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
            && self.requirements.iter().all(|requirement| requirement.is_met_by(&zone.labels))
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

//! Which rules go into a pipeline's bundle, and why the others do not.
//!
//! Must not: let a rule that is wrong harm another (G7), except those that silence each other in a circle.
//! Invariants: what is accepted compiles in the engine; the answer does not depend on the order of the rules.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use kube::ResourceExt;
use parking_crds::{
    alert_rule::{AlertRule, AlertRuleSpec, Requirement, RuleError},
    condition::{ConditionType, Reason},
    inventory::{Inventory, ValidRevision},
    names::RuleName,
    pipeline::ParkingPipelineSpec,
    rule_bundle::BundledRule,
    topology::PipelineId,
};

use crate::{error::Class, plan::rule_bundle, problem::Problem};

/// What texts for people may refer to.
const PLACEHOLDERS: [&str; 2] = ["{{ zone.name }}", "{{ value }}"];

/// The enabled rules of a pipeline, each as its bundle holds it or with the reason why it does not. Rules of other
/// pipelines and namespaces, and those that are switched off, are left out. Without an inventory, which may come
/// later, labels of zones are not judged.
pub fn accept(
    rules: &[AlertRule],
    id: &PipelineId,
    pipeline: &ParkingPipelineSpec,
    inventory: Option<&Inventory>,
) -> BTreeMap<RuleName, Result<BundledRule, Problem>> {
    let ours = |rule: &&AlertRule| {
        rule.spec.pipeline_ref.name.as_str() == id.name.as_str()
            && rule.namespace().is_none_or(|namespace| namespace == id.namespace.as_str())
    };
    let named = |rule| AlertRule::name_any(rule).parse().ok().map(|name| (name, rule));
    let ours: BTreeMap<RuleName, &AlertRule> = rules.iter().filter(ours).filter_map(named).collect();
    let circles = circles(&ours);
    let zone_labels = inventory.map(zone_labels);
    let mut verdicts = BTreeMap::new();
    for (name, rule) in ours.iter().filter(|(_, rule)| rule.spec.enabled()) {
        let circle = circles.get(name).map_or(Ok(()), |path| Err(silenced_in_a_circle(path)));
        let verdict = (rule.spec.check().map_err(|error| refused(&error)))
            .and_then(|()| routes_exist(&rule.spec, pipeline))
            .and_then(|()| inhibitors_exist(&rule.spec, &ours))
            .and(circle)
            .and_then(|()| placeholders_are_known(&rule.spec))
            .and_then(|()| labels_are_known(&rule.spec, zone_labels.as_ref()))
            .map(|()| BundledRule::of(rule, id));
        verdicts.insert(name.clone(), verdict);
    }
    refuse_what_fits_nowhere(verdicts)
}

fn problem(reason: Reason, class: Class, message: String) -> Problem {
    Problem { condition: ConditionType::Accepted, reason, class, message }
}

fn refused(error: &RuleError) -> Problem {
    match error {
        RuleError::Invalid { .. } => problem(Reason::Invalid, Class::Invalid, error.to_string()),
        RuleError::Unsupported { .. } | RuleError::UnsupportedCondition { .. } => {
            problem(Reason::NotSupported, Class::Invalid, error.to_string())
        }
    }
}

fn missing(message: String) -> Problem {
    problem(Reason::RefNotFound, Class::Blocked, message)
}

fn routes_exist(spec: &AlertRuleSpec, pipeline: &ParkingPipelineSpec) -> Result<(), Problem> {
    let mut routes = spec.notify.iter().flat_map(|notify| &notify.routes);
    let unknown = routes.find(|name| pipeline.routes.iter().all(|route| route.name != **name));
    unknown.map_or(Ok(()), |name| {
        let known: Vec<&str> = pipeline.routes.iter().map(|route| route.name.as_str()).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        Err(missing(format!(
            "spec.notify.routes: the pipeline has no route {name}: add it to spec.routes of the pipeline, which has {known}"
        )))
    })
}

fn inhibitors_exist(spec: &AlertRuleSpec, ours: &BTreeMap<RuleName, &AlertRule>) -> Result<(), Problem> {
    let unknown = spec.inhibited_by.iter().find(|inhibition| !ours.contains_key(&inhibition.rule_ref));
    unknown.map_or(Ok(()), |inhibition| {
        Err(missing(format!(
            "spec.inhibitedBy: the pipeline has no rule {}: create it, or remove the reference",
            inhibition.rule_ref
        )))
    })
}

fn placeholders_are_known(spec: &AlertRuleSpec) -> Result<(), Problem> {
    for (key, text) in &spec.annotations {
        let rest = PLACEHOLDERS.iter().fold(text.clone(), |rest, known| rest.replace(known, ""));
        if let Some((_, after)) = rest.split_once("{{") {
            let inside = after.split("}}").next().unwrap_or_default().trim();
            let message = format!(
                "spec.annotations.{key}: `{inside}` cannot be filled in: write {} or {}, with the spaces",
                PLACEHOLDERS.concat().replace("}}{{", "}} or {{"),
                "plain text"
            );
            return Err(problem(Reason::Invalid, Class::Invalid, message));
        }
    }
    Ok(())
}

fn zone_labels(inventory: &Inventory) -> BTreeSet<String> {
    let zones = inventory.revisions().iter().flat_map(ValidRevision::zones);
    zones.flat_map(|zone| zone.labels.keys().cloned()).collect()
}

fn labels_are_known(spec: &AlertRuleSpec, of_zones: Option<&BTreeSet<String>>) -> Result<(), Problem> {
    let Some(of_zones) = of_zones else { return Ok(()) };
    let unknown = |field: &str, label: &str| {
        let known: Vec<&str> = of_zones.iter().map(String::as_str).take(16).collect();
        missing(format!(
            "{field}: no zone of the inventory has the label {label}: correct it, or add it to the inventory, whose \
             zones have {}",
            if known.is_empty() { "none".to_owned() } else { known.join(", ") }
        ))
    };
    let scope = spec.scope.clone().unwrap_or_default();
    let exact = scope.zone_selector.iter().filter_map(|selector| selector.match_labels.as_ref()).flatten();
    let exact = exact.map(|(key, _)| key.clone());
    let needed = scope
        .requirements()
        .map_err(|error| refused(&error))?
        .into_iter()
        .filter(Requirement::needs_the_label);
    let selected = exact.chain(needed.map(|one| one.key().to_owned()));
    if let Some(label) = selected.into_iter().find(|label| !of_zones.contains(label)) {
        return Err(unknown("spec.scope.zoneSelector", &label));
    }
    let instance = spec.instance_key().map_err(|error| refused(&error))?;
    let of_alert = |label: &str| {
        label == "alertname"
            || spec.labels.contains_key(label)
            || instance.iter().any(|known| known.as_str() == label)
            || of_zones.contains(label)
    };
    let mut groups = spec.notify.iter().flat_map(|notify| &notify.group_by);
    groups.find(|label| !of_alert(label)).map_or(Ok(()), |label| Err(unknown("spec.notify.groupBy", label)))
}

/// Rules that silence each other in a circle, each with the shortest circle that it stands in.
fn circles(rules: &BTreeMap<RuleName, &AlertRule>) -> BTreeMap<RuleName, Vec<RuleName>> {
    let next = |name: &RuleName| {
        let found = rules.get(name).into_iter().flat_map(|rule| &rule.spec.inhibited_by);
        found.map(|inhibition| &inhibition.rule_ref).filter(|name| rules.contains_key(*name))
    };
    // Whoever leads only to rules that nothing silences stands in no circle.
    let mut open: BTreeSet<&RuleName> = rules.keys().collect();
    loop {
        let before = open.len();
        let still: BTreeSet<&RuleName> =
            open.iter().copied().filter(|name| next(name).any(|other| open.contains(other))).collect();
        open = still;
        if open.len() == before {
            break;
        }
    }
    let circle = |start: &RuleName| {
        let mut paths = VecDeque::from([vec![start.clone()]]);
        let mut seen = BTreeSet::new();
        while let Some(path) = paths.pop_front() {
            for other in path.last().into_iter().flat_map(&next) {
                let longer: Vec<RuleName> = path.iter().chain([other]).cloned().collect();
                if other == start {
                    return Some(longer);
                }
                if seen.insert(other.clone()) {
                    paths.push_back(longer);
                }
            }
        }
        None
    };
    open.into_iter().filter_map(|name| Some((name.clone(), circle(name)?))).collect()
}

fn silenced_in_a_circle(path: &[RuleName]) -> Problem {
    let names: Vec<&str> = path.iter().map(RuleName::as_str).collect();
    let message = format!(
        "spec.inhibitedBy: rules silence each other in a circle ({}): remove one of the references",
        names.join(" -> ")
    );
    problem(Reason::Invalid, Class::Invalid, message)
}

fn refuse_what_fits_nowhere(
    verdicts: BTreeMap<RuleName, Result<BundledRule, Problem>>,
) -> BTreeMap<RuleName, Result<BundledRule, Problem>> {
    let accepted =
        verdicts.iter().filter_map(|(name, rule)| Some((name.clone(), rule.clone().ok()?))).collect();
    let left_out = rule_bundle::pack(&accepted).left_out;
    let full = |name: &RuleName| {
        let message = format!(
            "the rules of the pipeline exceed {} shards of {} bytes and {name} finds no room: shorten annotations, \
             or move rules to another pipeline",
            rule_bundle::SHARDS,
            rule_bundle::SHARD_BYTES
        );
        problem(Reason::Invalid, Class::Blocked, message)
    };
    verdicts
        .into_iter()
        .map(|(name, rule)| {
            let rule = if left_out.contains(&name) { Err(full(&name)) } else { rule };
            (name, rule)
        })
        .collect()
}

#[cfg(test)]
mod tests;

//! Whether rules name routes and rules that exist, and no rules silence each other in a circle.

use std::collections::{BTreeMap, BTreeSet};

use kube::ResourceExt;
use parking_crds::{alert_rule::AlertRule, pipeline::ParkingPipelineSpec};

use super::Finding;

pub(super) fn check(spec: &ParkingPipelineSpec, rules: &[&AlertRule]) -> Vec<Finding> {
    let mut rules = rules.to_vec();
    rules.sort_by_key(|rule| rule.name_any());
    let mut findings: Vec<Finding> = rules.iter().flat_map(|rule| routes(spec, rule)).collect();
    findings.extend(unknown_rules(&rules));
    findings.extend(circles(&rules));
    findings
}

fn routes(spec: &ParkingPipelineSpec, rule: &AlertRule) -> Vec<Finding> {
    let named = rule.spec.notify.as_ref().map(|notify| notify.routes.as_slice()).unwrap_or_default();
    let unknown =
        named.iter().enumerate().filter(|(_, name)| spec.routes.iter().all(|route| route.name != **name));
    unknown
        .map(|(index, name)| {
            let known: Vec<&str> = spec.routes.iter().map(|route| route.name.as_str()).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            Finding::error(
                format!("AlertRule/{} spec.notify.routes[{index}]", rule.name_any()),
                format!("the pipeline has no route `{name}` (it has: {known}): add it to spec.routes, or name another"),
            )
        })
        .collect()
}

fn unknown_rules(rules: &[&AlertRule]) -> Vec<Finding> {
    let known: BTreeSet<String> = rules.iter().map(|rule| rule.name_any()).collect();
    let of_rule = |rule: &&AlertRule| {
        let name = rule.name_any();
        let others = rule.spec.inhibited_by.iter().enumerate();
        let unknown = others.filter(|(_, other)| !known.contains(other.rule_ref.as_str()));
        unknown
            .map(|(index, other)| {
                Finding::error(
                    format!("AlertRule/{name} spec.inhibitedBy[{index}].ruleRef"),
                    format!(
                        "rule `{}` does not exist for this pipeline: add it, or name another",
                        other.rule_ref
                    ),
                )
            })
            .collect::<Vec<_>>()
    };
    rules.iter().flat_map(of_rule).collect()
}

/// One finding for each circle, at its alphabetically first rule.
fn circles(rules: &[&AlertRule]) -> Vec<Finding> {
    let edges: BTreeMap<String, Vec<&str>> = rules
        .iter()
        .map(|rule| {
            let others = rule.spec.inhibited_by.iter().map(|other| other.rule_ref.as_str());
            (rule.name_any(), others.collect())
        })
        .collect();
    let start = |name: &String| {
        let path = way_back(&edges, name)?;
        let first = path.iter().min().is_some_and(|least| *least == name);
        first.then(|| {
            Finding::error(
                format!("AlertRule/{name} spec.inhibitedBy"),
                format!(
                    "rules silence each other in a circle: {} -> {name}: take one of them out",
                    path.join(" -> ")
                ),
            )
        })
    };
    edges.keys().filter_map(start).collect()
}

/// The shortest way from a rule back to itself.
fn way_back<'a>(edges: &'a BTreeMap<String, Vec<&'a str>>, start: &'a str) -> Option<Vec<&'a str>> {
    let mut ways = vec![vec![start]];
    let mut seen = BTreeSet::new();
    while !ways.is_empty() {
        let mut longer = Vec::new();
        for way in ways {
            let next = way.last().and_then(|last| edges.get(*last));
            for &name in next.into_iter().flatten() {
                if name == start {
                    return Some(way);
                }
                if seen.insert(name) {
                    longer.push(way.iter().copied().chain([name]).collect());
                }
            }
        }
        ways = longer;
    }
    None
}

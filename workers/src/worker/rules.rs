//! The rules of a pipeline from their folder.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

use parking_crds::{
    alert_rule::AlertRule,
    manifest::{self, Manifest},
    names::RuleName,
    rule_bundle::{Bundle, BundledRule},
    worker_status::{RuleReport, RulesReport},
};

use super::WorkerError;
use crate::domain::alert::RuleSet;

/// Rules that were loaded together.
pub(super) struct LoadedRules {
    /// Those that can be used.
    pub(super) rules: Arc<RuleSet>,
    /// What is told of all of them.
    pub(super) report: RulesReport,
    /// Those that can be read.
    pub(super) parsed: Vec<AlertRule>,
}

/// Loads the bundle of a folder. A rule that cannot be used harms no other (G7).
pub(super) fn load(folder: &str) -> Result<LoadedRules, WorkerError> {
    let read = |key: &str| fs::read_to_string(Path::new(folder).join(key)).ok();
    let bundle =
        Bundle::load(read).map_err(|source| WorkerError::Rules { folder: folder.to_owned(), source })?;
    let (mut parsed, mut refused) = (Vec::new(), BTreeMap::new());
    for (name, rule) in &bundle.rules {
        match parse(rule) {
            Ok(rule) => parsed.push(rule),
            Err(reason) => drop(refused.insert(name.to_string(), reason)),
        }
    }
    let (rules, uncompiled) = RuleSet::compile(&parsed);
    refused.extend(uncompiled.into_iter().map(|(name, error)| (name, error.to_string())));
    for (rule, reason) in &refused {
        tracing::warn!(rule, "rule refused, the others go on: {reason}");
    }
    let report = |(name, rule): (RuleName, BundledRule)| {
        let refused = refused.get(name.as_str()).cloned();
        (name, RuleReport { refused, hash: rule.hash, ..RuleReport::default() })
    };
    let report = RulesReport { bundle: bundle.hash, rules: bundle.rules.into_iter().map(report).collect() };
    Ok(LoadedRules { rules: Arc::new(rules), report, parsed })
}

fn parse(rule: &BundledRule) -> Result<AlertRule, String> {
    let documents = manifest::parse(&rule.text)
        .map_err(|problems| problems.0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?;
    let rule = documents.into_iter().find_map(|document| match document.manifest {
        Manifest::Rule(rule) => Some(*rule),
        _ => None,
    });
    rule.ok_or_else(|| "holds no AlertRule".to_owned())
}

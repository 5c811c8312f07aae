//! The rules of a pipeline from their folder.

use std::{fs, path::Path, sync::Arc};

use parking_crds::{
    alert_rule::AlertRule,
    manifest::{self, Manifest},
    rule_bundle::{Bundle, BundleError, BundledRule},
};

use super::WorkerError;
use crate::domain::alert::RuleSet;

/// Rules that were loaded together.
pub(super) struct LoadedRules {
    /// Hash of their bundle.
    pub(super) bundle: String,
    /// Those that can be used.
    pub(super) rules: Arc<RuleSet>,
    /// Those that cannot, with the reason.
    pub(super) refused: Vec<(String, String)>,
}

/// Loads the bundle of a folder.
pub(super) fn load(folder: &str) -> Result<LoadedRules, WorkerError> {
    let read = |key: &str| fs::read_to_string(Path::new(folder).join(key)).ok();
    let bundle = Bundle::load(read);
    let bundle =
        bundle.map_err(|source: BundleError| WorkerError::Rules { folder: folder.to_owned(), source })?;
    let (mut rules, mut refused) = (Vec::new(), Vec::new());
    for (name, rule) in &bundle.rules {
        match parse(rule) {
            Ok(rule) => rules.push(rule),
            Err(reason) => refused.push((name.to_string(), reason)),
        }
    }
    let (rules, uncompiled) = RuleSet::compile(&rules);
    refused.extend(uncompiled.into_iter().map(|(name, error)| (name, error.to_string())));
    Ok(LoadedRules { bundle: bundle.hash, rules: Arc::new(rules), refused })
}

fn parse(rule: &BundledRule) -> Result<AlertRule, String> {
    let documents = manifest::parse(&rule.text)
        .map_err(|problems| problems.0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?;
    let rules = documents.into_iter().find_map(|document| match document.manifest {
        Manifest::Rule(rule) => Some(*rule),
        _ => None,
    });
    rules.ok_or_else(|| "holds no AlertRule".to_owned())
}

//! The accepted rules of a pipeline as files: the contract between the operator, which writes them into
//! `ConfigMap`s that one volume shows together, and alert workers, which load them.
//!
//! There is one file a rule, [`rule_key`], with the rule as YAML; for each shard [`list_key`], a JSON object from
//! the name of each of its rules to the hash of its file; and [`MANIFEST_KEY`] with the hash of each list and of
//! the whole. `ConfigMap`s change one after another: a bundle is loaded only when every list has the hash that the
//! manifest names, and every rule the hash that its list names.
//!
//! Must not: read files; who loads a bundle brings them.

use std::collections::BTreeMap;

use kube::ResourceExt as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{alert_rule::AlertRule, names::RuleName, topology::PipelineId};

/// Key of the manifest.
pub const MANIFEST_KEY: &str = "manifest.json";
/// Version of the format.
pub const VERSION: u32 = 1;

/// What the manifest says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BundleManifest {
    /// Version of this format.
    pub version: u32,
    /// [`bundle_hash`] of all rules.
    pub hash: String,
    /// Number of rules.
    pub rules: usize,
    /// Hash of each shard's list, by its number.
    pub shards: BTreeMap<usize, String>,
}

/// A rule as it stands in a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundledRule {
    /// The AlertRule as YAML: name, namespace and spec.
    pub text: String,
    /// SHA-256 of the text, in hexadecimal.
    pub hash: String,
}

impl BundledRule {
    /// The rule without what the API server added, so that only an edit of its spec changes the text.
    pub fn of(rule: &AlertRule, pipeline: &PipelineId) -> Self {
        let mut bare = AlertRule::new(&rule.name_any(), rule.spec.clone());
        bare.metadata.namespace = Some(pipeline.namespace.to_string());
        Self::new(serde_saphyr::to_string(&bare).unwrap_or_default())
    }

    /// A rule with this text.
    pub fn new(text: String) -> Self {
        Self { hash: sha256(&text), text }
    }
}

/// Rules that belong together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bundle {
    /// One hash over all rules: what workers report.
    pub hash: String,
    /// The rules by name.
    pub rules: BTreeMap<RuleName, BundledRule>,
}

/// Why files are no bundle.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// A file is not there, or not as another one says: parts of two bundles, until the rest has arrived.
    #[error("{0} is missing, or not yet the one that belongs to the others")]
    Incomplete(String),
    /// A file cannot be read.
    #[error("{key}: {reason}")]
    Malformed {
        /// Its key.
        key: String,
        /// What is wrong.
        reason: String,
    },
    /// Another program wrote it.
    #[error("{MANIFEST_KEY}: version {0} is not known here, only {VERSION}: use a newer worker")]
    Version(u32),
}

/// Key of a shard's list.
pub fn list_key(shard: usize) -> String {
    format!("shard-{shard}.json")
}

/// Key of a rule.
pub fn rule_key(name: &RuleName) -> String {
    format!("{name}.yaml")
}

/// SHA-256 in hexadecimal, as bundles name what belongs together.
pub fn sha256(text: &str) -> String {
    format!("{:x}", Sha256::digest(text))
}

/// One hash over all rules.
pub fn bundle_hash(rules: &BTreeMap<RuleName, BundledRule>) -> String {
    let lines: Vec<String> = rules.iter().map(|(name, rule)| format!("{name}={}\n", rule.hash)).collect();
    sha256(&lines.concat())
}

impl Bundle {
    /// Puts a bundle together; `file` gives the text of a key, where there is one.
    pub fn load(file: impl Fn(&str) -> Option<String>) -> Result<Self, BundleError> {
        let incomplete = |key: &str| BundleError::Incomplete(key.to_owned());
        let text = file(MANIFEST_KEY).ok_or_else(|| incomplete(MANIFEST_KEY))?;
        let manifest: BundleManifest = parse(MANIFEST_KEY, &text)?;
        if manifest.version != VERSION {
            return Err(BundleError::Version(manifest.version));
        }
        let mut rules = BTreeMap::new();
        for (shard, hash) in &manifest.shards {
            let key = list_key(*shard);
            let list = file(&key).filter(|list| sha256(list) == *hash).ok_or_else(|| incomplete(&key))?;
            for (name, hash) in parse::<BTreeMap<RuleName, String>>(&key, &list)? {
                let key = rule_key(&name);
                let rule = file(&key).map(BundledRule::new).filter(|rule| rule.hash == hash);
                rules.insert(name, rule.ok_or_else(|| incomplete(&key))?);
            }
        }
        if rules.len() != manifest.rules {
            return Err(incomplete(MANIFEST_KEY));
        }
        Ok(Self { hash: manifest.hash, rules })
    }
}

fn parse<T: serde::de::DeserializeOwned>(key: &str, text: &str) -> Result<T, BundleError> {
    serde_json::from_str(text)
        .map_err(|error| BundleError::Malformed { key: key.to_owned(), reason: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> BTreeMap<String, String> {
        let rules: BTreeMap<RuleName, BundledRule> = [("a", "one"), ("b", "two")]
            .map(|(name, text)| (name.parse().unwrap(), BundledRule::new(text.to_owned())))
            .into();
        let list: BTreeMap<_, _> = rules.iter().map(|(name, rule)| (name, &rule.hash)).collect();
        let list = serde_json::to_string(&list).unwrap();
        let shards = [(3, sha256(&list))].into();
        let manifest = BundleManifest { version: VERSION, hash: bundle_hash(&rules), rules: 2, shards };
        let mut files: BTreeMap<_, _> =
            rules.into_iter().map(|(name, rule)| (rule_key(&name), rule.text)).collect();
        files.insert(list_key(3), list);
        files.insert(MANIFEST_KEY.to_owned(), serde_json::to_string(&manifest).unwrap());
        files
    }

    fn load(files: &BTreeMap<String, String>) -> Result<Bundle, BundleError> {
        Bundle::load(|key| files.get(key).cloned())
    }

    #[test]
    fn files_that_belong_together_are_a_bundle() {
        let bundle = load(&files()).unwrap();
        assert_eq!(bundle.rules.len(), 2);
        assert_eq!(bundle.rules[&"a".parse().unwrap()].text, "one");
    }

    #[test]
    fn a_file_that_is_missing_or_of_another_bundle_makes_it_incomplete() {
        for key in files().keys() {
            let mut missing = files();
            missing.remove(key);
            assert_eq!(load(&missing), Err(BundleError::Incomplete(key.clone())));
        }
        for key in ["a.yaml", "shard-3.json"] {
            let mut other = files();
            other.insert(key.to_owned(), "{}".to_owned());
            assert_eq!(load(&other), Err(BundleError::Incomplete(key.to_owned())));
        }
    }

    #[test]
    fn a_manifest_of_another_format_is_refused_by_its_version() {
        let mut newer = files();
        let manifest = newer[MANIFEST_KEY].replace("\"version\":1", "\"version\":2");
        newer.insert(MANIFEST_KEY.to_owned(), manifest);
        assert_eq!(load(&newer), Err(BundleError::Version(2)));
    }
}

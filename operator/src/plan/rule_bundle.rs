//! The accepted rules of a pipeline as files for its alert workers, in `ConfigMap`s that one volume shows together: the
//! format is that of [`parking_crds::rule_bundle`], one `ConfigMap` a shard and one for the manifest.
//!
//! Must not: hold a rule that was not accepted.
//! Invariants: the same rules give the same files, in whatever order they came; a rule keeps its shard while
//! others are edited, so an edit changes its shard and the manifest only (until a shard is full or their number
//! doubles); no shard exceeds [`SHARD_BYTES`], and what fits nowhere is told, never dropped silently.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::ConfigMap;
use parking_crds::{
    names::RuleName,
    rule_bundle::{
        BundleManifest, BundledRule, MANIFEST_KEY, VERSION, bundle_hash, list_key, rule_key, sha256,
    },
    topology::PipelineId,
};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{Plan, metadata};
use crate::{owned_kinds::OwnedKind, validate::ValidPipeline};

/// Shards that alert workers mount, whether they exist or not: more rules never roll a pod.
pub const SHARDS: usize = 16;
/// Most bytes of keys and texts in a shard; Kubernetes allows 1 MiB in a `ConfigMap`.
pub const SHARD_BYTES: usize = 900 * 1024;
/// Component of the bundle.
pub const COMPONENT: &str = "rules";
/// Bytes that a rule takes in its shard's list besides its name: its hash and punctuation.
const LISTED: usize = 80;

/// The `ConfigMap` of a shard, counted from 0.
pub fn shard_name(id: &PipelineId, shard: usize) -> String {
    format!("{}-rules-{shard}", id.name)
}

/// The `ConfigMap` that says which shards belong together.
pub fn manifest_name(id: &PipelineId) -> String {
    format!("{}-rules", id.name)
}

/// Rules by shard, and those that fit nowhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Packing {
    /// Names of the rules of each shard that has any.
    pub shards: BTreeMap<usize, BTreeSet<RuleName>>,
    /// Rules for which no shard has room.
    pub left_out: BTreeSet<RuleName>,
}

/// Gives each rule its shard: by a hash of its name, among as few shards as hold them all (a power of two). When
/// all sixteen are in use, a rule whose shard is full goes to the next one that has room.
pub fn pack(rules: &BTreeMap<RuleName, BundledRule>) -> Packing {
    let counts = std::iter::successors(Some(1), |count| Some(count * 2)).take_while(|count| *count < SHARDS);
    counts.into_iter().find_map(|count| by_name(rules, count)).unwrap_or_else(|| by_room(rules))
}

fn weight(name: &RuleName, rule: &BundledRule) -> usize {
    rule.text.len() + 2 * name.as_str().len() + LISTED
}

fn by_name(rules: &BTreeMap<RuleName, BundledRule>, count: usize) -> Option<Packing> {
    let mut packing = Packing::default();
    let mut bytes = BTreeMap::<usize, usize>::new();
    for (name, rule) in rules {
        let shard = place(name) % count;
        let filled = bytes.entry(shard).or_default();
        *filled += weight(name, rule);
        if *filled > SHARD_BYTES {
            return None;
        }
        packing.shards.entry(shard).or_default().insert(name.clone());
    }
    Some(packing)
}

fn by_room(rules: &BTreeMap<RuleName, BundledRule>) -> Packing {
    let mut packing = Packing::default();
    let mut bytes = BTreeMap::<usize, usize>::new();
    for (name, rule) in rules {
        let (first, weight) = (place(name), weight(name, rule));
        let has_room = |shard: &usize| bytes.get(shard).copied().unwrap_or_default() + weight <= SHARD_BYTES;
        let shard = (0..SHARDS).map(|step| (first + step) % SHARDS).find(has_room);
        if let Some(shard) = shard {
            *bytes.entry(shard).or_default() += weight;
            packing.shards.entry(shard).or_default().insert(name.clone());
        } else {
            packing.left_out.insert(name.clone());
        }
    }
    packing
}

/// A number below `SHARDS` that only the name decides.
fn place(name: &RuleName) -> usize {
    let first = Sha256::digest(name.as_str()).first().copied().unwrap_or_default();
    usize::from(first) % SHARDS
}

/// Adds the bundle; without rules it is an empty one, which workers can load.
pub fn add(plan: &mut Plan, pipeline: &ValidPipeline) {
    let rules = &pipeline.rules;
    let packing = pack(rules);
    let mut shards = BTreeMap::new();
    for (&shard, names) in &packing.shards {
        let list: BTreeMap<&str, &str> =
            names.iter().filter_map(|name| Some((name.as_str(), rules.get(name)?.hash.as_str()))).collect();
        let list = json(&list);
        shards.insert(shard, sha256(&list));
        let texts = names.iter().filter_map(|name| Some((rule_key(name), rules.get(name)?.text.clone())));
        let data = texts.chain([(list_key(shard), list)]).collect();
        plan.add(OwnedKind::ConfigMap, &config_map(pipeline, shard_name(&pipeline.id, shard), data));
    }
    let count = packing.shards.values().map(BTreeSet::len).sum();
    let manifest = BundleManifest { version: VERSION, hash: bundle_hash(rules), rules: count, shards };
    let data = [(MANIFEST_KEY.to_owned(), json(&manifest))].into();
    plan.add(OwnedKind::ConfigMap, &config_map(pipeline, manifest_name(&pipeline.id), data));
}

fn config_map(pipeline: &ValidPipeline, name: String, data: BTreeMap<String, String>) -> ConfigMap {
    ConfigMap {
        metadata: metadata::owned(pipeline, COMPONENT, name),
        data: Some(data),
        ..ConfigMap::default()
    }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use parking_crds::rule_bundle::Bundle;
    use proptest::{collection::btree_map, prelude::*};

    use super::*;
    use crate::plan::{Planned, sample};

    fn rule(text: String) -> BundledRule {
        BundledRule::new(text)
    }

    fn rules(of: &[(&str, usize)]) -> BTreeMap<RuleName, BundledRule> {
        of.iter().map(|(name, length)| (name.parse().unwrap(), rule("x".repeat(*length)))).collect()
    }

    fn planned(rules: &BTreeMap<RuleName, BundledRule>) -> BTreeMap<String, Planned> {
        let mut pipeline = sample::pipeline("");
        pipeline.rules = rules.clone();
        let mut plan = Plan::default();
        add(&mut plan, &pipeline);
        plan.objects.into_iter().map(|object| (object.name.clone(), object)).collect()
    }

    fn files(objects: &BTreeMap<String, Planned>) -> BTreeMap<String, String> {
        let data = |object: &Planned| object.manifest["data"].as_object().unwrap().clone();
        let all = objects.values().flat_map(data);
        all.map(|(key, text)| (key, text.as_str().unwrap().to_owned())).collect()
    }

    /// What a worker makes of the files; nothing when its parts do not belong together.
    fn load(files: &BTreeMap<String, String>) -> Option<(String, BTreeMap<RuleName, BundledRule>)> {
        let bundle = Bundle::load(|key| files.get(key).cloned()).ok()?;
        Some((bundle.hash, bundle.rules))
    }

    #[test]
    fn a_few_rules_take_one_shard_and_none_takes_the_manifest_alone() {
        let names: Vec<String> = planned(&rules(&[("a", 10), ("b", 10), ("c", 10)])).into_keys().collect();
        assert_eq!(names, ["city-rules", "city-rules-0"]);
        let empty = planned(&BTreeMap::new());
        assert_eq!(empty.keys().collect::<Vec<_>>(), ["city-rules"]);
        assert_eq!(load(&files(&empty)).unwrap().1, BTreeMap::new());
    }

    #[test]
    fn ten_thousand_rules_fit() {
        let many: BTreeMap<RuleName, BundledRule> =
            (0..10_000).map(|n| (format!("rule-{n}").parse().unwrap(), rule(format!("{n:0900}")))).collect();
        let objects = planned(&many);
        assert_eq!(load(&files(&objects)).unwrap().1.len(), 10_000);
        assert!(objects.values().all(|object| object.manifest["data"].to_string().len() < 1 << 20));
    }

    #[test]
    fn what_fits_nowhere_is_told() {
        let big = SHARD_BYTES - 200;
        let names: Vec<String> = (0..=SHARDS).map(|n| format!("r{n:02}")).collect();
        let many = rules(&names.iter().map(|name| (name.as_str(), big)).collect::<Vec<_>>());
        let packing = pack(&many);
        assert_eq!(packing.left_out, ["r16".parse().unwrap()].into());
        assert_eq!(packing.shards.len(), SHARDS);
    }

    #[test]
    fn a_bundle_whose_parts_are_of_two_times_is_not_loaded() {
        let before = files(&planned(&rules(&[("a", 10), ("b", 10)])));
        let after = files(&planned(&rules(&[("a", 11), ("b", 10)])));
        for key in ["a.yaml", "shard-0.json", MANIFEST_KEY] {
            let mut mixed = before.clone();
            mixed.insert(key.to_owned(), after[key].clone());
            assert_eq!(load(&mixed), None, "{key}");
        }
        assert!(load(&before).is_some() && load(&after).is_some());
    }

    fn some_rules(longest: usize) -> impl Strategy<Value = BTreeMap<RuleName, BundledRule>> {
        btree_map("[a-z][a-z0-9]{0,8}", 0..longest, 0..60).prop_map(|rules| {
            rules
                .into_iter()
                .map(|(name, length)| (name.parse().unwrap(), rule("x".repeat(length))))
                .collect()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn every_rule_that_was_not_left_out_is_loaded_as_it_was(rules in some_rules(600_000)) {
            let packing = pack(&rules);
            let objects = planned(&rules);
            let (hash, loaded) = load(&files(&objects)).unwrap();
            prop_assert_eq!(hash, bundle_hash(&rules));
            prop_assert_eq!(loaded.len() + packing.left_out.len(), rules.len());
            prop_assert!(loaded.iter().all(|(name, rule)| rules[name] == *rule));
            for object in objects.values() {
                let data = object.manifest["data"].as_object().unwrap().iter();
                let bytes: usize = data.map(|(key, text)| key.len() + text.as_str().unwrap().len()).sum();
                prop_assert!(bytes <= SHARD_BYTES + 1024, "{} has {bytes}", object.name);
            }
            let used: usize = rules.iter().map(|(name, rule)| weight(name, rule)).sum();
            prop_assert!(packing.left_out.is_empty() || used > SHARDS * (SHARD_BYTES - 600_200));
        }

        #[test]
        fn an_edit_changes_one_shard_and_the_manifest(rules in some_rules(2_000), which in any::<prop::sample::Index>()) {
            prop_assume!(!rules.is_empty());
            let name = which.get(&rules.keys().cloned().collect::<Vec<_>>()).clone();
            let mut edited = rules.clone();
            edited.insert(name, rule("edited".to_owned()));
            let (before, after) = (planned(&rules), planned(&edited));
            let changed: Vec<_> = before.keys().filter(|key| after.get(*key) != before.get(*key)).collect();
            prop_assert_eq!(changed.len(), 2);
            prop_assert_eq!(before.len(), after.len());
        }
    }
}

//! The rules of a pipeline from their folder, for as long as the worker runs.
//!
//! Invariants: rules that were loaded stay until others can be loaded as a whole; what cannot be loaded is tried again.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_crds::{
    alert_rule::AlertRule,
    duration::Duration,
    manifest::{self, Manifest},
    names::RuleName,
    rule_bundle::{Bundle, BundleError, BundledRule, MANIFEST_KEY},
    worker_status::{RuleReport, RulesReport},
};
use tokio::{sync::watch, task::JoinSet};

use super::site::Board;
use crate::{domain::alert::RuleSet, ports::clock::Clock};

/// Between two looks at the folder.
const LOOK: Duration = Duration::from_secs(2);

/// Rules that were loaded together.
pub(super) struct LoadedRules {
    /// Those that can be used.
    pub(super) rules: Arc<RuleSet>,
    /// What is told of all of them.
    pub(super) report: RulesReport,
    /// Those that can be read.
    pub(super) parsed: Vec<AlertRule>,
}

/// The newest rules of a folder.
pub(super) struct FollowedRules {
    newest: watch::Receiver<Arc<LoadedRules>>,
    _follower: JoinSet<()>,
}

impl FollowedRules {
    /// Waits for a first bundle; `None` where it was told to end before there was one. The board hears why what is in
    /// the folder cannot be loaded, and when it can.
    #[expect(clippy::disallowed_methods, reason = "the composition root is where tasks begin")]
    pub(super) async fn begin(
        folder: &str,
        clock: &Arc<dyn Clock>,
        board: &Board,
        mut stop: watch::Receiver<bool>,
    ) -> Option<Self> {
        let (mut folder, clock, board) = (RulesFolder::new(folder), Arc::clone(clock), board.clone());
        let trouble = move |reason| board.rules_refused(reason);
        let first = tokio::select! {
            first = folder.next(clock.as_ref(), &trouble) => first,
            _ = stop.wait_for(|stop| *stop) => return None,
        };
        let (tell, newest) = watch::channel(Arc::new(first));
        let mut follower = JoinSet::new();
        follower.spawn(async move {
            while tell.send(Arc::new(folder.next(clock.as_ref(), &trouble).await)).is_ok() {}
        });
        Some(Self { newest, _follower: follower })
    }

    /// What is loaded, for whoever looks again each time.
    pub(super) fn newest(&self) -> watch::Receiver<Arc<LoadedRules>> {
        self.newest.clone()
    }

    /// What is loaded, from now on known.
    pub(super) fn take(&mut self) -> Arc<LoadedRules> {
        Arc::clone(&self.newest.borrow_and_update())
    }

    /// Completes when others are loaded than were taken.
    pub(super) async fn renewed(&mut self) {
        if self.newest.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// A folder, and what of it was loaded last.
struct RulesFolder {
    path: PathBuf,
    manifest: Option<String>,
    bundle: Option<String>,
}

impl RulesFolder {
    fn new(path: &str) -> Self {
        Self { path: path.into(), manifest: None, bundle: None }
    }

    /// Waits until there are others than those of the last time.
    async fn next(
        &mut self,
        clock: &dyn Clock,
        trouble: &(impl Fn(Option<String>) + Send + Sync),
    ) -> LoadedRules {
        loop {
            let manifest = fs::read_to_string(self.path.join(MANIFEST_KEY)).ok();
            if manifest.is_none() || manifest != self.manifest {
                match load(&self.path) {
                    Ok(rules) => {
                        trouble(None);
                        self.manifest = manifest;
                        if self.bundle.as_ref() != Some(&rules.report.bundle) {
                            self.bundle = Some(rules.report.bundle.clone());
                            return rules;
                        }
                    }
                    Err(error @ BundleError::Incomplete(_)) => {
                        tracing::info!("waiting for the rules: {error}");
                    }
                    Err(error) => {
                        tracing::warn!("the rules of the last bundle stay: {error}");
                        trouble(Some(format!("the rules in {}: {error}", self.path.display())));
                    }
                }
            }
            clock.pause(LOOK).await;
        }
    }
}

/// Loads the bundle of a folder. A rule that cannot be used harms no other (G7).
fn load(folder: &Path) -> Result<LoadedRules, BundleError> {
    let bundle = Bundle::load(|key| fs::read_to_string(folder.join(key)).ok())?;
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use parking_crds::rule_bundle::{BundleManifest, VERSION, bundle_hash, list_key, rule_key, sha256};

    use super::*;
    use crate::adapters::memory::MemoryClock;

    fn write(folder: &Path, rules: &[(&str, &str)]) -> String {
        let rules: BTreeMap<RuleName, BundledRule> = rules
            .iter()
            .map(|(name, text)| (name.parse().unwrap(), BundledRule::new((*text).to_owned())))
            .collect();
        for (name, rule) in &rules {
            fs::write(folder.join(rule_key(name)), &rule.text).unwrap();
        }
        let list: BTreeMap<_, _> = rules.iter().map(|(name, rule)| (name, &rule.hash)).collect();
        let (list, hash) = (serde_json::to_string(&list).unwrap(), bundle_hash(&rules));
        let shards = [(0, sha256(&list))].into();
        let manifest = BundleManifest { version: VERSION, hash: hash.clone(), rules: rules.len(), shards };
        fs::write(folder.join(list_key(0)), list).unwrap();
        fs::write(folder.join(MANIFEST_KEY), serde_json::to_string(&manifest).unwrap()).unwrap();
        hash
    }

    /// The next bundle, as the time passes that it takes.
    async fn next(
        folder: &mut RulesFolder,
        told: &Mutex<Option<String>>,
        meanwhile: impl FnOnce(),
    ) -> LoadedRules {
        let clock = MemoryClock::new(0);
        let hear = |trouble: Option<String>| *told.lock().unwrap() = trouble;
        let next = folder.next(&clock, &hear);
        tokio::pin!(next);
        let mut meanwhile = Some(meanwhile);
        loop {
            tokio::select! {
                biased;
                rules = &mut next => return rules,
                () = tokio::task::yield_now() => {
                    if let Some(meanwhile) = meanwhile.take() {
                        meanwhile();
                    }
                    clock.advance(LOOK);
                }
            }
        }
    }

    #[tokio::test]
    async fn rules_are_loaded_again_when_all_of_the_others_are_there_and_not_before() {
        let (place, told) = (tempfile::tempdir().unwrap(), Mutex::default());
        let (mut folder, place) = (RulesFolder::new(&place.path().display().to_string()), place.path());
        let first = next(&mut folder, &told, || drop(write(place, &[]))).await;
        assert!(first.report.rules.is_empty());
        let (text, clock) = ("kind: Nothing\n", MemoryClock::new(0));
        let hash = write(place, &[("full", text)]);
        fs::write(place.join("full.yaml"), "half").unwrap();
        tokio::select! {
            biased;
            _ = folder.next(&clock, &|_| ()) => panic!("half of it is not there"),
            () = tokio::task::yield_now() => {}
        }
        let second = next(&mut folder, &told, || fs::write(place.join("full.yaml"), text).unwrap()).await;
        assert_eq!(second.report.bundle, hash);
        assert!(second.report.rules.values().all(|rule| rule.refused.is_some()), "it is no rule");
        assert_eq!(*told.lock().unwrap(), None);
    }

    #[tokio::test]
    async fn rules_of_a_newer_operator_are_told_of_and_leave_those_that_are_there() {
        let (place, told) = (tempfile::tempdir().unwrap(), Mutex::default());
        let (mut folder, place) = (RulesFolder::new(&place.path().display().to_string()), place.path());
        next(&mut folder, &told, || drop(write(place, &[]))).await;
        let clock = MemoryClock::new(0);
        fs::write(place.join(MANIFEST_KEY), r#"{"version":99,"hash":"x","rules":0,"shards":{}}"#).unwrap();
        let hear = |trouble: Option<String>| *told.lock().unwrap() = trouble;
        tokio::select! {
            biased;
            _ = folder.next(&clock, &hear) => panic!("nothing can be loaded"),
            () = tokio::task::yield_now() => {}
        }
        assert!(told.lock().unwrap().as_ref().unwrap().contains("version 99"), "{told:?}");
    }
}

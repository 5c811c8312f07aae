//! What a pipeline's workers say about themselves, put together: pure.
//!
//! Invariants: what no worker answered is not known, never zero.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use litemap::LiteMap;
use parking_crds::{
    names::RuleName,
    role::Role,
    stream::Stream,
    worker_status::{WorkerProblem, WorkerStatus},
};

use super::PollFailure;

/// What one pod answered.
pub type PodAnswer = Result<WorkerStatus, PollFailure>;

/// What every pod of a pipeline answered, by role and pod name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkersSeen {
    /// The answers.
    pub roles: BTreeMap<Role, Vec<(String, PodAnswer)>>,
    /// Why some pods are not listed at all, if so.
    pub incomplete: Option<PollFailure>,
}

/// How far a partition was read, by whoever reads it furthest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionSeen {
    /// Offset of the next record to process.
    pub position: u64,
    /// Offset after the newest record.
    pub end: u64,
    /// When the oldest unread record was appended.
    pub oldest_unread: Option<Timestamp>,
}

/// How one rule stands in all engines together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleSeen {
    /// Engines that evaluate each text of the rule, by the text's hash.
    pub loaded: LiteMap<String, u32>,
    /// Why an engine does not evaluate the rule.
    pub refused: Option<String>,
    /// Alerts that wait for `for`.
    pub pending: u64,
    /// Alerts that fire.
    pub firing: u64,
    /// Alerts that wait for `keepFiringFor`.
    pub recovering: u64,
    /// Alerts without data.
    pub no_data: u64,
    /// Whether an engine exceeded `limits.maxActive`.
    pub saturated: bool,
    /// The newest change of an alert's state.
    pub last_transition: Option<Timestamp>,
}

/// What a pipeline's workers say, put together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Workers that answered and that were asked, by role.
    pub answered: BTreeMap<Role, (u32, u32)>,
    /// Partitions of each stream, by the role that reads them.
    pub partitions: BTreeMap<(Role, Stream), BTreeMap<u16, PartitionSeen>>,
    /// Engines that evaluate each bundle, by the hash of its manifest.
    pub bundles: BTreeMap<String, u32>,
    /// Rules that at least one engine knows.
    pub rules: BTreeMap<RuleName, RuleSeen>,
    /// What workers report as wrong, each once.
    pub problems: Vec<(Role, WorkerProblem)>,
}

impl Summary {
    /// The workers' answers put together.
    pub fn of(seen: &WorkersSeen) -> Self {
        let mut summary = Self::default();
        for (role, pods) in &seen.roles {
            let (answered, asked) = summary.answered.entry(*role).or_default();
            for (_, answer) in pods {
                *asked += 1;
                *answered += u32::from(answer.is_ok());
            }
            for status in pods.iter().filter_map(|(_, answer)| answer.as_ref().ok()) {
                summary.add(*role, status);
            }
        }
        summary
    }

    fn add(&mut self, role: Role, status: &WorkerStatus) {
        for report in &status.partitions {
            let seen = PartitionSeen {
                position: report.position,
                end: report.end,
                oldest_unread: report.oldest_unread,
            };
            // During a hand-over two workers report a partition: the one that is further owns the store's state.
            self.partitions
                .entry((role, report.stream))
                .or_default()
                .entry(report.partition)
                .and_modify(|before| {
                    if (seen.position, seen.end) > (before.position, before.end) {
                        *before = seen;
                    }
                })
                .or_insert(seen);
        }
        if let Some(rules) = &status.rules {
            *self.bundles.entry(rules.bundle.clone()).or_default() += 1;
            for (name, report) in &rules.rules {
                let seen = self.rules.entry(name.clone()).or_default();
                match &report.refused {
                    Some(message) => seen.refused = Some(message.clone()),
                    None => match seen.loaded.get_mut(&report.hash) {
                        Some(engines) => *engines += 1,
                        None => drop(seen.loaded.insert(report.hash.clone(), 1)),
                    },
                }
                seen.pending += report.pending;
                seen.firing += report.firing;
                seen.recovering += report.recovering;
                seen.no_data += report.no_data;
                seen.saturated |= report.saturated;
                seen.last_transition = seen.last_transition.max(report.last_transition);
            }
        }
        for problem in &status.problems {
            if !self.problems.iter().any(|(of, known)| *of == role && known == problem) {
                self.problems.push((role, problem.clone()));
            }
        }
    }

    /// Records that the slowest role has not processed; unknown while no partition is reported.
    pub fn lag(&self) -> Option<u64> {
        self.lag_by_role().into_values().max()
    }

    /// Records not yet processed, by role; one that nobody answered for is absent.
    pub fn lag_by_role(&self) -> BTreeMap<Role, u64> {
        let mut by_role: BTreeMap<Role, u64> = BTreeMap::new();
        for ((role, _), partitions) in &self.partitions {
            let lag: u64 = partitions.values().map(|seen| seen.end.saturating_sub(seen.position)).sum();
            *by_role.entry(*role).or_default() += lag;
        }
        by_role
    }

    /// Alerts that fire; unknown while no engine answers.
    pub fn firing(&self) -> Option<u64> {
        (!self.bundles.is_empty()).then(|| self.rules.values().map(|rule| rule.firing).sum())
    }

    /// Workers that were asked and did not answer.
    pub fn silent(&self) -> u32 {
        self.answered.values().map(|(answered, asked)| asked.saturating_sub(*answered)).sum()
    }

    /// Engines that evaluate the rule in that text, of all engines that were asked.
    pub fn loaded(&self, rule: &RuleName, hash: &str) -> (u32, u32) {
        let engines = self.answered.get(&Role::Alert).map_or(0, |(_, asked)| *asked);
        let loaded = self.rules.get(rule).and_then(|rule| rule.loaded.get(hash)).copied();
        (loaded.unwrap_or(0), engines)
    }

    /// When the oldest record was appended that some role has not processed.
    pub fn oldest_unread(&self) -> Option<Timestamp> {
        self.partitions.values().flat_map(BTreeMap::values).filter_map(|seen| seen.oldest_unread).min()
    }

    /// What changes all the time: records not processed and alerts that fire.
    pub fn counts(&self) -> (Option<u64>, Option<u64>) {
        (self.lag(), self.firing())
    }

    /// Whether a status made of the other summary would look the same but for the counts.
    pub fn looks_like(&self, other: &Self) -> bool {
        self.answered == other.answered && self.bundles == other.bundles && self.problems == other.problems
    }

    /// The rules that stand differently in the other summary.
    pub fn changed_rules<'a>(&'a self, other: &'a Self) -> BTreeSet<&'a RuleName> {
        let engines_changed = self.answered.get(&Role::Alert) != other.answered.get(&Role::Alert);
        self.rules
            .keys()
            .chain(other.rules.keys())
            .filter(|name| engines_changed || self.rules.get(*name) != other.rules.get(*name))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(text: &str) -> WorkerStatus {
        let status = format!(
            r#"{{"pipeline":{{"namespace":"parking","name":"city"}},"role":"alert","version":"1","phase":"Running",{text}}}"#
        );
        serde_json::from_str(&status).unwrap()
    }

    fn of<const N: usize>(answers: [PodAnswer; N]) -> Summary {
        let pods = answers.into_iter().enumerate().map(|(n, answer)| (format!("city-alert-{n}"), answer));
        Summary::of(&WorkersSeen { roles: [(Role::Alert, pods.collect())].into(), incomplete: None })
    }

    fn engine(refused: &str, hash: &str) -> WorkerStatus {
        worker(&format!(
            r#""rules":{{"bundle":"b1","rules":{{"full":{{{refused}"hash":"{hash}","pending":1,"firing":2,"recovering":0,"noData":0}}}}}}"#
        ))
    }

    #[test]
    fn silence_is_unknown_and_not_zero() {
        let summary = of([Err(PollFailure::TimedOut)]);
        assert_eq!((summary.lag(), summary.firing(), summary.oldest_unread()), (None, None, None));
        assert_eq!(summary.answered[&Role::Alert], (0, 1));
    }

    #[test]
    fn a_rule_is_loaded_where_its_present_text_is() {
        let summary = of([
            Ok(engine("", "new")),
            Ok(engine("", "old")),
            Ok(engine(r#""refused":"unknown label","#, "new")),
            Err(PollFailure::TimedOut),
        ]);
        let full = "full".parse().unwrap();
        assert_eq!(summary.loaded(&full, "new"), (1, 4));
        assert_eq!(summary.rules[&full].refused.as_deref(), Some("unknown label"));
        assert_eq!((summary.firing(), summary.rules[&full].pending), (Some(6), 3));
        assert_eq!(summary.bundles["b1"], 3);
    }

    #[test]
    fn a_partition_counts_once_as_its_furthest_reader_reports_it() {
        let summary = of([
            Ok(worker(
                r#""partitions":[{"stream":"events","partition":0,"position":5,"end":9,"oldestUnread":"2026-01-01T00:00:00Z"}]"#,
            )),
            Ok(worker(
                r#""partitions":[{"stream":"events","partition":0,"position":8,"end":9},{"stream":"events","partition":1,"position":3,"end":3}]"#,
            )),
        ]);
        assert_eq!(summary.lag(), Some(1));
        assert_eq!(summary.oldest_unread(), None);
    }

    #[test]
    fn progress_without_lag_shows_nothing_new() {
        let at = |position: u64, end: u64| {
            of([Ok(worker(&format!(
                r#""partitions":[{{"stream":"events","partition":0,"position":{position},"end":{end}}}]"#
            )))])
        };
        assert_eq!(at(5, 5).counts(), at(9, 9).counts());
        assert_ne!(at(5, 5).counts(), at(5, 9).counts());
        assert!(at(5, 5).looks_like(&at(5, 9)), "lag is no reason for a look");
    }

    #[test]
    fn a_lost_engine_changes_every_rule_and_a_lag_none() {
        let both = of([Ok(engine("", "new")), Ok(engine("", "new"))]);
        let one = of([Ok(engine("", "new")), Err(PollFailure::Refused)]);
        assert_eq!(both.changed_rules(&one).len(), 1);
        assert!(both.changed_rules(&both.clone()).is_empty());
    }
}

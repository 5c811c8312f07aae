//! How the parts of a share stand: written by whoever works on them, read by whoever reports.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use parking_crds::{duration::Duration, event::Millis};

use super::{
    occupancy::Totals,
    stage::{Losses, RuleNews},
};
use crate::{
    domain::alert::RuleStanding,
    ports::event_log::{Offset, Partition, Stream, StreamPartition},
};

/// How the work on one partition of a stream stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// First offset that is not committed, once the partition was taken over.
    pub committed: Option<Offset>,
    /// What is wrong; absent when all is well.
    pub trouble: Option<String>,
    /// Records are gone: nobody but a person can say how to go on (G9).
    pub lost: bool,
    /// Failures since the partition was assigned.
    pub failures: u64,
    /// What went wrong with the keeping of its state since then.
    pub losses: Losses,
    /// How far event time has come in what is committed.
    pub watermark: Option<Millis>,
    /// Zones of which something was accepted, where the role counts them.
    pub zones: Option<u64>,
    /// Bytes of the state when it was last read from the store: when it was taken over, and with each snapshot.
    pub state_bytes: Option<u64>,
    /// From its assignment to its first record that was handled; the wait for one is in it.
    pub first_record_after: Option<Duration>,
}

/// Where work on partitions is written down. A clone is the same board.
#[derive(Clone, Debug, Default)]
pub struct ShareBoard(Arc<Mutex<Board>>);

#[derive(Debug, Default)]
struct Board {
    has_joined: bool,
    standings: BTreeMap<StreamPartition, Standing>,
    done: Totals,
    /// Rules that have alerts, or had some.
    rules: BTreeMap<StreamPartition, BTreeMap<String, RuleStanding>>,
}

impl ShareBoard {
    fn locked(&self) -> MutexGuard<'_, Board> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every partition of the share.
    pub fn read(&self) -> BTreeMap<StreamPartition, Standing> {
        self.locked().standings.clone()
    }

    /// Whether the member was told its share, which may be empty, and has taken all of it over.
    pub fn has_taken_over(&self) -> bool {
        let board = self.locked();
        board.has_joined && board.standings.values().all(|standing| standing.committed.is_some())
    }

    /// The member was told its share.
    pub(super) fn joined(&self) {
        self.locked().has_joined = true;
    }

    /// Whether the partition is part of the share.
    pub fn has(&self, at: StreamPartition) -> bool {
        self.locked().standings.contains_key(&at)
    }

    pub(super) fn set(&self, at: StreamPartition, standing: Standing) {
        let mut board = self.locked();
        board.rules.remove(&at);
        board.standings.insert(at, standing);
    }

    /// Rules stand otherwise on a partition of the share.
    pub(super) fn rules_changed(&self, at: StreamPartition, news: RuleNews) {
        let RuleNews { is_whole, rules } = news;
        if !is_whole && rules.is_empty() {
            return;
        }
        let mut board = self.locked();
        let known = board.rules.entry(at).or_default();
        if is_whole {
            known.clear();
        }
        known.extend(rules.into_iter().filter(|(_, standing)| *standing != RuleStanding::default()));
    }

    /// How the rules stand that have alerts or had some, on the whole share.
    pub fn rules(&self) -> BTreeMap<String, RuleStanding> {
        let mut rules = BTreeMap::<String, RuleStanding>::new();
        for (name, standing) in self.locked().rules.values().flatten() {
            match rules.get_mut(name) {
                Some(known) => known.add(standing),
                None => drop(rules.insert(name.clone(), *standing)),
            }
        }
        rules
    }

    /// Changes how a partition of the share stands.
    pub(super) fn change(&self, at: StreamPartition, change: impl FnOnce(&mut Standing)) {
        change(self.locked().standings.entry(at).or_default());
    }

    /// Changes how every partition of the share stands.
    pub(super) fn change_all(&self, change: impl FnMut(&mut Standing)) {
        self.locked().standings.values_mut().for_each(change);
    }

    /// More was committed.
    pub(super) fn add(&self, done: &Totals) {
        self.locked().done.add(done);
    }

    /// Verdicts that this member has committed since it began, on whatever share it had.
    pub fn done(&self) -> Totals {
        self.locked().done.clone()
    }

    pub(super) fn remove(&self, at: StreamPartition) {
        let mut board = self.locked();
        board.rules.remove(&at);
        board.standings.remove(&at);
    }

    pub(super) fn clear(&self) {
        let mut board = self.locked();
        board.rules.clear();
        board.standings.clear();
    }

    /// What is committed of a stream.
    pub(super) fn positions(&self, stream: Stream) -> Vec<(Partition, Offset)> {
        let board = self.locked();
        let of_stream = board.standings.iter().filter(|(at, _)| at.stream == stream);
        of_stream.filter_map(|(at, one)| Some((at.partition, one.committed?))).collect()
    }
}

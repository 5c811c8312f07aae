//! How the parts of a share stand: written by whoever works on them, read by whoever reports.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use crate::ports::event_log::{Offset, Partition, Stream, StreamPartition};

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
}

/// Where work on partitions is written down. A clone is the same board.
#[derive(Clone, Debug, Default)]
pub struct ShareBoard(Arc<Mutex<BTreeMap<StreamPartition, Standing>>>);

impl ShareBoard {
    /// Every partition of the share.
    pub fn read(&self) -> BTreeMap<StreamPartition, Standing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the partition is part of the share.
    pub fn has(&self, at: StreamPartition) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&at)
    }

    pub(super) fn set(&self, at: StreamPartition, standing: Standing) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(at, standing);
    }

    /// Changes how a partition of the share stands.
    pub(super) fn change(&self, at: StreamPartition, change: impl FnOnce(&mut Standing)) {
        change(self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(at).or_default());
    }

    /// Changes how every partition of the share stands.
    pub(super) fn change_all(&self, change: impl FnMut(&mut Standing)) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values_mut().for_each(change);
    }

    pub(super) fn remove(&self, at: StreamPartition) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&at);
    }

    pub(super) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// What is committed of a stream.
    pub(super) fn positions(&self, stream: Stream) -> Vec<(Partition, Offset)> {
        let standings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_stream = standings.iter().filter(|(at, _)| at.stream == stream);
        of_stream.filter_map(|(at, one)| Some((at.partition, one.committed?))).collect()
    }
}

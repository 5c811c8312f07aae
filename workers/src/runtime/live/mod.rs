//! Live rows of a stage: which of them changed since they were shown.
//!
//! Must not write anything. Invariants: until a stage is told to note changes it notes none, so that whoever shows no
//! rows pays nothing; a row that changes again and again keeps no other from being taken.

mod alerts;
mod zones;

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use bytes::Bytes;
use parking_crds::duration::Duration;
use serde::Serialize;
use uuid::Uuid;

pub use alerts::LiveAlerts;
pub use zones::LiveZones;

use crate::ports::live_view::LiveView;

/// Where a stage shows its rows, and how much of them how often.
#[derive(Clone)]
pub struct LivePlace {
    /// The view.
    pub view: Arc<dyn LiveView>,
    /// Time between two writes.
    pub refresh: Duration,
    /// Bytes of one write, or a little more: the rest waits for the next.
    pub bytes: usize,
}

impl LivePlace {
    /// A view as a worker uses it.
    pub fn new(view: Arc<dyn LiveView>) -> Self {
        Self { view, refresh: Duration::from_secs(1), bytes: 1 << 20 }
    }
}

/// A row by its id; `None` where it is to go.
pub type LiveRow = (Uuid, Option<Bytes>);

/// Rows that changed, in the order of their ids, each with what is to be known of it.
#[derive(Clone, Debug)]
struct Changed<T> {
    rows: BTreeMap<Uuid, T>,
    /// The one that was taken last: the next comes after it, and at the end the first.
    last: Uuid,
}

impl<T> Default for Changed<T> {
    fn default() -> Self {
        Self { rows: BTreeMap::new(), last: Uuid::max() }
    }
}

impl<T> Changed<T> {
    fn insert(&mut self, id: Uuid, row: T) {
        self.rows.insert(id, row);
    }

    fn take_next(&mut self) -> Option<(Uuid, T)> {
        let after = self.rows.range((Bound::Excluded(self.last), Bound::Unbounded)).next();
        let id = *after.or_else(|| self.rows.first_key_value())?.0;
        self.last = id;
        self.rows.remove_entry(&id)
    }

    fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

fn json<T: Serialize>(row: &T) -> Option<Bytes> {
    // Rows are plain data and always have a JSON form.
    serde_json::to_vec(row).ok().map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u128) -> Uuid {
        Uuid::from_u128(n)
    }

    #[test]
    fn a_row_that_changes_all_the_time_keeps_no_other_waiting() {
        let mut changed = Changed::default();
        for n in [1, 5, 9] {
            changed.insert(id(n), "first");
        }
        let mut taken = Vec::new();
        while let Some((id, _)) = changed.take_next() {
            taken.push(id.as_u128());
            if taken.len() < 6 {
                changed.insert(Uuid::from_u128(1), "again");
            }
        }
        assert_eq!(taken, [1, 5, 9, 1, 1, 1]);
        assert!(changed.is_empty());
    }

    #[test]
    fn the_newest_of_a_row_is_taken() {
        let mut changed = Changed::default();
        changed.insert(id(1), "old");
        changed.insert(id(1), "new");
        assert_eq!((changed.take_next(), changed.take_next()), (Some((id(1), "new")), None));
    }
}

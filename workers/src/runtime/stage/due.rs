//! When a stage has something to write: a commit, a snapshot or rows.

use parking_crds::{duration::Duration, event::Millis};

use super::{Owned, Stage, StageRunner};

impl<S: Stage> StageRunner<S> {
    /// Time until a commit, a snapshot or a write of rows is due; `None` where there is nothing to keep.
    pub fn due_in(&self) -> Option<Duration> {
        let owned = self.owned.as_ref()?;
        let due = self.due_at(owned)?;
        Some(Duration::from_millis((due - self.ports.clock.monotonic()).max(0)))
    }

    fn due_at(&self, owned: &Owned<S>) -> Option<Millis> {
        let by_age = owned.since.map(|since| since + self.limits.age.millis());
        let by_outputs = owned.outputs_since.zip(self.limits.outbox_delay);
        let by_outputs = by_outputs.map(|(since, delay)| since + delay.millis());
        let by_snapshot = self.needs_snapshot(owned).then_some(owned.snapshot_due);
        // Rows are of what is committed: while something is not, they follow its commit.
        let by_rows = (owned.stepped == 0 && self.has_rows_to_show(owned)).then_some(owned.show_due);
        [by_age, by_outputs, by_snapshot, by_rows].into_iter().flatten().min()
    }

    pub(super) fn needs_snapshot(&self, owned: &Owned<S>) -> bool {
        self.snapshots.is_some() && owned.kept != owned.base
    }

    /// Whether the time or the outputs ask for a commit, for a snapshot, or for rows.
    pub(super) fn is_due(&self, owned: &Owned<S>) -> bool {
        owned.outputs.len() >= self.limits.outputs
            || self.due_at(owned).is_some_and(|due| self.ports.clock.monotonic() >= due)
    }
}

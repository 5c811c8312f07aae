//! When a stage shows its rows.
//!
//! Invariants: rows are made from committed state alone; a view that cannot be written holds up nothing but itself.

use parking_crds::duration::Duration;

use super::{Owned, Stage, StageRunner};
use crate::{
    ports::{live_view::LiveRows, state_store::Outcome},
    runtime::live::{LivePlace, LiveRow},
    sentence::sentence,
};

/// After a failure.
const PAUSE: Duration = Duration::from_secs(10);

impl<S: Stage> StageRunner<S> {
    /// Whether rows changed, and somebody shows them.
    pub(super) fn has_rows_to_show(&self, owned: &Owned<S>) -> bool {
        self.live.is_some() && S::ROWS.is_some() && (owned.shows_anew || owned.stage.has_changed_rows())
    }

    /// Shows what changed where that is due. Nothing is stepped that is not committed.
    pub(super) async fn show(&self, owned: &mut Owned<S>) -> Outcome {
        let now = self.ports.clock.monotonic();
        let Some((place, kind)) = self.live.as_ref().zip(S::ROWS) else { return Outcome::Stored };
        if now < owned.show_due || !self.has_rows_to_show(owned) {
            return Outcome::Stored;
        }
        let rows = take(&mut owned.stage, place);
        let is_all = owned.shows_anew && !owned.stage.has_changed_rows();
        let all = is_all.then(|| owned.stage.row_ids());
        match place.view.show(&self.key, owned.token, LiveRows { kind, rows, all }).await {
            Ok(Outcome::Stored) => {
                owned.shows_anew &= !is_all;
                owned.show_due = now + place.refresh.millis();
                Outcome::Stored
            }
            Ok(Outcome::Fenced) => Outcome::Fenced,
            Err(error) => {
                let (role, partition, error) = (self.key.role, self.key.partition, sentence(&error));
                tracing::warn!(role, partition, "live rows are shown later: {error}");
                owned.stage.note_rows();
                owned.shows_anew = true;
                owned.show_due = now + PAUSE.millis();
                Outcome::Stored
            }
        }
    }
}

fn take<S: Stage>(stage: &mut S, place: &LivePlace) -> Vec<LiveRow> {
    let (mut rows, mut bytes) = (Vec::new(), 0);
    while bytes < place.bytes
        && let Some((id, row)) = stage.next_row()
    {
        bytes += row.as_ref().map_or(0, bytes::Bytes::len) + size_of_val(&id);
        rows.push((id, row));
    }
    rows
}

#[cfg(test)]
mod tests;

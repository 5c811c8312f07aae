//! Event-time timers: a set ordered by (deadline, key).
//!
//! Must not read a clock: what is due is asked against the watermark.
//! Invariants: timers come out in the order of (deadline, key) whatever the order of arming, so a
//! replay fires them alike; arming, disarming and taking are O(log n); asking an idle set is O(1).
//!
//! Timers are not stored themselves. Each follows from the state that its owner stores, so a restored
//! engine arms exactly those that it had: there is no second truth that could be lost.

use std::collections::BTreeSet;

use parking_crds::event::Millis;

/// Armed timers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Timers<K> {
    armed: BTreeSet<(Millis, K)>,
    /// Not after the first deadline.
    earliest: Millis,
}

impl<K> Default for Timers<K> {
    fn default() -> Self {
        Self { armed: BTreeSet::new(), earliest: Millis::MAX }
    }
}

impl<K: Ord + Copy> Timers<K> {
    /// Arms a timer; arming it twice for the same deadline is arming it once.
    pub(super) fn arm(&mut self, deadline: Millis, key: K) {
        self.earliest = self.earliest.min(deadline);
        self.armed.insert((deadline, key));
    }

    /// Moves a timer from one deadline to another; `None` stands for not armed.
    pub(super) fn rearm(&mut self, key: K, before: Option<Millis>, after: Option<Millis>) {
        if before == after {
            return;
        }
        if let Some(deadline) = before {
            self.armed.remove(&(deadline, key));
        }
        if let Some(deadline) = after {
            self.arm(deadline, key);
        }
    }

    /// Takes the first timer whose deadline the watermark has reached.
    pub(super) fn take_due(&mut self, watermark: Millis) -> Option<(Millis, K)> {
        if self.earliest > watermark {
            return None;
        }
        let due = self.armed.first().filter(|(deadline, _)| *deadline <= watermark).copied();
        if due.is_some() {
            self.armed.pop_first();
        }
        self.earliest = self.armed.first().map_or(Millis::MAX, |(deadline, _)| *deadline);
        due
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_is_due_before_its_deadline() {
        let mut timers = Timers::default();
        timers.arm(10, 'a');
        assert_eq!(timers.take_due(9), None);
        assert_eq!(timers.take_due(10), Some((10, 'a')));
        assert_eq!(timers.take_due(10), None);
    }

    #[test]
    fn a_disarmed_timer_is_never_due() {
        let mut timers = Timers::default();
        timers.arm(10, 'a');
        timers.rearm('a', Some(10), None);
        assert_eq!(timers.take_due(Millis::MAX), None);
    }

    #[test]
    fn a_moved_timer_is_due_once_at_its_new_deadline() {
        let mut timers = Timers::default();
        timers.arm(10, 'a');
        timers.rearm('a', Some(10), Some(20));
        assert_eq!(timers.take_due(19), None);
        assert_eq!(timers.take_due(30), Some((20, 'a')));
        assert_eq!(timers.take_due(30), None);
    }

    proptest! {
        #[test]
        fn timers_come_out_by_deadline_then_key(
            armed in prop::collection::vec((0_i64..50, 0_u8..20), 0..40),
            watermark in 0_i64..60,
        ) {
            let mut timers = Timers::default();
            for (deadline, key) in &armed {
                timers.arm(*deadline, *key);
            }
            let taken: Vec<_> = std::iter::from_fn(|| timers.take_due(watermark)).collect();
            let mut expected = armed;
            expected.retain(|(deadline, _)| *deadline <= watermark);
            expected.sort_unstable();
            expected.dedup();
            prop_assert_eq!(taken, expected);
        }
    }
}

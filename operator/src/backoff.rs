//! When an object is looked at again after an error. Pure: the caller tells what happened and brings the chance.
//!
//! Invariants: only objects whose last reconcile failed are remembered; success and deletion forget them.

use std::{collections::BTreeMap, time::Duration};

use crate::{error::Class, object::ObjectId};

/// Pause before the first retry of a transient error; doubled each time.
pub const FIRST: Duration = Duration::from_secs(1);
/// Longest pause between retries of a transient error.
pub const LONGEST: Duration = Duration::from_mins(5);
/// Pause where only an edit helps, which is seen at once.
pub const INVALID: Duration = Duration::from_mins(10);
/// Shortest pause where something else must change first; up to twice that.
pub const BLOCKED: Duration = Duration::from_secs(15);
/// Pause after a fault of the operator.
pub const BUG: Duration = Duration::from_mins(10);

/// How often each object has failed in a row.
#[derive(Clone, Debug, Default)]
pub struct Backoff {
    failures: BTreeMap<ObjectId, u32>,
}

impl Backoff {
    /// The object's reconcile failed: how long to wait. `chance` is uniform in 0..1; `hint` is what a server asked for.
    pub fn failed(
        &mut self,
        object: &ObjectId,
        class: Class,
        chance: f64,
        hint: Option<Duration>,
    ) -> Duration {
        let failures = match self.failures.get_mut(object) {
            Some(failures) => failures,
            None => self.failures.entry(object.clone()).or_default(),
        };
        let before = if class == Class::Transient { *failures } else { 0 };
        *failures = before.saturating_add(u32::from(class == Class::Transient));
        pause(class, before, chance).max(hint.unwrap_or_default().min(LONGEST))
    }

    /// The object's reconcile succeeded, or the object is gone.
    pub fn forget(&mut self, object: &ObjectId) {
        self.failures.remove(object);
    }

    /// How many objects are remembered.
    pub fn len(&self) -> usize {
        self.failures.len()
    }

    /// Whether no object's last reconcile failed.
    pub fn is_empty(&self) -> bool {
        self.failures.is_empty()
    }
}

/// The pause after an error that came after so many transient ones.
fn pause(class: Class, before: u32, chance: f64) -> Duration {
    let chance = chance.clamp(0.0, 1.0);
    match class {
        Class::Invalid => INVALID.mul_f64(0.1f64.mul_add(chance, 1.0)),
        Class::Blocked => BLOCKED.mul_f64(1.0 + chance),
        Class::Transient => {
            let whole = FIRST.saturating_mul(2_u32.saturating_pow(before)).min(LONGEST);
            whole.mul_f64(0.5f64.mul_add(chance, 0.5))
        }
        Class::Bug => BUG.mul_f64(0.1f64.mul_add(chance, 1.0)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::object::ObjectKind;

    fn city() -> ObjectId {
        ObjectId::new(ObjectKind::Pipeline, "parking", "city")
    }

    #[test]
    fn transient_errors_wait_longer_each_time_until_success() {
        let mut backoff = Backoff::default();
        let mut next = || backoff.failed(&city(), Class::Transient, 1.0, None).as_secs();
        assert_eq!([next(), next(), next(), next()], [1, 2, 4, 8]);
        assert_eq!((0..40).map(|_| next()).last(), Some(300));
        backoff.forget(&city());
        assert!(backoff.is_empty());
        assert_eq!(backoff.failed(&city(), Class::Transient, 1.0, None).as_secs(), 1);
    }

    #[test]
    fn another_class_of_error_begins_anew() {
        let mut backoff = Backoff::default();
        for _ in 0..5 {
            backoff.failed(&city(), Class::Transient, 1.0, None);
        }
        assert_eq!(backoff.failed(&city(), Class::Blocked, 0.0, None), BLOCKED);
        assert_eq!(backoff.failed(&city(), Class::Transient, 1.0, None), FIRST);
    }

    #[test]
    fn a_servers_wish_is_respected_within_bounds() {
        let mut backoff = Backoff::default();
        let mut wait = |hint| backoff.failed(&city(), Class::Transient, 1.0, Some(hint));
        assert_eq!(wait(Duration::from_secs(20)).as_secs(), 20);
        assert_eq!(wait(Duration::from_hours(20)), LONGEST);
    }

    proptest! {
        #[test]
        fn pauses_stay_in_their_bounds(before in any::<u32>(), chance in 0.0..1.0f64) {
            let transient = pause(Class::Transient, before, chance);
            prop_assert!(transient >= FIRST / 2 && transient <= LONGEST);
            let blocked = pause(Class::Blocked, before, chance);
            prop_assert!(blocked >= BLOCKED && blocked <= 2 * BLOCKED);
            prop_assert!(pause(Class::Invalid, before, chance) >= INVALID);
            prop_assert!(pause(Class::Bug, before, chance) >= BUG);
        }
    }
}

//! The plan of faults: which call fails, and how.
//!
//! Must not depend on anything but its seed and the order of calls, so that a run with the same seed
//! meets the same faults.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore, SeedableRng},
};

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// It does not happen, and the caller is told so.
    Lost,
    /// It happens, and the caller is told that it may have.
    Ambiguous,
    /// It happens twice, as after a retry that was not needed.
    Duplicate,
    /// It happens by half and the caller is told that it may have: a file cut short.
    Torn,
    /// It happens after others had their turn.
    Delay,
}

impl Fault {
    /// All faults.
    pub const ALL: [Self; 5] = [Self::Lost, Self::Ambiguous, Self::Duplicate, Self::Torn, Self::Delay];
}

/// Kind of call, as far as faults differ by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Changes nothing: may be lost or late.
    Read,
    /// Changes something once: may also be ambiguous.
    Write,
    /// A write that real senders repeat: may also happen twice.
    Delivery,
    /// Writes a body that nobody sees yet: may also be torn.
    Upload,
}

impl Operation {
    fn suffers(self, fault: Fault) -> bool {
        match fault {
            Fault::Lost | Fault::Delay => true,
            Fault::Ambiguous => self != Self::Read,
            Fault::Duplicate => self == Self::Delivery,
            Fault::Torn => self == Self::Upload,
        }
    }
}

/// How often each fault strikes the calls that can suffer it, per thousand calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chances {
    /// [`Fault::Lost`].
    pub lost: u16,
    /// [`Fault::Ambiguous`].
    pub ambiguous: u16,
    /// [`Fault::Duplicate`].
    pub duplicate: u16,
    /// [`Fault::Torn`].
    pub torn: u16,
    /// [`Fault::Delay`].
    pub delay: u16,
}

impl Chances {
    fn of(&self, fault: Fault) -> u32 {
        u32::from(match fault {
            Fault::Lost => self.lost,
            Fault::Ambiguous => self.ambiguous,
            Fault::Duplicate => self.duplicate,
            Fault::Torn => self.torn,
            Fault::Delay => self.delay,
        })
    }
}

#[derive(Debug)]
struct State {
    random: ChaCha8Rng,
    chances: Chances,
    struck: BTreeMap<Fault, u64>,
}

/// A seeded plan, shared by all decorators of a run. A clone is the same plan.
#[derive(Clone, Debug)]
pub struct FaultPlan {
    state: Arc<Mutex<State>>,
}

impl FaultPlan {
    /// The plan of a seed.
    pub fn new(seed: u64, chances: Chances) -> Self {
        let random = ChaCha8Rng::seed_from_u64(seed);
        Self { state: Arc::new(Mutex::new(State { random, chances, struck: BTreeMap::new() })) }
    }

    /// From now on other chances; all zero lets a run come to its end.
    pub fn set_chances(&self, chances: Chances) {
        self.locked().chances = chances;
    }

    /// How often each fault has struck.
    pub fn struck(&self) -> BTreeMap<Fault, u64> {
        self.locked().struck.clone()
    }

    /// Decides the next call. Each call draws once, whatever the chances are.
    pub fn next(&self, operation: Operation) -> Option<Fault> {
        let mut state = self.locked();
        let mut drawn = state.random.next_u32() % 1_000;
        let chances = state.chances;
        let suffered = Fault::ALL.into_iter().filter(|fault| operation.suffers(*fault));
        let mut strikes = suffered.filter(|fault| {
            let chance = chances.of(*fault);
            let hit = drawn < chance;
            drawn = if hit { drawn } else { drawn - chance };
            hit
        });
        let fault = strikes.next();
        drop(strikes);
        if let Some(fault) = fault {
            *state.struck.entry(fault).or_default() += 1;
        }
        fault
    }

    /// Lets others have their turn, one to four times.
    pub(super) async fn delay(&self) {
        let turns = self.locked().random.next_u32() % 4 + 1;
        for _ in 0..turns {
            Turn::default().await;
        }
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Pending once: needs no runtime.
#[derive(Default)]
struct Turn {
    taken: bool,
}

impl Future for Turn {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.taken {
            return Poll::Ready(());
        }
        self.taken = true;
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Chances = Chances { lost: 100, ambiguous: 100, duplicate: 100, torn: 100, delay: 100 };

    fn faults(seed: u64, operation: Operation) -> Vec<Option<Fault>> {
        let plan = FaultPlan::new(seed, EVERY);
        (0..1_000).map(|_| plan.next(operation)).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_faults_and_another_seed_others() {
        assert_eq!(faults(7, Operation::Delivery), faults(7, Operation::Delivery));
        assert_ne!(faults(7, Operation::Delivery), faults(8, Operation::Delivery));
    }

    #[test]
    fn a_call_suffers_only_the_faults_of_its_kind_each_at_about_its_chance() {
        for operation in [Operation::Read, Operation::Write, Operation::Delivery, Operation::Upload] {
            let struck = faults(1, operation);
            for fault in Fault::ALL {
                let times = struck.iter().filter(|found| **found == Some(fault)).count();
                let expected = if operation.suffers(fault) { 60..140 } else { 0..1 };
                assert!(expected.contains(&times), "{operation:?} {fault:?} {times}");
            }
        }
    }

    #[test]
    fn what_struck_is_counted_and_no_chance_is_no_fault() {
        let plan = FaultPlan::new(1, Chances { lost: 1_000, ..Chances::default() });
        assert_eq!(plan.next(Operation::Read), Some(Fault::Lost));
        plan.set_chances(Chances::default());
        assert_eq!(plan.next(Operation::Read), None);
        assert_eq!(plan.struck(), BTreeMap::from([(Fault::Lost, 1)]));
    }
}

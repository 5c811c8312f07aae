//! Ports kept in memory, for the simulation and for tests.
//!
//! Must not read a wall clock, draw a random number, spawn or sleep: the same calls in the same order
//! give the same answers. A clone of an adapter is another handle on the same store, so that a store
//! outlives the stage that is "killed" with its handle.

mod clock;
mod event_log;
mod lake;
mod notifier;
mod object_store;
mod state_store;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use clock::MemoryClock;
pub use event_log::MemoryEventLog;
pub use lake::{MemoryLake, VisibleFile};
pub use notifier::MemoryNotifier;
pub use object_store::MemoryObjectStore;
pub use state_store::{MemoryStateStore, StateCheckpoint};

/// A holder that panicked left whole values behind: every change here is made in one step.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

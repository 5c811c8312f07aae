//! What happened in a run: one hash over all of it, lines of it where asked for, counts of faults, and
//! whatever was seen to be wrong on the way.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::faults::FaultKind;

/// Shared by all that take part in a run; a clone is the same trace.
#[derive(Clone, Default)]
pub(crate) struct Trace {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    hash: u64,
    buffer: String,
    lines: Option<Vec<String>>,
    struck: BTreeMap<FaultKind, u64>,
    wrong: Vec<String>,
}

impl Trace {
    pub(crate) fn with_lines() -> Self {
        let trace = Self::default();
        trace.state().lines = Some(Vec::new());
        trace
    }

    /// Writes down what happened.
    pub(crate) fn note(&self, what: fmt::Arguments<'_>) {
        let mut state = self.state();
        let State { hash, buffer, lines, .. } = &mut *state;
        buffer.clear();
        buffer.write_fmt(what).unwrap();
        *hash = xxh3_64_with_seed(buffer.as_bytes(), *hash);
        if let Some(lines) = lines {
            lines.push(buffer.clone());
        }
    }

    /// Adds a line for people, where lines are asked for.
    pub(crate) fn explain(&self, line: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.state().lines {
            lines.push(line());
        }
    }

    /// Counts a fault that struck.
    pub(crate) fn struck(&self, fault: FaultKind, times: u64) {
        *self.state().struck.entry(fault).or_default() += times;
    }

    /// How often a fault struck so far.
    pub(crate) fn times(&self, fault: FaultKind) -> u64 {
        self.state().struck.get(&fault).copied().unwrap_or_default()
    }

    /// Writes down what must never happen.
    pub(crate) fn wrong(&self, what: String) {
        self.note(format_args!("WRONG {what}"));
        self.state().wrong.push(what);
    }

    pub(crate) fn hash(&self) -> u64 {
        self.state().hash
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.state().lines.clone().unwrap_or_default()
    }

    pub(crate) fn faults(&self) -> BTreeMap<FaultKind, u64> {
        self.state().struck.clone()
    }

    pub(crate) fn take_wrong(&self) -> Vec<String> {
        std::mem::take(&mut self.state().wrong)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

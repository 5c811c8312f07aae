//! What happened in a run: a hash over all of it or its lines where asked for, counts of faults, and
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

/// What is kept of what happened.
#[derive(Default)]
enum Notes {
    #[default]
    Nothing,
    Hash(u64),
    Lines(Vec<String>),
}

#[derive(Default)]
struct State {
    notes: Notes,
    buffer: String,
    struck: BTreeMap<FaultKind, u64>,
    wrong: Vec<String>,
}

impl Trace {
    pub(crate) fn with_hash() -> Self {
        Self::keeping(Notes::Hash(0))
    }

    pub(crate) fn with_lines() -> Self {
        Self::keeping(Notes::Lines(Vec::new()))
    }

    fn keeping(notes: Notes) -> Self {
        let trace = Self::default();
        trace.state().notes = notes;
        trace
    }

    /// Writes down what happened.
    pub(crate) fn note(&self, what: fmt::Arguments<'_>) {
        let mut state = self.state();
        let State { notes, buffer, .. } = &mut *state;
        match notes {
            Notes::Nothing => {}
            Notes::Hash(hash) => {
                buffer.clear();
                buffer.write_fmt(what).unwrap();
                *hash = xxh3_64_with_seed(buffer.as_bytes(), *hash);
            }
            Notes::Lines(lines) => lines.push(what.to_string()),
        }
    }

    /// Adds a line for people, where lines are asked for.
    pub(crate) fn explain(&self, line: impl FnOnce() -> String) {
        if let Notes::Lines(lines) = &mut self.state().notes {
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

    /// Over all that happened, where one is kept.
    pub(crate) fn hash(&self) -> Option<u64> {
        match self.state().notes {
            Notes::Hash(hash) => Some(hash),
            Notes::Nothing | Notes::Lines(_) => None,
        }
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        match &self.state().notes {
            Notes::Lines(lines) => lines.clone(),
            Notes::Nothing | Notes::Hash(_) => Vec::new(),
        }
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

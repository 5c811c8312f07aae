//! Which pipelines may roll their pods at the same time.
//!
//! Invariants: never more than the allowed number hold a place; a pipeline that rolls already keeps its place
//! until its pods are as planned, also when they fail, so that a roll that degrades stops the rest; nobody gets
//! a place before every pipeline was looked at once, since one may be rolling from before.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
};

use parking_crds::topology::PipelineId;

/// Places for pipelines that roll.
#[derive(Debug)]
pub struct Rollouts {
    places: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    seen: BTreeSet<PipelineId>,
    rolling: BTreeMap<PipelineId, bool>,
}

/// Whether a pipeline may change its pods now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It may.
    Granted,
    /// Others come first: they are named, and whether they fail.
    Wait {
        /// Pipelines that hold a place.
        behind: Vec<PipelineId>,
        /// Whether one of them fails and must be mended first.
        failing: bool,
    },
}

impl Rollouts {
    /// Places for that many pipelines.
    pub fn new(places: u16) -> Self {
        Self { places: usize::from(places), state: Mutex::default() }
    }

    /// Notes how a pipeline's pods stand: as planned, or rolling, and then whether new pods fail.
    pub fn note(&self, id: &PipelineId, rolling: bool, failing: bool) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.seen.insert(id.clone());
        if rolling {
            state.rolling.insert(id.clone(), failing);
        } else {
            state.rolling.remove(id);
        }
    }

    /// Asks for a place; `all` are the pipelines that exist.
    pub fn ask(&self, id: &PipelineId, all: &BTreeSet<PipelineId>) -> Turn {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let everybody_seen = all.is_subset(&state.seen);
        if state.rolling.contains_key(id) || everybody_seen && state.rolling.len() < self.places {
            state.rolling.entry(id.clone()).or_insert(false);
            return Turn::Granted;
        }
        let failing = state.rolling.values().any(|failing| *failing);
        Turn::Wait { behind: state.rolling.keys().cloned().collect(), failing }
    }

    /// Forgets a pipeline that is gone.
    pub fn forget(&self, id: &PipelineId) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.seen.remove(id);
        state.rolling.remove(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> PipelineId {
        PipelineId { namespace: "parking".parse().unwrap(), name: name.parse().unwrap() }
    }

    fn all() -> BTreeSet<PipelineId> {
        ["a", "b", "c"].into_iter().map(id).collect()
    }

    fn seen() -> Rollouts {
        let rollouts = Rollouts::new(1);
        for id in all() {
            rollouts.note(&id, false, false);
        }
        rollouts
    }

    #[test]
    fn one_rolls_and_the_others_wait_until_it_is_done() {
        let rollouts = seen();
        assert_eq!(rollouts.ask(&id("a"), &all()), Turn::Granted);
        assert_eq!(rollouts.ask(&id("b"), &all()), Turn::Wait { behind: vec![id("a")], failing: false });
        rollouts.note(&id("a"), true, false);
        assert_eq!(rollouts.ask(&id("a"), &all()), Turn::Granted, "it may change its mind");
        rollouts.note(&id("a"), false, false);
        assert_eq!(rollouts.ask(&id("b"), &all()), Turn::Granted);
    }

    #[test]
    fn a_roll_that_fails_stops_the_rest() {
        let rollouts = seen();
        assert_eq!(rollouts.ask(&id("a"), &all()), Turn::Granted);
        rollouts.note(&id("a"), true, true);
        assert_eq!(rollouts.ask(&id("c"), &all()), Turn::Wait { behind: vec![id("a")], failing: true });
    }

    #[test]
    fn nobody_rolls_before_every_pipeline_was_looked_at() {
        let rollouts = Rollouts::new(1);
        rollouts.note(&id("a"), false, false);
        assert!(matches!(rollouts.ask(&id("a"), &all()), Turn::Wait { .. }));
        rollouts.note(&id("b"), true, false);
        rollouts.note(&id("c"), false, false);
        assert!(matches!(rollouts.ask(&id("a"), &all()), Turn::Wait { .. }), "b rolls from before");
    }

    #[test]
    fn a_pipeline_that_is_gone_frees_its_place() {
        let rollouts = seen();
        assert_eq!(rollouts.ask(&id("a"), &all()), Turn::Granted);
        rollouts.forget(&id("a"));
        let left = ["b", "c"].into_iter().map(id).collect();
        assert_eq!(rollouts.ask(&id("b"), &left), Turn::Granted);
    }
}

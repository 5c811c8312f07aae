//! What a stage tells of its input, for those who report it.
//!
//! Invariants: only what was committed is told, so that what is done again counts once; it is taken once a commit,
//! never for a record.

use std::collections::BTreeMap;

use parking_crds::event::Millis;

use super::{Owned, Stage, StageRunner};
use crate::{domain::alert::RuleStanding, ports::state_store::Stored, runtime::occupancy::Totals};

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// How far event time has come.
    pub watermark: Option<Millis>,
    /// Verdicts since the partition began, of the one role that counts them.
    pub totals: Option<Totals>,
    /// How rules stand that changed since the account before; in the first one all of them.
    pub rules: Vec<(String, RuleStanding)>,
}

/// How rules stand, since it was last asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleNews {
    /// Nothing stands any more of what was told before.
    pub is_whole: bool,
    /// Those that changed.
    pub rules: BTreeMap<String, RuleStanding>,
}

impl<S: Stage> StageRunner<S> {
    /// What was committed of the input, if the stage is owned.
    pub fn account(&self) -> Option<&Account> {
        self.owned.as_ref().map(|owned| &owned.account)
    }

    /// Bytes of the state when it was last read from the store, if the stage is owned.
    pub fn stored_bytes(&self) -> Option<u64> {
        self.owned.as_ref().map(|owned| owned.stored_bytes)
    }

    /// Verdicts that this runner has committed since it was last asked.
    pub fn take_done(&mut self) -> Totals {
        std::mem::take(&mut self.done)
    }

    /// How rules stand in what was committed, where that changed since it was last asked.
    pub fn take_rule_news(&mut self) -> RuleNews {
        std::mem::take(&mut self.rule_news)
    }

    /// The base was moved.
    pub(super) fn take_account(&mut self, owned: &mut Owned<S>) {
        let mut account = owned.stage.take_account();
        self.rule_news.rules.extend(account.rules.drain(..));
        if let Some(totals) = &account.totals {
            let before = owned.account.totals.take().unwrap_or_default();
            self.done.add(&totals.since(&before));
        }
        owned.account = account;
    }
}

/// Bytes of the blocks, without their keys.
pub(super) fn bytes_of(stored: &Stored) -> u64 {
    stored.blocks.iter().map(|(_, block)| block.len() as u64).sum()
}

//! Doubles of ports and stages. Without a plant they pass every call on; with one they make the one
//! mistake that it names, as a careless adapter or stage would. The runtime itself is never changed.

mod lake;
mod log;
mod objects;
mod stage;
mod store;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
};

use parking_workers::ports::state_store::{StageKey, Token};

pub(crate) use self::{lake::Lake, log::Log, objects::Objects, stage::Flawed, store::Store};

/// A mistake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Plant {
    /// None at all.
    #[default]
    Nothing,
    /// The store takes every commit, whoever makes it and whatever it stands on.
    NoFence,
    /// The store does not compare a commit's base with its offset.
    BaseNotChecked,
    /// The store takes commits of owners that a claim has replaced.
    ZombieTokenAccepted,
    /// The outbox is emptied by the commit, before anything was published.
    OutboxTrimmedBeforePublish,
    /// A claim does not answer what the outbox still holds.
    OutboxForgottenByClaim,
    /// The offset is stored in a write of its own, before the state.
    OffsetBeforeState,
    /// The state is stored in a write of its own, before the offset.
    StateBeforeOffset,
    /// Duplicate windows are not among the stored blocks.
    DuplicateWindowsNotStored,
    /// Remembered ids are not among the stored blocks.
    IdsNotStored,
    /// A restored stage begins without a watermark.
    WatermarkNotRestored,
    /// A restored stage arms no timer until the zone speaks again.
    TimersNotRearmed,
    /// The state of one zone is left out of every second commit.
    ZoneNotStored,
    /// Revisions of sessions are counted from the restart on.
    RevisionsRestarted,
    /// A restored stage steps its last record again: dead letters count twice.
    LastRecordSteppedAgain,
    /// The archive is not told what the lake holds.
    LakePositionsIgnored,
    /// A lake commit is checked against another snapshot than the one that it stands on.
    LakeCheckedOnAnotherSnapshot,
    /// A file that was cut short stays when it is put again.
    TornFileKept,
    /// The archive gets the newest memory, not the one of the lake's position.
    NewestMemoryTaken,
    /// The archive forgets which outputs of a stage it has.
    OriginsForgotten,
    /// The log answers before records are durable, and loses some.
    AnsweredBeforeDurable,
    /// A snapshot names a later offset than the one of its blocks.
    SnapshotOffsetTooLate,
    /// A snapshot is taken whose blocks are of another partition.
    SnapshotOfAnotherPartition,
    /// What is left of a snapshot that was cut short is taken for all of it.
    TornSnapshotBelieved,
    /// A stage whose state is lost begins where the log begins, though it has snapshots.
    SnapshotsNotFound,
    /// A rebuild does not put the zones back.
    ZonesNotRebuilt,
}

/// Who owns which stage, as the claims that the store answered say: outlives every owner.
#[derive(Clone, Default)]
pub(crate) struct Ledger {
    tokens: Arc<Mutex<BTreeMap<StageKey, Token>>>,
    claims: Arc<AtomicU64>,
}

impl Ledger {
    fn claimed(&self, stage: &StageKey, token: Token) {
        self.claims.fetch_add(1, Ordering::Relaxed);
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).insert(stage.clone(), token);
    }

    fn owner(&self, stage: &StageKey) -> Option<Token> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).get(stage).copied()
    }

    /// What is known now, to be put back with the store.
    pub(crate) fn checkpoint(&self) -> BTreeMap<StageKey, Token> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Claims so far, those that were forgotten too.
    pub(crate) fn claims(&self) -> u64 {
        self.claims.load(Ordering::Relaxed)
    }

    pub(crate) fn roll_back(&self, to: BTreeMap<StageKey, Token>) {
        *self.tokens.lock().unwrap_or_else(PoisonError::into_inner) = to;
    }
}

/// Lets others have their turn once.
pub(crate) async fn let_others_go() {
    let mut gone = false;
    std::future::poll_fn(
        move |_| if std::mem::replace(&mut gone, true) { Poll::Ready(()) } else { Poll::Pending },
    )
    .await;
}

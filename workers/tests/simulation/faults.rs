//! The faults that strike a run, and how often.

use parking_workers::adapters::decorate::Chances;

/// A kind of fault, as the counts name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum FaultKind {
    /// A task is dropped at an await and started anew.
    Crash,
    /// All tasks of an owner at once.
    ProcessCrash,
    /// A commit of a stage did not happen, and its owner was told so.
    LostCommit,
    /// A commit of a stage happened, and its owner was told that it may have.
    AmbiguousCommit,
    /// The same of a commit to the lake.
    LostLakeCommit,
    AmbiguousLakeCommit,
    /// A commit to the lake happened, and its owner crashed before he heard of it.
    UnheardLakeCommit,
    /// Any other call that failed either way.
    FailedCall,
    /// Records were appended twice.
    DuplicateDelivery,
    /// An owner wrote with a token that another claim had replaced.
    Zombie,
    /// The state store went back to what it held before.
    StoreRolledBack,
    /// The state store went back to before its newest claim: the owner before owns the stage again.
    ClaimRolledBack,
    /// The state store lost everything, claims too.
    StoreFlushed,
    /// The log removed the records that every stage has a snapshot of.
    LogExpired,
    /// A snapshot was cut short.
    TornSnapshot,
    /// Half a file was put.
    TornWrite,
    /// The wall clock jumped, or long stood still.
    ClockJump,
    /// A call happened after others had their turn.
    Delay,
}

impl FaultKind {
    pub(crate) const ALL: [Self; 18] = [
        Self::Crash,
        Self::ProcessCrash,
        Self::LostCommit,
        Self::AmbiguousCommit,
        Self::LostLakeCommit,
        Self::AmbiguousLakeCommit,
        Self::UnheardLakeCommit,
        Self::FailedCall,
        Self::DuplicateDelivery,
        Self::Zombie,
        Self::StoreRolledBack,
        Self::ClaimRolledBack,
        Self::StoreFlushed,
        Self::LogExpired,
        Self::TornSnapshot,
        Self::TornWrite,
        Self::ClockJump,
        Self::Delay,
    ];
}

/// Faults of calls, per thousand.
pub(crate) const CALLS: Chances = Chances { lost: 12, ambiguous: 25, duplicate: 40, torn: 60, delay: 300 };

/// Faults of tasks and stores, per thousand steps of the schedule.
pub(crate) struct Mischief {
    pub(crate) crash: u64,
    pub(crate) process_crash: u64,
    pub(crate) freeze: u64,
    pub(crate) hand_over: u64,
    pub(crate) checkpoint: u64,
    pub(crate) roll_back: u64,
    pub(crate) claim_roll_back: u64,
    pub(crate) flush: u64,
    pub(crate) expire: u64,
    pub(crate) clock_jump: u64,
}

pub(crate) const MISCHIEF: Mischief = Mischief {
    crash: 5,
    process_crash: 1,
    freeze: 4,
    hand_over: 6,
    checkpoint: 4,
    roll_back: 1,
    claim_roll_back: 1,
    flush: 1,
    expire: 4,
    clock_jump: 2,
};

/// Of the commits to the lake whose answer was lost, those whose owner crashes with it, per thousand.
pub(crate) const UNHEARD: u64 = 400;

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
    /// Any other call that failed either way.
    FailedCall,
    /// Records were appended twice.
    DuplicateDelivery,
    /// An owner wrote with a token that another claim had replaced.
    Zombie,
    /// The state store went back to what it held before.
    StoreRolledBack,
    /// Half a file was put.
    TornWrite,
    /// The wall clock jumped, or long stood still.
    ClockJump,
    /// A call happened after others had their turn.
    Delay,
}

impl FaultKind {
    pub(crate) const ALL: [Self; 13] = [
        Self::Crash,
        Self::ProcessCrash,
        Self::LostCommit,
        Self::AmbiguousCommit,
        Self::LostLakeCommit,
        Self::AmbiguousLakeCommit,
        Self::FailedCall,
        Self::DuplicateDelivery,
        Self::Zombie,
        Self::StoreRolledBack,
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
    pub(crate) clock_jump: u64,
}

pub(crate) const MISCHIEF: Mischief = Mischief {
    crash: 5,
    process_crash: 1,
    freeze: 4,
    hand_over: 6,
    checkpoint: 4,
    roll_back: 1,
    clock_jump: 2,
};

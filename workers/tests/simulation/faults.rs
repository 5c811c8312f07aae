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

/// What happens to tasks, stores and clocks between two steps of the schedule.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mischief {
    Crash,
    CrashProcess,
    Freeze,
    HandOver,
    Checkpoint,
    RollBack,
    RollBackClaim,
    Flush,
    Expire,
    JumpClock,
}

/// How often each strikes, per thousand steps.
const MISCHIEF: [(Mischief, u64); 10] = [
    (Mischief::Crash, 5),
    (Mischief::CrashProcess, 1),
    (Mischief::Freeze, 4),
    (Mischief::HandOver, 6),
    (Mischief::Checkpoint, 4),
    (Mischief::RollBack, 1),
    (Mischief::RollBackClaim, 1),
    (Mischief::Flush, 1),
    (Mischief::Expire, 4),
    (Mischief::JumpClock, 2),
];

impl Mischief {
    /// What strikes, if anything, by a draw below a thousand.
    pub(crate) fn of(mut drawn: u64) -> Option<Self> {
        for (mischief, chance) in MISCHIEF {
            if drawn < chance {
                return Some(mischief);
            }
            drawn -= chance;
        }
        None
    }
}

/// Of the commits to the lake whose answer was lost, those whose owner crashes with it, per thousand.
pub(crate) const UNHEARD: u64 = 400;

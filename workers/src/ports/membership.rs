//! Membership: which partitions are this process's to work on, beside others of its role.
//!
//! Guarantees:
//! - **M1** While a member lives, and after one has died for long enough, every partition is given to one member.
//! - **M2** A partition that is asked back is given to nobody else before it is released, or the member took too
//!   long. One that was lost may be somebody else's already: only the state store's fence protects it (S2).
//! - **M3** A member that is back under its name within the group's patience gets its partitions back, and no
//!   other member is disturbed. (Not under Kafka's protocol `consumer`, where members have no names here.)

use std::fmt;

use async_trait::async_trait;

use super::{
    PortResult,
    event_log::{Offset, Partition},
};

/// A change of a member's share.
#[derive(Debug)]
pub enum Change {
    /// These are added to it.
    Assigned(Vec<Partition>),
    /// These are asked back: commit what was done, then release them.
    Revoked(Vec<Partition>, Release),
    /// These are gone: drop what was done since the last commit.
    Lost(Vec<Partition>),
}

/// Gives back what was asked for, when it is dropped.
pub struct Release(Option<Box<dyn FnOnce() + Send>>);

impl Release {
    /// What dropping it calls.
    pub fn new(call: impl FnOnce() + Send + 'static) -> Self {
        Self(Some(Box::new(call)))
    }
}

impl fmt::Debug for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Release")
    }
}

impl Drop for Release {
    fn drop(&mut self) {
        if let Some(call) = self.0.take() {
            call();
        }
    }
}

/// The port. See the module for its guarantees.
#[async_trait]
pub trait Membership: Send + Sync {
    /// Waits for the next change.
    async fn change(&self) -> PortResult<Change>;

    /// Tells those who measure lag how far the member has come: the next offset of each partition.
    async fn report(&self, positions: &[(Partition, Offset)]) -> PortResult<()>;

    /// Whether the group still knows this process as its member; then what it was assigned and not asked for is
    /// its own. Tells the position besides.
    async fn is_current(&self, position: (Partition, Offset)) -> PortResult<bool>;

    /// Ends the membership.
    async fn leave(&self) -> PortResult<()>;
}

//! A member's share as one piece of work, which is begun anew whenever the share changes.
//!
//! Must not know what the work is. Invariants: what was done is kept before a partition is released; work on
//! partitions that were lost is dropped as it stands.

use std::{collections::BTreeSet, convert::Infallible, pin::pin};

use super::standing::ShareBoard;
use crate::ports::{
    PortResult,
    event_log::Partition,
    membership::{Change, Membership},
};

/// Work on a share.
pub trait Work: Send {
    /// Works without end. It may be dropped at any await, and called again.
    fn work(&mut self) -> impl Future<Output = Infallible> + Send;

    /// Keeps what was done; what cannot be kept is done again by the next owner.
    fn settle(&mut self) -> impl Future<Output = ()> + Send;
}

/// Works until `stop` completes; then what was done is kept and the group is left. `begin` is given the whole share.
pub async fn run<W: Work>(
    membership: &dyn Membership,
    board: &ShareBoard,
    stop: impl Future<Output = ()> + Send,
    mut begin: impl FnMut(&BTreeSet<Partition>) -> W + Send,
) -> PortResult<()> {
    let (mut share, mut stop) = (BTreeSet::new(), pin!(stop));
    let mut work = begin(&share);
    loop {
        let change = tokio::select! {
            change = membership.change() => change?,
            never = work.work() => match never {},
            () = &mut stop => break,
        };
        match change {
            Change::Assigned(partitions) => {
                work.settle().await;
                share.extend(partitions);
                work = begin(&share);
                board.joined();
            }
            Change::Revoked(partitions, release) => {
                work.settle().await;
                share.retain(|partition| !partitions.contains(partition));
                work = begin(&share);
                drop(release);
            }
            Change::Lost(partitions) => {
                share.retain(|partition| !partitions.contains(partition));
                work = begin(&share);
            }
        }
    }
    work.settle().await;
    membership.leave().await
}

//! The archive of a member's share: rounds without end, pauses, and how it stands.
//!
//! Invariant: trouble with one table holds back no other, is told on the board, and is tried again without end, more
//! and more slowly.

use std::{convert::Infallible, sync::Arc};

use parking_crds::{duration::Duration, event::Millis};

use super::{
    archive::{Archive, ArchiveError, Flush},
    joint_share::Work,
    standing::{ShareBoard, Standing},
};
use crate::{
    ports::{
        clock::Clock,
        event_log::{Partition, Stream, StreamPartition},
        membership::Membership,
    },
    sentence::sentence,
};

/// How long it rests at most when there is nothing to read: what was read may come of age.
const REST: Duration = Duration::from_secs(1);
const FIRST_PAUSE: Millis = 250;
const LONGEST_PAUSE: Millis = 10_000;
/// How often positions are told to those who measure lag.
const REPORT: Millis = 1_000;

/// See the module.
pub struct ArchiveShare {
    archive: Archive,
    clock: Arc<dyn Clock>,
    membership: Arc<dyn Membership>,
    board: ShareBoard,
    reported: Millis,
}

impl ArchiveShare {
    /// Begins with an archive of these partitions; the board tells of them and of no other.
    pub fn new<'a>(
        archive: Archive,
        partitions: impl IntoIterator<Item = &'a Partition>,
        clock: Arc<dyn Clock>,
        membership: Arc<dyn Membership>,
        board: ShareBoard,
    ) -> Self {
        board.clear();
        for &partition in partitions {
            for stream in Stream::ALL {
                board.set(StreamPartition { stream, partition }, Standing::default());
            }
        }
        let reported = clock.monotonic();
        Self { archive, clock, membership, board, reported }
    }

    fn stands(&self) {
        for (at, next) in self.archive.positions() {
            self.board.change(at, |standing| {
                standing.committed = Some(next);
                (standing.trouble, standing.lost) = (None, false);
            });
        }
    }

    fn tell(&self, error: &ArchiveError) {
        let trouble = sentence(error);
        tracing::warn!("the archive failed, trying again: {trouble}");
        self.board.change_all(|standing| {
            standing.trouble = Some(trouble.clone());
            standing.lost = matches!(error, ArchiveError::AheadOfLog { .. });
            standing.failures += 1;
        });
    }

    async fn rest(&self) {
        tokio::select! {
            arrived = self.archive.arrived() => {
                // The next round meets the same trouble, and tells it.
                if arrived.is_err() {
                    self.clock.pause(REST).await;
                }
            }
            () = self.clock.pause(REST) => {}
        }
    }

    async fn report_when_due(&mut self) {
        let now = self.clock.monotonic();
        if now - self.reported >= REPORT {
            self.reported = now;
            self.report().await;
        }
    }

    async fn report(&self) {
        if let Err(error) = self.membership.report(&self.board.positions(Stream::Events)).await {
            tracing::debug!("positions not told: {error}");
        }
    }
}

impl Work for ArchiveShare {
    async fn work(&mut self) -> Infallible {
        let mut pause = FIRST_PAUSE;
        loop {
            let round = self.archive.run_once(Flush::AtLimits).await;
            self.report_when_due().await;
            match round {
                Ok(progress) => {
                    pause = FIRST_PAUSE;
                    self.stands();
                    if progress.is_idle() {
                        self.rest().await;
                    }
                }
                Err(error) => {
                    self.tell(&error);
                    self.clock.pause(Duration::from_millis(pause)).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    async fn settle(&mut self) {
        if let Err(error) = self.archive.settle().await {
            tracing::warn!("what was read since the last commit is read again: {}", sentence(&error));
        }
        self.stands();
        self.report().await;
    }
}

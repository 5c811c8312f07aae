//! The election: one replica writes, the others stand by.
//!
//! Must not: compare times of other machines, or write anything but the Lease.
//! Invariants: leadership is counted from before the request that won or renewed it was sent, and ends a margin
//! before anyone else may take the Lease; another's Lease is over only after this process has seen it unchanged
//! for its whole duration. So at most one replica leads, whatever the wall clocks say.

mod candidate;
mod lease;

use std::time::Duration;

use kube::Client;
use tokio::sync::watch;

pub use self::candidate::{Action, Candidate, LeaseSeen, Terms};
use self::lease::{LeaseError, LeaseStore};
use crate::{
    gate::LeaseName,
    metrics::Metrics,
    monotonic::{self, Instant},
};

/// How long a release waits for writes under way.
const QUIET: Duration = Duration::from_millis(300);
/// How long a release may take in all.
const RELEASE: Duration = Duration::from_secs(1);
/// Pause between two tries of a release.
const RELEASE_PAUSE: Duration = Duration::from_millis(50);

/// Whether this process may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leadership {
    /// It leads, until that instant.
    Until(Instant),
    /// Another leads, or nobody does.
    Standby,
}

/// How an election ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The process was told to stop; the Lease was released if it was held.
    Stopped,
    /// The leadership ran out or was taken: the process must exit.
    Lost,
}

/// Where the leadership is published.
#[derive(Debug)]
pub struct Publisher(watch::Sender<Leadership>);

impl Publisher {
    /// Tells everyone who asks.
    pub(crate) fn publish(&self, leadership: Leadership) {
        self.0.send_replace(leadership);
    }
}

/// The publisher for an election, and the receiver for the gate and for whoever waits to lead.
pub fn leadership() -> (Publisher, watch::Receiver<Leadership>) {
    let (sender, receiver) = watch::channel(Leadership::Standby);
    (Publisher(sender), receiver)
}

/// A replica's part in the election.
pub struct Election {
    store: LeaseStore,
    candidate: Candidate,
    publisher: Publisher,
    metrics: Metrics,
}

impl Election {
    /// A candidate for the Lease.
    pub fn new(
        client: Client,
        lease: &LeaseName,
        terms: Terms,
        publisher: Publisher,
        metrics: Metrics,
    ) -> Self {
        let store = LeaseStore::new(client, lease, &terms);
        Self { store, candidate: Candidate::new(terms), publisher, metrics }
    }

    /// Takes part until `stop` ends or the leadership is lost.
    ///
    /// On `stop`, writing ends at once and the Lease is released as soon as `quiet` ends (bounded), so that a
    /// standby takes over within its next look.
    pub async fn run(mut self, stop: impl Future<Output = ()>, quiet: impl Future<Output = ()>) -> Ended {
        let ended = tokio::select! {
            biased;
            () = stop => Ended::Stopped,
            () = self.take_part() => Ended::Lost,
        };
        self.publisher.publish(Leadership::Standby);
        self.metrics.leader(false);
        if ended == Ended::Stopped && self.candidate.leads() {
            monotonic::within(QUIET, quiet).await;
            if monotonic::within(RELEASE, self.release()).await.is_none() {
                tracing::warn!("the Lease could not be released in time; a standby waits for its end");
            }
        }
        ended
    }

    /// Ends when the leadership is lost.
    async fn take_part(&mut self) {
        loop {
            match self.candidate.decide(monotonic::now()) {
                Action::Wait(until) => monotonic::sleep_until(until).await,
                Action::Look => self.look().await,
                Action::Create => self.hold(None).await,
                Action::Hold(seen) => self.hold(Some(seen)).await,
                Action::Leave => {
                    tracing::error!("the leadership is lost; this replica stops");
                    return;
                }
            }
        }
    }

    async fn look(&mut self) {
        let answer =
            monotonic::before(self.candidate.request_ends(monotonic::now()), self.store.read()).await;
        let now = monotonic::now();
        match answer {
            Some(Ok(seen)) => self.candidate.saw(seen, now),
            Some(Err(error)) => self.failed("read", Some(&error), now),
            None => self.failed("read", None, now),
        }
    }

    async fn hold(&mut self, seen: Option<LeaseSeen>) {
        let sent = monotonic::now();
        let end = self.candidate.request_ends(sent);
        let answer = monotonic::before(end, self.store.hold(seen.as_ref())).await;
        let now = monotonic::now();
        match answer {
            Some(Ok(held)) => {
                let led = self.candidate.leads();
                self.candidate.held(held, sent);
                if let Some(until) = self.candidate.until() {
                    self.publisher.publish(Leadership::Until(until));
                    self.metrics.leader(true);
                }
                if !led && self.candidate.leads() {
                    tracing::info!("this replica leads");
                }
            }
            Some(Err(error)) => self.failed("write", Some(&error), now),
            None => self.failed("write", None, now),
        }
    }

    fn failed(&mut self, verb: &str, error: Option<&LeaseError>, now: Instant) {
        match error {
            Some(LeaseError::Conflict) => tracing::debug!("another replica wrote the Lease first"),
            Some(error) => tracing::warn!(%error, "cannot {verb} the Lease"),
            None => tracing::warn!("cannot {verb} the Lease: the API server did not answer in time"),
        }
        self.candidate.failed(now);
    }

    /// Gives the Lease back; whoever else holds it keeps it.
    async fn release(&mut self) {
        loop {
            if let Some(seen) = self.candidate.own() {
                match self.store.release(seen).await {
                    Ok(()) => return,
                    Err(error) => {
                        tracing::debug!(%error, "the release is tried again");
                        monotonic::sleep(RELEASE_PAUSE).await;
                    }
                }
            }
            match self.store.read().await {
                Ok(seen) => self.candidate.saw(seen, monotonic::now()),
                Err(error) => {
                    tracing::debug!(%error, "the Lease cannot be read for its release");
                    monotonic::sleep(RELEASE_PAUSE).await;
                    continue;
                }
            }
            if self.candidate.own().is_none() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests;

//! Delivery of a member's share of the slots, on every route and out of every partition.
//!
//! Invariants: slots are claimed before anything is told for them; trouble is told on the board, and all is begun
//! again, more and more slowly; what is under way when the share changes is waited for a little, and what was not answered
//! or stored by then is told again, by the same key.

use std::{collections::BTreeSet, convert::Infallible, sync::Arc};

use parking_crds::{duration::Duration, event::Millis, pipeline::Route};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{
    joint_share::Work,
    notify::{Counts, Delivery, Outlet, Positions, Slots},
    stage::StagePorts,
    standing::{ShareBoard, Standing},
};
use crate::{
    domain::notify::Routing,
    ports::{
        ErrorKind, PortError, PortResult,
        event_log::{Partition, Stream, StreamPartition},
        membership::Membership,
        notifier::Notifier,
    },
    sentence::sentence,
};

const FIRST_PAUSE: Millis = 250;
const LONGEST_PAUSE: Millis = 10_000;
/// How often positions are stored that passed nothing to tell.
const STORE: Duration = Duration::from_secs(1);
/// How long answers are waited for when the share changes.
const LAST_ANSWERS: Duration = Duration::from_secs(5);
/// A cluster brings files that change to all pods within a minute or two.
const LATE_RULES: Duration = Duration::from_secs(120);

/// What is told, and on what.
pub struct Notices {
    /// Where alerts are read, positions are kept and time is told.
    pub ports: StagePorts,
    /// Which alerts are told.
    pub routing: Arc<Routing>,
    /// Where it is told.
    pub routes: Arc<[NoticeRoute]>,
    /// Partitions of the stream, which is the number of slots.
    pub partitions: Partition,
}

/// A route of the pipeline.
pub struct NoticeRoute {
    /// As the pipeline has it.
    pub route: Route,
    /// Who is told.
    pub notifier: Arc<dyn Notifier>,
    /// What became of the notifications.
    pub counts: Arc<Counts>,
}

/// See the module.
pub struct NotifyShare {
    notices: Arc<Notices>,
    slots: Slots,
    membership: Arc<dyn Membership>,
    board: ShareBoard,
    draw_owner: fn() -> Uuid,
    outlets: Vec<Arc<Outlet>>,
    positions: Option<Arc<Positions>>,
    /// They go on while it is settled.
    deliveries: JoinSet<PortResult<()>>,
}

impl NotifyShare {
    /// Begins with these slots; nothing is claimed yet.
    pub fn new(
        notices: &Arc<Notices>,
        owned: &BTreeSet<Partition>,
        membership: Arc<dyn Membership>,
        board: ShareBoard,
        draw_owner: fn() -> Uuid,
    ) -> Self {
        let slots = Slots { count: notices.partitions, owned: owned.clone() };
        board.clear();
        for &slot in owned {
            board.set(place(slot), Standing::default());
        }
        let outlet = |NoticeRoute { route, notifier, counts }: &NoticeRoute| {
            Arc::new(Outlet::new(route, Arc::clone(notifier), Arc::clone(counts), &slots))
        };
        let outlets = notices.routes.iter().map(outlet).collect();
        Self {
            notices: Arc::clone(notices),
            slots,
            membership,
            board,
            draw_owner,
            outlets,
            positions: None,
            deliveries: JoinSet::new(),
        }
    }

    /// Claims the slots and delivers until something fails.
    #[expect(clippy::disallowed_methods, reason = "routes and partitions are told side by side")]
    async fn deliver(&mut self) -> PortResult<Infallible> {
        let Notices { ports, routing, routes, partitions } = self.notices.as_ref();
        let names: Vec<_> = routes.iter().map(|one| one.route.name.to_string()).collect();
        let claimed =
            Positions::claim(ports.clone(), &names, &self.slots, *partitions, self.draw_owner).await?;
        let positions = Arc::clone(self.positions.insert(Arc::new(claimed)));
        self.stands(&positions).await;
        self.deliveries = JoinSet::new();
        for outlet in &self.outlets {
            for partition in 0..*partitions {
                let delivery = Delivery {
                    ports: ports.clone(),
                    routing: Arc::clone(routing),
                    slots: self.slots.clone(),
                    positions: Arc::clone(&positions),
                    outlet: Arc::clone(outlet),
                    partition,
                    late_rules: Some(LATE_RULES),
                };
                self.deliveries.spawn(async move { delivery.run().await });
            }
        }
        loop {
            tokio::select! {
                Some(ended) = self.deliveries.join_next() => match ended {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => return Err(error),
                    Err(error) => {
                        return Err(PortError::caused(ErrorKind::Closed, "delivering alerts", error));
                    }
                },
                () = ports.clock.pause(STORE) => {
                    positions.store().await?;
                    self.stands(&positions).await;
                }
            }
        }
    }

    async fn stands(&self, positions: &Positions) {
        for &slot in &self.slots.owned {
            let committed = positions.least(slot).await;
            self.board.change(place(slot), |standing| {
                standing.committed = committed;
                standing.trouble = None;
            });
        }
        let told = self.board.positions(Stream::Alerts);
        if let Err(error) = self.membership.report(&told).await {
            tracing::debug!("positions not told: {error}");
        }
    }

    /// A member that the group has forgotten claims nothing: it would only disturb who owns the slots now.
    async fn is_current(&self) -> bool {
        match self.board.positions(Stream::Alerts).first() {
            Some(position) => self.membership.is_current(*position).await.unwrap_or(false),
            None => true,
        }
    }

    fn tell(&self, error: &PortError) {
        let trouble = sentence(error);
        tracing::warn!("delivery failed, beginning again: {trouble}");
        self.board.change_all(|standing| {
            standing.trouble = Some(trouble.clone());
            standing.failures += 1;
        });
    }
}

/// A slot on the board, where the partition of the same number stands for it.
fn place(slot: Partition) -> StreamPartition {
    StreamPartition { stream: Stream::Alerts, partition: slot }
}

impl Work for NotifyShare {
    async fn work(&mut self) -> Infallible {
        let mut pause = FIRST_PAUSE;
        loop {
            if self.slots.owned.is_empty() || self.notices.routes.is_empty() {
                std::future::pending::<()>().await;
            }
            let began = self.notices.ports.clock.monotonic();
            if self.is_current().await {
                match self.deliver().await {
                    Ok(never) => match never {},
                    Err(error) => {
                        // The others may be those of a former owner.
                        self.deliveries.shutdown().await;
                        self.tell(&error);
                    }
                }
            }
            let clock = &self.notices.ports.clock;
            if clock.monotonic() - began > LONGEST_PAUSE {
                pause = FIRST_PAUSE;
            }
            clock.pause(Duration::from_millis(pause)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn settle(&mut self) {
        let Some(positions) = self.positions.take() else { return };
        let under_way = async {
            let mut closed = Vec::with_capacity(self.outlets.len());
            for outlet in &self.outlets {
                closed.push(outlet.close().await);
            }
            // Nothing begins while these are held.
            self.deliveries.shutdown().await;
        };
        tokio::select! {
            () = under_way => {}
            () = self.notices.ports.clock.pause(LAST_ANSWERS) => {
                tracing::warn!("an alert that is under way is told again by its next owner");
            }
        }
        self.deliveries.shutdown().await;
        if let Err(error) = positions.store().await {
            tracing::warn!("alerts since the last answer are looked at again: {}", sentence(&error));
        }
        self.stands(&positions).await;
    }
}

#[cfg(test)]
mod tests;

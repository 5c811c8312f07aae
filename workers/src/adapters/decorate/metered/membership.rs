//! The membership, metered.

use std::sync::Arc;

use async_trait::async_trait;
use prometheus::{IntCounter, IntCounterVec};

use crate::{
    metrics::Metrics,
    ports::{
        PortResult,
        event_log::{Offset, Partition},
        membership::{Change, Membership},
    },
};

/// What is counted of memberships.
#[derive(Clone, Debug)]
pub struct MembershipMetrics {
    changes: IntCounterVec,
    errors: IntCounterVec,
}

impl MembershipMetrics {
    /// Counts from zero.
    pub fn new(metrics: &Metrics) -> prometheus::Result<Self> {
        Ok(Self {
            changes: metrics.counter(
                "parking_rebalances_total",
                "Changes of the share of partitions, by kind: assigned, revoked or lost.",
                &["role", "change"],
            )?,
            errors: metrics.counter(
                "parking_membership_errors_total",
                "How often the membership broke; the group is joined again each time.",
                &["role"],
            )?,
        })
    }

    /// A membership as a role uses it.
    pub fn metered(&self, role: &str, inner: Arc<dyn Membership>) -> MeteredMembership {
        let change = |kind| self.changes.with_label_values(&[role, kind]);
        MeteredMembership {
            inner,
            assigned: change("assigned"),
            revoked: change("revoked"),
            lost: change("lost"),
            errors: self.errors.with_label_values(&[role]),
        }
    }
}

/// See the module.
pub struct MeteredMembership {
    inner: Arc<dyn Membership>,
    assigned: IntCounter,
    revoked: IntCounter,
    lost: IntCounter,
    errors: IntCounter,
}

#[async_trait]
impl Membership for MeteredMembership {
    async fn change(&self) -> PortResult<Change> {
        let change = self.inner.change().await.inspect_err(|_| self.errors.inc())?;
        match &change {
            Change::Assigned(_) => self.assigned.inc(),
            Change::Revoked(..) => self.revoked.inc(),
            Change::Lost(_) => self.lost.inc(),
        }
        Ok(change)
    }

    async fn report(&self, positions: &[(Partition, Offset)]) -> PortResult<()> {
        self.inner.report(positions).await
    }

    async fn is_current(&self, position: (Partition, Offset)) -> PortResult<bool> {
        self.inner.is_current(position).await
    }

    async fn leave(&self) -> PortResult<()> {
        self.inner.leave().await
    }
}

//! What a worker counts, by role, and the ports that count it.
//!
//! Invariant: the families of a role are registered before it works, so that the reference of metrics names all of
//! them.

use std::sync::Arc;

use parking_crds::role::Role;

use crate::{
    adapters::decorate::{LakeMetrics, LogMetrics, MembershipMetrics, StoreMetrics},
    metrics::Metrics,
    ports::{
        clock::Clock, event_log::EventLog, lake::Lake, live_view::LiveView, membership::Membership,
        state_store::StateStore,
    },
};

/// See the module. A clone counts together with it.
#[derive(Clone)]
pub(super) struct Telemetry {
    role: Role,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    log: LogMetrics,
    membership: MembershipMetrics,
    store: Option<StoreMetrics>,
    lake: Option<LakeMetrics>,
}

impl Telemetry {
    /// Counts from zero.
    pub(super) fn new(role: Role, clock: &Arc<dyn Clock>) -> prometheus::Result<Self> {
        let metrics = Metrics::default();
        let archives = role == Role::Archive;
        Ok(Self {
            role,
            clock: Arc::clone(clock),
            log: LogMetrics::new(&metrics)?,
            membership: MembershipMetrics::new(&metrics)?,
            store: (!archives).then(|| StoreMetrics::new(&metrics)).transpose()?,
            lake: archives.then(|| LakeMetrics::new(&metrics)).transpose()?,
            metrics: Arc::new(metrics),
        })
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    pub(super) fn log(&self, log: Arc<dyn EventLog>) -> Arc<dyn EventLog> {
        Arc::new(self.log.metered(self.role.as_str(), log, Arc::clone(&self.clock)))
    }

    pub(super) fn store(&self, store: Arc<dyn StateStore>) -> Arc<dyn StateStore> {
        match &self.store {
            Some(metrics) => Arc::new(metrics.metered(self.role.as_str(), store, Arc::clone(&self.clock))),
            None => store,
        }
    }

    pub(super) fn view(&self, view: Arc<dyn LiveView>) -> Arc<dyn LiveView> {
        match &self.store {
            Some(metrics) => Arc::new(metrics.metered_view(self.role.as_str(), view)),
            None => view,
        }
    }

    #[cfg_attr(not(feature = "s3"), allow(dead_code, reason = "the archive is left out"))]
    pub(super) fn lake(&self, lake: Arc<dyn Lake>) -> Arc<dyn Lake> {
        match &self.lake {
            Some(metrics) => Arc::new(metrics.metered(lake, Arc::clone(&self.clock))),
            None => lake,
        }
    }

    pub(super) fn membership(&self, membership: Arc<dyn Membership>) -> Arc<dyn Membership> {
        Arc::new(self.membership.metered(self.role.as_str(), membership))
    }
}

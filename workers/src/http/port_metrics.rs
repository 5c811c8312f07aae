//! What the ports of a process with every role count, by role.

use std::sync::Arc;

use crate::{
    adapters::decorate::{LakeMetrics, LogMetrics, StoreMetrics},
    metrics::Metrics,
    ports::lake::Lake,
    runtime::stage::StagePorts,
};

/// See the module.
pub struct PortMetrics {
    metrics: Metrics,
    log: LogMetrics,
    store: StoreMetrics,
    lake: LakeMetrics,
}

impl PortMetrics {
    /// Counts from zero.
    pub fn new() -> prometheus::Result<Self> {
        let metrics = Metrics::default();
        Ok(Self {
            log: LogMetrics::new(&metrics)?,
            store: StoreMetrics::new(&metrics)?,
            lake: LakeMetrics::new(&metrics)?,
            metrics,
        })
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The ports as a role uses them.
    pub fn ports(&self, role: &str, ports: &StagePorts) -> StagePorts {
        let StagePorts { log, store, clock } = ports;
        StagePorts {
            log: Arc::new(self.log.metered(role, Arc::clone(log), Arc::clone(clock))),
            store: Arc::new(self.store.metered(role, Arc::clone(store), Arc::clone(clock))),
            clock: Arc::clone(clock),
        }
    }

    /// The lake as the archive uses it.
    pub fn lake(&self, lake: Arc<dyn Lake>, ports: &StagePorts) -> Arc<dyn Lake> {
        Arc::new(self.lake.metered(lake, Arc::clone(&ports.clock)))
    }
}

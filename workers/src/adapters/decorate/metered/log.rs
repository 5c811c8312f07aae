//! The event log, metered.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec};
use uuid::Uuid;

use super::Began;
use crate::{
    metrics::Metrics,
    ports::{
        PortResult,
        clock::Clock,
        event_log::{Bounds, EventLog, Fetched, Offset, Parts, Records, Stream, StreamPartition},
    },
};

/// What is counted of logs.
#[derive(Clone, Debug)]
pub struct LogMetrics {
    read_records: IntCounterVec,
    read_bytes: IntCounterVec,
    appended_records: IntCounterVec,
    appended_bytes: IntCounterVec,
    errors: IntCounterVec,
    appends: HistogramVec,
}

impl LogMetrics {
    /// Counts from zero.
    pub fn new(metrics: &Metrics) -> prometheus::Result<Self> {
        let by_stream = |name, help| metrics.counter(name, help, &["role", "stream"]);
        Ok(Self {
            read_records: by_stream(
                "parking_log_read_records_total",
                "Records that were read from the log; those that are read again count again.",
            )?,
            read_bytes: by_stream("parking_log_read_bytes_total", "Bytes of the records that were read.")?,
            appended_records: by_stream(
                "parking_log_appended_records_total",
                "Records whose append the log answered.",
            )?,
            appended_bytes: by_stream(
                "parking_log_appended_bytes_total",
                "Bytes of the records whose append the log answered.",
            )?,
            errors: metrics.counter(
                "parking_log_errors_total",
                "Calls of the log that failed, by operation: append, read, arrived or bounds.",
                &["role", "operation"],
            )?,
            appends: metrics.durations(
                "parking_log_append_duration_seconds",
                "How long the log took to answer an append; its count is the number of appends.",
                &["role"],
            )?,
        })
    }

    /// A log as a role uses it.
    pub fn metered(&self, role: &str, inner: Arc<dyn EventLog>, clock: Arc<dyn Clock>) -> MeteredLog {
        let both = |records: &IntCounterVec, bytes: &IntCounterVec, stream: Stream| {
            let labels = [role, stream.as_str()];
            Traffic { records: records.with_label_values(&labels), bytes: bytes.with_label_values(&labels) }
        };
        let of_stream = |stream| {
            let read = both(&self.read_records, &self.read_bytes, stream);
            let appended = both(&self.appended_records, &self.appended_bytes, stream);
            (stream, StreamTraffic { read, appended })
        };
        let error = |operation| self.errors.with_label_values(&[role, operation]);
        MeteredLog {
            inner,
            clock,
            streams: Stream::ALL.into_iter().map(of_stream).collect(),
            failed_appends: error("append"),
            failed_reads: error("read"),
            failed_waits: error("arrived"),
            failed_bounds: error("bounds"),
            appends: self.appends.with_label_values(&[role]),
        }
    }
}

struct Traffic {
    records: IntCounter,
    bytes: IntCounter,
}

impl Traffic {
    fn count(&self, records: usize, bytes: usize) {
        self.records.inc_by(records as u64);
        self.bytes.inc_by(bytes as u64);
    }
}

struct StreamTraffic {
    read: Traffic,
    appended: Traffic,
}

/// See the module.
pub struct MeteredLog {
    inner: Arc<dyn EventLog>,
    clock: Arc<dyn Clock>,
    streams: BTreeMap<Stream, StreamTraffic>,
    failed_appends: IntCounter,
    failed_reads: IntCounter,
    failed_waits: IntCounter,
    failed_bounds: IntCounter,
    appends: Histogram,
}

fn failures_in<T>(answer: PortResult<T>, failures: &IntCounter) -> PortResult<T> {
    answer.inspect_err(|_| failures.inc())
}

#[async_trait]
impl EventLog for MeteredLog {
    async fn append(&self, parts: Parts) -> PortResult<Vec<Offset>> {
        let size =
            |(at, records): &(StreamPartition, Records)| (at.stream, records.len(), records.bytes().len());
        let sizes: Vec<_> = parts.iter().map(size).collect();
        let began = Began::now(self.clock.as_ref());
        let offsets = failures_in(self.inner.append(parts).await, &self.failed_appends)?;
        began.ends(&self.appends);
        for (stream, records, bytes) in sizes {
            if let Some(traffic) = self.streams.get(&stream) {
                traffic.appended.count(records, bytes);
            }
        }
        Ok(offsets)
    }

    async fn read(&self, at: StreamPartition, from: Offset, limit: usize) -> PortResult<Fetched> {
        let fetched = failures_in(self.inner.read(at, from, limit).await, &self.failed_reads)?;
        if let Some(traffic) = self.streams.get(&at.stream) {
            traffic.read.count(fetched.records.len(), fetched.records.bytes().len());
        }
        Ok(fetched)
    }

    async fn arrived(&self, at: StreamPartition, offset: Offset) -> PortResult<()> {
        failures_in(self.inner.arrived(at, offset).await, &self.failed_waits)
    }

    async fn log_id(&self, stream: Stream) -> PortResult<Uuid> {
        failures_in(self.inner.log_id(stream).await, &self.failed_bounds)
    }

    async fn bounds(&self, at: StreamPartition) -> PortResult<Bounds> {
        failures_in(self.inner.bounds(at).await, &self.failed_bounds)
    }
}

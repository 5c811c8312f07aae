//! The lake, metered.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use prometheus::{HistogramVec, IntCounterVec};

use super::Began;
use crate::{
    metrics::Metrics,
    ports::{
        PortResult,
        clock::Clock,
        lake::{Committed, Lake, Table, TableCommit, TableSnapshot},
    },
};

/// What is counted of lakes.
#[derive(Clone, Debug)]
pub struct LakeMetrics {
    rows: IntCounterVec,
    files: IntCounterVec,
    bytes: IntCounterVec,
    commits: IntCounterVec,
    durations: HistogramVec,
    puts: HistogramVec,
    errors: IntCounterVec,
}

impl LakeMetrics {
    /// Counts from zero.
    pub fn new(metrics: &Metrics) -> prometheus::Result<Self> {
        let by_table = |name, help| metrics.counter(name, help, &["table"]);
        let durations = |name, help| metrics.durations(name, help, &["table"]);
        Ok(Self {
            rows: by_table("parking_lake_committed_rows_total", "Rows that were committed to the lake.")?,
            files: by_table("parking_lake_committed_files_total", "Files that were committed to the lake.")?,
            bytes: by_table("parking_lake_committed_bytes_total", "Bytes of the files that were committed.")?,
            commits: metrics.counter(
                "parking_lake_commits_total",
                "Commits to the lake, by outcome: committed, or conflict because another owner moved a position.",
                &["table", "outcome"],
            )?,
            durations: durations(
                "parking_lake_commit_duration_seconds",
                "How long the lake took to answer a commit that was made.",
            )?,
            puts: durations("parking_lake_put_duration_seconds", "How long it took to put a file.")?,
            errors: metrics.counter(
                "parking_lake_errors_total",
                "Calls of the lake that failed, by operation: snapshot, put or commit.",
                &["table", "operation"],
            )?,
        })
    }

    /// A lake.
    pub fn metered(&self, inner: Arc<dyn Lake>, clock: Arc<dyn Clock>) -> MeteredLake {
        MeteredLake { inner, clock, metrics: self.clone() }
    }
}

/// See the module.
pub struct MeteredLake {
    inner: Arc<dyn Lake>,
    clock: Arc<dyn Clock>,
    metrics: LakeMetrics,
}

impl MeteredLake {
    fn failures_in<T>(&self, table: Table, operation: &str, answer: PortResult<T>) -> PortResult<T> {
        answer.inspect_err(|_| self.metrics.errors.with_label_values(&[table.as_str(), operation]).inc())
    }

    fn count(&self, table: Table, outcome: &str) {
        self.metrics.commits.with_label_values(&[table.as_str(), outcome]).inc();
    }
}

#[async_trait]
impl Lake for MeteredLake {
    async fn snapshot(&self, table: Table) -> PortResult<TableSnapshot> {
        self.failures_in(table, "snapshot", self.inner.snapshot(table).await)
    }

    async fn put(&self, table: Table, path: &str, body: Bytes) -> PortResult<()> {
        let began = Began::now(self.clock.as_ref());
        self.failures_in(table, "put", self.inner.put(table, path, body).await)?;
        began.ends(&self.metrics.puts.with_label_values(&[table.as_str()]));
        Ok(())
    }

    async fn commit(&self, table: Table, commit: TableCommit) -> PortResult<Committed> {
        let (files, label) = (commit.files.len() as u64, [table.as_str()]);
        let rows: u64 = commit.files.iter().map(|file| file.rows).sum();
        let bytes: u64 = commit.files.iter().map(|file| file.size).sum();
        let began = Began::now(self.clock.as_ref());
        let committed = self.failures_in(table, "commit", self.inner.commit(table, commit).await)?;
        match &committed {
            Committed::Yes(_) => {
                began.ends(&self.metrics.durations.with_label_values(&label));
                self.count(table, "committed");
                self.metrics.rows.with_label_values(&label).inc_by(rows);
                self.metrics.files.with_label_values(&label).inc_by(files);
                self.metrics.bytes.with_label_values(&label).inc_by(bytes);
            }
            Committed::Conflict => self.count(table, "conflict"),
        }
        Ok(committed)
    }
}

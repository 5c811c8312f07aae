//! Positions as application transactions: `<source>/<partition>` has the last offset,
//! `<source>/<partition>/watermark` the watermark.
//!
//! Invariant: what is read here belongs to one version of the table.

use std::collections::BTreeMap;

use deltalake::{DeltaResult, kernel::EagerSnapshot, kernel::Transaction, logstore::LogStore};

use crate::ports::{
    event_log::Partition,
    lake::{Position, Table, TableSnapshot},
};

/// The log of each table. A log that is made anew needs another name: positions of the old one would
/// hide its first records.
#[derive(Clone, Debug)]
pub struct LogSources(BTreeMap<Table, String>);

impl LogSources {
    /// One name a table, such as `<pipeline>/<topic>/<topic id>`.
    pub fn each(name: impl Fn(Table) -> String) -> Self {
        Self(Table::ALL.into_iter().map(|table| (table, name(table))).collect())
    }

    fn name(&self, table: Table) -> &str {
        // Made of all tables.
        self.0.get(&table).map_or("", String::as_str)
    }
}

/// One log for all tables, each under its own name in it.
impl From<&str> for LogSources {
    fn from(log: &str) -> Self {
        Self::each(|table| format!("{log}/{}", table.as_str()))
    }
}

/// Names of the transactions of a lake.
#[derive(Clone, Debug)]
pub(super) struct PositionNames {
    pub(super) sources: LogSources,
    pub(super) partitions: Partition,
}

impl PositionNames {
    fn offset(&self, table: Table, partition: Partition) -> String {
        format!("{}/{partition}", self.sources.name(table))
    }

    fn watermark(&self, table: Table, partition: Partition) -> String {
        format!("{}/watermark", self.offset(table, partition))
    }

    /// The transactions that move a table to these positions.
    pub(super) fn transactions(
        &self,
        table: Table,
        positions: &BTreeMap<Partition, Position>,
    ) -> Vec<Transaction> {
        let mut transactions = Vec::with_capacity(2 * positions.len());
        for (&partition, position) in positions {
            let last = i64::try_from(position.last_offset).unwrap_or(i64::MAX);
            transactions.push(Transaction::new(self.offset(table, partition), last));
            if let Some(watermark) = position.watermark {
                transactions.push(Transaction::new(self.watermark(table, partition), watermark));
            }
        }
        transactions
    }

    /// What a version of the table holds.
    pub(super) async fn read(
        &self,
        table: Table,
        snapshot: &EagerSnapshot,
        log: &dyn LogStore,
    ) -> DeltaResult<TableSnapshot> {
        let mut positions = BTreeMap::new();
        for partition in 0..self.partitions {
            let last = snapshot.transaction_version(log, self.offset(table, partition)).await?;
            let Some(last) = last.and_then(|last| u64::try_from(last).ok()) else { continue };
            let watermark = snapshot.transaction_version(log, self.watermark(table, partition)).await?;
            positions.insert(partition, Position { last_offset: last, watermark });
        }
        // Version 0 makes the table and holds nothing.
        let version = (snapshot.version() > 0).then(|| snapshot.version());
        Ok(TableSnapshot { version, positions })
    }
}

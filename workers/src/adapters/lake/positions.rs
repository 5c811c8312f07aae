//! Positions as application transactions: `<source>/<partition>` has the last offset,
//! `<source>/<partition>/watermark` the watermark.
//!
//! Invariant: what is read here belongs to one version of the table. Each entry of the log is read once,
//! on top of an earlier version's positions or of the last checkpoint: to ask the table for one
//! transaction after the other would read the log anew for each.

use std::collections::BTreeMap;

use deltalake::{
    DeltaResult, DeltaTable, DeltaTableError,
    kernel::{EagerSnapshot, Transaction},
    logstore::{
        LogStore,
        object_store::{Error as StoreError, ObjectStoreExt},
    },
};
use futures::{StreamExt, TryStreamExt, stream};

use parking_crds::lake_index::{self, LakeIndex};

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

    /// As the lake's index tells them; a table that it does not tell of has no positions.
    pub fn of_index(index: &LakeIndex) -> Self {
        Self::each(|table| {
            let named = lake_index::Table::ALL.into_iter().find(|named| named.as_str() == table.as_str());
            named.and_then(|named| index.sources.get(&named)).cloned().unwrap_or_default()
        })
    }

    pub(super) fn name(&self, table: Table) -> &str {
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

    /// What the loaded version of a table holds; `known` is of an earlier one.
    pub(super) async fn read(
        &self,
        table: Table,
        delta: &DeltaTable,
        known: Option<&TableSnapshot>,
    ) -> DeltaResult<TableSnapshot> {
        let (log, newest) = (delta.log_store(), delta.snapshot()?.version());
        let log = log.as_ref();
        let earlier = known.and_then(|known| Some((known.version?, known.positions.clone())));
        let (next, mut positions) = match earlier {
            Some((version, positions)) => (version + 1, positions),
            None => match self.checkpointed(table, delta).await? {
                Some((version, positions)) => (version + 1, positions),
                None => (0, BTreeMap::new()),
            },
        };
        let entries = stream::iter(next..=newest).map(|version| log.read_commit_entry(version));
        let entries: Vec<_> = entries.buffered(ENTRIES_AT_ONCE).try_collect().await?;
        let names = self.names(table);
        for entry in entries {
            let Some(entry) = entry else {
                // Removed since that version: a checkpoint has what it held.
                positions = self.scan(table, delta.snapshot()?.snapshot(), log).await?;
                break;
            };
            apply(&entry, &names, &mut positions)?;
        }
        // Version 0 makes the table and holds nothing.
        Ok(TableSnapshot { version: (newest > 0).then_some(newest), positions })
    }

    /// The last checkpoint's version and positions, unless there is none or it lies beyond.
    async fn checkpointed(
        &self,
        table: Table,
        delta: &DeltaTable,
    ) -> DeltaResult<Option<(u64, BTreeMap<Partition, Position>)>> {
        let Some(version) = last_checkpoint(delta).await? else { return Ok(None) };
        if version > delta.snapshot()?.version() {
            return Ok(None);
        }
        let mut then = DeltaTable::new(delta.log_store());
        then.load_version(version).await?;
        let log = delta.log_store();
        let positions = self.scan(table, then.snapshot()?.snapshot(), log.as_ref()).await?;
        Ok(Some((version, positions)))
    }

    /// Asks a version for each transaction.
    async fn scan(
        &self,
        table: Table,
        snapshot: &EagerSnapshot,
        log: &dyn LogStore,
    ) -> DeltaResult<BTreeMap<Partition, Position>> {
        let mut positions = BTreeMap::new();
        for partition in 0..self.partitions {
            let last = snapshot.transaction_version(log, self.offset(table, partition)).await?;
            let Some(last) = last.and_then(|last| u64::try_from(last).ok()) else { continue };
            let watermark = snapshot.transaction_version(log, self.watermark(table, partition)).await?;
            positions.insert(partition, Position { last_offset: last, watermark });
        }
        Ok(positions)
    }

    fn names(&self, table: Table) -> BTreeMap<String, (Partition, Holds)> {
        let of = |partition| {
            [
                (self.offset(table, partition), (partition, Holds::Offset)),
                (self.watermark(table, partition), (partition, Holds::Watermark)),
            ]
        };
        (0..self.partitions).flat_map(of).collect()
    }
}

/// Entries of a log that are read at once.
const ENTRIES_AT_ONCE: usize = 8;

/// What a transaction's version is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holds {
    Offset,
    Watermark,
}

#[derive(serde::Deserialize)]
struct Line {
    #[serde(default)]
    txn: Option<Txn>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Txn {
    app_id: String,
    version: i64,
}

/// Moves positions by the transactions of one entry of the log.
fn apply(
    entry: &[u8],
    names: &BTreeMap<String, (Partition, Holds)>,
    positions: &mut BTreeMap<Partition, Position>,
) -> DeltaResult<()> {
    let is_transaction = |line: &&[u8]| line.windows(5).any(|part| part == b"\"txn\"");
    let mut watermarks = Vec::new();
    for line in entry.split(|byte| *byte == b'\n').filter(is_transaction) {
        let line: Line = serde_json::from_slice(line)
            .map_err(|error| DeltaTableError::generic(format!("an entry of the log is no JSON: {error}")))?;
        let Some(Txn { app_id, version }) = line.txn else { continue };
        match names.get(&app_id) {
            Some((partition, Holds::Offset)) => {
                let Ok(last_offset) = u64::try_from(version) else { continue };
                let watermark = positions.get(partition).and_then(|position| position.watermark);
                positions.insert(*partition, Position { last_offset, watermark });
            }
            Some((partition, Holds::Watermark)) => watermarks.push((*partition, version)),
            None => {}
        }
    }
    for (partition, watermark) in watermarks {
        if let Some(position) = positions.get_mut(&partition) {
            position.watermark = Some(watermark);
        }
    }
    Ok(())
}

/// The version that readers start from; `None` where there is none yet or its note cannot be read.
pub(super) async fn last_checkpoint(delta: &DeltaTable) -> DeltaResult<Option<u64>> {
    #[derive(serde::Deserialize)]
    struct Note {
        version: u64,
    }
    let log = delta.log_store();
    match log.object_store(None).get(&log.log_path().clone().join("_last_checkpoint")).await {
        Ok(found) => {
            let note = found.bytes().await?;
            Ok(serde_json::from_slice::<Note>(&note).ok().map(|note| note.version))
        }
        Err(StoreError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_move_by_the_transactions_of_their_own_log_alone() {
        let names = PositionNames { sources: "city/log".into(), partitions: 2 };
        let names = names.names(Table::Events);
        let entry = concat!(
            r#"{"add":{"path":"a\"txn\".parquet"}}"#,
            "\n",
            r#"{"txn":{"appId":"city/log/events/1/watermark","version":70,"lastUpdated":1}}"#,
            "\n",
            r#"{"txn":{"appId":"city/log/events/1","version":9,"lastUpdated":1}}"#,
            "\n",
            r#"{"txn":{"appId":"city/log/events/0","version":4}}"#,
            "\n",
            r#"{"txn":{"appId":"city/other/events/0","version":400}}"#,
            "\n",
        );
        let mut positions = BTreeMap::from([(0, Position { last_offset: 3, watermark: Some(50) })]);
        apply(entry.as_bytes(), &names, &mut positions).unwrap();
        let expected = [
            (0, Position { last_offset: 4, watermark: Some(50) }),
            (1, Position { last_offset: 9, watermark: Some(70) }),
        ];
        assert_eq!(positions, BTreeMap::from(expected));
        assert!(apply(b"{\"txn\":", &names, &mut positions).is_err());
    }
}

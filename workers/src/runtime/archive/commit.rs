//! Files and positions into the lake: one atomic commit for all due partitions of a table.
//!
//! Invariant: a commit stands on the positions that its own batches continue, never on what a newer
//! snapshot says of them. Whatever answer comes back other than "made", a new snapshot decides: at the
//! new positions it was made (by us or, with the same rows, by another owner); at the old ones it is
//! tried again; else the table's state is dropped and loaded anew.

use std::collections::BTreeMap;

use bytes::Bytes;
use parking_crds::{
    duration::Duration,
    time::day::{DAY, utc_date},
};

use super::{Archive, ArchiveError, Loaded, LogTag, Progress, Row, inventory_rows};
use crate::ports::{
    ErrorKind, PortError,
    event_log::{Offset, Partition},
    lake::{Committed, DataFile, Position, Table, TableCommit, TableSnapshot},
};

/// Attempts of one commit before the error is reported; the rows stay gathered.
const ATTEMPTS: u64 = 15;

/// Key of the memory that stands at a position.
pub(super) fn memory_key(table: Table, log: LogTag, partition: Partition, last: Offset) -> String {
    format!("{}{last:020}", memory_prefix(table, log, partition))
}

fn memory_prefix(table: Table, log: LogTag, partition: Partition) -> String {
    format!("archive/{}/{log}/{partition}/", table.as_str())
}

/// A snapshot against which a commit's outcome was judged.
enum Fate {
    Made(TableSnapshot),
    Lost,
}

impl Archive {
    pub(super) async fn commit_batches(
        &mut self,
        table: Table,
        due: &[Partition],
        progress: &mut Progress,
    ) -> Result<(), ArchiveError> {
        let Some(mut loaded) = self.loaded.remove(&table) else { return Ok(()) };
        let base = TableSnapshot { version: loaded.version, ..TableSnapshot::default() };
        let mut commit = TableCommit { base, ..TableCommit::default() };
        let written = self.write_batches(table, &mut loaded, due, &mut commit).await;
        let fate = match written {
            Ok(()) => self.commit(table, &mut commit).await,
            Err(error) => Err(error),
        };
        match fate {
            Ok(Fate::Made(snapshot)) => {
                loaded.version = snapshot.version;
                for batch in loaded.batches.iter_mut().filter(|batch| due.contains(&batch.partition())) {
                    let position = batch.position();
                    batch.commit_done(position);
                    self.remove_older_memories(table, loaded.log, batch.partition(), position.last_offset)
                        .await;
                }
                progress.commits += 1;
                self.loaded.insert(table, loaded);
                Ok(())
            }
            Ok(Fate::Lost) => {
                progress.lost += 1;
                Ok(())
            }
            Err(error) => {
                self.loaded.insert(table, loaded);
                Err(error)
            }
        }
    }

    /// Puts memory and files, and notes them in the commit.
    async fn write_batches(
        &self,
        table: Table,
        loaded: &mut Loaded,
        due: &[Partition],
        commit: &mut TableCommit,
    ) -> Result<(), ArchiveError> {
        let log = loaded.log;
        for batch in loaded.batches.iter_mut().filter(|batch| due.contains(&batch.partition())) {
            let (partition, position) = (batch.partition(), batch.position());
            commit.base.positions.extend(batch.committed().map(|continued| (partition, continued)));
            let key = memory_key(table, log, partition, position.last_offset);
            // One that exists already was made from the same records.
            self.ports.objects.put_new(&key, batch.memory()).await?;
            let name = file_name(table, partition, batch.first(), position.last_offset, Some(log));
            self.put_files(table, partition, &name, batch.rows(), commit).await?;
            commit.positions.insert(partition, position);
        }
        Ok(())
    }

    async fn put_files(
        &self,
        table: Table,
        partition: Partition,
        name: &str,
        rows: &BTreeMap<i32, Vec<Row>>,
        commit: &mut TableCommit,
    ) -> Result<(), ArchiveError> {
        let encoder = &self.ports.encoder;
        for (&date, rows) in rows {
            let path = format!("event_date={}/{name}.{}", date_name(date), encoder.extension());
            let body: Bytes = encoder.encode(table, partition, rows)?;
            let (rows, size) = (rows.len() as u64, body.len() as u64);
            self.ports.lake.put(table, &path, body).await?;
            commit.files.push(DataFile { date, path, rows, size });
        }
        Ok(())
    }

    async fn commit(&self, table: Table, commit: &mut TableCommit) -> Result<Fate, ArchiveError> {
        let mut attempt = 0;
        loop {
            let failure = match self.ports.lake.commit(table, commit.clone()).await {
                Ok(Committed::Yes(snapshot)) => return Ok(Fate::Made(snapshot)),
                Ok(Committed::Conflict) => PortError::new(ErrorKind::Transient, "to commit a table"),
                Err(error) => error,
            };
            attempt += 1;
            self.ports.clock.pause(self.pause(attempt)).await;
            let snapshot = self.ports.lake.snapshot(table).await?;
            let stands_at = |positions: &BTreeMap<Partition, Position>| {
                commit.positions.keys().all(|key| snapshot.positions.get(key) == positions.get(key))
            };
            if stands_at(&commit.positions) {
                return Ok(Fate::Made(snapshot));
            }
            if !stands_at(&commit.base.positions) {
                return Ok(Fate::Lost);
            }
            let again = matches!(failure.kind, ErrorKind::Transient | ErrorKind::Ambiguous);
            if !again || attempt >= ATTEMPTS {
                return Err(failure.into());
            }
            commit.base = snapshot;
        }
    }

    /// 50 to 500 ms, spread over owners and attempts.
    fn pause(&self, attempt: u64) -> Duration {
        let spread = self.settings.jitter.wrapping_add(attempt).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        Duration::from_millis(50 + i64::try_from(spread % 450).unwrap_or_default())
    }

    /// Removes memories before `at`. One that stays is removed by the next load.
    pub(super) async fn remove_older_memories(
        &self,
        table: Table,
        log: LogTag,
        partition: Partition,
        at: Offset,
    ) {
        let current = memory_key(table, log, partition, at);
        let Ok(keys) = self.ports.objects.list(&memory_prefix(table, log, partition)).await else { return };
        for key in keys.iter().filter(|key| **key < current) {
            if self.ports.objects.delete(key).await.is_err() {
                return;
            }
        }
    }

    /// Brings the revisions that the lake does not have, one position a revision.
    pub(super) async fn archive_inventory(&mut self, progress: &mut Progress) -> Result<(), ArchiveError> {
        if self.inventory_done || !self.settings.partitions.contains(&0) {
            return Ok(());
        }
        let base = self.ports.lake.snapshot(Table::Inventory).await?;
        let first = base.positions.get(&0).map_or(0, |position| position.last_offset + 1);
        let revisions = self.settings.inventory.revisions();
        let count = revisions.len() as Offset;
        if first < count {
            let rows = inventory_rows::rows(revisions, first);
            let position = Position { last_offset: count - 1, watermark: None };
            let mut commit = TableCommit { base, ..TableCommit::default() };
            let name = file_name(Table::Inventory, 0, first, position.last_offset, None);
            self.put_files(Table::Inventory, 0, &name, &rows, &mut commit).await?;
            commit.positions.insert(0, position);
            match self.commit(Table::Inventory, &mut commit).await? {
                Fate::Made(_) => progress.commits += 1,
                Fate::Lost => {
                    progress.lost += 1;
                    return Ok(());
                }
            }
        }
        self.inventory_done = true;
        Ok(())
    }
}

/// Without date and extension. Maintenance reads it.
fn file_name(table: Table, partition: Partition, first: Offset, last: Offset, log: Option<LogTag>) -> String {
    let name = format!("{}-{partition}-{first}-{last}", table.as_str());
    log.map_or_else(|| name.clone(), |log| format!("{name}-{log}"))
}

fn date_name(date: i32) -> String {
    utc_date(i64::from(date) * DAY)
}

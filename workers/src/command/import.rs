//! Appending a source of records to the event log, in batches that carry the source's own position.
//!
//! Must not read clocks but through the port, and must not know where records come from.
//!
//! Invariants: the position moves in the same append as the records (L3), so a run that was killed, or
//! that is started again, goes on with the first record that the log does not have; the order of a
//! source is the order of the log within a partition; `input.ended` is appended once per source.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use parking_crds::{
    duration::Duration,
    event::{CompanionBody, CompanionRecord, EARLIEST_EVENT_TIME, Ext, Millis, Quality},
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{replay::ReplayError, schedule::Schedule};
use crate::{
    domain::partitioner::{id_in_partition, partition_of_zone},
    ports::{
        PortError,
        clock::Clock,
        event_log::{Mark, MarkedLog, Partition, Records, RecordsBuilder, Stream, StreamPartition},
    },
};

/// A finite, repeatable sequence of records: the same content gives the same sequence.
pub trait Source: Send {
    /// Names the source's mark in the log.
    fn name(&self) -> String;

    /// Hash of all that the sequence depends on.
    fn content(&self) -> [u8; 32];

    /// How many records it has, where that is known.
    fn total(&self) -> Option<u64>;

    /// Replaces `record` by the next one; `None` at the end.
    fn next(&mut self, record: &mut Vec<u8>) -> Result<Option<Keyed>, ReplayError>;
}

/// What the log needs to know of a record beside its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keyed {
    /// The key; records without one go to partition 0, where they are judged.
    pub zone: Option<Uuid>,
    /// When the record is due: what sources are ordered by.
    pub time: Millis,
}

/// How records are appended.
#[derive(Clone)]
pub struct ImportSettings {
    /// Written into `input.ended`.
    pub tenant: String,
    /// Of the stream `events`.
    pub partitions: u32,
    /// Records per append.
    pub batch: usize,
    /// Absent: as fast as the log takes them.
    pub pace: Option<Pace>,
    /// Whether `input.ended` follows the last record.
    pub end_of_input: bool,
}

/// Holding back, with the clock to do it by.
#[derive(Clone)]
pub enum Pace {
    /// A pause after each append.
    Pause(Duration, Arc<dyn Clock>),
    /// Open loop: each record at its own time, compressed by the factor, however slow the log is.
    Schedule {
        /// Source seconds per second.
        compression: u32,
        /// Measures the seconds.
        clock: Arc<dyn Clock>,
    },
}

/// How far an import is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Records of the source that are in the log.
    pub records: u64,
    /// All of them, where known.
    pub total: Option<u64>,
}

/// What an import did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImportReport {
    /// Records of the source.
    pub records: u64,
    /// Those that this run appended; the others were there already.
    pub appended: u64,
    /// Time of the last record; absent where a run before had appended all of them.
    pub last_time: Option<Millis>,
}

/// Why an import stopped.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The source cannot be read as what it claims to be.
    #[error(transparent)]
    Source(#[from] ReplayError),
    /// An import of other content under the same name was left unfinished.
    #[error(
        "{name}: the content is not that of the import that stopped after record {records}: restore the file, or use a new data folder"
    )]
    Changed {
        /// The source.
        name: String,
        /// Records that the log has.
        records: u64,
    },
    /// The log failed.
    #[error(transparent)]
    Log(#[from] PortError),
}

/// A source's position, stored as the log's mark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Position {
    content: [u8; 32],
    records: u64,
    complete: bool,
    ended: bool,
}

/// Records of one append, by partition.
#[derive(Default)]
struct Batch {
    parts: BTreeMap<Partition, RecordsBuilder>,
    records: usize,
}

/// Appends what the log does not have yet of `source`.
pub async fn import(
    source: &mut dyn Source,
    settings: &ImportSettings,
    log: &dyn MarkedLog,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<ImportReport, ImportError> {
    let mut run = Run::begin(source, settings, log).await?;
    if run.is_done() {
        let records = run.position.records;
        progress(Progress { records, total: Some(records) });
        return Ok(ImportReport { records, appended: 0, last_time: None });
    }
    let (mut record, mut read, mut last_time) = (Vec::new(), 0_u64, None);
    while let Some(keyed) = source.next(&mut record)? {
        read += 1;
        last_time = last_time.max(Some(keyed.time));
        if read <= run.position.records {
            continue;
        }
        if let Some(wait) = run.schedule.as_mut().and_then(|schedule| schedule.wait_for(keyed.time)) {
            run.flush().await?;
            run.pause(wait).await;
        }
        run.add(keyed, &record);
        if run.batch.records >= settings.batch.max(1) {
            run.flush().await?;
            progress(Progress { records: run.position.records, total: source.total() });
        }
    }
    run.finish(last_time).await?;
    progress(Progress { records: read, total: Some(read) });
    Ok(ImportReport { records: read, appended: run.appended, last_time })
}

struct Run<'a> {
    settings: &'a ImportSettings,
    log: &'a dyn MarkedLog,
    mark: String,
    position: Position,
    batch: Batch,
    appended: u64,
    schedule: Option<Schedule>,
}

impl<'a> Run<'a> {
    async fn begin(
        source: &dyn Source,
        settings: &'a ImportSettings,
        log: &'a dyn MarkedLog,
    ) -> Result<Self, ImportError> {
        let (mark, content) = (source.name(), source.content());
        let stored = log.mark(&mark).await?;
        let stored = stored.and_then(|bytes| postcard::from_bytes::<Position>(&bytes).ok());
        let position = match stored {
            Some(stored) if stored.content == content => stored,
            Some(stored) if !stored.complete => {
                return Err(ImportError::Changed { name: mark, records: stored.records });
            }
            _ => Position { content, ..Position::default() },
        };
        let schedule = match &settings.pace {
            Some(Pace::Schedule { compression, clock }) => {
                Some(Schedule::new(*compression, Arc::clone(clock)))
            }
            Some(Pace::Pause(..)) | None => None,
        };
        Ok(Self { settings, log, mark, position, batch: Batch::default(), appended: 0, schedule })
    }

    fn add(&mut self, keyed: Keyed, record: &[u8]) {
        let partition = keyed.zone.map_or(0, |zone| partition_of_zone(zone, self.settings.partitions));
        self.batch.parts.entry(partition).or_default().push(record);
        self.batch.records += 1;
    }

    async fn pause(&self, length: Duration) {
        if let Some(Pace::Schedule { clock, .. } | Pace::Pause(_, clock)) = &self.settings.pace {
            clock.pause(length).await;
        }
    }

    async fn flush(&mut self) -> Result<(), ImportError> {
        let batch = std::mem::take(&mut self.batch);
        if batch.records == 0 {
            return Ok(());
        }
        self.position.records += batch.records as u64;
        self.appended += batch.records as u64;
        let parts = batch.parts.into_iter().map(|(partition, records)| (partition, records.finish()));
        self.append(parts.collect()).await?;
        if let Some(Pace::Pause(length, _)) = &self.settings.pace {
            self.pause(*length).await;
        }
        Ok(())
    }

    /// Whether a run before left nothing to append.
    fn is_done(&self) -> bool {
        self.position.complete && !self.lacks_end()
    }

    fn lacks_end(&self) -> bool {
        self.settings.end_of_input && !self.position.ended
    }

    async fn finish(&mut self, last_time: Option<Millis>) -> Result<(), ImportError> {
        self.flush().await?;
        let end = self.lacks_end();
        self.position.complete = true;
        self.position.ended |= end;
        let time = last_time.unwrap_or(EARLIEST_EVENT_TIME);
        let ends = (0..self.settings.partitions).filter(|_| end);
        let parts = ends.map(|partition| (partition, self.input_ended(partition, time))).collect();
        self.append(parts).await
    }

    fn input_ended(&self, partition: Partition, event_time: Millis) -> Records {
        let id = id_in_partition(end_id(&self.position.content), partition);
        std::iter::once(input_ended(id, event_time, &self.settings.tenant)).collect()
    }

    async fn append(&self, parts: Vec<(Partition, Records)>) -> Result<(), ImportError> {
        let at = |partition| StreamPartition { stream: Stream::Events, partition };
        let parts = parts.into_iter().map(|(partition, records)| (at(partition), records)).collect();
        let position = Bytes::from(postcard::to_allocvec(&self.position).unwrap_or_default());
        let mark = Mark { name: self.mark.clone(), position };
        self.log.append_marked(parts, mark).await?;
        Ok(())
    }
}

/// Identity of the end of an input with this content; each partition has one derived from it.
pub(super) fn end_id(content: &[u8; 32]) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, content)
}

/// The record that ends an input.
pub(super) fn input_ended(event_id: Uuid, event_time: Millis, tenant: &str) -> Vec<u8> {
    let record = CompanionRecord {
        event_id,
        event_time,
        event_publication_time: Some(event_time),
        curb_zone_id: None,
        body: CompanionBody::InputEnded {},
        ext: Ext {
            schema_version: 1,
            tenant: tenant.to_owned(),
            quality: Some(Quality::Replayed),
            ..Ext::default()
        },
    };
    // A struct of plain fields always has a JSON form.
    serde_json::to_vec(&record).unwrap_or_default()
}

#[cfg(test)]
pub(in crate::command) mod tests;

//! `parking replay`: files of old readings, played into the event log in the order of their time.
//!
//! Must not know what a log does with records, and must not keep a file in memory: opening a file reads
//! it once and keeps one entry for each stretch of rows in order; playing merges these stretches.
//!
//! Invariants: a file is checked whole before its first record is appended, so a broken one leaves
//! nothing behind; the order (time, file, place in the file) depends on the content alone; each row of a
//! CSV file becomes the same records each time, byte for byte.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    fs::File,
    path::{Path, PathBuf},
    str::FromStr,
};

use parking_crds::event::{EARLIEST_EVENT_TIME, EventType, Ext, Millis, ParkingEvent, Quality, SourceType};
use serde::Serialize;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::import::{ImportError, ImportReport, ImportSettings, Keyed, Progress, Source, import};
use crate::ports::event_log::MarkedLog;

pub mod birmingham;
mod cds;
mod columns;
mod lines;
pub mod melbourne;

pub use lines::LINE_LIMIT;
use lines::{LineWindow, Lines};

/// Root of the ids that are derived from names in files: UUIDv5 of `https://parking.tinyx.io`.
pub const NAMESPACE: Uuid = Uuid::from_u128(0x6b0c_ca60_6a0e_56bf_863a_db4d_bbd5_51de);

/// The kinds of files that can be played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Counts of whole car parks, as Birmingham published them.
    Birmingham,
    /// A snapshot of on-street bay sensors, as Melbourne publishes it.
    Melbourne,
    /// Curb Data Specification events, one JSON object a line.
    CdsNdjson,
}

impl Format {
    /// All formats.
    pub const ALL: [Self; 3] = [Self::Birmingham, Self::Melbourne, Self::CdsNdjson];

    /// Its name on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Birmingham => "birmingham",
            Self::Melbourne => "melbourne",
            Self::CdsNdjson => "cds-ndjson",
        }
    }

    fn mapper(self, header: &[u8], tenant: &str) -> Result<Box<dyn Mapper>, &'static str> {
        Ok(match self {
            Self::Birmingham => Box::new(birmingham::Readings::open(header, tenant)?),
            Self::Melbourne => Box::new(melbourne::Bays::open(header, tenant)?),
            Self::CdsNdjson => Box::new(cds::Events::open(tenant)),
        })
    }

    fn has_header(self) -> bool {
        self != Self::CdsNdjson
    }
}

impl FromStr for Format {
    type Err = ReplayError;

    fn from_str(name: &str) -> Result<Self, ReplayError> {
        let found = Self::ALL.into_iter().find(|format| format.as_str() == name);
        found.ok_or_else(|| ReplayError::UnknownFormat { name: name.to_owned() })
    }
}

/// Why a file cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The format is none of ours.
    #[error("`{name}` is no replay format: use birmingham, melbourne or cds-ndjson")]
    UnknownFormat {
        /// As given.
        name: String,
    },
    /// The file cannot be opened or read.
    #[error("{}: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        error: std::io::Error,
    },
    /// A column that the format needs is not in the header.
    #[error("{}, line 1: the column `{column}` is missing", path.display())]
    MissingColumn {
        /// The file.
        path: PathBuf,
        /// The column.
        column: &'static str,
    },
    /// A line is longer than [`LINE_LIMIT`].
    #[error("{}, line {line}: longer than {LINE_LIMIT} bytes", path.display())]
    LineTooLong {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: u64,
    },
    /// A row is not what the header promises.
    #[error("{}, line {line}{flaw}", path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: u64,
        /// What is wrong with it.
        flaw: Flaw,
    },
}

impl ReplayError {
    fn unreadable(path: &Path, error: std::io::Error) -> Self {
        Self::Unreadable { path: path.into(), error }
    }
}

/// What can be wrong with a row.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// Bytes that are no UTF-8.
    #[error(", byte {byte}: not UTF-8")]
    NotUtf8 {
        /// Of the line, from 1.
        byte: usize,
    },
    /// Fields are missing, as in a line that was cut, or too many.
    #[error(": {found} fields, the header has {needed}")]
    Width {
        /// Fields of the row.
        found: usize,
        /// Fields of the header.
        needed: usize,
    },
    /// A field cannot be read.
    #[error(", field `{field}`: `{value}` is no {wanted}")]
    Field {
        /// The column.
        field: &'static str,
        /// As written, cut to 40 characters.
        value: String,
        /// What should stand there.
        wanted: &'static str,
    },
}

impl Flaw {
    fn field(field: &'static str, value: &str, wanted: &'static str) -> Self {
        Self::Field { field, value: value.chars().take(40).collect(), wanted }
    }
}

/// Turns the rows of one file into records. A row gives one record for each facet, each at its own time.
trait Mapper: Send {
    fn facets(&self) -> u8 {
        1
    }

    /// When the record of this facet is due; `None` keeps its place behind the row before.
    fn time(&self, row: &[u8], facet: u8) -> Result<Option<Millis>, Flaw>;

    /// Replaces `record` by the record of this facet and tells its key.
    fn record(&self, row: &[u8], facet: u8, record: &mut Vec<u8>) -> Result<Option<Uuid>, Flaw>;
}

/// A stretch of rows of one file whose times do not go back, from its first row that was not played yet.
/// Ordered as it is played: by time, then file, place and facet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Stretch {
    time: Millis,
    file: usize,
    offset: u64,
    facet: u8,
    line: u64,
    rows: u64,
}

struct Opened {
    path: PathBuf,
    file: File,
    mapper: Box<dyn Mapper>,
}

/// Files that were checked and wait to be played.
pub struct Replay {
    name: String,
    content: [u8; 32],
    records: u64,
    files: Vec<Opened>,
    stretches: BinaryHeap<Reverse<Stretch>>,
    window: LineWindow,
    settings: ImportSettings,
}

impl Replay {
    /// Opens and checks one file.
    pub fn open(format: Format, path: &Path, settings: ImportSettings) -> Result<Self, ReplayError> {
        Self::open_all(format, &[path.to_owned()], settings)
    }

    /// Opens and checks files that are merged by time.
    pub fn open_all(
        format: Format,
        paths: &[PathBuf],
        settings: ImportSettings,
    ) -> Result<Self, ReplayError> {
        let mut content = Sha256::new();
        let mut files = Vec::new();
        let mut stretches = Vec::new();
        for path in paths {
            let file = File::open(path).map_err(|error| ReplayError::unreadable(path, error))?;
            let (mapper, digest) = survey(format, (files.len(), path, &file), &settings, &mut stretches)?;
            content.update(digest);
            files.push(Opened { path: path.clone(), file, mapper });
        }
        let names = paths.iter().filter_map(|path| path.file_name()).map(|name| name.to_string_lossy());
        Ok(Self {
            name: format!("replay:{}", names.collect::<Vec<_>>().join(",")),
            content: content.finalize().into(),
            records: stretches.iter().map(|stretch| stretch.rows).sum(),
            files,
            stretches: stretches.into_iter().map(Reverse).collect(),
            window: LineWindow::default(),
            settings,
        })
    }

    /// Appends what the log does not have yet.
    pub async fn run(
        &mut self,
        log: &dyn MarkedLog,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<ImportReport, ImportError> {
        let settings = self.settings.clone();
        import(self, &settings, log, progress).await
    }
}

impl Source for Replay {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn content(&self) -> [u8; 32] {
        self.content
    }

    fn total(&self) -> Option<u64> {
        Some(self.records)
    }

    fn next(&mut self, record: &mut Vec<u8>) -> Result<Option<Keyed>, ReplayError> {
        let Some(mut top) = self.stretches.peek_mut() else { return Ok(None) };
        let Reverse(stretch) = *top;
        let Some(opened) = self.files.get(stretch.file) else { return Ok(None) };
        let place = (stretch.file, &opened.file, opened.path.as_path());
        let refuse = |line, flaw| ReplayError::Row { path: opened.path.clone(), line, flaw };
        let (row, next) = self.window.line(place, stretch.offset)?;
        let zone =
            opened.mapper.record(row, stretch.facet, record).map_err(|flaw| refuse(stretch.line, flaw))?;
        if stretch.rows > 1 {
            let (line, rows) = (stretch.line + 1, stretch.rows - 1);
            let (row, _) = self.window.line(place, next)?;
            let time = opened.mapper.time(row, stretch.facet).map_err(|flaw| refuse(line, flaw))?;
            let time = time.unwrap_or(stretch.time);
            *top = Reverse(Stretch { time, offset: next, line, rows, ..stretch });
        } else {
            std::collections::binary_heap::PeekMut::pop(top);
        }
        Ok(Some(Keyed { zone, time: stretch.time }))
    }
}

/// An event with what every replayed one has; publication time is event time.
fn event(
    event_id: Uuid,
    event_type: EventType,
    time: Millis,
    zone: Uuid,
    (source, device): (SourceType, Uuid),
) -> ParkingEvent {
    ParkingEvent {
        event_id,
        event_type,
        event_purpose: None,
        event_location: None,
        event_time: time,
        event_publication_time: time,
        event_session_id: None,
        curb_zone_id: zone,
        curb_area_ids: Vec::new(),
        curb_space_id: None,
        data_source_type: source,
        data_source_operator_id: None,
        data_source_device_id: device,
        data_source_device_name: None,
        sensor_status_is_commissioned: None,
        sensor_status_is_online: None,
        vehicle_license_plate: None,
        vehicle_permit_number: None,
        vehicle_length: None,
        vehicle_type: None,
        vehicle_propulsion_types: Vec::new(),
        vehicle_blocked_lane_types: Vec::new(),
        curb_occupants: None,
        actual_cost: None,
        ext: Ext::default(),
    }
}

fn ext(tenant: &str) -> Ext {
    Ext { schema_version: 1, tenant: tenant.to_owned(), quality: Some(Quality::Replayed), ..Ext::default() }
}

fn write(record: &impl Serialize, bytes: &mut Vec<u8>) {
    bytes.clear();
    // Plain data always has a JSON form, and a vector takes all of it.
    let _ = serde_json::to_writer(bytes, record);
}

/// Reads a file once: checks every row, hashes the content and notes the stretches.
fn survey(
    format: Format,
    (number, path, file): (usize, &Path, &File),
    settings: &ImportSettings,
    stretches: &mut Vec<Stretch>,
) -> Result<(Box<dyn Mapper>, [u8; 32]), ReplayError> {
    let mut lines = Lines::new(path, file);
    let (mut row, mut record) = (Vec::new(), Vec::new());
    if format.has_header() {
        lines.next(&mut row)?;
    }
    let missing = |column| ReplayError::MissingColumn { path: path.into(), column };
    let mapper = format.mapper(&row, &settings.tenant).map_err(missing)?;
    let mut growing = vec![Growing::default(); usize::from(mapper.facets())];
    while let Some(at) = lines.next(&mut row)? {
        if row.is_empty() {
            // The rows of a stretch follow each other line by line.
            stretches.extend(growing.iter_mut().filter_map(|growing| growing.stretch.take()));
            continue;
        }
        for (facet, growing) in (0..).zip(&mut growing) {
            let refuse = |flaw| ReplayError::Row { path: path.into(), line: at.number, flaw };
            mapper.record(&row, facet, &mut record).map_err(refuse)?;
            let time = mapper.time(&row, facet).map_err(refuse)?.unwrap_or(growing.last);
            let first = Stretch { time, file: number, offset: at.offset, facet, line: at.number, rows: 1 };
            stretches.extend(growing.push(first));
        }
    }
    stretches.extend(growing.into_iter().filter_map(|growing| growing.stretch));
    Ok((mapper, lines.digest()))
}

/// The stretch that a survey is in.
#[derive(Clone, Copy)]
struct Growing {
    stretch: Option<Stretch>,
    last: Millis,
}

impl Default for Growing {
    fn default() -> Self {
        Self { stretch: None, last: EARLIEST_EVENT_TIME }
    }
}

impl Growing {
    /// Adds a row; answers with the stretch that it ends, if it goes back in time.
    fn push(&mut self, row: Stretch) -> Option<Stretch> {
        let goes_back = row.time < self.last;
        self.last = row.time;
        match &mut self.stretch {
            Some(stretch) if !goes_back => {
                stretch.rows += 1;
                None
            }
            stretch => stretch.replace(row),
        }
    }
}

#[cfg(test)]
mod tests;

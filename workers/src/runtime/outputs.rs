//! What a stage says to the world, collected while it steps and kept in its outbox by the commit.
//!
//! Every output carries its origin: partition, offset of the record that caused it, ordinal within
//! that record. Published twice, it is known by it.

use bytes::{Bytes, BytesMut};
use parking_crds::event::Millis;
use serde::Serialize;

use crate::ports::event_log::{Offset, Partition, Stream};

/// Where an output comes from; grows along a stage's outputs to one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, serde::Deserialize)]
pub struct Origin {
    /// The stage's partition.
    pub partition: Partition,
    /// The record that caused it.
    pub offset: Offset,
    /// From 0 for each record.
    pub ordinal: u32,
}

/// Outputs since the last commit.
#[derive(Debug)]
pub struct Outputs {
    at: Origin,
    entries: Vec<(Stream, Bytes)>,
    /// One output before it is kept; used again.
    scratch: Vec<u8>,
    /// Where outputs are kept, many in one allocation.
    arena: BytesMut,
}

const HOUR: Millis = 3_600_000;
/// Allocated for outputs at a time.
const ARENA_BYTES: usize = 64 * 1024;

impl Outputs {
    /// None yet, of a stage on this partition.
    pub fn new(partition: Partition) -> Self {
        let at = Origin { partition, offset: 0, ordinal: 0 };
        Self { at, entries: Vec::new(), scratch: Vec::new(), arena: BytesMut::new() }
    }

    /// What follows is caused by the record at `offset`.
    pub fn begin(&mut self, offset: Offset) {
        (self.at.offset, self.at.ordinal) = (offset, 0);
    }

    /// Adds one output.
    pub fn emit<T: Serialize>(&mut self, stream: Stream, body: &T) {
        #[derive(Serialize)]
        struct Output<'a, T> {
            #[serde(flatten)]
            body: &'a T,
            origin: Origin,
        }
        self.push(stream, &Output { body, origin: self.at });
    }

    /// Adds one output that carries its origin itself.
    pub fn push<T: Serialize>(&mut self, stream: Stream, output: &T) {
        self.scratch.clear();
        if serde_json::to_writer(&mut self.scratch, output).is_err() {
            return;
        }
        if self.arena.capacity() < self.scratch.len() {
            self.arena = BytesMut::with_capacity(ARENA_BYTES.max(self.scratch.len()));
        }
        self.arena.extend_from_slice(&self.scratch);
        self.entries.push((stream, self.arena.split().freeze()));
        self.at.ordinal += 1;
    }

    /// Once an hour of the log's time, and at the `end` of the input, tells the readers of `streams` how
    /// far the stage is; `told` remembers what they know.
    pub fn tell_watermark(
        &mut self,
        streams: &[Stream],
        told: &mut Option<Millis>,
        watermark: Option<Millis>,
        end: Option<Millis>,
    ) {
        let Some(watermark) = watermark.max(end) else { return };
        let hour = |time: Millis| time.div_euclid(HOUR);
        if end.is_none() && told.is_some_and(|told| hour(told) >= hour(watermark)) {
            return;
        }
        *told = Some(watermark);
        for stream in streams {
            self.emit_watermark(*stream, watermark, end.is_some());
        }
    }

    /// Tells the readers of `stream` how far the stage has come, so that silence is no doubt.
    fn emit_watermark(&mut self, stream: Stream, watermark: Millis, ended: bool) {
        #[derive(Serialize)]
        #[expect(clippy::struct_field_names, reason = "the stream's own field names")]
        struct Watermark {
            record_type: &'static str,
            watermark: Millis,
            ended: bool,
        }
        self.emit(stream, &Watermark { record_type: "watermark", watermark, ended });
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Takes all.
    pub fn take(&mut self) -> Vec<(Stream, Bytes)> {
        std::mem::take(&mut self.entries)
    }
}

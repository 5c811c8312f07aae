//! The index of the lake: what it holds in one small object, for readers without a table engine.
//!
//! Invariant: it is read off committed versions, so it is behind the tables or level with them, never ahead.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use parking_crds::{
    event::Millis,
    lake_index::{self, LakeIndex, TableState},
};

use super::{
    DeltaLake,
    statistics::{StatsError, first_event},
};
use crate::ports::lake::{Lake, Table, TableSnapshot};

const TABLES: [(lake_index::Table, Table); 3] = [
    (lake_index::Table::Events, Table::Events),
    (lake_index::Table::Sessions, Table::Sessions),
    (lake_index::Table::Alerts, Table::Alerts),
];

/// Keeps the index of one lake.
pub struct IndexWriter {
    lake: Arc<DeltaLake>,
    has_spaces: bool,
    written: Option<LakeIndex>,
    first: FirstEvent,
}

/// When the first event was, and the files that say so.
#[derive(Default)]
struct FirstEvent {
    files: BTreeSet<String>,
    time: Option<Millis>,
}

impl IndexWriter {
    /// Of a lake whose inventory has spaces, or zones alone.
    pub fn new(lake: Arc<DeltaLake>, has_spaces: bool) -> Self {
        Self { lake, has_spaces, written: None, first: FirstEvent::default() }
    }

    /// Writes the index anew, where the tables moved since the last one.
    pub async fn write(&mut self) -> Result<(), StatsError> {
        let mut index = LakeIndex { has_spaces: self.has_spaces, ..LakeIndex::default() };
        for (name, table) in TABLES {
            let snapshot = self.lake.snapshot(table).await?;
            let watermark = self.watermark(&snapshot);
            index.sources.insert(name, self.lake.source(table).to_owned());
            index.tables.extend(snapshot.version.map(|version| (name, TableState { version, watermark })));
        }
        if self.written.as_ref().is_some_and(|written| written.tables == index.tables) {
            return Ok(());
        }
        index.first_event = self.first_event().await?;
        let body = serde_json::to_vec(&index).map(Bytes::from).unwrap_or_default();
        self.lake.place().write_object(lake_index::KEY, body).await?;
        self.written = Some(index);
        Ok(())
    }

    /// A query engine is asked when files of the first date came or went, not with every commit.
    async fn first_event(&mut self) -> Result<Option<Millis>, StatsError> {
        let files = self.lake.files_of_first_date(Table::Events).await?;
        if files != self.first.files {
            let time = first_event(&self.lake).await?;
            self.first = FirstEvent { files, time };
        }
        Ok(self.first.time)
    }

    /// The least of all partitions, once each has one.
    fn watermark(&self, snapshot: &TableSnapshot) -> Option<Millis> {
        let partitions = 0..self.lake.partitions();
        let marks = partitions.map(|partition| snapshot.positions.get(&partition)?.watermark);
        marks.collect::<Option<Vec<_>>>()?.into_iter().min()
    }
}

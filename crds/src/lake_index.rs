//! What the lake holds, in one small object beside its tables, for readers without a table engine.
//!
//! Must not: be the truth. The tables' own logs are; whoever commits to a table writes this object anew afterwards,
//! and an object that is missing or old only makes statistics wait.
//! Invariants: unknown versions are refused, unknown fields are not (an older reader sees what it knows); whatever
//! the object says had been committed before it was written, so it may be behind, never ahead.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{event::Millis, version::Version};

/// Key of the object, below the lake's prefix.
pub const KEY: &str = "_parking/lake.json";

/// What the lake holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LakeIndex {
    /// Version of this contract.
    pub version: Version<1>,
    /// Time of the earliest accepted event, ms; absent before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_event: Option<Millis>,
    /// Whether a zone of any archived inventory revision has spaces, so that stays are expected.
    #[serde(default)]
    pub has_spaces: bool,
    /// Tables that have at least one commit.
    #[serde(default)]
    pub tables: BTreeMap<Table, TableState>,
    /// Name under which each table keeps its positions: it changes when a topic is made anew.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sources: BTreeMap<Table, String>,
}

/// A table that statistics read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Table {
    /// Accepted events.
    Events,
    /// Session revisions.
    Sessions,
    /// Alert transitions.
    Alerts,
}

impl Table {
    /// Every table.
    pub const ALL: [Self; 3] = [Self::Events, Self::Sessions, Self::Alerts];

    /// The name of the table.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Sessions => "sessions",
            Self::Alerts => "alerts",
        }
    }
}

/// How far a table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TableState {
    /// Version of the table.
    pub version: u64,
    /// The least watermark over all partitions, ms; absent while a partition has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watermark: Option<Millis>,
}

impl LakeIndex {
    /// Reads the object's text.
    pub fn parse(text: &[u8]) -> Result<Self, LakeIndexError> {
        serde_json::from_slice(text).map_err(|error| LakeIndexError(error.to_string()))
    }

    /// The watermark of a table, if every partition has one.
    pub fn watermark(&self, table: Table) -> Option<Millis> {
        self.tables.get(&table)?.watermark
    }
}

/// The object is no lake index of this version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the lake's index {KEY} cannot be read: {0}")]
pub struct LakeIndexError(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_fields_are_passed_over_and_unknown_versions_refused() {
        let text = r#"{"version":1,"firstEvent":5,"tables":{"events":{"version":3,"watermark":9,"more":1}},"more":{}}"#;
        let index = LakeIndex::parse(text.as_bytes()).unwrap();
        assert_eq!((index.first_event, index.watermark(Table::Events)), (Some(5), Some(9)));
        assert_eq!(index.watermark(Table::Sessions), None);
        let error = LakeIndex::parse(br#"{"version":2}"#).unwrap_err();
        assert!(error.to_string().contains("version 2"), "{error}");
    }
}

//! Which windows of a statistics job have a result, in one small object beside the result's tables.
//!
//! Must not: be the truth. The result tables are: a run reads there which windows it may leave out, and writes this
//! object anew after its commit, so that an object that is missing or old costs a run that finds nothing to do.
//! Invariants: ranges are sorted and neither meet nor overlap; unknown versions are refused; whatever the object says
//! is done was committed to every sink before it was written.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use crate::{event::Millis, names::JobName, stats_job::RunResult, time::Window, version::Version};

/// Key of a job's object, below the lake's prefix.
pub fn key(job: &JobName) -> String {
    format!("_parking/stats/{job}.json")
}

/// Which windows have a result.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatsIndex {
    /// Version of this contract.
    pub version: Version<1>,
    /// The computation (see `Computation::id`) whose windows these are.
    pub computation: String,
    /// Stretches of windows with a result, oldest first.
    #[serde(default)]
    pub done: DoneRanges,
    /// Versions of the tables that the newest run read.
    #[serde(default)]
    pub read: BTreeMap<String, u64>,
    /// How the newest run ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_result: Option<RunResult>,
}

impl StatsIndex {
    /// Reads the object's text.
    pub fn parse(text: &[u8]) -> Result<Self, StatsIndexError> {
        serde_json::from_slice(text).map_err(|error| StatsIndexError(error.to_string()))
    }
}

/// Stretches of time that neither meet nor overlap, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct DoneRanges(Vec<Window>);

impl DoneRanges {
    /// Adds a stretch of windows.
    pub fn add(&mut self, range: Window) {
        if range.start >= range.end {
            return;
        }
        let (mut whole, mut kept) = (range, Vec::with_capacity(self.0.len() + 1));
        for &known in &self.0 {
            if known.end < whole.start || whole.end < known.start {
                kept.push(known);
            } else {
                whole = Window { start: whole.start.min(known.start), end: whole.end.max(known.end) };
            }
        }
        let place = kept.partition_point(|known| known.start < whole.start);
        kept.insert(place, whole);
        self.0 = kept;
    }

    /// Whether all of a stretch is done.
    pub fn covers(&self, range: Window) -> bool {
        self.holding(range.start).is_some_and(|known| range.end <= known.end)
    }

    /// The stretch that holds an instant.
    pub fn holding(&self, time: Millis) -> Option<Window> {
        let place = self.0.partition_point(|known| known.end <= time);
        self.0.get(place).copied().filter(|known| known.start <= time)
    }

    /// The stretches, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Window> + '_ {
        self.0.iter().copied()
    }
}

impl FromIterator<Window> for DoneRanges {
    fn from_iter<I: IntoIterator<Item = Window>>(ranges: I) -> Self {
        let mut done = Self::default();
        ranges.into_iter().for_each(|range| done.add(range));
        done
    }
}

impl<'de> Deserialize<'de> for DoneRanges {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Vec::<Window>::deserialize(deserializer)?.into_iter().collect())
    }
}

/// The object is no index of this version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the index of the statistics cannot be read: {0}")]
pub struct StatsIndexError(String);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_object_reads_back_and_other_versions_are_refused() {
        let index = StatsIndex {
            computation: "00".to_owned(),
            done: [Window { start: 5, end: 9 }].into_iter().collect(),
            last_result: Some(RunResult::Unchanged),
            ..StatsIndex::default()
        };
        let text = serde_json::to_string(&index).unwrap();
        assert!(text.contains(r#""done":[{"start":5,"end":9}]"#), "{text}");
        assert_eq!(StatsIndex::parse(text.as_bytes()).unwrap(), index);
        let other = text.replace(r#""version":1"#, r#""version":7"#);
        assert!(StatsIndex::parse(other.as_bytes()).unwrap_err().to_string().contains("version 7"));
    }

    proptest! {
        #[test]
        fn ranges_hold_exactly_what_was_added(added in prop::collection::vec((0_i64..40, 0_i64..6), 0..12)) {
            let ranges: DoneRanges =
                added.iter().map(|&(start, length)| Window { start, end: start + length }).collect();
            for unit in 0..50 {
                let inside = added.iter().any(|&(start, length)| (start..start + length).contains(&unit));
                prop_assert_eq!(ranges.covers(Window { start: unit, end: unit + 1 }), inside);
            }
            let apart = ranges.iter().zip(ranges.iter().skip(1)).all(|(a, b)| a.end < b.start);
            prop_assert!(apart);
        }
    }
}

//! The streams of a pipeline; each becomes one topic.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One of the four logs of a pipeline. All have the same number of partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Stream {
    /// Everything that must keep order for one zone: events, companion records, ticks.
    Events,
    /// Parking sessions and their corrections.
    Sessions,
    /// State changes of alerts.
    Alerts,
    /// Records that could not be used, with the reason.
    DeadLetters,
}

impl Stream {
    /// Every stream, inputs first.
    pub const ALL: [Self; 4] = [Self::Events, Self::Sessions, Self::Alerts, Self::DeadLetters];

    /// The last part of the topic's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Sessions => "sessions",
            Self::Alerts => "alerts",
            Self::DeadLetters => "dead-letters",
        }
    }
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

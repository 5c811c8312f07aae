//! What the holder of an API key may do.

use std::sync::Arc;

use serde::Deserialize;

/// What the holder of a key may write, and how much of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Id of the key; never the key.
    pub id: Arc<str>,
    /// Whose records; `None`: each record's own tenant.
    pub tenant: Option<String>,
    /// Which records.
    pub rights: Rights,
    /// How many.
    pub limits: Limits,
}

impl Grant {
    /// What everybody may do where no key is asked for: write live records of any tenant, play none again.
    pub fn without_keys(limits: Limits) -> Self {
        let rights = Rights { write: true, replay: false };
        Self { id: Arc::from("anyone"), tenant: None, rights, limits }
    }
}

/// Which records may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rights {
    /// Live ones: they are published now.
    pub write: bool,
    /// Those that carry their own publication time: replayed ones, simulated ones, ticks, ends of input.
    pub replay: bool,
}

/// How much may be written; absent means as much as is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Limits {
    /// Records a second.
    pub records_per_second: Option<u32>,
    /// Bytes of records a second.
    pub bytes_per_second: Option<u32>,
}

impl Limits {
    /// These, and where they are silent those.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            records_per_second: self.records_per_second.or(other.records_per_second),
            bytes_per_second: self.bytes_per_second.or(other.bytes_per_second),
        }
    }
}

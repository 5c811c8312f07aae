//! What is shown of zones and alerts: on the command line, over HTTP, and between the two.
//!
//! Invariants: times are RFC 3339 in UTC; what nobody knows is absent or `null`, never zero (G6).

use jiff::Timestamp;
use parking_crds::event::Millis;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// One alert.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AlertRow {
    /// Its id.
    #[schemars(with = "String", extend("format" = "uuid"))]
    pub alert_id: Uuid,
    /// The rule that raised it.
    pub rule: String,
    /// How bad it is.
    pub severity: String,
    /// `firing`, `nodata` or `resolved`.
    pub state: String,
    /// The city's code of the zone.
    pub zone: String,
    /// Its id; absent for alerts of no zone.
    #[schemars(with = "Option<String>", extend("format" = "uuid"))]
    pub zone_id: Option<Uuid>,
    /// The value that fired, as the rule shows it.
    pub value: String,
    /// When it fired.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub starts_at: Timestamp,
    /// When it was over.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub ends_at: Option<Timestamp>,
    /// Whether old data caused it.
    pub replayed: bool,
}

/// One zone as it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ZoneRow {
    /// The city's code.
    pub zone: String,
    /// Its id.
    #[schemars(with = "String", extend("format" = "uuid"))]
    pub zone_id: Uuid,
    /// N.
    pub capacity: u32,
    /// Vehicles; unknown where nothing is known.
    pub occupied: Option<u32>,
    /// Spaces of which nothing is known.
    pub unknown: u32,
    /// occupied ÷ (N − unknown), unclipped.
    pub occupancy: Option<f64>,
    /// Time of the newest record.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub as_of: Option<Timestamp>,
}

/// One zone with its spaces.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ZoneDetail {
    /// The zone.
    #[serde(flatten)]
    pub zone: ZoneRow,
    /// For people.
    pub name: String,
    /// Its class.
    pub class: String,
    /// Whether it is closed.
    pub closed: bool,
    /// Its watched spaces; none where vehicles are counted.
    pub spaces: Vec<SpaceRow>,
}

/// One watched space.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SpaceRow {
    /// CDS `curb_space_id`.
    #[schemars(with = "String", extend("format" = "uuid"))]
    pub space_id: Uuid,
    /// What is painted on it.
    pub number: String,
    /// Who is there.
    pub state: SpaceStatus,
    /// Since when a vehicle stands there.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub since: Option<Timestamp>,
}

/// What is known of a space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SpaceStatus {
    /// Nothing.
    Unknown,
    /// No vehicle.
    Free,
    /// A vehicle.
    Occupied,
    /// It is not counted.
    OutOfService,
}

/// An instant; the epoch where `millis` is no time at all.
pub fn instant(millis: Millis) -> Timestamp {
    Timestamp::from_millisecond(millis).unwrap_or_default()
}

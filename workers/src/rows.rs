//! What is shown of zones and alerts: on the command line, over HTTP, and as live rows in a store.
//!
//! Must not fetch or keep anything: rows are made from what a stage or a stream holds.
//! Invariants: times are RFC 3339 in UTC; what nobody knows is absent or `null`, never zero (G6).

use jiff::Timestamp;
use parking_crds::{
    event::Millis,
    inventory::{Inventory, Zone},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::{
    alert::{AlertRecord, bare_name},
    track::{Presence, SpaceView, Tracker, ZoneState},
};

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

impl AlertRow {
    /// The row of a record.
    pub fn of(alert: &AlertRecord, inventory: &Inventory) -> Self {
        let zone_id = alert.labels.get("curb_zone_id").and_then(|id| id.parse().ok());
        let zone = zone_id.and_then(|id| inventory.latest().zone(id));
        Self {
            alert_id: alert.alert_id,
            rule: bare_name(&alert.rule).to_owned(),
            severity: alert.severity.as_str().to_owned(),
            state: alert.state.as_str().to_owned(),
            zone: zone.map(|zone| zone.user_zone_id.clone()).unwrap_or_default(),
            zone_id,
            value: alert.value.clone(),
            starts_at: instant(alert.starts_at),
            ends_at: alert.ends_at.map(instant),
            replayed: alert.replayed,
        }
    }
}

impl ZoneRow {
    /// A zone at a watermark; `None` of a zone that the inventory does not have then.
    pub fn of(place: &Zone, tracker: &Tracker, watermark: Option<Millis>) -> Option<Self> {
        let view = tracker.view(place.id, watermark.unwrap_or(Millis::MIN))?;
        let known = view.capacity.saturating_sub(view.unknown);
        Some(Self {
            zone: place.user_zone_id.clone(),
            zone_id: place.id,
            capacity: view.capacity,
            occupied: (known > 0).then_some(view.occupied),
            unknown: view.unknown,
            occupancy: (known > 0).then(|| f64::from(view.occupied) / f64::from(known)),
            as_of: tracker.state(place.id).and_then(ZoneState::last_record).map(instant),
        })
    }
}

impl ZoneDetail {
    /// As [`ZoneRow::of`].
    pub fn of(place: &Zone, tracker: &Tracker, watermark: Option<Millis>) -> Option<Self> {
        let state = tracker.state(place.id);
        let spaces = place.spaces.iter().map(|space| {
            let known = state.and_then(|state| state.space(space.id));
            SpaceRow {
                space_id: space.id,
                number: space.number.clone(),
                state: known.map_or(SpaceStatus::Unknown, SpaceStatus::of),
                since: known.and_then(|view| view.since).map(instant),
            }
        });
        Some(Self {
            zone: ZoneRow::of(place, tracker, watermark)?,
            name: place.name.clone(),
            class: place.class.clone(),
            closed: state.is_some_and(ZoneState::is_closed),
            spaces: spaces.collect(),
        })
    }
}

impl SpaceStatus {
    const fn of(view: SpaceView) -> Self {
        match (view.out_of_service, view.presence) {
            (true, _) => Self::OutOfService,
            (_, Presence::Unknown) => Self::Unknown,
            (_, Presence::Free) => Self::Free,
            (_, Presence::Occupied) => Self::Occupied,
        }
    }
}

/// An instant; the epoch where `millis` is no time at all.
pub fn instant(millis: Millis) -> Timestamp {
    Timestamp::from_millisecond(millis).unwrap_or_default()
}

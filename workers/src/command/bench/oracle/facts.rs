//! Records as the oracle reads them: with another parser, into owned values, whole.

use std::borrow::Cow;

use hashbrown::HashMap;
use parking_crds::inventory::Inventory;
use serde::Deserialize;
use serde_json::{Value, error::Category};
use uuid::Uuid;

/// Hash maps whose order nobody looks at.
pub(super) type Map<K, V> = HashMap<K, V, foldhash::fast::FixedState>;

const DAY: i64 = 86_400_000;
const FIVE_MINUTES: i64 = 300_000;
const BEGIN_OF_2010: i64 = 1_262_304_000_000;

/// A zone with its spaces and devices numbered.
pub(super) struct Place {
    pub(super) id: Uuid,
    pub(super) capacity: u32,
    pub(super) max_stay: Option<i64>,
    pub(super) spaces: Vec<Uuid>,
    pub(super) devices: Vec<Uuid>,
    space_numbers: Map<Uuid, u32>,
    device_numbers: Map<Uuid, u32>,
}

/// All zones of the newest inventory.
pub(super) struct Places {
    pub(super) all: Vec<Place>,
    numbers: Map<Uuid, u32>,
}

impl Places {
    pub(super) fn new(inventory: &Inventory) -> Self {
        let zones = inventory.latest().zones();
        let place = |zone: &parking_crds::inventory::Zone| {
            let spaces: Vec<_> = zone.spaces.iter().map(|space| space.id).collect();
            let devices: Vec<_> = zone.devices.iter().map(|device| device.id).collect();
            Place {
                id: zone.id,
                capacity: zone.capacity,
                max_stay: zone.policy.max_stay.map(parking_crds::duration::Duration::millis),
                space_numbers: spaces.iter().copied().zip(0..).collect(),
                device_numbers: devices.iter().copied().zip(0..).collect(),
                spaces,
                devices,
            }
        };
        Self {
            all: zones.iter().map(place).collect(),
            numbers: zones.iter().map(|zone| zone.id).zip(0..).collect(),
        }
    }
}

/// What a usable record tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Arrived,
    Left,
    Present,
    Absent,
    Lost,
    Restored,
    Closed(bool),
    OutOfService(bool),
}

/// A usable record.
#[derive(Clone, Debug)]
pub(super) struct Fact {
    pub(super) id: Uuid,
    pub(super) told: Told,
    pub(super) time: i64,
    pub(super) published: i64,
    pub(super) zone: u32,
    pub(super) space: Option<u32>,
    pub(super) device: Option<u32>,
    pub(super) device_id: Uuid,
    pub(super) session: Option<Uuid>,
    /// Number in the list of boots.
    pub(super) boot: u32,
    pub(super) seq: Option<u64>,
}

#[derive(Deserialize)]
struct Line<'a> {
    event_id: Option<Uuid>,
    #[serde(borrow)]
    event_type: Option<Cow<'a, str>>,
    #[serde(borrow)]
    record_type: Option<Cow<'a, str>>,
    event_time: Option<Value>,
    event_publication_time: Option<i64>,
    event_session_id: Option<Uuid>,
    curb_zone_id: Option<Uuid>,
    curb_space_id: Option<Uuid>,
    data_source_device_id: Option<Uuid>,
    curb_occupants: Option<Vec<Value>>,
    closed: Option<bool>,
    out_of_service: Option<bool>,
    #[serde(borrow)]
    ext: Option<Ext<'a>>,
}

#[derive(Deserialize)]
struct Ext<'a> {
    seq: Option<u64>,
    #[serde(borrow)]
    boot_id: Option<Cow<'a, str>>,
    occupied: Option<i64>,
}

/// Boots by number, in the order of their first sight.
#[derive(Default)]
pub(super) struct Boots {
    names: Vec<String>,
    numbers: Map<String, u32>,
}

impl Boots {
    fn number(&mut self, name: &str) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        self.names.push(name.to_owned());
        self.numbers.insert(name.to_owned(), number);
        number
    }

    /// The name, which orders records of one time.
    pub(super) fn name(&self, number: u32) -> &str {
        self.names.get(number as usize).map_or("", String::as_str)
    }
}

/// Reads one record; a reason why it cannot be used otherwise.
pub(super) fn read(bytes: &[u8], places: &Places, boots: &mut Boots) -> Result<Fact, &'static str> {
    let text = std::str::from_utf8(bytes).map_err(|_| "not_utf8")?;
    let line: Line<'_> = serde_json::from_str(text).map_err(|error| match error.classify() {
        Category::Data => "invalid_value",
        _ => "malformed",
    })?;
    let told = told(&line)?;
    let time = line.event_time.as_ref().ok_or("missing_field")?.as_i64().ok_or("invalid_value")?;
    if time < BEGIN_OF_2010 {
        return Err("invalid_value");
    }
    let zone_id = line.curb_zone_id.ok_or("missing_field")?;
    let zone = *places.numbers.get(&zone_id).ok_or("unknown_zone")?;
    let place = places.all.get(zone as usize).ok_or("unknown_zone")?;
    let ext = line.ext.ok_or("missing_field")?;
    let space = match line.curb_space_id {
        Some(id) => Some(*place.space_numbers.get(&id).ok_or("unknown_space")?),
        None => None,
    };
    if ext.occupied.is_some_and(|occupied| occupied < 0) {
        return Err("negative_count");
    }
    let published = line.event_publication_time.unwrap_or(time);
    if published - time > DAY {
        return Err("too_old");
    }
    if time - published > FIVE_MINUTES {
        return Err("too_far_ahead");
    }
    let device_id = line.data_source_device_id.unwrap_or_default();
    Ok(Fact {
        id: line.event_id.ok_or("missing_field")?,
        told,
        time,
        published,
        zone,
        space,
        device: place.device_numbers.get(&device_id).copied(),
        device_id,
        session: line.event_session_id,
        boot: boots.number(ext.boot_id.as_deref().unwrap_or("")),
        seq: ext.seq,
    })
}

fn told(line: &Line<'_>) -> Result<Told, &'static str> {
    let Some(event) = line.event_type.as_deref() else {
        return match line.record_type.as_deref().ok_or("missing_field")? {
            "zone.closed" => Ok(Told::Closed(line.closed.ok_or("missing_field")?)),
            "space.out_of_service" => Ok(Told::OutOfService(line.out_of_service.ok_or("missing_field")?)),
            _ => Err("unknown_type"),
        };
    };
    Ok(match event {
        "park_start" => Told::Arrived,
        "park_end" => Told::Left,
        "comms_lost" => Told::Lost,
        "comms_restored" => Told::Restored,
        "scheduled_report" => match line.curb_occupants.as_ref().ok_or("missing_field")?.len() {
            0 => Told::Absent,
            _ => Told::Present,
        },
        _ => return Err("unknown_type"),
    })
}

//! The input of a run, made from its seed: an inventory and, for each partition, batches of records
//! that a producer will append in this order.
//!
//! What makes an input hard stands here as small stories of a space, a zone or a device: departures
//! that come late, arrivals that were missed, counts that go stale, devices that fall silent or start
//! anew, records sent twice, records that nobody can use, a long silence.
//!
//! Invariant: a story puts right only what it began itself, and the next one on the same space begins
//! after it: so the truth can be told by sorting, which is what the oracle does.

mod places;
mod stories;

use std::sync::Arc;

use bytes::Bytes;
use parking_crds::{
    event::Millis,
    inventory::{Inventory, InventoryFile, Revision, Zone},
};
use parking_workers::domain::{partitioner::partition_of_zone, verdict::EventLimits};
use uuid::Uuid;

use self::places::zones;
use crate::{
    chance::Chance,
    record::{Numbered, RecordText},
};

const START: Millis = 1_760_601_600_000;
const MINUTE: Millis = 60_000;
const HOUR: Millis = 60 * MINUTE;
const ZONES: usize = 6;
/// Stories of a zone before and after the silence.
const STORIES: usize = 28;

/// What a run is fed with.
pub(crate) struct Script {
    pub(crate) inventory: Arc<Inventory>,
    pub(crate) limits: EventLimits,
    pub(crate) partitions: u32,
    /// Batches of each partition.
    pub(crate) batches: Vec<Vec<Vec<Bytes>>>,
}

impl Script {
    pub(crate) fn new(seed: u64) -> Self {
        let mut chance = Chance::new(seed, 1);
        let partitions = 3 + u32::try_from(chance.below(2)).unwrap();
        let zones = zones(&mut chance, partitions);
        let mut author = Author::new(&zones, partitions, chance);
        author.write();
        let batches = author.timelines.into_iter().map(|timeline| timeline.batches).collect();
        let valid_from = jiff::Timestamp::from_millisecond(START - HOUR).unwrap();
        let revision = Revision {
            valid_from,
            time_zone: "Europe/London".into(),
            holidays: vec![],
            areas: vec![],
            zones,
        };
        let inventory = Inventory::validate(InventoryFile { revisions: vec![revision] }).unwrap();
        Self { inventory: Arc::new(inventory), limits: EventLimits::default(), partitions, batches }
    }

    /// Records, each counted once.
    pub(crate) fn records(&self) -> usize {
        self.batches.iter().flatten().map(Vec::len).sum()
    }
}

/// One record and when it reaches the log.
struct Delivery {
    at: Millis,
    bytes: Bytes,
    /// It may come again after a memory of ids ended, and still do no harm.
    harmless: bool,
}

#[derive(Default)]
struct Timeline {
    open: Vec<Delivery>,
    batches: Vec<Vec<Bytes>>,
    kept: Vec<Bytes>,
}

struct Spot {
    space: Option<Uuid>,
    sender: Sender,
    occupied: bool,
    now: Millis,
}

/// A device that may number its records.
#[derive(Clone)]
struct Sender {
    device: Uuid,
    numbers: Option<(u32, u64)>,
    names_boots: bool,
}

impl Sender {
    fn next(&mut self) -> Option<Numbered> {
        let (_, seq) = self.numbers.as_mut()?;
        *seq += 1;
        let seq = *seq;
        Some(self.number(seq))
    }

    fn number(&self, seq: u64) -> Numbered {
        let boot = self.numbers.map(|(boot, _)| boot).filter(|_| self.names_boots);
        Numbered { boot, seq }
    }
}

struct Site {
    zone: Uuid,
    partition: usize,
    capacity: i64,
    spots: Vec<Spot>,
}

struct Author {
    chance: Chance,
    sites: Vec<Site>,
    timelines: Vec<Timeline>,
    /// No record of the present era is delivered before it.
    era: Millis,
}

impl Author {
    fn new(zones: &[Zone], partitions: u32, mut chance: Chance) -> Self {
        let mut site = |zone: &Zone| {
            let spots = zone.devices.iter().map(|device| Spot {
                space: device.space,
                sender: Sender {
                    device: device.id,
                    numbers: chance.hits(750).then_some((1, 0)),
                    names_boots: chance.hits(700),
                },
                occupied: false,
                now: START + chance.between(0, 10 * MINUTE),
            });
            Site {
                zone: zone.id,
                partition: partition_of_zone(zone.id, partitions) as usize,
                capacity: i64::from(zone.capacity),
                spots: spots.collect(),
            }
        };
        let sites = zones.iter().map(&mut site).collect();
        let timelines = (0..partitions).map(|_| Timeline::default()).collect();
        Self { chance, sites, timelines, era: START }
    }

    fn write(&mut self) {
        self.stories();
        self.jump();
        self.close_era();
        let silence = if self.chance.hits(600) { 30 * HOUR } else { 20 * MINUTE };
        self.silence(silence);
        self.stories();
        self.below_the_window();
        self.close_era();
        if self.chance.hits(700) {
            let end = self.era;
            for partition in 0..self.timelines.len() {
                let ended = RecordText::control("input.ended", self.chance.uuid(), end);
                self.deliver(partition, end, ended, true);
            }
            self.close_era();
        }
    }

    fn stories(&mut self) {
        for site in 0..self.sites.len() {
            for _ in 0..STORIES {
                let spot = self.chance.index(self.sites[site].spots.len());
                let gap = if self.chance.hits(80) { 25 * MINUTE } else { 4 * MINUTE };
                let gap = self.chance.between(5_000, gap);
                let spot_state = &mut self.sites[site].spots[spot];
                spot_state.now = spot_state.now.max(self.era) + gap;
                if spot_state.space.is_some() {
                    self.story_of_a_space(site, spot);
                } else {
                    self.story_of_a_count(site, spot);
                }
                if self.chance.hits(250) {
                    self.aside(site, spot);
                }
            }
        }
    }

    fn compose(&mut self, site: usize, spot: usize, what: &str) -> RecordText {
        let zone = self.sites[site].zone;
        let id = self.chance.uuid();
        let spot = &mut self.sites[site].spots[spot];
        let (kind, occupants) = match what {
            "report_full" => ("scheduled_report", Some("[{\"type\":\"car\"}]")),
            "report_empty" => ("scheduled_report", Some("[]")),
            "report_plain" => ("scheduled_report", None),
            other => (other, None),
        };
        let mut record = RecordText::event(kind, id, spot.now, zone, spot.sender.device, spot.sender.next());
        // Who lost a device often cannot tell its space.
        if let Some(space) = spot.space.filter(|_| kind != "comms_lost") {
            record = record.with("curb_space_id", &format!("\"{space}\""));
        }
        if let Some(occupants) = occupants {
            record = record.with("curb_occupants", occupants);
        }
        if kind == "park_start" && self.chance.hits(500) {
            record = record.with("event_session_id", &format!("\"{}\"", self.chance.uuid()));
        }
        record
    }

    fn tell(&mut self, site: usize, spot: usize, what: &str, delay: Millis) {
        let record = self.compose(site, spot, what);
        let state = &mut self.sites[site].spots[spot];
        match what {
            "park_start" | "report_full" => state.occupied = true,
            "park_end" | "report_empty" => state.occupied = false,
            _ => {}
        }
        let at = state.now + delay;
        self.deliver(self.sites[site].partition, at, record, false);
    }

    /// Delivers a record now that was made before: a little or much too late.
    fn hand_in(&mut self, site: usize, spot: usize, record: &mut RecordText) {
        let delay = if self.chance.hits(400) { 10_000 } else { 9 * MINUTE };
        self.sites[site].spots[spot].now += self.chance.between(1, delay);
        let at = self.sites[site].spots[spot].now;
        let record = std::mem::take(record);
        self.deliver(self.sites[site].partition, at, record, false);
    }

    fn deliver(&mut self, partition: usize, at: Millis, record: RecordText, harmless: bool) {
        let bytes = Bytes::from(record.finish());
        self.timelines[partition].open.push(Delivery { at, bytes, harmless });
    }

    /// Devices skip numbers, as after a reset of a counter.
    fn jump(&mut self) {
        for spot in self.sites.iter_mut().flat_map(|site| &mut site.spots) {
            if let Some((_, seq)) = &mut spot.sender.numbers
                && self.chance.hits(300)
            {
                *seq += 9_000;
            }
        }
    }

    /// Numbers that the windows have left behind, from records that nobody has seen.
    fn below_the_window(&mut self) {
        for site in 0..self.sites.len() {
            for spot in 0..self.sites[site].spots.len() {
                let Spot { sender, now, .. } = &self.sites[site].spots[spot];
                let Some((_, seq)) = sender.numbers.filter(|(_, seq)| *seq > 6_000) else { continue };
                let numbered = Some(sender.number(seq - 5_000));
                let (device, at) = (sender.device, (*now).max(self.era));
                let (zone, partition) = (self.sites[site].zone, self.sites[site].partition);
                let made = if self.chance.hits(500) { START } else { at };
                let id = self.chance.uuid();
                let record = RecordText::event("comms_restored", id, made, zone, device, numbered);
                self.deliver(partition, at, record, true);
            }
        }
    }

    /// Time passes without a word but a tick; then some records come again.
    fn silence(&mut self, length: Millis) {
        for partition in 0..self.timelines.len() {
            let tick = RecordText::control("tick", self.chance.uuid(), self.era + length - HOUR / 2);
            let tick = Bytes::from(tick.finish());
            let kept = std::mem::take(&mut self.timelines[partition].kept);
            let mut again = Vec::new();
            for _ in 0..self.chance.below(4) {
                if !kept.is_empty() {
                    again.push(kept[self.chance.index(kept.len())].clone());
                }
            }
            let timeline = &mut self.timelines[partition];
            timeline.batches.push(vec![tick]);
            timeline.batches.extend(again.into_iter().map(|record| vec![record]));
        }
        self.era += length;
    }

    /// Puts the records of an era in the order in which they reach the log, some of them twice.
    fn close_era(&mut self) {
        for timeline in &mut self.timelines {
            let mut all = std::mem::take(&mut timeline.open);
            let end = all.iter().map(|delivery| delivery.at).max().unwrap_or(self.era);
            self.era = self.era.max(end + 1);
            for number in 0..all.len() {
                if self.chance.hits(40) {
                    let Delivery { at, bytes, harmless } = &all[number];
                    let at = (*at + self.chance.between(1, 20 * MINUTE)).min(end);
                    let again = Delivery { at, bytes: bytes.clone(), harmless: *harmless };
                    all.push(again);
                }
            }
            all.sort_by_key(|delivery| delivery.at);
            let kept = all.iter().filter(|delivery| delivery.harmless).map(|delivery| delivery.bytes.clone());
            timeline.kept = kept.collect();
            let mut records = all.into_iter().map(|delivery| delivery.bytes).peekable();
            while records.peek().is_some() {
                let length = 1 + self.chance.index(12);
                timeline.batches.push(records.by_ref().take(length).collect());
            }
        }
    }
}

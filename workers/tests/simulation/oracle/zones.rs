//! How a zone stands and which stays were in it: everything that was accepted, sorted, folded once.

use std::collections::{BTreeMap, BTreeSet};

use parking_crds::{event::Millis, inventory::Zone};
use parking_workers::domain::{observation::ZoneView, track::EndKind};
use uuid::Uuid;

use super::read::Fact;

/// An accepted record of a zone and its place in the log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) offset: u64,
    pub(crate) fact: &'a Fact,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stay {
    pub(crate) session: Uuid,
    pub(crate) space: Uuid,
    pub(crate) device: Uuid,
    pub(crate) start: Millis,
    pub(crate) start_kind: EndKind,
    pub(crate) end: Option<Millis>,
    pub(crate) end_kind: EndKind,
    /// Where its first word stands in the log.
    told: u64,
}

/// What a record says of a space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sight {
    Arrived,
    Left,
    There,
    Empty,
    Lost,
}

fn sight(fact: &Fact) -> Option<Sight> {
    match fact.kind.as_str() {
        "park_start" => Some(Sight::Arrived),
        "park_end" => Some(Sight::Left),
        "comms_lost" | "decommissioned" => Some(Sight::Lost),
        "scheduled_report" if fact.space.is_some() => {
            let seen = fact.counted.or(fact.occupants.map(|occupants| i64::try_from(occupants).unwrap()))?;
            Some(if seen > 0 { Sight::There } else { Sight::Empty })
        }
        _ => None,
    }
}

/// What was seen of each space, in the order in which it happened.
fn sights<'a>(zone: &Zone, entries: &[Entry<'a>]) -> BTreeMap<Uuid, Vec<(Sight, Entry<'a>)>> {
    let mut of_space: BTreeMap<Uuid, Vec<_>> = BTreeMap::new();
    for entry in entries {
        let watched = zone.devices.iter().find(|device| device.id == entry.fact.device);
        let space = entry.fact.space.or(watched.and_then(|device| device.space));
        if let (Some(space), Some(sight)) = (space, sight(entry.fact)) {
            of_space.entry(space).or_default().push((sight, *entry));
        }
    }
    for seen in of_space.values_mut() {
        seen.sort_by(|(_, a), (_, b)| order(a.fact).cmp(&order(b.fact)));
    }
    of_space
}

fn order(fact: &Fact) -> (Millis, &str, u64) {
    (fact.time, fact.boot.as_deref().unwrap_or_default(), fact.seq.unwrap_or(0))
}

/// The newest of some records: by time, then by place in the log.
fn newest<'a>(entries: impl Iterator<Item = Entry<'a>>) -> Option<Entry<'a>> {
    entries.max_by_key(|entry| (entry.fact.time, entry.offset))
}

/// How a zone stands at `watermark` after these records.
pub(crate) fn view(zone: &Zone, entries: &[Entry<'_>], watermark: Millis) -> ZoneView {
    let of_kind = |kind: &'static str| entries.iter().copied().filter(move |entry| entry.fact.kind == kind);
    if newest(of_kind("zone.closed")).is_some_and(|entry| entry.fact.off) {
        return ZoneView::default();
    }
    let switched: BTreeSet<Uuid> =
        of_kind("space.out_of_service").filter_map(|entry| entry.fact.space).collect();
    let is_out = |space: &Uuid| {
        let of_space = of_kind("space.out_of_service").filter(|entry| entry.fact.space == Some(*space));
        newest(of_space).is_some_and(|entry| entry.fact.off)
    };
    let out: BTreeSet<Uuid> = switched.into_iter().filter(is_out).collect();
    let capacity = zone.capacity - u32::try_from(out.len()).unwrap();
    if zone.spaces.is_empty() {
        return counted(zone, entries, capacity, watermark);
    }
    let mut view = ZoneView { capacity, unknown: capacity, occupied: 0, stale_at: None };
    for (space, seen) in sights(zone, entries) {
        let last = seen.last().map(|(sight, _)| *sight);
        if !out.contains(&space) && last != Some(Sight::Lost) {
            view.unknown -= 1;
            view.occupied += u32::from(matches!(last, Some(Sight::Arrived | Sight::There)));
        }
    }
    view
}

fn counted(zone: &Zone, entries: &[Entry<'_>], capacity: u32, watermark: Millis) -> ZoneView {
    let count_of = |entry: &Entry<'_>| {
        let reported =
            entry.fact.counted.or(entry.fact.occupants.map(|length| i64::try_from(length).unwrap()));
        match entry.fact.kind.as_str() {
            "comms_lost" | "decommissioned" => Some(None),
            "scheduled_report" => reported.map(Some),
            "count.corrected" => Some(entry.fact.counted),
            _ => None,
        }
    };
    let reports = entries.iter().copied().filter(|entry| count_of(entry).is_some());
    let last = newest(reports).and_then(|entry| Some((count_of(&entry)??, entry.fact.time)));
    let stale_at = last.map(|(_, time)| time + zone.stale_after().millis());
    match last.filter(|_| stale_at.is_some_and(|stale_at| watermark < stale_at)) {
        Some((count, _)) => {
            ZoneView { occupied: u32::try_from(count).unwrap(), unknown: 0, capacity, stale_at }
        }
        None => ZoneView { occupied: 0, unknown: capacity, capacity, stale_at: None },
    }
}

/// The stays that these records tell of.
pub(crate) fn stays(zone: &Zone, entries: &[Entry<'_>]) -> Vec<Stay> {
    let mut all = Vec::new();
    if zone.spaces.is_empty() {
        return all;
    }
    for (space, seen) in sights(zone, entries) {
        let mut open: Option<Stay> = None;
        for (sight, entry) in seen {
            let begin = |start_kind| Stay {
                session: entry.fact.session.unwrap_or(Uuid::new_v5(&space, entry.fact.id.as_bytes())),
                space,
                device: entry.fact.device,
                start: entry.fact.time,
                start_kind,
                end: None,
                end_kind: EndKind::Missing,
                told: entry.offset,
            };
            let mut end = |stay: Option<Stay>, end_kind| {
                all.extend(stay.map(|stay| Stay { end: Some(entry.fact.time), end_kind, ..stay }));
            };
            match sight {
                Sight::Arrived => {
                    end(open.take(), EndKind::Inferred);
                    open = Some(begin(EndKind::Observed));
                }
                Sight::There => match &mut open {
                    None => open = Some(begin(EndKind::Inferred)),
                    // Who told first of a stay gave it its name.
                    Some(stay) if entry.offset < stay.told => {
                        let Stay { session, device, told, .. } = begin(EndKind::Inferred);
                        (stay.session, stay.device, stay.told) = (session, device, told);
                    }
                    Some(_) => {}
                },
                Sight::Left => end(open.take(), EndKind::Observed),
                Sight::Empty => end(open.take(), EndKind::Inferred),
                Sight::Lost => {}
            }
        }
        all.extend(open);
    }
    all
}

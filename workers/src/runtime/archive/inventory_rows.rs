//! The inventory as rows: one for each zone of each revision.

use std::collections::BTreeMap;

use bytes::Bytes;
use parking_crds::{
    duration::Duration,
    event::Millis,
    inventory::{Policy, ValidRevision, Zone},
};
use serde::Serialize;
use uuid::Uuid;

use super::{
    batch::date_of,
    encoder::{Row, RowOrigin},
};
use crate::ports::event_log::Offset;

/// A zone as one revision has it.
#[derive(Serialize)]
struct ZoneRow<'a> {
    revision: Offset,
    valid_from: Millis,
    curb_zone_id: Uuid,
    user_zone_id: &'a str,
    name: &'a str,
    curb_area_id: Option<Uuid>,
    labels: &'a BTreeMap<String, String>,
    num_spaces: u32,
    class: &'a str,
    time_zone: &'a str,
    stale_after_ms: Millis,
    expected_report_interval_ms: Option<Millis>,
    max_stay_ms: Option<Millis>,
    grace_ms: Option<Millis>,
    rate: Option<u64>,
    rate_currency: Option<&'a str>,
    rate_per_ms: Option<Millis>,
    curb_space_ids: Vec<Uuid>,
    device_ids: Vec<Uuid>,
}

/// Rows of the revisions from number `first` on, by date.
pub(super) fn rows(revisions: &[ValidRevision], first: Offset) -> BTreeMap<i32, Vec<Row>> {
    let mut by_date: BTreeMap<i32, Vec<Row>> = BTreeMap::new();
    for (number, revision) in (0..).zip(revisions).filter(|(number, _)| *number >= first) {
        let rows = by_date.entry(date_of(revision.valid_from())).or_default();
        for (ordinal, zone) in (0..).zip(revision.zones()) {
            let record = serde_json::to_vec(&zone_row(number, revision, zone)).unwrap_or_default();
            let origin = RowOrigin { offset: number, ordinal };
            rows.push(Row { origin, late: false, record: Bytes::from(record) });
        }
    }
    by_date
}

fn zone_row<'a>(number: Offset, revision: &'a ValidRevision, zone: &'a Zone) -> ZoneRow<'a> {
    let Policy { max_stay, grace, rate } = &zone.policy;
    ZoneRow {
        revision: number,
        valid_from: revision.valid_from(),
        curb_zone_id: zone.id,
        user_zone_id: &zone.user_zone_id,
        name: &zone.name,
        curb_area_id: zone.area,
        labels: &zone.labels,
        num_spaces: zone.capacity,
        class: &zone.class,
        time_zone: revision.time_zone(zone),
        stale_after_ms: zone.stale_after().millis(),
        expected_report_interval_ms: zone.expected_report_interval.map(Duration::millis),
        max_stay_ms: max_stay.map(Duration::millis),
        grace_ms: grace.map(Duration::millis),
        rate: rate.as_ref().map(|rate| rate.amount),
        rate_currency: rate.as_ref().map(|rate| rate.currency.as_str()),
        rate_per_ms: rate.as_ref().map(|rate| rate.per.millis()),
        curb_space_ids: zone.spaces.iter().map(|space| space.id).collect(),
        device_ids: zone.devices.iter().map(|device| device.id).collect(),
    }
}

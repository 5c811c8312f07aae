//! Blocks of zones as the occupancy stage packs them.

use std::{fmt::Write as _, sync::Arc};

use bytes::Bytes;
use parking_crds::inventory::Inventory;
use parking_workers::{
    domain::{hints::Hints, record::Record, track::Tracker},
    ports::state_store::BlockKey,
    rows::ZoneDetail,
};
use uuid::Uuid;

const ZONE: Uuid = Uuid::from_u128(0x0288_5f6f_ef93_441b_9e74_4872_7938_0656);
const START: i64 = 1_760_601_600_000;

/// One zone whose spaces each saw a stay end and another begin.
fn zone(spaces: u128) -> Tracker {
    let space = |n: u128| Uuid::new_v5(&ZONE, &n.to_be_bytes());
    let mut text = format!(
        "revisions:\n- validFrom: 2016-01-01T00:00:00Z\n  timeZone: UTC\n  zones:\n  - id: {ZONE}\n    userZoneId: A\n    capacity: {spaces}\n    spaces:\n"
    );
    for n in 0..spaces {
        writeln!(text, "    - {{id: {}}}", space(n)).unwrap();
    }
    let mut tracker = Tracker::new(Arc::new(Inventory::parse(&text).unwrap()));
    let seen = [("park_start", 0), ("park_end", 30), ("park_start", 45)];
    for (n, (event, minute)) in (0..spaces).flat_map(|n| seen.map(|seen| (n, seen))) {
        let time = START + minute * 60_000 + i64::try_from(n).unwrap();
        let (space, id) = (space(n), Uuid::new_v5(&ZONE, format!("{event}{n}{minute}").as_bytes()));
        let record = format!(
            r#"{{"event_id":"{id}","event_type":"{event}","event_time":{time},"event_publication_time":{time},"curb_zone_id":"{ZONE}","curb_space_id":"{space}","ext":{{"schema_version":1,"tenant":"t","boot_id":"boot-1","seq":{minute}}},"data_source_type":"in_ground","data_source_device_id":"{space}"}}"#
        );
        let record = Record::parse(record.as_bytes()).unwrap();
        tracker.apply(&record, false, time, &mut Hints::default()).unwrap();
    }
    tracker
}

/// So many zones of so many spaces.
pub(crate) fn zones(zones: u128, spaces: u128) -> Vec<(BlockKey, Option<Bytes>)> {
    let block = zone(spaces).changed_blocks()[0].1.clone().unwrap();
    let key = |n| BlockKey { class: Tracker::CLASS, id: id(n).as_u128() };
    (0..zones).map(|n| (key(n), Some(block.clone()))).collect()
}

/// Their live rows.
pub(crate) fn rows(zones: u128, spaces: u128) -> Vec<(Uuid, Option<Bytes>)> {
    let tracker = zone(spaces);
    let place = tracker.inventory().latest().zone(ZONE).unwrap();
    let row = ZoneDetail::of(place, &tracker, Some(START)).unwrap();
    let row = Bytes::from(serde_json::to_vec(&row).unwrap());
    (0..zones).map(|n| (id(n), Some(row.clone()))).collect()
}

fn id(n: u128) -> Uuid {
    Uuid::new_v5(&ZONE, &n.to_le_bytes())
}

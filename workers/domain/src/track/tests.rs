use super::*;
use crate::record::Record;

const ZONE: &str = "02885f6f-ef93-441b-9e74-487279380656";
const SPACE: &str = "7e6be807-ff61-4f12-85c8-0fb740b24436";
const OTHER: &str = "11111111-ff61-4f12-85c8-0fb740b24436";
const T0: Millis = 1_760_601_600_000;

fn tracker(spaces: bool) -> Tracker {
    let list = format!("spaces: [{{id: {SPACE}}}, {{id: {OTHER}}}],");
    let text = format!(
        "revisions:\n- validFrom: 2016-01-01T00:00:00Z\n  timeZone: UTC\n  zones:\n  - {{id: {ZONE}, userZoneId: A, capacity: 2, {}}}\n",
        if spaces { &list } else { "" }
    );
    Tracker::new(Arc::new(Inventory::parse(&text).unwrap()))
}

/// Applies one event, minutes after T0, and answers how the zone stands and what was told.
fn see(tracker: &mut Tracker, event_type: &str, minute: i64, extra: &str) -> (ZoneView, Vec<SessionRecord>) {
    let time = T0 + minute * 60_000;
    let ext = if extra.contains("ext") {
        String::new()
    } else {
        r#""ext":{"schema_version":1,"tenant":"t"},"#.into()
    };
    let space =
        if extra.contains("no_space") { String::new() } else { format!(r#""curb_space_id":"{SPACE}","#) };
    let id = Uuid::new_v5(&Uuid::nil(), format!("{event_type}{minute}{extra}").as_bytes());
    let text = format!(
        r#"{{"event_id":"{id}","event_type":"{event_type}","event_time":{time},"event_publication_time":{time},"curb_zone_id":"{ZONE}",{space}{ext}"data_source_type":"in_ground","data_source_device_id":"{OTHER}"{extra}}}"#
    );
    let record = Record::parse(text.as_bytes()).unwrap();
    let seen = tracker.apply(&record, false, time, &mut Hints::default()).unwrap();
    (seen.view, seen.news.sessions.clone())
}

fn counters(tracker: &Tracker) -> Counters {
    *tracker.zones().next().unwrap().1.counters()
}

#[test]
fn arrival_and_departure_make_a_session() {
    let mut tracker = tracker(true);
    let (view, started) = see(&mut tracker, "park_start", 0, "");
    assert_eq!((view.occupied, view.unknown, view.capacity), (1, 1, 2));
    let (view, ended) = see(&mut tracker, "park_end", 30, "");
    assert_eq!((view.occupied, view.unknown), (0, 1));
    assert_eq!(started[0].session_id, ended[0].session_id);
    assert_eq!((ended[0].dwell_ms, ended[0].end_kind), (Some(1_800_000), EndKind::Observed));
}

#[test]
fn arrival_while_occupied_closes_the_old_session_as_inferred() {
    let mut tracker = tracker(true);
    see(&mut tracker, "park_start", 0, "");
    let (_, told) = see(&mut tracker, "park_start", 10, "");
    assert_eq!(told[0].record_type, SessionRecordType::Ended);
    assert_eq!(told[0].end_kind, EndKind::Inferred);
    assert_eq!(told[1].record_type, SessionRecordType::Started);
    assert_ne!(told[0].session_id, told[1].session_id);
}

#[test]
fn departure_while_free_is_an_orphan_and_invents_no_start() {
    let mut tracker = tracker(true);
    let (view, told) = see(&mut tracker, "park_end", 0, "");
    assert!(told.is_empty());
    assert_eq!((view.occupied, counters(&tracker).orphan_ends), (0, 1));
}

#[test]
fn late_arrival_completes_an_orphan() {
    let mut tracker = tracker(true);
    see(&mut tracker, "park_end", 20, "");
    let (view, told) = see(&mut tracker, "park_start", 5, "");
    assert_eq!(view.occupied, 0);
    assert_eq!(told[0].dwell_ms, Some(15 * 60_000));
    assert_eq!(told[0].revision, 0, "the first word of a session");
    assert_eq!(counters(&tracker).sessions, 1);
}

#[test]
fn older_word_on_the_service_of_a_space_changes_nothing() {
    let mut tracker = tracker(true);
    let mut switch = |minute: i64, out: bool| {
        let time = T0 + minute * 60_000;
        let text = format!(
            r#"{{"record_type":"space.out_of_service","event_id":"{OTHER}","event_time":{time},"curb_zone_id":"{ZONE}","curb_space_id":"{SPACE}","out_of_service":{out},"ext":{{"schema_version":1,"tenant":"t"}}}}"#
        );
        tracker
            .apply(&Record::parse(text.as_bytes()).unwrap(), false, time, &mut Hints::default())
            .unwrap()
            .view
            .capacity
    };
    assert_eq!(switch(10, false), 2);
    assert_eq!(switch(5, true), 2);
    assert_eq!(switch(20, true), 1);
}

#[test]
fn older_departure_never_frees_the_space_but_corrects_the_session() {
    let mut tracker = tracker(true);
    see(&mut tracker, "park_start", 0, "");
    see(&mut tracker, "park_start", 30, "");
    let (view, told) = see(&mut tracker, "park_end", 20, "");
    assert_eq!(view.occupied, 1);
    assert_eq!((told[0].record_type, told[0].revision), (SessionRecordType::Corrected, 2));
    assert_eq!((told[0].end, told[0].end_kind), (Some(T0 + 20 * 60_000), EndKind::Observed));
}

#[test]
fn report_is_level_triggered_truth_and_repairs_state() {
    let mut tracker = tracker(true);
    let occupied = r#","curb_occupants":[{"type":"car"}]"#;
    let (view, told) = see(&mut tracker, "scheduled_report", 0, occupied);
    assert_eq!((view.occupied, told[0].start_kind), (1, EndKind::Inferred));
    let (_, told) = see(&mut tracker, "scheduled_report", 5, occupied);
    assert!(told.is_empty());
    let (view, told) = see(&mut tracker, "scheduled_report", 10, r#","curb_occupants":[]"#);
    assert_eq!((view.occupied, told[0].end_kind), (0, EndKind::Inferred));
}

#[test]
fn lost_space_is_unknown_until_its_next_report() {
    let mut tracker = tracker(true);
    see(&mut tracker, "park_start", 0, "");
    assert_eq!(see(&mut tracker, "comms_lost", 1, "").0.unknown, 2);
    assert_eq!(see(&mut tracker, "comms_restored", 2, "").0.unknown, 2);
    let (view, _) = see(&mut tracker, "scheduled_report", 3, r#","curb_occupants":[{"type":"car"}]"#);
    assert_eq!((view.occupied, view.unknown), (1, 1));
}

fn count(tracker: &mut Tracker, minute: i64, occupied: i64) -> ZoneView {
    let extra = format!(r#","ext":{{"schema_version":1,"tenant":"t","occupied":{occupied}}},"no_space":1"#);
    see(tracker, "scheduled_report", minute, &extra).0
}

#[test]
fn count_report_is_truth_for_a_zone_without_spaces() {
    let mut tracker = tracker(false);
    assert_eq!(count(&mut tracker, 0, 1).occupied, 1);
    assert_eq!(count(&mut tracker, 5, 3).occupied, 3);
    assert_eq!(counters(&tracker).over_capacity, 1);
    assert_eq!(count(&mut tracker, 2, 0).occupied, 3, "an older report changes nothing");
}

#[test]
fn count_goes_stale_and_is_unknown_not_free() {
    let mut tracker = tracker(false);
    let zone = ZONE.parse().unwrap();
    count(&mut tracker, 0, 1);
    let at = |minute: i64| T0 + minute * 60_000;
    assert_eq!(tracker.view(zone, at(59)).unwrap().unknown, 0);
    assert_eq!(tracker.view(zone, at(60)).unwrap().unknown, 2);
}

#[test]
fn restored_tracker_stands_as_before() {
    let mut tracker = tracker(true);
    see(&mut tracker, "park_start", 0, "");
    let mut restored = Tracker::new(Arc::clone(&tracker.inventory));
    for (key, block) in tracker.changed_blocks() {
        restored.restore_block(key, &block.unwrap()).unwrap();
    }
    assert_eq!(see(&mut tracker, "park_end", 9, ""), see(&mut restored, "park_end", 9, ""));
}

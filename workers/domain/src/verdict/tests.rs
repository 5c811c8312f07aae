use super::*;

const ZONE: &str = "02885f6f-ef93-441b-9e74-487279380656";
const SPACE: &str = "7e6be807-ff61-4f12-85c8-0fb740b24436";
const DEVICE: &str = "0fcb51b0-4529-4d28-a339-81e9a9bbcdb3";
const T0: Millis = 1_760_601_600_000;
const HOUR: Millis = 3_600_000;

fn judge() -> Judge {
    let text = format!(
        "revisions:\n- validFrom: 2016-01-01T00:00:00Z\n  timeZone: UTC\n  zones:\n  \
         - {{id: {ZONE}, userZoneId: A, capacity: 1, spaces: [{{id: {SPACE}}}]}}\n"
    );
    Judge::new(EventLimits::default(), Arc::new(Inventory::parse(&text).unwrap()))
}

/// An event as a device sends it; tests change the field that they are about.
#[derive(Clone)]
struct Event {
    id: u128,
    kind: &'static str,
    time: Millis,
    published: Millis,
    zone: String,
    space: String,
    ext: String,
}

fn event(id: u128, ext: &str) -> Event {
    let (zone, space, ext) = (ZONE.to_owned(), SPACE.to_owned(), ext.to_owned());
    Event { id, kind: "scheduled_report", time: T0, published: T0, zone, space, ext }
}

impl Event {
    fn judged_by(&self, judge: &mut Judge) -> Verdict {
        let Self { id, kind, time, published, zone, space, ext } = self;
        let id = Uuid::from_u128(*id);
        let text = format!(
            r#"{{"event_id":"{id}","event_type":"{kind}","event_time":{time},"event_publication_time":{published},"curb_zone_id":"{zone}","curb_space_id":"{space}","data_source_type":"in_ground","data_source_device_id":"{DEVICE}","ext":{{"schema_version":1,"tenant":"t"{ext}}}}}"#
        );
        judge.decide(&Record::parse(text.as_bytes()).unwrap(), &mut Hints::default())
    }
}

fn numbered(id: u128, boot: Option<&str>, seq: u64) -> Event {
    let boot = boot.map(|boot| format!(r#","boot_id":"{boot}""#)).unwrap_or_default();
    event(id, &format!(r#","seq":{seq}{boot}"#))
}

const ACCEPTED: Verdict = Verdict::Accepted { late: false };

#[test]
fn unknown_zone_is_dead() {
    let stranger = Event { zone: Uuid::from_u128(9).to_string(), ..event(1, "") };
    assert_eq!(stranger.judged_by(&mut judge()), Verdict::Dead(DeadLetterReason::UnknownZone));
}

#[test]
fn unknown_space_is_dead() {
    let stranger = Event { space: Uuid::from_u128(9).to_string(), ..event(1, "") };
    assert_eq!(stranger.judged_by(&mut judge()), Verdict::Dead(DeadLetterReason::UnknownSpace));
}

#[test]
fn negative_count_is_dead() {
    let counted = event(1, r#","occupied":-1"#);
    assert_eq!(counted.judged_by(&mut judge()), Verdict::Dead(DeadLetterReason::NegativeCount));
}

#[test]
fn too_old_is_dead_unless_it_is_replayed() {
    let old = Event { published: T0 + 24 * HOUR + 1, ..event(1, "") };
    assert_eq!(old.judged_by(&mut judge()), Verdict::Dead(DeadLetterReason::TooOld));
    let just = Event { published: T0 + 24 * HOUR, ..event(1, "") };
    assert_eq!(just.judged_by(&mut judge()), ACCEPTED);
    let replayed = Event { ext: r#","quality":"replayed""#.into(), ..old };
    assert_eq!(replayed.judged_by(&mut judge()), ACCEPTED);
}

#[test]
fn too_far_ahead_of_its_publication_is_dead() {
    let ahead = Event { time: T0 + 300_001, ..event(1, "") };
    assert_eq!(ahead.judged_by(&mut judge()), Verdict::Dead(DeadLetterReason::TooFarAhead));
    let just = Event { time: T0 + 300_000, ..event(1, "") };
    assert_eq!(just.judged_by(&mut judge()), ACCEPTED);
}

#[test]
fn undecidable_age_below_the_window_and_beyond_the_memory_of_ids_is_dead() {
    let mut judge = judge();
    assert_eq!(numbered(1, Some("b7"), 50_000).judged_by(&mut judge), ACCEPTED);
    let days_later = Event { time: T0 + 48 * HOUR, published: T0 + 48 * HOUR, ..event(2, "") };
    assert_eq!(days_later.judged_by(&mut judge), ACCEPTED);
    let ancient = numbered(3, Some("b7"), 5);
    assert_eq!(ancient.judged_by(&mut judge), Verdict::Dead(DeadLetterReason::UndecidableAge));
}

#[test]
fn event_below_the_window_is_decided_by_its_id_and_never_called_a_duplicate_without() {
    let mut judge = judge();
    let early = numbered(1, Some("b7"), 5);
    assert_eq!(early.judged_by(&mut judge), ACCEPTED);
    assert_eq!(numbered(2, Some("b7"), 50_000).judged_by(&mut judge), ACCEPTED);
    assert_eq!(early.judged_by(&mut judge), Verdict::Duplicate, "its id is remembered");
    let other = numbered(3, Some("b7"), 6);
    assert_eq!(other.judged_by(&mut judge), ACCEPTED, "its id is not");
    assert_eq!(other.judged_by(&mut judge), Verdict::Duplicate);
}

#[test]
fn repeated_number_of_one_boot_is_a_duplicate() {
    let mut judge = judge();
    assert_eq!(numbered(1, Some("b7"), 5).judged_by(&mut judge), ACCEPTED);
    assert_eq!(numbered(2, Some("b7"), 5).judged_by(&mut judge), Verdict::Duplicate);
    assert_eq!(numbered(3, Some("b8"), 5).judged_by(&mut judge), ACCEPTED, "another boot counts anew");
}

#[test]
fn reboot_without_boot_id_loses_nothing() {
    let mut judge = judge();
    for seq in 0..100 {
        assert_eq!(numbered(u128::from(seq), None, seq).judged_by(&mut judge), ACCEPTED);
    }
    for seq in 0..100 {
        let after = numbered(1_000 + u128::from(seq), None, seq);
        assert_eq!(after.judged_by(&mut judge), ACCEPTED, "number {seq} after the reboot");
        assert_eq!(after.judged_by(&mut judge), Verdict::Duplicate, "its second delivery");
    }
}

#[test]
fn inferred_comms_lost_disturbs_no_number_of_the_device() {
    let mut judge = judge();
    assert_eq!(numbered(1, Some("b7"), 0).judged_by(&mut judge), ACCEPTED);
    let lost = Event { kind: "comms_lost", ..numbered(2, Some("inferred:watchdog"), 0) };
    assert_eq!(lost.judged_by(&mut judge), ACCEPTED, "the platform counts on its own");
    assert_eq!(lost.judged_by(&mut judge), Verdict::Duplicate);
    assert_eq!(numbered(3, Some("b7"), 1).judged_by(&mut judge), ACCEPTED);
}

#[test]
fn event_without_a_number_is_known_by_its_id() {
    let mut judge = judge();
    assert_eq!(event(1, "").judged_by(&mut judge), ACCEPTED);
    assert_eq!(event(1, "").judged_by(&mut judge), Verdict::Duplicate);
    assert_eq!(event(2, "").judged_by(&mut judge), ACCEPTED);
}

#[test]
fn record_behind_the_watermark_is_accepted_as_late() {
    let mut judge = judge();
    let newest = Event { time: T0 + HOUR, published: T0 + HOUR, ..event(1, "") };
    assert_eq!(newest.judged_by(&mut judge), ACCEPTED);
    let watermark = T0 + HOUR - EventLimits::default().allowed_lateness.millis();
    assert_eq!(judge.watermark(), Some(watermark));
    let behind = Event { time: watermark - 1, published: T0 + HOUR, ..event(2, "") };
    assert_eq!(behind.judged_by(&mut judge), Verdict::Accepted { late: true });
    let at_it = Event { time: watermark, published: T0 + HOUR, ..event(3, "") };
    assert_eq!(at_it.judged_by(&mut judge), ACCEPTED);
}

#[test]
fn watermark_takes_the_earlier_of_event_and_publication_time() {
    let mut judge = judge();
    let ahead = Event { time: T0 + 200_000, published: T0, ..event(1, "") };
    assert_eq!(ahead.judged_by(&mut judge), ACCEPTED);
    assert_eq!(judge.newest(), Some(T0));
}

#[test]
fn refused_record_changes_nothing() {
    let mut judge = judge();
    assert_eq!(event(1, "").judged_by(&mut judge), ACCEPTED);
    let before = judge.newest();
    let refused = Event { time: T0 + HOUR, published: T0 + HOUR, ..event(2, r#","occupied":-1"#) };
    assert!(matches!(refused.judged_by(&mut judge), Verdict::Dead(_)));
    assert_eq!(judge.newest(), before);
    let good = Event { ext: String::new(), ..refused };
    assert_eq!(good.judged_by(&mut judge), ACCEPTED, "its id was not remembered");
}

#[test]
fn restored_judge_agrees_on_every_later_record() {
    let mut judge = judge();
    let seen: Vec<_> = (0..50).map(|seq| numbered(u128::from(seq), Some("b7"), seq * 3)).collect();
    for one in &seen {
        one.judged_by(&mut judge);
    }
    let mut restored = self::judge();
    for (key, bytes) in judge.changed_blocks() {
        restored.restore_block(key, &bytes.unwrap()).unwrap();
    }
    restored.restored();
    let again = (0..200).map(|seq| numbered(1_000 + u128::from(seq), Some("b7"), seq));
    for one in seen.into_iter().chain(again) {
        assert_eq!(one.judged_by(&mut restored), one.judged_by(&mut judge));
    }
}

use std::{collections::BTreeMap, sync::Arc};

use proptest::prelude::*;

use super::*;
use crate::ingest::grant::{Limits, Rights};

const NOW: Millis = 1_760_601_600_999;
const EVENT: &str = r#"{ "event_id":"7d8a5885-e949-5ac9-8fb7-fa4d43b68530","event_type":"park_start","event_time":"1760601600000","event_publication_time": 1760601600412 ,"curb_zone_id":"02885f6f-ef93-441b-9e74-487279380656","data_source_type":"in_ground","data_source_device_id":"0fcb51b0-4529-4d28-a339-81e9a9bbcdb3","vehicle_type":"car","ext":{"schema_version":1,"tenant":"melbourne","quality":"observed"},"of_tomorrow":[1, 2]}"#;
const END: &str = r#"{"event_id":"7d8a5885-e949-5ac9-8fb7-fa4d43b68530","event_time":1760601600000,"record_type":"input.ended","ext":{"schema_version":1,"tenant":"melbourne","quality":"replayed"}}"#;

fn grant(write: bool, replay: bool) -> Grant {
    let rights = Rights { write, replay };
    Grant { id: Arc::from("k"), tenant: Some("melbourne".into()), rights, limits: Limits::default() }
}

fn plates() -> PlateKeys {
    let files = BTreeMap::from([("k1".to_owned(), vec![b'k'; 32])]);
    PlateKeys::read(&files).unwrap()
}

fn passed(text: &str, grant: &Grant) -> String {
    let passed = judge(text.as_bytes(), grant, &plates(), NOW).unwrap();
    String::from_utf8(passed.bytes.into_owned()).unwrap()
}

fn refused(text: &str, grant: &Grant) -> Refusal {
    judge(text.as_bytes(), grant, &plates(), NOW).unwrap_err()
}

fn replayed() -> String {
    EVENT.replace("observed", "replayed").replace(" 1760601600412 ", "1760601600000")
}

#[test]
fn a_live_record_gets_the_time_of_its_arrival_and_keeps_all_other_bytes() {
    let stamped = EVENT.replace("1760601600412", "1760601600999");
    assert_eq!(passed(EVENT, &grant(true, false)), stamped);
    assert_eq!(passed(&stamped, &grant(true, true)), stamped);
    assert_eq!(passed(&format!(" {EVENT}\r\n"), &grant(true, false)), stamped);
}

#[test]
fn a_live_record_need_not_carry_a_publication_time() {
    let without = EVENT.replace("\"event_publication_time\": 1760601600412 ,", "");
    let written = passed(&without, &grant(true, false));
    assert_eq!(written, without.replacen('{', "{\"event_publication_time\":1760601600999,", 1));
    let null = EVENT.replace("1760601600412", "null");
    assert!(passed(&null, &grant(true, false)).contains("\"event_publication_time\": 1760601600999 ,"));
}

#[test]
fn a_replayed_record_passes_unchanged_with_the_right_to_it() {
    assert_eq!(passed(&replayed(), &grant(false, true)), replayed());
    let refusal = refused(&replayed(), &grant(true, false));
    assert_eq!((refusal.reason, &*refusal.detail), (Reason::NoRight, "ext.quality: this key may not replay"));
}

#[test]
fn a_replayed_record_is_published_when_it_happened() {
    let refusal = refused(&EVENT.replace("observed", "replayed"), &grant(true, true));
    assert!(refusal.detail.starts_with("event_publication_time"), "{refusal:?}");
}

#[test]
fn a_simulated_record_keeps_its_time_only_with_the_right_to_replay() {
    for quality in ["synthetic", "inferred"] {
        let simulated = EVENT.replace("observed", quality);
        assert_eq!(passed(&simulated, &grant(true, true)), simulated);
        assert!(passed(&simulated, &grant(true, false)).contains("1760601600999"));
        let null = simulated.replace("1760601600412", "null");
        assert!(passed(&null, &grant(true, true)).contains("1760601600999"));
    }
}

#[test]
fn a_key_for_replays_writes_nothing_live() {
    assert_eq!(refused(EVENT, &grant(false, true)).reason, Reason::NoRight);
}

#[test]
fn a_key_writes_for_its_own_tenant_only() {
    let refusal = refused(&EVENT.replace("melbourne", "birmingham"), &grant(true, true));
    assert_eq!(refusal.reason, Reason::WrongTenant);
    assert!(refusal.detail.starts_with("ext.tenant"));
}

#[test]
fn without_keys_each_record_has_its_own_tenant_and_none_is_replayed() {
    let anyone = Grant::without_keys(Limits::default());
    passed(&EVENT.replace("melbourne", "birmingham"), &anyone);
    assert_eq!(refused(&EVENT.replace("melbourne", "Leeds!"), &anyone).reason.as_str(), "invalid_value");
    assert_eq!(refused(&replayed(), &anyone).reason, Reason::NoRight);
}

#[test]
fn ticks_and_ends_of_input_go_everywhere_and_need_the_right_to_replay() {
    for text in [END.to_owned(), END.replace("input.ended", "tick").replace("replayed", "observed")] {
        let right = grant(false, true);
        let passed = judge(text.as_bytes(), &right, &plates(), NOW).unwrap();
        let Place::Everywhere { id } = passed.place else { panic!("{passed:?}") };
        assert_eq!(&*passed.bytes, text.as_bytes());
        let third = of_partition(&passed.bytes, id, 3).unwrap();
        assert_eq!(Record::parse(&third).unwrap().id, id_in_partition(id, 3));
        assert_eq!(refused(&text, &grant(true, false)).reason, Reason::NoRight);
    }
}

#[test]
fn a_plate_in_clear_becomes_a_token_and_a_token_stays() {
    for plate in ["\"AB12 CDE\"", "\"AB12\\u0020CDE\"", "\"ab12-cde\""] {
        let with = replayed()
            .replace("\"vehicle_type\"", &format!("\"vehicle_license_plate\":{plate},\"vehicle_type\""));
        let written = passed(&with, &grant(true, true));
        let token = "\"hmac:k1:Kt64s8FAkD2fVNkVZplHMdKmuwH1ae_1AorT36ye3mY\"";
        assert_eq!(written, with.replace(plate, token));
        assert_eq!(passed(&written, &grant(true, true)), written);
    }
}

#[test]
fn a_plate_is_found_however_its_field_is_spelled() {
    let with =
        EVENT.replace("\"vehicle_type\"", "\"vehicle\\u005flicense_plate\":\"AB12CDE\",\"vehicle_type\"");
    assert!(!passed(&with, &grant(true, false)).contains("AB12CDE"));
}

#[test]
fn a_plate_that_cannot_be_replaced_is_refused() {
    for (field, reason) in [
        ("\"vehicle_license_plate\":12345,", "invalid_value"),
        ("\"vehicle_license_plate\":\"hmac:other:AB12CDE\",", "invalid_value"),
        ("\"vehicle_license_plate\":\"A\",\"vehicle_license_plate\":\"B\",", "invalid_value"),
    ] {
        let refusal = refused(
            &EVENT.replace("\"vehicle_type\"", &format!("{field}\"vehicle_type\"")),
            &grant(true, false),
        );
        assert_eq!(refusal.reason.as_str(), reason);
        assert!(refusal.detail.contains("vehicle_license_plate") && !refusal.detail.contains("AB12"));
    }
    for (within, field) in [
        ("\"tenant\"", "\"vehicle_license_plate\":\"AB12CDE\",\"tenant\""),
        ("\"tenant\"", "\"vehicle\\u005flicense_plate\":\"AB12CDE\",\"tenant\""),
        ("1, 2", "{\"vehicle_license_plate\":\"AB12CDE\"},2"),
        ("1, 2", "[{\"\\u0076ehicle\\u005Flicense_plate\":\"AB12CDE\"}],\"\\ud800\\u00e9\""),
    ] {
        let refusal = refused(&EVENT.replace(within, field), &grant(true, false));
        assert!(refusal.detail.starts_with("vehicle_license_plate: it belongs"), "{refusal:?}");
    }
}

#[test]
fn what_no_stage_could_use_is_refused_with_its_reason() {
    for (text, reason) in [
        ("nonsense".to_owned(), "malformed"),
        (format!("[{EVENT}]"), "malformed"),
        (EVENT[..EVENT.len() - 9].to_owned(), "malformed"),
        (EVENT.replace("\"ext\"", "\"x\""), "missing_field"),
        (EVENT.replace("curb_zone_id", "x"), "missing_field"),
        (EVENT.replace("\"tenant\"", "\"x\""), "missing_field"),
        (EVENT.replace("park_start", "park_jump"), "unknown_type"),
        (EVENT.replace("in_ground", "seabed"), "invalid_value"),
        (EVENT.replace("\"car\"", &format!("\"{}\"", "c".repeat(70_000))), "too_large"),
    ] {
        assert_eq!(refused(&text, &grant(true, true)).reason.as_str(), reason, "{text:.60}");
    }
    let bad = judge(b"{\"a\":\"\xff\"}", &grant(true, true), &plates(), NOW).unwrap_err();
    assert_eq!(bad.reason.as_str(), "not_utf8");
}

proptest! {
    #[test]
    fn whatever_passes_is_what_a_stage_reads_and_has_no_plate_in_clear(
        plate in "[A-Z0-9]{6,8}", cut in 0_usize..600, at in 0_usize..400, junk in "[\"{}:,a0\\\\]{0,3}",
    ) {
        let field = format!("\"vehicle_license_plate\":\"Q{plate}\",\"vehicle_type\"");
        let mut text = EVENT.replace("\"vehicle_type\"", &field);
        text.insert_str(at.min(text.len()), &junk);
        text.truncate(text.len().saturating_sub(cut / 20));
        if let Ok(passed) = judge(text.as_bytes(), &grant(true, true), &plates(), NOW) {
            let record = Record::parse(&passed.bytes).unwrap();
            prop_assert_eq!(record.published, NOW);
            let whole = std::str::from_utf8(&passed.bytes).unwrap();
            let value: serde_json::Value = serde_json::from_str(whole).unwrap();
            let written = value.get("vehicle_license_plate").and_then(serde_json::Value::as_str);
            prop_assert!(written.is_none_or(|plate| plate.starts_with("hmac:")), "{}", whole);
        }
    }
}

//! Records that are refused while nobody waits for an answer: kept as dead letters (G5).
//!
//! Must not keep a plate in clear. A letter goes to the stream `events` as what no stage can use, so the
//! occupancy stage buries it once, with its position and reason, as it buries everything that it cannot
//! use. (The stream of dead letters belongs to that stage: its readers tell repeats by the stage's own
//! positions.)
//!
//! Invariant: no letter reads as a record.

use data_encoding::{BASE64, HEXLOWER};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::refusal::{Reason, Refusal};
use crate::domain::record::Record;

/// `record_type` of a letter that is not the record itself.
const RECORD_TYPE: &str = "ingest.refused";
/// Longest record that is kept, bytes.
const LONGEST_KEPT: usize = 2 * Record::MAX_SIZE;

/// What stands in place of a record that must not, or cannot, be kept as it is.
#[derive(Serialize)]
struct Envelope<'a> {
    record_type: &'static str,
    reason: &'static str,
    detail: &'a str,
    /// Of the record.
    size: usize,
    /// Of the record, so that its sender can tell which it was.
    sha256: String,
    /// The record, base 64; absent where it may hold a plate, or is too long.
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<String>,
}

/// What is written of a refused record.
pub(super) fn letter(record: &[u8], refusal: &Refusal) -> Vec<u8> {
    let kept = record.len() <= LONGEST_KEPT && !may_hold_a_plate(record);
    let tells_itself = matches!(refusal.reason, Reason::Unusable(_)) && Record::parse(record).is_err();
    if kept && tells_itself {
        return record.to_vec();
    }
    let envelope = Envelope {
        record_type: RECORD_TYPE,
        reason: refusal.reason.as_str(),
        detail: &refusal.detail,
        size: record.len(),
        sha256: HEXLOWER.encode(&Sha256::digest(record)),
        bytes: kept.then(|| BASE64.encode(record)),
    };
    // A struct of plain fields always has a JSON form.
    serde_json::to_vec(&envelope).unwrap_or_default()
}

/// An escape may hide the field's name, so it raises the suspicion, too.
fn may_hold_a_plate(record: &[u8]) -> bool {
    let has = |word: &[u8]| record.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word));
    has(b"plate") || has(b"\\u")
}

#[cfg(test)]
mod tests {
    use super::*;

    const USABLE: &str = r#"{"event_id":"7d8a5885-e949-5ac9-8fb7-fa4d43b68530","event_type":"park_start","event_time":1760601600000,"event_publication_time":1760601600000,"curb_zone_id":"02885f6f-ef93-441b-9e74-487279380656","data_source_type":"in_ground","data_source_device_id":"0fcb51b0-4529-4d28-a339-81e9a9bbcdb3","ext":{"schema_version":1,"tenant":"leeds"}}"#;

    fn write(record: &str, reason: Reason) -> String {
        String::from_utf8(letter(record.as_bytes(), &Refusal::new(reason, "ext.tenant: no"))).unwrap()
    }

    #[test]
    fn what_no_stage_can_use_is_kept_as_it_is() {
        let reason = Reason::Unusable(parking_crds::event::DeadLetterReason::Malformed);
        assert_eq!(write("nonsense", reason), "nonsense");
        assert!(write(USABLE, reason).contains("ingest.refused"), "a stage would have used it");
    }

    #[test]
    fn no_letter_reads_as_a_record_and_none_holds_a_plate() {
        for record in [USABLE, &USABLE.replace("leeds", "x\",\"vehicle_license_plate\":\"AB12CDE")] {
            let letter = write(record, Reason::WrongTenant);
            let refused = Record::parse(letter.as_bytes()).unwrap_err();
            assert_eq!(&*refused.detail, "record_type: ingest.refused");
            assert!(letter.contains("wrong_tenant") && letter.contains("ext.tenant: no"));
            let told = letter.contains(&BASE64.encode(record.as_bytes()));
            assert_eq!(told, !record.contains("AB12CDE"));
        }
    }

    #[test]
    fn what_is_too_long_to_keep_is_told_by_its_hash() {
        let letter = write(&"x".repeat(LONGEST_KEPT + 1), Reason::NoRight);
        assert!(letter.len() < 1_000 && letter.contains("\"size\":131073"));
    }
}

//! Curb Data Specification events as files of JSON lines.
//!
//! Must not judge: a line that is no event goes to the log as it is, where the verdict refuses it with
//! its bytes and position. What is an object is marked as replayed, so that its age does not matter and
//! nobody is paged for it; events of other systems get the `ext` that they lack.

use parking_crds::event::Millis;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{Flaw, Mapper};

/// Reads lines.
pub(super) struct Events {
    tenant: String,
}

impl Events {
    pub(super) fn open(tenant: &str) -> Self {
        Self { tenant: tenant.to_owned() }
    }

    fn mark_replayed(&self, object: &mut Map<String, Value>) {
        if let Some(time) = object.get("event_time").cloned() {
            object.insert("event_publication_time".to_owned(), time);
        }
        let ext = object.entry("ext").or_insert_with(|| json!({"schema_version": 1, "tenant": self.tenant}));
        if let Some(ext) = ext.as_object_mut() {
            ext.insert("quality".to_owned(), json!("replayed"));
        }
    }
}

impl Mapper for Events {
    fn time(&self, row: &[u8], _: u8) -> Result<Option<Millis>, Flaw> {
        let object: Option<Value> = serde_json::from_slice(row).ok();
        let time = object.as_ref().and_then(|object| object.get("event_time"));
        Ok(time.and_then(|time| time.as_i64().or_else(|| time.as_str()?.parse().ok())))
    }

    fn record(&self, row: &[u8], _: u8, record: &mut Vec<u8>) -> Result<Option<Uuid>, Flaw> {
        record.clear();
        let Ok(Value::Object(mut object)) = serde_json::from_slice(row) else {
            record.extend_from_slice(row);
            return Ok(None);
        };
        self.mark_replayed(&mut object);
        let zone = object.get("curb_zone_id").and_then(Value::as_str).and_then(|id| id.parse().ok());
        super::write(&object, record);
        Ok(zone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZONE: &str = "02885f6f-ef93-441b-9e74-487279380656";

    fn record(row: &str) -> (Option<Uuid>, Vec<u8>) {
        let mut record = Vec::new();
        (Events::open("city").record(row.as_bytes(), 0, &mut record).unwrap(), record)
    }

    #[test]
    fn event_is_marked_as_replayed_at_its_own_time() {
        let row = format!(r#"{{"event_time":"5","event_publication_time":9,"curb_zone_id":"{ZONE}"}}"#);
        let (zone, bytes) = record(&row);
        let object: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(zone, Some(ZONE.parse().unwrap()));
        assert_eq!(object["event_publication_time"], "5");
        assert_eq!(object["ext"], json!({"schema_version": 1, "tenant": "city", "quality": "replayed"}));
        assert_eq!(Events::open("city").time(row.as_bytes(), 0).unwrap(), Some(5));
    }

    #[test]
    fn what_is_no_object_is_kept_byte_for_byte() {
        for row in ["{\"event_time\":", "17", "not json"] {
            assert_eq!(record(row), (None, row.as_bytes().to_vec()));
            assert_eq!(Events::open("city").time(row.as_bytes(), 0).unwrap(), None);
        }
    }
}

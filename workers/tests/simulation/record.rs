//! Records as text, field by field.

use parking_crds::event::Millis;
use uuid::Uuid;

/// How a device numbers a record.
#[derive(Clone, Copy)]
pub(crate) struct Numbered {
    /// Not every device says when it starts anew.
    pub(crate) boot: Option<u32>,
    pub(crate) seq: u64,
}

/// A record that is being written.
#[derive(Default)]
pub(crate) struct RecordText {
    fields: Vec<(String, String)>,
    ext: Vec<(String, String)>,
}

impl RecordText {
    pub(crate) fn event(
        kind: &str,
        id: Uuid,
        at: Millis,
        zone: Uuid,
        device: Uuid,
        numbered: Option<Numbered>,
    ) -> Self {
        let mut record = Self::default()
            .with("event_id", &format!("\"{id}\""))
            .with("event_type", &format!("\"{kind}\""))
            .with("event_time", &at.to_string())
            .with("event_publication_time", &at.to_string())
            .with("curb_zone_id", &format!("\"{zone}\""))
            .with("data_source_type", "\"in_ground\"")
            .with("data_source_device_id", &format!("\"{device}\""));
        if let Some(Numbered { boot, seq }) = numbered {
            record.ext.push(("seq".into(), seq.to_string()));
            record.ext.extend(boot.map(|boot| ("boot_id".into(), format!("\"b{boot}\""))));
        }
        record
    }

    pub(crate) fn companion(kind: &str, id: Uuid, at: Millis, zone: Uuid) -> Self {
        Self::control(kind, id, at).with("curb_zone_id", &format!("\"{zone}\""))
    }

    pub(crate) fn control(kind: &str, id: Uuid, at: Millis) -> Self {
        Self::default()
            .with("record_type", &format!("\"{kind}\""))
            .with("event_id", &format!("\"{id}\""))
            .with("event_time", &at.to_string())
    }

    /// Sets a field; the value is JSON.
    pub(crate) fn with(mut self, field: &str, value: &str) -> Self {
        self.fields.retain(|(name, _)| name != field);
        self.fields.push((field.into(), value.into()));
        self
    }

    pub(crate) fn without(mut self, field: &str) -> Self {
        self.fields.retain(|(name, _)| name != field);
        self
    }

    pub(crate) fn published(self, at: Millis) -> Self {
        self.with("event_publication_time", &at.to_string())
    }

    pub(crate) fn offline(self) -> Self {
        self.with("sensor_status_is_online", "false")
    }

    pub(crate) fn counting(mut self, occupied: i64) -> Self {
        self.ext.push(("occupied".into(), occupied.to_string()));
        self
    }

    pub(crate) fn replayed(mut self) -> Self {
        self.ext.push(("quality".into(), "\"replayed\"".into()));
        self
    }

    pub(crate) fn finish(self) -> String {
        let ext = [("schema_version".into(), "1".into()), ("tenant".into(), "\"city\"".into())];
        let ext = object(ext.into_iter().chain(self.ext));
        object(self.fields.into_iter().chain([("ext".into(), ext)]))
    }
}

fn object(fields: impl Iterator<Item = (String, String)>) -> String {
    let fields: Vec<_> = fields.map(|(name, value)| format!("\"{name}\":{value}")).collect();
    format!("{{{}}}", fields.join(","))
}

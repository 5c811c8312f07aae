//! Key and headers of a record, made from the record itself: the same bytes get the same envelope.
//!
//! Headers follow the binary mode of CloudEvents 1.0 for Kafka, so that other programs can route records without
//! reading them. A record that cannot be read has no envelope, and is appended all the same.

use std::borrow::Cow;

use parking_crds::{event::Millis, time::day::timestamp};
use rdkafka::message::{Header, OwnedHeaders};
use serde::Deserialize;

use crate::ports::event_log::Stream;

/// What a record is filed under.
#[derive(Debug, Default)]
pub(super) struct Envelope<'a> {
    /// What keeps records together: the zone, of alerts the instance.
    pub(super) key: Option<Cow<'a, str>>,
    /// CloudEvents attributes.
    pub(super) headers: Option<OwnedHeaders>,
}

/// The members of any record that the envelope is made from.
#[derive(Default, Deserialize)]
struct Facts<'a> {
    #[serde(borrow, default)]
    event_id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    session_id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    alert_id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    event_type: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    record_type: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    curb_zone_id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    fingerprint: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    data_source_device_id: Option<Cow<'a, str>>,
    #[serde(default)]
    event_time: Option<Millis>,
    #[serde(default)]
    fired_at: Option<Millis>,
    #[serde(default)]
    start: Option<Millis>,
    #[serde(default)]
    end: Option<Millis>,
    #[serde(default)]
    revision: Option<u32>,
    #[serde(default)]
    generation: Option<u32>,
}

impl<'a> Envelope<'a> {
    /// The envelope of a record on a stream.
    pub(super) fn of(stream: Stream, record: &'a [u8]) -> Self {
        match sonic_rs::from_slice::<Facts<'a>>(record) {
            Ok(facts) => Self { headers: Some(facts.headers(stream)), key: facts.key(stream) },
            Err(_) => Self::default(),
        }
    }
}

impl<'a> Facts<'a> {
    fn key(self, stream: Stream) -> Option<Cow<'a, str>> {
        match stream {
            Stream::Events | Stream::Sessions => self.curb_zone_id,
            Stream::Alerts => self.fingerprint,
            Stream::DeadLetters => None,
        }
    }

    fn id(&self) -> Option<Cow<'_, str>> {
        let numbered = |id: &str, number: Option<u32>| format!("{id}:{}", number.unwrap_or_default()).into();
        match (&self.event_id, &self.alert_id, &self.session_id) {
            (Some(event), _, _) => Some(Cow::Borrowed(event.as_ref())),
            (None, Some(alert), _) => Some(numbered(alert, self.generation)),
            (None, None, Some(session)) => Some(numbered(session, self.revision)),
            (None, None, None) => None,
        }
    }

    fn kind(&self) -> Cow<'_, str> {
        match (&self.event_type, &self.record_type) {
            (Some(event), _) => format!("cds.{event}").into(),
            (None, Some(record)) => format!("parking.{record}").into(),
            (None, None) => Cow::Borrowed("parking.record"),
        }
    }

    fn time(&self) -> Option<String> {
        let time = self.event_time.or(self.fired_at).or(self.end).or(self.start)?;
        Some(timestamp(time).to_string())
    }

    fn headers(&self, stream: Stream) -> OwnedHeaders {
        let source = match &self.data_source_device_id {
            Some(device) => format!("/devices/{device}"),
            None => format!("/streams/{}", stream.as_str()),
        };
        let headers = OwnedHeaders::new_with_capacity(6)
            .insert(Header { key: "ce_specversion", value: Some("1.0") })
            .insert(Header { key: "ce_type", value: Some(self.kind().as_ref()) })
            .insert(Header { key: "ce_source", value: Some(&source) })
            .insert(Header { key: "content-type", value: Some("application/json") });
        let headers = match self.id() {
            Some(id) => headers.insert(Header { key: "ce_id", value: Some(id.as_ref()) }),
            None => headers,
        };
        match self.time() {
            Some(time) => headers.insert(Header { key: "ce_time", value: Some(&time) }),
            None => headers,
        }
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::message::Headers as _;

    use super::*;

    fn shown(stream: Stream, record: &str) -> (Option<String>, Vec<(String, String)>) {
        let envelope = Envelope::of(stream, record.as_bytes());
        let headers = envelope.headers.iter().flat_map(|headers| {
            headers.iter().map(|header| {
                let value = String::from_utf8_lossy(header.value.unwrap_or_default()).into_owned();
                (header.key.to_owned(), value)
            })
        });
        (envelope.key.map(Cow::into_owned), headers.collect())
    }

    fn value<'a>(headers: &'a [(String, String)], key: &str) -> Option<&'a str> {
        headers.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    #[test]
    fn an_event_is_filed_under_its_zone_and_named_by_its_id() {
        let event = r#"{"event_id":"e1","event_type":"park_start","event_time":1760601600000,"curb_zone_id":"z1","data_source_device_id":"d1","ext":{"event_id":"other"}}"#;
        let (key, headers) = shown(Stream::Events, event);
        assert_eq!(key.as_deref(), Some("z1"));
        assert_eq!(value(&headers, "ce_id"), Some("e1"));
        assert_eq!(value(&headers, "ce_type"), Some("cds.park_start"));
        assert_eq!(value(&headers, "ce_source"), Some("/devices/d1"));
        assert_eq!(value(&headers, "ce_time"), Some("2025-10-16T08:00:00Z"));
    }

    #[test]
    fn an_alert_is_filed_under_its_instance_and_each_of_its_records_has_an_id() {
        let alert = r#"{"record_type":"alert","alert_id":"a1","fingerprint":"f1","generation":2,"labels":{"curb_zone_id":"z1"}}"#;
        let (key, headers) = shown(Stream::Alerts, alert);
        assert_eq!((key.as_deref(), value(&headers, "ce_id")), (Some("f1"), Some("a1:2")));
        assert_eq!(value(&headers, "ce_type"), Some("parking.alert"));
    }

    #[test]
    fn what_is_no_record_has_no_envelope() {
        assert_eq!(shown(Stream::Events, "nonsense"), (None, Vec::new()));
    }
}

//! The verdict on a record that somebody sends, and the bytes that go to the log.
//!
//! Pure: must not do I/O or read clocks. What passes reads as the stages read it, since the last check is
//! theirs. Bytes are rewritten only where they must be: a live record's publication time becomes the
//! time of its arrival, a plate in clear becomes a token; everything else stays byte for byte.
//!
//! A simulated city is a replay, too: what it saw and what it concluded keep their publication time, where
//! they carry one and the key may replay.
//!
//! Invariants: no plate in clear passes under the name of its field; a record without the right to it does not pass; a replayed
//! record without a plate passes unchanged, so that a replay leaves the bytes of an import.

use std::borrow::Cow;

use parking_crds::event::{DeadLetterReason, Millis, Quality};
use serde::{Deserialize, Deserializer, de::IgnoredAny};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{
    grant::Grant,
    plate::PlateKeys,
    refusal::{Reason, Refusal},
};
use crate::domain::{
    partitioner::id_in_partition,
    record::{Body, Record},
};

/// A record that may be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed<'a> {
    /// As it goes to the log.
    pub bytes: Cow<'a, [u8]>,
    /// Where in the log.
    pub place: Place,
}

/// The partitions that a record belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// That of its zone.
    Zone(Uuid),
    /// All of them, since it speaks of time itself: a tick or the end of the input.
    Everywhere {
        /// `event_id` as sent; each partition gets one derived from it.
        id: Uuid,
    },
}

/// Passes the verdict on the bytes of one record that arrives at `now`.
pub fn judge<'a>(
    bytes: &'a [u8],
    grant: &Grant,
    plates: &PlateKeys,
    now: Millis,
) -> Result<Passed<'a>, Refusal> {
    let text = as_text(bytes.trim_ascii())?;
    let outline: Outline<'a> = serde_json::from_str(text).map_err(|error| refuse_json(&error))?;
    outline.check_tenant(grant)?;
    outline.check_plates(text)?;
    let kept = outline.keeps_its_publication(grant)?;
    let mut edits = Edits::of(text);
    if let Some(plate) = outline.vehicle_license_plate
        && let Some(token) = token_of(plate, plates)?
    {
        edits.replace(plate.get(), format!("\"{token}\""))?;
    }
    if !kept {
        edits.stamp(outline.event_publication_time, now)?;
    }
    let bytes = edits.apply();
    let place = check_as_a_stage(&bytes, grant)?;
    Ok(Passed { bytes, place })
}

/// The record of a place that is everywhere, as `partition` gets it.
pub(super) fn of_partition(bytes: &[u8], id: Uuid, partition: u32) -> Result<Vec<u8>, Refusal> {
    let text = as_text(bytes)?;
    let outline: Outline<'_> = serde_json::from_str(text).map_err(|error| refuse_json(&error))?;
    let mut edits = Edits::of(text);
    if let Some(old) = outline.event_id {
        edits.replace(old.get(), format!("\"{}\"", id_in_partition(id, partition)))?;
    }
    Ok(edits.apply().into_owned())
}

fn as_text(bytes: &[u8]) -> Result<&str, Refusal> {
    if bytes.len() > Record::MAX_SIZE {
        let detail = format!("{} bytes, at most {} are allowed", bytes.len(), Record::MAX_SIZE);
        return Err(Refusal::unusable(DeadLetterReason::TooLarge, detail));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        Refusal::unusable(DeadLetterReason::NotUtf8, format!("byte {}", error.valid_up_to()))
    })?;
    if text.starts_with('{') {
        Ok(text)
    } else {
        Err(Refusal::unusable(DeadLetterReason::Malformed, "a record is a JSON object"))
    }
}

fn refuse_json(error: &serde_json::Error) -> Refusal {
    let reason = if error.is_data() { DeadLetterReason::InvalidValue } else { DeadLetterReason::Malformed };
    Refusal::unusable(reason, error.to_string())
}

/// What decides here, with the bytes of what may be rewritten.
#[derive(Deserialize)]
struct Outline<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    event_id: Option<&'a RawValue>,
    event_type: Option<IgnoredAny>,
    #[serde(borrow)]
    record_type: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "present")]
    event_publication_time: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    vehicle_license_plate: Option<&'a RawValue>,
    #[serde(borrow)]
    ext: Option<OutlineExt<'a>>,
}

#[derive(Deserialize)]
struct OutlineExt<'a> {
    #[serde(borrow)]
    tenant: Option<Cow<'a, str>>,
    quality: Option<Quality>,
}

/// A value that is there, be it null.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl Outline<'_> {
    fn check_tenant(&self, grant: &Grant) -> Result<(), Refusal> {
        let missing = |field| Refusal::unusable(DeadLetterReason::MissingField, field);
        let ext = self.ext.as_ref().ok_or_else(|| missing("ext"))?;
        let tenant = ext.tenant.as_deref().ok_or_else(|| missing("ext.tenant"))?;
        match &grant.tenant {
            Some(own) if own != tenant => {
                Err(Refusal::new(Reason::WrongTenant, format!("ext.tenant: this key writes for {own}")))
            }
            _ if is_tenant(tenant) => Ok(()),
            _ => Err(Refusal::invalid("ext.tenant: 1 to 63 of a-z, 0-9 and -")),
        }
    }

    /// A plate within another field would be passed over.
    fn check_plates(&self, text: &str) -> Result<(), Refusal> {
        let own = usize::from(self.vehicle_license_plate.is_some());
        if spelled_out(text).matches("\"vehicle_license_plate\"").count() > own {
            return Err(Refusal::invalid("vehicle_license_plate: it belongs beside ext, and nowhere else"));
        }
        Ok(())
    }

    /// Whether the record keeps the publication time that it carries, which needs the right to it.
    fn keeps_its_publication(&self, grant: &Grant) -> Result<bool, Refusal> {
        let quality = self.ext.as_ref().and_then(|ext| ext.quality).unwrap_or_default();
        let is_control =
            self.event_type.is_none() && matches!(self.record_type.as_deref(), Some("tick" | "input.ended"));
        let needs_replay = is_control || quality == Quality::Replayed;
        if needs_replay && !grant.rights.replay {
            let what = if is_control { "record_type" } else { "ext.quality" };
            return Err(Refusal::new(Reason::NoRight, format!("{what}: this key may not replay")));
        }
        let is_simulated = matches!(quality, Quality::Synthetic | Quality::Inferred);
        let is_published = self.event_publication_time.is_some_and(|time| time.get() != "null");
        let kept = needs_replay || (is_simulated && is_published && grant.rights.replay);
        if !kept && !grant.rights.write {
            return Err(Refusal::new(Reason::NoRight, "ext.quality: this key may only replay"));
        }
        Ok(kept)
    }
}

/// The text with its escaped letters in clear; whatever else is escaped stays so.
fn spelled_out(text: &str) -> Cow<'_, str> {
    const ESCAPE: &str = "\\u";
    let Some((before, rest)) = text.split_once(ESCAPE) else { return Cow::Borrowed(text) };
    let mut clear = before.to_owned();
    for part in rest.split(ESCAPE) {
        let code = part
            .split_at_checked(4)
            .and_then(|(code, after)| Some((u8::from_str_radix(code, 16).ok()?, after)));
        match code {
            Some((letter, after)) if letter == b'_' || letter.is_ascii_alphabetic() => {
                clear.push(char::from(letter));
                clear.push_str(after);
            }
            _ => clear.extend([ESCAPE, part]),
        }
    }
    Cow::Owned(clear)
}

fn is_tenant(name: &str) -> bool {
    let allowed = |letter: u8| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == b'-';
    (1..=63).contains(&name.len()) && name.bytes().all(allowed)
}

fn token_of(plate: &RawValue, plates: &PlateKeys) -> Result<Option<String>, Refusal> {
    if plate.get() == "null" {
        return Ok(None);
    }
    let text: Cow<'_, str> = serde_json::from_str(plate.get())
        .map_err(|_| Refusal::invalid("vehicle_license_plate: not a string"))?;
    plates.replace(&text)
}

/// The last word is that of the stages, on the bytes that they will read.
fn check_as_a_stage(bytes: &[u8], grant: &Grant) -> Result<Place, Refusal> {
    let record = Record::parse(bytes)?;
    if record.is_replayed() && record.published != record.time {
        return Err(Refusal::invalid("event_publication_time: that of a replayed record is its event_time"));
    }
    match (record.body, record.zone) {
        (Body::Tick | Body::InputEnded, _) if !grant.rights.replay => {
            Err(Refusal::new(Reason::NoRight, "record_type: this key may not replay"))
        }
        (Body::Tick | Body::InputEnded, None) => Ok(Place::Everywhere { id: record.id }),
        (_, Some(zone)) => Ok(Place::Zone(zone)),
        (_, None) => Err(Refusal::unusable(DeadLetterReason::MissingField, "curb_zone_id")),
    }
}

/// Replacements of parts of a text, at most one for each field that may change.
struct Edits<'a> {
    text: &'a str,
    made: Vec<(usize, usize, String)>,
}

impl<'a> Edits<'a> {
    fn of(text: &'a str) -> Self {
        Self { text, made: Vec::new() }
    }

    /// Replaces `part`, which was borrowed from the text.
    fn replace(&mut self, part: &str, by: String) -> Result<(), Refusal> {
        if part == by {
            return Ok(());
        }
        let start = part.as_ptr().addr().wrapping_sub(self.text.as_ptr().addr());
        let end = start.wrapping_add(part.len());
        if self.text.get(start..end) != Some(part) {
            return Err(Refusal::unusable(DeadLetterReason::Malformed, "a field cannot be replaced"));
        }
        self.made.push((start, end, by));
        Ok(())
    }

    /// Sets the publication time, which stands first where the record carried none.
    fn stamp(&mut self, old: Option<&RawValue>, now: Millis) -> Result<(), Refusal> {
        if let Some(old) = old {
            return self.replace(old.get(), now.to_string());
        }
        self.made.push((1, 1, format!("\"event_publication_time\":{now},")));
        Ok(())
    }

    fn apply(mut self) -> Cow<'a, [u8]> {
        if self.made.is_empty() {
            return Cow::Borrowed(self.text.as_bytes());
        }
        self.made.sort_unstable_by_key(|(start, ..)| *start);
        let grown: usize = self.made.iter().map(|(.., by)| by.len()).sum();
        let mut bytes = Vec::with_capacity(self.text.len() + grown);
        let mut from = 0;
        for (start, end, by) in &self.made {
            bytes.extend_from_slice(self.text.get(from..*start).unwrap_or_default().as_bytes());
            bytes.extend_from_slice(by.as_bytes());
            from = *end;
        }
        bytes.extend_from_slice(self.text.get(from..).unwrap_or_default().as_bytes());
        Cow::Owned(bytes)
    }
}

#[cfg(test)]
mod tests;

//! Records that nobody can use: at least one kind for each reason of the closed list, but for
//! `undecidable_age`, which needs a history.

use bytes::Bytes;
use parking_crds::event::Millis;
use uuid::Uuid;

use crate::{chance::Chance, record::RecordText};

const DAY: Millis = 86_400_000;

pub(crate) fn unusable(chance: &mut Chance, zone: Uuid, at: Millis) -> Bytes {
    let (id, device) = (chance.uuid(), chance.uuid());
    let event = || RecordText::event("park_start", id, at, zone, device, None);
    let text = match chance.below(14) {
        0 if chance.hits(150) => " ".repeat(64 * 1024 + 1),
        0 | 1 => return Bytes::from_static(b"{\"event_id\":\"\xff\xfe\"}"),
        2 => {
            let mut text = event().finish();
            text.truncate(chance.index(text.len() - 1));
            text
        }
        3 => {
            let fields =
                ["event_id", "event_time", "event_publication_time", "curb_zone_id", "data_source_device_id"];
            event().without(fields[chance.index(fields.len())]).finish()
        }
        4 => event().with("event_time", "true").finish(),
        5 => event().with("event_time", "5").finish(),
        6 => event().with("event_id", "\"no-id\"").finish(),
        7 => event().with("event_type", "\"park_jump\"").finish(),
        8 => RecordText::companion("moon.landed", id, at, zone).finish(),
        9 => event().with("curb_zone_id", &format!("\"{device}\"")).finish(),
        10 => event().with("curb_space_id", &format!("\"{device}\"")).finish(),
        11 => event().counting(-1).finish(),
        12 => event().published(at + DAY + 1).finish(),
        _ => event().published(at - 300_001).finish(),
    };
    Bytes::from(text)
}

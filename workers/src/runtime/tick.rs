//! The record by which a silent partition learns that time went by.

use parking_crds::event::{CompanionBody, CompanionRecord, Ext, Millis};
use uuid::Uuid;

use crate::ports::event_log::{Offset, Partition};

/// A tick that was written when the partition's next record was expected at `offset`.
pub(super) fn record(tenant: &str, partition: Partition, offset: Offset, time: Millis) -> Vec<u8> {
    let mut name = [0; 12];
    let (first, rest) = name.split_at_mut(4);
    first.copy_from_slice(&partition.to_be_bytes());
    rest.copy_from_slice(&offset.to_be_bytes());
    let tick = CompanionRecord {
        event_id: Uuid::new_v5(&Uuid::NAMESPACE_OID, &name),
        event_time: time,
        event_publication_time: Some(time),
        curb_zone_id: None,
        body: CompanionBody::Tick {},
        ext: Ext { schema_version: 1, tenant: tenant.to_owned(), ..Ext::default() },
    };
    // A struct of plain fields always has a JSON form.
    serde_json::to_vec(&tick).unwrap_or_default()
}

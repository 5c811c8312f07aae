//! What a round left in the log.

use std::borrow::Cow;

use serde::Deserialize;
use uuid::Uuid;

use super::{
    super::{
        super::{BenchError, scenario::PARTITIONS, stages::read_from},
        place::Streams,
    },
    Load,
};
use crate::ports::event_log::{Offset, Stream, StreamPartition};

#[derive(Deserialize)]
struct Written<'a> {
    event_id: Uuid,
    #[serde(borrow)]
    vehicle_license_plate: Option<Cow<'a, str>>,
}

/// Checks that each record was written once from here on; answers where the partitions end now.
pub(super) async fn check(
    streams: &Streams,
    load: &Load,
    from: &[Offset],
) -> Result<Vec<Offset>, BenchError> {
    let (mut missing, mut plates, mut wrong, mut ends) = (load.ids.clone(), 0, None, Vec::new());
    for (partition, from) in (0..PARTITIONS).zip(from) {
        let at = StreamPartition { stream: Stream::Events, partition };
        let take = |record: &[u8]| match serde_json::from_slice::<Written<'_>>(record) {
            Ok(written) if missing.remove(&written.event_id) => match written.vehicle_license_plate {
                Some(plate) if plate.starts_with("hmac:") => plates += 1,
                Some(_) => wrong = Some("a plate is in clear".to_owned()),
                None => {}
            },
            Ok(written) => wrong = Some(format!("the record {} is there once too often", written.event_id)),
            Err(error) => wrong = Some(error.to_string()),
        };
        ends.push(read_from(streams.log.as_ref(), at, *from, take).await?);
    }
    let found = match (wrong, missing.len()) {
        (Some(wrong), _) => wrong,
        (None, 0) if plates == load.plates => return Ok(ends),
        (None, 0) => format!("{plates} plates, {} were sent", load.plates),
        (None, missing) => format!("{missing} records are missing"),
    };
    Err(BenchError::Wrong(format!("what ingest wrote: {found}")))
}

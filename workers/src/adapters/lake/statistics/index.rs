//! The small object that tells which windows of a job have a result.
//!
//! Must not be written before the windows are in every sink. Invariant: it is written only where it would change.

use bytes::Bytes;
use parking_crds::{
    names::JobName,
    stats_index::{StatsIndex, key},
};

use super::StatsError;
use crate::adapters::lake::DeltaLake;

/// What was written last of a computation; empty where nothing was, or what was is of another.
pub(super) async fn read(
    lake: &DeltaLake,
    job: &JobName,
    computation: &str,
) -> Result<StatsIndex, StatsError> {
    let text = lake.place().read_object(&key(job)).await?;
    // An object of another version tells nothing, and is only ever behind the tables.
    let index = text.and_then(|text| StatsIndex::parse(&text).ok());
    let nothing = || StatsIndex { computation: computation.to_owned(), ..StatsIndex::default() };
    Ok(index.filter(|index| index.computation == computation).unwrap_or_else(nothing))
}

/// Writes what is known now.
pub(super) async fn write(lake: &DeltaLake, job: &JobName, index: &StatsIndex) -> Result<(), StatsError> {
    let text = serde_json::to_vec(index).map(Bytes::from).unwrap_or_default();
    let key = key(job);
    if lake.place().read_object(&key).await?.is_none_or(|there| there != text) {
        lake.place().write_object(&key, text).await?;
    }
    Ok(())
}

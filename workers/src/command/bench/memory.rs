//! `bench memory`: what occupancy and alert hold of a million watched spaces.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{
    BenchError, Row,
    child::Child,
    folder::{Folder, fill, open},
    gauge::{per, resident},
    row,
    scenario::Scenario,
    stages::{Ports, Runners, ends},
};

/// Zones of 200 spaces each.
const ZONES: u32 = 5_000;
const SPACES: u32 = 200;
/// Every device reports within its interval; some records more make sure of it.
const EVENTS: u64 = 1_150_000;

/// What was measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemoryFigures {
    /// Spaces.
    pub spaces: u64,
    /// Resident with the inventory alone, bytes.
    pub inventory_resident_bytes: Option<u64>,
    /// Resident when occupancy and alert have heard of every space.
    pub resident_bytes: Option<u64>,
    /// What a space costs, occupancy and alert together.
    pub bytes_per_space: Option<f64>,
}

/// Fills a log for [`measure`]: in a process of its own, since the generator has memory of its own.
pub(super) async fn prepare(place: &Path) -> Result<(), BenchError> {
    let folder = open(place)?;
    fill(&folder.event_log(), &mut Scenario::new(ZONES, SPACES)?.feed()?, EVENTS).await.map(drop)
}

/// Runs occupancy and alert over the log that a child process fills.
pub(super) async fn measure(parent: &Path) -> Result<MemoryFigures, BenchError> {
    let place = Folder::new(parent, "memory")?;
    Child::bench("prepare-memory", place.path(), None)?.finish()?;
    let scenario = Scenario::new(ZONES, SPACES)?;
    let spaces: u64 = scenario.inventory.latest().zones().iter().map(|zone| u64::from(zone.capacity)).sum();
    let before = resident("self");
    let folder = open(place.path())?;
    let ports = Ports::of(&folder);
    let ends = ends(ports.log.as_ref()).await?;
    let runners = Runners::new(&scenario, &ports).run_to(&ends).await?;
    let after = resident("self");
    drop(runners);
    let grown = before.zip(after).map(|(before, after)| after.saturating_sub(before));
    Ok(MemoryFigures {
        spaces,
        inventory_resident_bytes: before,
        resident_bytes: after,
        bytes_per_space: grown.map(|grown| per(grown, super::gauge::to_f64(spaces))),
    })
}

impl MemoryFigures {
    /// Lines for people.
    pub(super) fn rows(&self) -> Vec<Row> {
        let mebibytes = |bytes: Option<u64>| {
            bytes.map_or_else(|| "unknown".to_owned(), |bytes| format!("{} MiB", bytes >> 20))
        };
        vec![
            row("spaces", self.spaces.to_string()),
            row("inventory", mebibytes(self.inventory_resident_bytes)),
            row("inventory, occupancy and alert", mebibytes(self.resident_bytes)),
            row(
                "  a space",
                self.bytes_per_space
                    .map_or_else(|| "unknown".to_owned(), |bytes| format!("{bytes:.0} bytes")),
            ),
        ]
    }
}

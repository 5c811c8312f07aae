//! `bench start`: how soon `parking up` has done its first work, and what it holds when idle.

use std::{fs, path::Path};

use parking_crds::duration::Duration;
use serde::{Deserialize, Serialize};

use super::{
    BenchError, Row,
    child::Child,
    folder::Folder,
    gauge::{Stopwatch, processor_seconds, resident},
    row,
};
use crate::{adapters::embedded::SystemClock, domain::generator::Profile, ports::clock::Clock};

const RUNS: usize = 5;
/// A process that used no processor time for this many looks is idle.
const QUIET_LOOKS: u32 = 5;
const LOOK: Duration = Duration::from_millis(100);
const MOST_LOOKS: u32 = 300;

const PROFILE: &str = "{tenant: start, seed: 1, timeZone: Europe/London, start: 2025-06-02T06:00:00Z, \
    duration: 1s, reportInterval: 1s, faults: {duplicates: 0, silent: 0, stuck: 0}, \
    groups: [{name: A, zones: 1, spaces: 1, archetype: onStreet}]}";

/// What was measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StartFigures {
    /// Median from the start of the process to its end, with one event appended, processed, archived
    /// and reported in between.
    pub first_event_milliseconds: u128,
    /// Resident when nothing is left to do.
    pub idle_resident_bytes: Option<u64>,
}

/// Starts this binary some times.
pub(super) async fn measure(parent: &Path) -> Result<StartFigures, BenchError> {
    let place = Folder::new(parent, "start")?;
    let files = place.path().join("files");
    write_files(&files)?;
    let mut runs = Vec::with_capacity(RUNS);
    for run in 0..RUNS {
        let data = place.path().join(format!("data-{run}"));
        let watch = Stopwatch::start();
        up(&files, &data, &["--until-idle"])?.finish()?;
        runs.push(watch.stop().wall.as_millis());
    }
    runs.sort_unstable();
    let idle = up(&files, &place.path().join("data-idle"), &[])?;
    let idle_resident_bytes = idle_memory(&idle).await;
    Ok(StartFigures {
        first_event_milliseconds: runs.get(RUNS / 2).copied().unwrap_or_default(),
        idle_resident_bytes,
    })
}

fn up(files: &Path, data: &Path, more: &[&str]) -> Result<Child, BenchError> {
    let (file_text, data_text) = (files.to_string_lossy(), data.to_string_lossy());
    let mut arguments = vec!["up", "-f", &file_text, "--data", &data_text];
    arguments.extend(more);
    Child::start(&arguments, files)
}

async fn idle_memory(child: &Child) -> Option<u64> {
    let (clock, process) = (SystemClock::new(), child.id());
    let (mut used, mut quiet) = (processor_seconds(&process)?, 0);
    for _ in 0..MOST_LOOKS {
        clock.pause(LOOK).await;
        let now = processor_seconds(&process)?;
        quiet = if now > used { 0 } else { quiet + 1 };
        used = now;
        if quiet == QUIET_LOOKS {
            break;
        }
    }
    resident(&process)
}

fn write_files(files: &Path) -> Result<(), BenchError> {
    fs::create_dir_all(files)?;
    let profile = Profile::parse(PROFILE).map_err(BenchError::scenario)?;
    let inventory = serde_json::to_string(&profile.inventory()).map_err(BenchError::scenario)?;
    let map = serde_json::json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "start-inventory", "namespace": "start"},
        "data": {"inventory.yaml": inventory},
    });
    fs::write(files.join("start.profile"), PROFILE)?;
    fs::write(files.join("inventory.yaml"), map.to_string())?;
    fs::write(files.join("pipeline.yaml"), include_str!("start.yaml"))?;
    Ok(())
}

impl StartFigures {
    /// Lines for people.
    pub(super) fn rows(&self) -> Vec<Row> {
        let memory = self.idle_resident_bytes;
        vec![
            row("start, one event, end", format!("{} ms", self.first_event_milliseconds)),
            row(
                "resident when idle",
                memory.map_or_else(|| "unknown".to_owned(), |bytes| format!("{} MiB", bytes >> 20)),
            ),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_are_a_deployment() {
        let folder = tempfile::tempdir().unwrap();
        write_files(folder.path()).unwrap();
        let deployment = crate::deployment::load(&[folder.path().to_owned()]).unwrap();
        let (format, file) = deployment.replay.unwrap();
        assert_eq!(format, crate::command::feed::SIMULATE);
        assert!(Profile::parse(&fs::read_to_string(file).unwrap()).is_ok());
    }
}

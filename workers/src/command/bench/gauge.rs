//! What is read off: wall time, processor time and memory of a process.
//!
//! Invariant: a figure that the system does not tell is absent, never zero.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

/// Clock ticks of a second in `/proc/PID/stat`, the same on every Linux that we run on.
const TICKS: f64 = 100.0;

/// Measures a stretch of wall and processor time of this process.
pub(super) struct Stopwatch {
    wall: Instant,
    processor: Option<f64>,
}

/// What a stopwatch showed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spent {
    pub(super) wall: Duration,
    /// Seconds of all threads.
    pub(super) processor: Option<f64>,
}

impl Stopwatch {
    #[expect(clippy::disallowed_methods, reason = "a bench measures the wall clock, nothing depends on it")]
    pub(super) fn start() -> Self {
        Self { processor: processor_seconds("self"), wall: Instant::now() }
    }

    pub(super) fn stop(&self) -> Spent {
        let wall = self.wall.elapsed();
        let processor = self.processor.zip(processor_seconds("self")).map(|(before, after)| after - before);
        Spent { wall, processor }
    }
}

impl Spent {
    /// How many a second.
    pub(super) fn rate(&self, count: u64) -> f64 {
        per(count, self.wall.as_secs_f64())
    }

    /// Processor seconds for a million.
    pub(super) fn per_million(&self, count: u64) -> Option<f64> {
        self.processor.map(|seconds| seconds * per(1_000_000, to_f64(count)))
    }
}

/// A count over a measure; 0 where there was nothing to divide by.
pub(super) fn per(count: u64, measure: f64) -> f64 {
    if measure > 0.0 { to_f64(count) / measure } else { 0.0 }
}

/// A count as a fraction: exact up to 2^53, which no bench reaches.
#[expect(clippy::cast_precision_loss, reason = "figures for people")]
pub(super) fn to_f64(count: u64) -> f64 {
    count as f64
}

/// User and system time of a process and all of its threads.
pub(super) fn processor_seconds(process: &str) -> Option<f64> {
    parse_stat(&fs::read_to_string(format!("/proc/{process}/stat")).ok()?)
}

fn parse_stat(stat: &str) -> Option<f64> {
    // The name may contain spaces; it ends with the last parenthesis.
    let (_, after) = stat.rsplit_once(')')?;
    let mut fields = after.split_ascii_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(to_f64(user + system) / TICKS)
}

/// Resident memory of a process, bytes.
pub(super) fn resident(process: &str) -> Option<u64> {
    status(process, "VmRSS:")
}

/// The most that it ever was.
pub(super) fn peak_resident(process: &str) -> Option<u64> {
    status(process, "VmHWM:")
}

fn status(process: &str, field: &str) -> Option<u64> {
    parse_status(&fs::read_to_string(format!("/proc/{process}/status")).ok()?, field)
}

fn parse_status(status: &str, field: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1_024)
}

/// Bytes of all files below a folder.
pub(super) fn disk_bytes(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => disk_bytes(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_found_behind_any_name() {
        let stat = "7 (a ) b) R 1 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 1 0 5 6 7";
        assert_eq!(parse_stat(stat), Some(3.0));
        assert_eq!(parse_stat("no such file"), None);
    }

    #[test]
    fn memory_is_told_in_bytes() {
        let text = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t     100 kB\n";
        assert_eq!(parse_status(text, "VmRSS:"), Some(102_400));
        assert_eq!(parse_status(text, "VmHWM:"), Some(2_097_152));
        assert_eq!(parse_status(text, "VmSwap:"), None);
    }

    #[test]
    fn files_in_folders_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("a")).unwrap();
        fs::write(folder.path().join("a/b"), [0; 10]).unwrap();
        fs::write(folder.path().join("c"), [0; 5]).unwrap();
        assert_eq!(disk_bytes(folder.path()), 15);
    }
}

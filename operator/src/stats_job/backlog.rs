//! Which windows of a job are due and have no result.
//!
//! A window is due from the first time of the schedule at or after its end; it is complete when the watermark of
//! every table that the job reads is at or past its end.
//! Invariant: the work follows the number of stretches and of windows asked for, never the length of the history.

use jiff::{Timestamp, Zoned};
use parking_crds::{
    event::Millis,
    lake_index::{LakeIndex, Table},
    stats_index::DoneRanges,
    time::Window,
};

use crate::validate::ValidJob;

/// What is due of a job at one moment.
#[derive(Clone, Debug)]
pub struct Backlog<'a> {
    job: &'a ValidJob,
    /// Start of the earliest window that may be computed.
    from: Millis,
    /// Windows up to here are due and complete.
    until: Millis,
    /// The newest time of the schedule.
    fired: Millis,
    /// The table that is furthest behind, and its watermark.
    slowest: (Table, Option<Millis>),
}

/// A window that is due and not complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LakeBehind {
    /// The oldest such window.
    pub window: Window,
    /// The table that is furthest behind.
    pub table: Table,
    /// Its watermark; `None` before its first one.
    pub watermark: Option<Millis>,
}

/// Windows that follow one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// From the first window's start to the last one's end.
    pub range: Window,
    /// How many windows that is.
    pub windows: usize,
}

impl<'a> Backlog<'a> {
    /// What is due; `None` while the lake has no event, or before the first time of the schedule.
    pub fn at(job: &'a ValidJob, lake: &LakeIndex, now: Timestamp) -> Option<Self> {
        let first_event = lake.first_event?;
        let fired = last_fire(job, now)?.as_millisecond();
        let slowest = job
            .tables(lake.has_spaces)
            .into_iter()
            .map(|table| (table, lake.watermark(table)))
            .min_by_key(|&(_, watermark)| watermark)?;
        let mut from = job.calendar.window_at(first_event).start;
        if let Some(start_at) = job.start_at() {
            from = from.max(first_start_from(job, start_at));
        }
        if let (Some(kept), Some(watermark)) = (job.retention, slowest.1) {
            from = from.max(first_start_from(job, watermark.saturating_sub(kept.millis())));
        }
        let until = slowest.1.unwrap_or(Millis::MIN).min(fired);
        Some(Self { job, from, until, fired, slowest })
    }

    /// The same, with windows that have a part in a stretch only.
    #[must_use]
    pub fn within(&self, range: Window) -> Self {
        let first = self.job.calendar.window_at(range.start).start;
        let last = self.job.calendar.window_at(range.end.saturating_sub(1)).end;
        Self { from: self.from.max(first), until: self.until.min(last), ..self.clone() }
    }

    /// The first windows that are due, complete and not in `done`, as far as they follow one another.
    pub fn oldest(&self, done: &DoneRanges, most: usize) -> Option<Stretch> {
        let mut windows = self.job.calendar.windows_from(self.from).take_while(|w| w.end <= self.until);
        let mut first = windows.next()?;
        while let Some(known) = done.holding(first.start) {
            // The end of what is done is a border of windows, unless the calendar says otherwise.
            let next = self.job.calendar.window_at(known.end);
            first = if next.start > first.start { next } else { self.job.calendar.window_at(first.end) };
            if first.end > self.until {
                return None;
            }
        }
        let rest = self.job.calendar.windows_from(first.start);
        let missing = rest
            .take_while(|window| window.end <= self.until && done.holding(window.start).is_none())
            .take(most.max(1));
        let (end, windows) = missing.fold((first.end, 0), |(_, count), window| (window.end, count + 1));
        Some(Stretch { range: Window { start: first.start, end }, windows })
    }

    /// The newest window that is due and complete, whether or not it is done.
    pub fn newest(&self) -> Option<Window> {
        if self.until <= self.from {
            return None;
        }
        let holding = self.job.calendar.window_at(self.until);
        // The window that holds `until` ends after it, so it is the one before.
        let newest = self.job.calendar.window_at(holding.start.checked_sub(1)?);
        (newest.start >= self.from).then_some(newest)
    }

    /// The oldest window that is due and not complete.
    pub fn behind(&self) -> Option<LakeBehind> {
        let (table, watermark) = self.slowest;
        let at = watermark.map_or(self.from, |watermark| watermark.max(self.from));
        let window = self.job.calendar.window_at(at);
        (window.end <= self.fired).then_some(LakeBehind { window, table, watermark })
    }

    /// Whether a run that begins now begins soon after a time of the schedule: within half of the time to the next
    /// one, at most an hour.
    pub fn is_prompt(&self, now: Timestamp) -> bool {
        const LONGEST: Millis = 3_600_000;
        let next = next_fire(self.job, now).map_or(Millis::MAX, Timestamp::as_millisecond);
        let grace = (next.saturating_sub(self.fired) / 2).min(LONGEST);
        now.as_millisecond().saturating_sub(self.fired) < grace
    }
}

/// The newest time of the schedule, up to now.
pub fn last_fire(job: &ValidJob, now: Timestamp) -> Option<Timestamp> {
    let zone = &job.calendar.zone;
    job.spec.schedule.last_until(&now.to_zoned(zone.clone()), zone).map(|at: Zoned| at.timestamp())
}

/// The first time of the schedule after an instant.
pub fn next_fire(job: &ValidJob, after: Timestamp) -> Option<Timestamp> {
    let zone = &job.calendar.zone;
    job.spec.schedule.next_after(&after.to_zoned(zone.clone()), zone).map(|at: Zoned| at.timestamp())
}

/// Start of the first window that begins at `time` or later.
fn first_start_from(job: &ValidJob, time: Millis) -> Millis {
    let window = job.calendar.window_at(time);
    if window.start < time { window.end } else { window.start }
}

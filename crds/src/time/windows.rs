//! Windows and buckets: local days cut into equal lengths, keyed by their UTC start.
//!
//! Invariants: windows meet without gap or overlap, and so do the buckets of a window; where clocks
//! change, a day of one-hour buckets has 23 or 25 of them.

use jiff::{
    civil::{Date, Weekday},
    tz::TimeZone,
};
use serde::{Deserialize, Serialize};

use super::day::{DAY, end_of_day, start_of_day, timestamp};
use crate::{duration::Duration, event::Millis, stats_job::StatsJobSpec, time::ZoneName};

/// A stretch of time for which statistics are computed at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// First instant.
    pub start: Millis,
    /// First instant after it.
    pub end: Millis,
}

/// Days that are compared with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DayType {
    /// Monday to Friday.
    Weekday,
    /// Saturday.
    Saturday,
    /// Sunday or a holiday.
    Sunday,
}

/// A part of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// First instant.
    pub start: Millis,
    /// First instant after it.
    pub end: Millis,
    /// Start of its window.
    pub window: Millis,
    /// Local hour of the day at its start.
    pub hour: i8,
    /// Type of its local day.
    pub day_type: DayType,
}

/// How a job cuts time.
#[derive(Clone, Debug)]
pub struct Calendar {
    /// The job's time zone.
    pub zone: TimeZone,
    /// Length of a window: days or a part of one.
    pub window: Duration,
    /// Length of a bucket.
    pub granularity: Duration,
    /// Days that count as Sundays.
    pub holidays: Vec<Date>,
}

impl Calendar {
    /// How a job cuts time.
    pub fn of(spec: &StatsJobSpec) -> Self {
        let zone = spec.time_zone.as_ref().map_or(TimeZone::UTC, |name: &ZoneName| name.zone().clone());
        Self { zone, window: spec.window(), granularity: spec.granularity(), holidays: Vec::new() }
    }

    /// The window that holds an instant.
    pub fn window_at(&self, time: Millis) -> Window {
        let start = self.window_start(time);
        Window { start, end: self.window_end(start) }
    }

    /// Windows from the one that holds `first`, oldest first, as far as the calendar reaches.
    pub fn windows_from(&self, first: Millis) -> impl Iterator<Item = Window> + '_ {
        let mut start = self.window_start(first);
        std::iter::from_fn(move || {
            let end = self.window_end(start);
            let window = (end > start).then_some(Window { start, end })?;
            start = end;
            Some(window)
        })
    }

    /// Windows from the one that holds `first` to the one that holds `last`, oldest first.
    pub fn windows(&self, first: Millis, last: Millis) -> Vec<Window> {
        self.windows_from(first).take_while(|window| window.start <= last).collect()
    }

    /// The buckets of a window, in order.
    pub fn buckets(&self, window: Window) -> Vec<Bucket> {
        let step = self.granularity.millis().max(1);
        let mut buckets = Vec::new();
        let mut start = window.start;
        while start < window.end {
            let border = self.day_end(start).min(window.end);
            let end = if step >= DAY { border } else { (start + step).min(border) };
            if end <= start {
                break;
            }
            let local = timestamp(start).to_zoned(self.zone.clone());
            let day_type = self.day_type(local.date());
            buckets.push(Bucket { start, end, window: window.start, hour: local.hour(), day_type });
            start = end;
        }
        buckets
    }

    fn days(&self) -> i64 {
        self.window.millis() / DAY
    }

    fn window_start(&self, time: Millis) -> Millis {
        let midnight = start_of_day(time, &self.zone);
        if self.days() == 0 {
            let step = self.window.millis().max(1);
            return midnight + (time - midnight).div_euclid(step) * step;
        }
        let date = timestamp(time).to_zoned(self.zone.clone()).date();
        let number = (date - Date::constant(1970, 1, 1)).get_days();
        let back = i64::from(number).rem_euclid(self.days());
        let mut start = midnight;
        for _ in 0..back {
            start = start_of_day(start - 1, &self.zone);
        }
        start
    }

    fn window_end(&self, start: Millis) -> Millis {
        if self.days() == 0 {
            return (start + self.window.millis().max(1)).min(self.day_end(start));
        }
        let mut end = start;
        for _ in 0..self.days() {
            end = self.day_end(end);
        }
        end
    }

    fn day_end(&self, time: Millis) -> Millis {
        end_of_day(time, &self.zone)
    }

    fn day_type(&self, date: Date) -> DayType {
        match date.weekday() {
            _ if self.holidays.contains(&date) => DayType::Sunday,
            Weekday::Saturday => DayType::Saturday,
            Weekday::Sunday => DayType::Sunday,
            _ => DayType::Weekday,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Millis = 3_600_000;

    fn london(window: &str, granularity: &str) -> Calendar {
        Calendar {
            zone: TimeZone::get("Europe/London").unwrap(),
            window: window.parse().unwrap(),
            granularity: granularity.parse().unwrap(),
            holidays: Vec::new(),
        }
    }

    fn at(text: &str) -> Millis {
        text.parse::<jiff::Timestamp>().unwrap().as_millisecond()
    }

    fn hours_of(day: &str) -> usize {
        let calendar = london("1d", "1h");
        let window = calendar.windows(at(day), at(day))[0];
        calendar.buckets(window).len()
    }

    #[test]
    fn days_have_as_many_hours_as_the_clocks_give_them() {
        assert_eq!(hours_of("2016-10-29T12:00:00Z"), 24);
        assert_eq!(hours_of("2016-10-30T12:00:00Z"), 25);
        assert_eq!(hours_of("2017-03-26T12:00:00Z"), 23);
    }

    #[test]
    fn windows_meet_across_the_change_of_clocks() {
        let windows = london("1d", "1h").windows(at("2016-10-04T06:59:42Z"), at("2016-12-19T16:30:33Z"));
        assert_eq!(windows.len(), 77);
        assert!(windows.windows(2).all(|pair| pair[0].end == pair[1].start));
        let hours: i64 = windows.iter().map(|window| (window.end - window.start) / HOUR).sum();
        assert_eq!(hours, 77 * 24 + 1);
        assert_eq!(windows[0].start, at("2016-10-03T23:00:00Z"));
    }

    #[test]
    fn short_windows_are_cut_from_local_midnight() {
        let windows = london("6h", "1h").windows(at("2016-10-04T12:00:00Z"), at("2016-10-04T12:00:00Z"));
        assert_eq!(windows, [Window { start: at("2016-10-04T11:00:00Z"), end: at("2016-10-04T17:00:00Z") }]);
    }

    #[test]
    fn long_windows_begin_at_the_same_days_whatever_comes_first() {
        let calendar = london("7d", "1d");
        let (early, late) = (at("2016-10-24T12:00:00Z"), at("2016-11-20T12:00:00Z"));
        let all = calendar.windows(early, late);
        assert_eq!(calendar.windows(late, late).first(), all.last());
        assert!(all.iter().all(|window| calendar.buckets(*window).len() == 7));
    }

    #[test]
    fn holiday_counts_as_sunday() {
        let day = at("2016-12-26T12:00:00Z");
        let mut calendar = london("1d", "1h");
        let type_of = |calendar: &Calendar| calendar.buckets(calendar.windows(day, day)[0])[0].day_type;
        assert_eq!(type_of(&calendar), DayType::Weekday);
        calendar.holidays.push(Date::constant(2016, 12, 26));
        assert_eq!(type_of(&calendar), DayType::Sunday);
    }
}

//! Cron schedules of five fields: minute, hour, day of month, month, day of week.
//!
//! Invariants: a schedule that parses fires at least once in any eight years; when both days are restricted,
//! either is enough, as in every cron.

use std::{fmt, str::FromStr};

use jiff::{
    Zoned,
    civil::{Date, DateTime, Time},
    tz::TimeZone,
};

/// When something shall happen, again and again, in local time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    text: String,
    minutes: Set,
    hours: Set,
    days: Set,
    months: Set,
    weekdays: Set,
}

/// The text is no schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// There are not five fields.
    #[error(
        "`{0}` is not a schedule: write five fields, minute hour day month weekday, such as `15 * * * *`"
    )]
    Fields(String),
    /// A field cannot be read.
    #[error(
        "`{text}` is not a schedule: {field} `{written}` must be *, numbers from {low} to {high}, ranges or steps"
    )]
    Field {
        /// The whole schedule.
        text: String,
        /// Which field is wrong.
        field: &'static str,
        /// What stands there.
        written: String,
        /// Smallest number of the field.
        low: u8,
        /// Largest number of the field.
        high: u8,
    },
    /// No date ever matches.
    #[error("`{0}` is not a schedule: no date matches its day and month")]
    Never(String),
}

/// The numbers that a field allows, and whether it was written with a star.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Set {
    bits: u64,
    any: bool,
}

impl Set {
    fn has(self, number: i8) -> bool {
        u32::try_from(number).ok().and_then(|n| 1_u64.checked_shl(n)).is_some_and(|bit| self.bits & bit != 0)
    }

    fn parse(text: &str, low: u8, high: u8) -> Option<Self> {
        let mut bits = 0_u64;
        for part in text.split(',') {
            let (range, step) = part.split_once('/').map_or((part, Some(1)), |(r, s)| (r, s.parse().ok()));
            let step = usize::from(step.filter(|&step: &u8| step > 0)?);
            let (from, to) = match (range, range.split_once('-')) {
                ("*", _) => (low, high),
                (_, Some((from, to))) => (from.parse().ok()?, to.parse().ok()?),
                (_, None) if step > 1 => (range.parse().ok()?, high),
                (_, None) => (range.parse().ok()?, range.parse().ok()?),
            };
            if from < low || to > high || from > to {
                return None;
            }
            bits = (from..=to).step_by(step).fold(bits, |bits, number| bits | 1 << number);
        }
        Some(Self { bits, any: text.starts_with('*') })
    }
}

impl Schedule {
    /// The pattern that the API server applies; only the parser knows the bounds of each field.
    pub const PATTERN: &'static str = r"^[-*/,0-9]+( [-*/,0-9]+){4}$";
    /// The longest text, in characters.
    pub const MAX_LENGTH: u32 = 128;

    /// The schedule as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The first instant after `after` at which the schedule fires in the given zone.
    ///
    /// A local time that a clock change skips fires when the gap ends; one that occurs twice fires once.
    pub fn next_after(&self, after: &Zoned, zone: &TimeZone) -> Option<Zoned> {
        let local = after.with_time_zone(zone.clone());
        let mut date = local.date();
        for _ in 0..=8 * 366 {
            if self.matches_date(date) {
                for time in self.times() {
                    let fires = DateTime::from_parts(date, time).to_zoned(zone.clone()).ok()?;
                    if fires > *after {
                        return Some(fires);
                    }
                }
            }
            date = date.tomorrow().ok()?;
        }
        None
    }

    /// The last instant up to `until`, that instant included, at which the schedule fires in the given zone.
    pub fn last_until(&self, until: &Zoned, zone: &TimeZone) -> Option<Zoned> {
        let mut date = until.with_time_zone(zone.clone()).date();
        for _ in 0..=8 * 366 {
            if self.matches_date(date) {
                let instants = self.times().filter_map(|time| {
                    DateTime::from_parts(date, time).to_zoned(zone.clone()).ok().filter(|at| at <= until)
                });
                if let Some(last) = instants.max() {
                    return Some(last);
                }
            }
            date = date.yesterday().ok()?;
        }
        None
    }

    fn matches_date(&self, date: Date) -> bool {
        let day = self.days.has(date.day());
        let weekday = self.weekdays.has(date.weekday().to_sunday_zero_offset());
        let either = if self.days.any || self.weekdays.any { day && weekday } else { day || weekday };
        self.months.has(date.month()) && either
    }

    fn times(&self) -> impl Iterator<Item = Time> {
        let minutes = self.minutes;
        (0..24_i8).filter(|&hour| self.hours.has(hour)).flat_map(move |hour| {
            (0..60_i8)
                .filter(move |&minute| minutes.has(minute))
                .filter_map(move |minute| Time::new(hour, minute, 0, 0).ok())
        })
    }

    fn ever_matches(&self) -> bool {
        let mut date = Date::constant(2024, 1, 1);
        for _ in 0..366 {
            if self.matches_date(date) {
                return true;
            }
            let Ok(next) = date.tomorrow() else { return false };
            date = next;
        }
        false
    }
}

impl FromStr for Schedule {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        let fields: Vec<&str> = text.split(' ').collect();
        let &[minutes, hours, days, months, weekdays] = fields.as_slice() else {
            return Err(ScheduleError::Fields(text.to_owned()));
        };
        let field = |field, written: &str, low, high| {
            Set::parse(written, low, high).ok_or_else(|| ScheduleError::Field {
                text: text.to_owned(),
                field,
                written: written.to_owned(),
                low,
                high,
            })
        };
        let mut weekdays = field("weekday", weekdays, 0, 7)?;
        if weekdays.has(7) {
            weekdays.bits |= 1;
        }
        let schedule = Self {
            text: text.to_owned(),
            minutes: field("minute", minutes, 0, 59)?,
            hours: field("hour", hours, 0, 23)?,
            days: field("day", days, 1, 31)?,
            months: field("month", months, 1, 12)?,
            weekdays,
        };
        if schedule.ever_matches() { Ok(schedule) } else { Err(ScheduleError::Never(text.to_owned())) }
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(schedule: &str, after: &str) -> String {
        let after: Zoned = after.parse().unwrap();
        let zone = after.time_zone().clone();
        let next = schedule.parse::<Schedule>().unwrap().next_after(&after, &zone).unwrap();
        next.to_string()
    }

    #[test]
    fn fires_strictly_after_the_given_instant() {
        assert_eq!(
            next("15 * * * *", "2016-10-04T08:15[Europe/London]"),
            "2016-10-04T09:15:00+01:00[Europe/London]"
        );
        assert_eq!(
            next("15 * * * *", "2016-10-04T08:14[Europe/London]"),
            "2016-10-04T08:15:00+01:00[Europe/London]"
        );
    }

    #[test]
    fn steps_ranges_and_lists_are_read() {
        assert_eq!(next("*/20 9-10 * * *", "2016-10-04T09:41[UTC]"), "2016-10-04T10:00:00+00:00[UTC]");
        assert_eq!(next("5,50 9 * * *", "2016-10-04T09:06[UTC]"), "2016-10-04T09:50:00+00:00[UTC]");
    }

    #[test]
    fn a_day_of_month_or_a_weekday_is_enough_when_both_are_given() {
        assert_eq!(next("0 0 13 * 1", "2016-10-04T00:00[UTC]"), "2016-10-10T00:00:00+00:00[UTC]");
        assert_eq!(next("0 0 13 * *", "2016-10-04T00:00[UTC]"), "2016-10-13T00:00:00+00:00[UTC]");
        assert_eq!(next("0 0 * * 7", "2016-10-04T00:00[UTC]"), "2016-10-09T00:00:00+00:00[UTC]");
    }

    #[test]
    fn a_skipped_local_time_fires_once_at_the_end_of_the_gap() {
        assert_eq!(
            next("30 1 * * *", "2016-03-26T12:00[Europe/London]"),
            "2016-03-27T02:30:00+01:00[Europe/London]"
        );
    }

    #[test]
    fn the_last_time_is_the_one_whose_successor_lies_ahead() {
        let zone = TimeZone::get("Europe/London").unwrap();
        for schedule in ["15 * * * *", "30 1 * * *", "*/20 0-3 * 3,10 0", "0 12 29 2 *"] {
            let schedule: Schedule = schedule.parse().unwrap();
            for start in ["2016-03-26T22:10Z[Europe/London]", "2016-10-29T22:10Z[Europe/London]"] {
                let start: Zoned = start.parse().unwrap();
                for quarter in 0..40 {
                    let now = start.checked_add(jiff::Span::new().minutes(quarter * 15)).unwrap();
                    let last = schedule.last_until(&now, &zone).unwrap();
                    assert!(last <= now);
                    assert!(schedule.next_after(&last, &zone).unwrap() > now, "{schedule} at {now}");
                    let before = last.checked_sub(jiff::Span::new().seconds(1)).unwrap();
                    assert_eq!(schedule.next_after(&before, &zone).unwrap(), last, "it fires there");
                }
            }
        }
    }

    #[test]
    fn the_error_names_the_field() {
        let message = |text: &str| text.parse::<Schedule>().unwrap_err().to_string();
        assert!(message("* * * *").contains("five fields"));
        assert!(message("60 * * * *").contains("minute `60`"));
        assert!(message("* * 0 * *").contains("day `0`"));
        assert!(message("*/0 * * * *").contains("minute `*/0`"));
        assert!(message("0 0 31 2 *").contains("no date"));
    }
}

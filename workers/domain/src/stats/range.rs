//! Which windows a run was asked for.
//!
//! Must not read a clock. Invariant: the windows meet and fill the range exactly.

use jiff::Timestamp;
use parking_crds::{
    stats_run::MOST_WINDOWS,
    time::{Calendar, Window, day::timestamp},
};

/// A range that a run cannot be asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// There is no instant in it.
    #[error("no window lies between {from} and {until}: the range ends before it begins")]
    Empty {
        /// As asked for.
        from: Timestamp,
        /// As asked for.
        until: Timestamp,
    },
    /// A border lies within a window.
    #[error("{at} lies within the window from {start} to {end}: a range begins and ends where windows do")]
    WithinWindow {
        /// As asked for.
        at: Timestamp,
        /// Start of the window.
        start: Timestamp,
        /// End of the window.
        end: Timestamp,
    },
    /// There are more windows than a run takes.
    #[error("from {from} to {until} there are more than {MOST_WINDOWS} windows, the most of one run")]
    TooMany {
        /// As asked for.
        from: Timestamp,
        /// As asked for.
        until: Timestamp,
    },
}

/// The windows of a range, oldest first.
pub fn windows_of(calendar: &Calendar, range: Window) -> Result<Vec<Window>, RangeError> {
    let (from, until) = (timestamp(range.start), timestamp(range.end));
    if range.end <= range.start {
        return Err(RangeError::Empty { from, until });
    }
    let within = |window: Window, at| {
        let (start, end) = (timestamp(window.start), timestamp(window.end));
        RangeError::WithinWindow { at, start, end }
    };
    let windows = calendar.windows_from(range.start).take_while(|window| window.start < range.end);
    let windows: Vec<Window> = windows.take(MOST_WINDOWS + 1).collect();
    match (windows.first(), windows.last()) {
        (Some(first), _) if first.start != range.start => Err(within(*first, from)),
        _ if windows.len() > MOST_WINDOWS => Err(RangeError::TooMany { from, until }),
        (_, Some(last)) if last.end != range.end => Err(within(*last, until)),
        (_, None) => Err(RangeError::Empty { from, until }),
        _ => Ok(windows),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn london() -> Calendar {
        let spec = serde_json::json!({
            "pipelineRef": {"name": "city"}, "schedule": "15 * * * *", "timeZone": "Europe/London", "sinks": [],
        });
        Calendar::of(&serde_json::from_value(spec).unwrap())
    }

    fn windows(from: &str, until: &str) -> Result<Vec<Window>, String> {
        let at = |text: &str| text.parse::<Timestamp>().unwrap().as_millisecond();
        windows_of(&london(), Window { start: at(from), end: at(until) }).map_err(|error| error.to_string())
    }

    #[test]
    fn a_range_of_whole_local_days_is_their_windows() {
        let found = windows("2016-10-28T23:00:00Z", "2016-10-31T00:00:00Z").unwrap();
        let hours: Vec<i64> = found.iter().map(|window| (window.end - window.start) / 3_600_000).collect();
        assert_eq!(hours, [24, 25]);
    }

    #[test]
    fn a_border_within_a_window_is_refused_with_the_window() {
        let whole = "2016-10-28T23:00:00Z";
        for (from, until) in [("2016-10-28T22:00:00Z", whole), (whole, "2016-10-30T00:00:00Z")] {
            let error = windows(from, until).unwrap_err();
            assert!(error.contains("a range begins and ends where windows do"), "{error}");
        }
    }

    #[test]
    fn a_range_without_an_instant_is_refused() {
        let same = "2016-10-28T23:00:00Z";
        assert!(windows(same, same).unwrap_err().contains("ends before it begins"));
        assert!(windows(same, "2016-10-27T23:00:00Z").unwrap_err().contains("ends before it begins"));
    }

    #[test]
    fn as_many_windows_as_a_run_takes_are_taken_and_one_more_is_not() {
        let from = "2015-01-01T00:00:00Z";
        let (calendar, first) = (london(), windows(from, "2015-01-02T00:00:00Z").unwrap()[0]);
        let many: Vec<Window> = calendar.windows_from(first.start).take(MOST_WINDOWS + 1).collect();
        let range = |count: usize| Window { start: many[0].start, end: many[count - 1].end };
        assert_eq!(windows_of(&calendar, range(MOST_WINDOWS)).unwrap().len(), MOST_WINDOWS);
        let error = windows_of(&calendar, range(MOST_WINDOWS + 1)).unwrap_err().to_string();
        assert!(error.contains("more than 400 windows"), "{error}");
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_is_filled(start in 0_i64..40_000, length in 1_i64..2_000) {
            let hour = 3_600_000;
            let range = Window { start: start * hour, end: (start + length) * hour };
            if let Ok(windows) = windows_of(&london(), range) {
                prop_assert_eq!(windows.first().unwrap().start, range.start);
                prop_assert_eq!(windows.last().unwrap().end, range.end);
                prop_assert!(windows.windows(2).all(|pair| pair[0].end == pair[1].start));
            }
        }
    }
}

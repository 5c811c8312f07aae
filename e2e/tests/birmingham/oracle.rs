//! The hourly occupancy of Birmingham, found without the product and without its libraries: reads the
//! file, converts times by the rule of the European Union, paints each second of the car parks' days
//! and sums the hours.

use std::{collections::BTreeMap, fs};

use parking_e2e::locate::repository;

const UNKNOWN: i32 = -1;
const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

/// Car park and start of the hour, seconds since the epoch, to occupancy; `None` is unknown.
pub(crate) fn hours() -> BTreeMap<(String, i64), Option<f64>> {
    let car_parks = car_parks();
    let seconds = || car_parks.values().flat_map(|car_park| car_park.readings.keys().copied());
    let first = start_of_day_in_london(day_in_london(seconds().min().unwrap()));
    let end = start_of_day_in_london(day_in_london(seconds().max().unwrap()) + 1);
    let mut hours = BTreeMap::new();
    for (code, car_park) in &car_parks {
        for (number, hour) in (0..).zip(car_park.paint(first, end).chunks(HOUR as usize)) {
            let known: Vec<i32> = hour.iter().copied().filter(|count| *count != UNKNOWN).collect();
            let sum: f64 = known.iter().map(|count| f64::from(*count)).sum();
            let possible = f64::from(car_park.capacity) * known.len() as f64;
            let value = (known.len() * 2 >= hour.len()).then(|| sum / possible);
            hours.insert((code.clone(), first + number * HOUR), value);
        }
    }
    hours
}

struct CarPark {
    capacity: i32,
    /// Second to count, clipped; the first of several at the same second.
    readings: BTreeMap<i64, i32>,
}

impl CarPark {
    /// The count at each second.
    fn paint(&self, first: i64, end: i64) -> Vec<i32> {
        let mut painted = vec![UNKNOWN; (end - first) as usize];
        for (second, count) in &self.readings {
            let from = (second - first) as usize;
            // A later reading paints over what is left of an earlier one.
            painted[from..].fill(UNKNOWN);
            let held = (from + HOUR as usize).min(painted.len());
            painted[from..held].fill(*count);
        }
        painted
    }
}

fn car_parks() -> BTreeMap<String, CarPark> {
    let text = fs::read_to_string(repository().join("examples/birmingham/readings.csv")).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next().unwrap(), "SystemCodeNumber,Capacity,Occupancy,LastUpdated");
    let mut car_parks = BTreeMap::new();
    for line in lines {
        let fields: Vec<&str> = line.split(',').collect();
        let [code, capacity, count, updated] = fields[..] else { panic!("{line}") };
        let (capacity, count): (i32, i32) = (capacity.parse().unwrap(), count.parse().unwrap());
        let car_park = car_parks
            .entry(code.to_owned())
            .or_insert_with(|| CarPark { capacity, readings: BTreeMap::new() });
        if count >= 0 {
            let second = to_utc_from_london(written_second(updated));
            car_park.readings.entry(second).or_insert(count.min(capacity));
        }
    }
    car_parks
}

/// The instant of `2016-10-03T23:00:00Z`.
pub(crate) fn second_of(instant: &str) -> i64 {
    written_second(instant.strip_suffix('Z').unwrap_or_else(|| panic!("{instant} is not in UTC")))
}

/// `2016-10-04 07:59:42`, or with a `T`, as if it were UTC.
fn written_second(text: &str) -> i64 {
    let numbers: Vec<i64> = text.split(['-', ' ', 'T', ':']).map(|part| part.parse().unwrap()).collect();
    let [year, month, day, hour, minute, second] = numbers[..] else { panic!("{text}") };
    day_number(year, month, day) * DAY + hour * HOUR + minute * 60 + second
}

/// All readings are of 2016; a year either side keeps the rule honest at its ends.
const YEARS: std::ops::RangeInclusive<i64> = 2015..=2017;

/// Days since 1970-01-01, counted year by year and month by month.
fn day_number(year: i64, month: i64, day: i64) -> i64 {
    let leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let years: i64 = (1970..year).map(|year| if leap(year) { 366 } else { 365 }).sum();
    let lengths = [31, if leap(year) { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    years + lengths[..month as usize - 1].iter().sum::<i64>() + day - 1
}

/// Local midnight of the last Sunday of a month with 31 days.
fn last_sunday(year: i64, month: i64) -> i64 {
    let last = day_number(year, month, 31);
    // 1970-01-01 was a Thursday, so day number 3 was a Sunday.
    (last - (last - 3).rem_euclid(7)) * DAY
}

/// Clocks are an hour ahead from 01:00 UTC on the last Sunday of March to 01:00 UTC on that of October;
/// of the hour that comes twice, a written time means the first.
fn to_utc_from_london(local: i64) -> i64 {
    let mut years = YEARS;
    let summer = years
        .any(|year| (last_sunday(year, 3) + 2 * HOUR..last_sunday(year, 10) + 2 * HOUR).contains(&local));
    if summer { local - HOUR } else { local }
}

fn day_in_london(instant: i64) -> i64 {
    let mut years = YEARS;
    let summer =
        years.any(|year| (last_sunday(year, 3) + HOUR..last_sunday(year, 10) + HOUR).contains(&instant));
    (instant + if summer { HOUR } else { 0 }).div_euclid(DAY)
}

fn start_of_day_in_london(day: i64) -> i64 {
    to_utc_from_london(day * DAY)
}

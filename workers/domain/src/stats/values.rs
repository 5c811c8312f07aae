//! From sums to values: one row for each zone, bucket and statistic.
//!
//! Invariants: every zone of the revision that held at a bucket's start has its rows; an unknown
//! value is `None` beside the coverage that made it so; zones that only report counts have no
//! turnover and no dwell.

use std::collections::BTreeMap;

use parking_crds::{
    event::Millis,
    stats_job::Statistic,
    time::{Bucket, DayType},
};

const MINUTE: f64 = 60_000.0;
const HOUR: f64 = 3_600_000.0;

/// A zone as one inventory revision has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneFacts {
    /// CDS `curb_zone_id`.
    pub zone: String,
    /// CDS `user_zone_id`.
    pub user_zone_id: String,
    /// When the revision begins to hold.
    pub valid_from: Millis,
    /// When the next one does.
    pub valid_to: Millis,
    /// Spaces in service.
    pub spaces: i64,
    /// Whether it lives from counts alone.
    pub count_only: bool,
    /// How long an observation holds without another.
    pub hold: Millis,
}

impl ZoneFacts {
    /// How many things are observed: the whole zone, or each space.
    fn subjects(&self) -> i64 {
        if self.count_only { 1 } else { self.spaces }
    }
}

/// What was summed over the known time of a zone in a bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BucketSums {
    /// Occupied spaces × ms.
    pub occupied: i64,
    /// Spaces × ms, known ones only.
    pub capacity: i64,
    /// Known ms, of the zone or summed over its spaces.
    pub known: i64,
}

/// Stays that ended in a bucket, ms.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Dwell {
    /// Mean length.
    pub mean: f64,
    /// Median.
    pub p50: i64,
    /// 95th percentile.
    pub p95: i64,
}

/// What the lake told, by zone and start of the bucket.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Time sums.
    pub sums: BTreeMap<(String, Millis), BucketSums>,
    /// Stays that began.
    pub starts: BTreeMap<(String, Millis), i64>,
    /// Stays that ended.
    pub dwells: BTreeMap<(String, Millis), Dwell>,
}

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub struct StatRow {
    /// CDS `curb_zone_id`.
    pub zone_id: String,
    /// CDS `user_zone_id`.
    pub user_zone_id: String,
    /// Start of the bucket or window.
    pub start: Millis,
    /// Which statistic.
    pub statistic: String,
    /// The value; `None` is unknown.
    pub value: Option<f64>,
    /// Known share of the time, 0 to 1.
    pub coverage: f64,
}

/// All rows of the wanted statistics, ordered by zone code, start and statistic.
pub fn rows(wanted: &[Statistic], zones: &[ZoneFacts], buckets: &[Bucket], facts: &Facts) -> Vec<StatRow> {
    let mut rows = Vec::new();
    for zone in zones {
        let mut windows: BTreeMap<Millis, WindowSums> = BTreeMap::new();
        for bucket in buckets.iter().filter(|bucket| (zone.valid_from..zone.valid_to).contains(&bucket.start))
        {
            let measured = Measured::new(zone, bucket, facts);
            windows.entry(bucket.window).or_default().add(bucket, &measured);
            bucket_rows(wanted, zone, bucket, &measured, facts, &mut rows);
        }
        for (start, window) in windows {
            window.rows(wanted, zone, start, &mut rows);
        }
    }
    rows.sort_by(|a, b| {
        (&a.user_zone_id, a.start, &a.statistic).cmp(&(&b.user_zone_id, b.start, &b.statistic))
    });
    rows
}

/// A bucket of a zone.
struct Measured {
    occupancy: Option<f64>,
    known: i64,
    possible: i64,
}

impl Measured {
    fn new(zone: &ZoneFacts, bucket: &Bucket, facts: &Facts) -> Self {
        let sums = facts.sums.get(&(zone.zone.clone(), bucket.start)).copied().unwrap_or_default();
        let possible = zone.subjects() * (bucket.end - bucket.start);
        let unknown = possible - sums.known;
        let usable = 2 * unknown <= possible && sums.capacity > 0;
        let occupancy = usable.then(|| ratio(sums.occupied, sums.capacity));
        Self { occupancy, known: sums.known, possible }
    }

    fn coverage(&self) -> f64 {
        ratio(self.known, self.possible)
    }

    /// Whether at most half of the time is unknown.
    fn is_known(&self) -> bool {
        2 * self.known >= self.possible
    }
}

fn bucket_rows(
    wanted: &[Statistic],
    zone: &ZoneFacts,
    bucket: &Bucket,
    measured: &Measured,
    facts: &Facts,
    rows: &mut Vec<StatRow>,
) {
    let key = (zone.zone.clone(), bucket.start);
    let mut push = |statistic: &str, value: Option<f64>| {
        rows.push(row(zone, bucket.start, statistic, value, measured.coverage()));
    };
    if wanted.contains(&Statistic::Occupancy) {
        push("occupancy", measured.occupancy);
    }
    if zone.count_only {
        return;
    }
    if wanted.contains(&Statistic::Turnover) {
        let starts = facts.starts.get(&key).copied().unwrap_or_default();
        let hours = float(bucket.end - bucket.start) / HOUR;
        push("turnover", measured.is_known().then(|| float(starts) / hours));
    }
    if let Some(dwell) = facts.dwells.get(&key).filter(|_| wanted.contains(&Statistic::Dwell)) {
        push("dwellMean", Some(dwell.mean / MINUTE));
        push("dwellP50", Some(float(dwell.p50) / MINUTE));
        push("dwellP95", Some(float(dwell.p95) / MINUTE));
    }
}

/// A window of a zone.
#[derive(Default)]
struct WindowSums {
    known: i64,
    possible: i64,
    /// Sum and number of known occupancies, by day type and local hour.
    hours: BTreeMap<DayType, BTreeMap<i8, (f64, f64)>>,
}

impl WindowSums {
    fn add(&mut self, bucket: &Bucket, measured: &Measured) {
        self.known += measured.known;
        self.possible += measured.possible;
        let hours = self.hours.entry(bucket.day_type).or_default();
        if let Some(occupancy) = measured.occupancy {
            let (sum, count) = hours.entry(bucket.hour).or_default();
            *sum += occupancy;
            *count += 1.0;
        }
    }

    fn rows(&self, wanted: &[Statistic], zone: &ZoneFacts, start: Millis, rows: &mut Vec<StatRow>) {
        let coverage = ratio(self.known, self.possible);
        if wanted.contains(&Statistic::SensorAvailability) {
            rows.push(row(zone, start, "sensorAvailability", Some(coverage), coverage));
        }
        if wanted.contains(&Statistic::PeakHour) {
            for (day_type, hours) in &self.hours {
                let name = match day_type {
                    _ if self.hours.len() == 1 => "peakHour",
                    DayType::Weekday => "peakHourWeekday",
                    DayType::Saturday => "peakHourSaturday",
                    DayType::Sunday => "peakHourSunday",
                };
                rows.push(row(zone, start, name, peak(hours), coverage));
            }
        }
    }
}

/// The hour with the highest mean; of equal ones the earliest.
fn peak(hours: &BTreeMap<i8, (f64, f64)>) -> Option<f64> {
    let means = hours.iter().map(|(hour, (sum, count))| (f64::from(*hour), sum / count));
    let best = means.reduce(|best, next| if next.1 > best.1 { next } else { best });
    best.map(|(hour, _)| hour)
}

fn row(zone: &ZoneFacts, start: Millis, statistic: &str, value: Option<f64>, coverage: f64) -> StatRow {
    StatRow {
        zone_id: zone.zone.clone(),
        user_zone_id: zone.user_zone_id.clone(),
        start,
        statistic: statistic.to_owned(),
        value,
        coverage,
    }
}

fn ratio(part: i64, whole: i64) -> f64 {
    if whole == 0 { 0.0 } else { float(part) / float(whole) }
}

/// Sums of milliseconds stay far below 2^53.
#[expect(clippy::cast_precision_loss, reason = "see above")]
fn float(value: i64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Millis = 1_475_535_600_000;
    const MILLIS_OF_HOUR: i64 = 3_600_000;

    fn zone(count_only: bool) -> ZoneFacts {
        ZoneFacts {
            zone: "z".into(),
            user_zone_id: "Z".into(),
            valid_from: 0,
            valid_to: Millis::MAX,
            spaces: 10,
            count_only,
            hold: MILLIS_OF_HOUR,
        }
    }

    fn bucket(hour: i8) -> Bucket {
        let start = START + i64::from(hour) * MILLIS_OF_HOUR;
        Bucket { start, end: start + MILLIS_OF_HOUR, window: START, hour, day_type: DayType::Weekday }
    }

    fn sums(known: i64, occupied_spaces: i64) -> BucketSums {
        BucketSums { occupied: occupied_spaces * known, capacity: 10 * known, known }
    }

    fn facts(sums: &[(i8, BucketSums)]) -> Facts {
        let sums = sums.iter().map(|(hour, sums)| (("z".to_owned(), bucket(*hour).start), *sums)).collect();
        Facts { sums, ..Facts::default() }
    }

    fn values(wanted: Statistic, count_only: bool, facts: &Facts) -> Vec<Option<f64>> {
        let rows = rows(&[wanted], &[zone(count_only)], &[bucket(0), bucket(1)], facts);
        rows.into_iter().map(|row| row.value).collect()
    }

    #[test]
    fn exactly_half_unknown_is_still_known_and_more_is_not() {
        let half = MILLIS_OF_HOUR / 2;
        let facts = facts(&[(0, sums(half, 5)), (1, sums(half - 1, 5))]);
        assert_eq!(values(Statistic::Occupancy, true, &facts), [Some(0.5), None]);
    }

    #[test]
    fn hour_without_any_reading_has_a_row_without_a_value() {
        assert_eq!(values(Statistic::Occupancy, true, &Facts::default()), [None, None]);
    }

    #[test]
    fn zone_that_only_counts_has_neither_turnover_nor_dwell() {
        let facts = facts(&[(0, sums(MILLIS_OF_HOUR, 5))]);
        assert!(values(Statistic::Turnover, true, &facts).is_empty());
        assert!(values(Statistic::Dwell, true, &facts).is_empty());
    }

    #[test]
    fn peak_is_the_hour_with_the_highest_occupancy() {
        let facts = facts(&[(0, sums(MILLIS_OF_HOUR, 5)), (1, sums(MILLIS_OF_HOUR, 6))]);
        assert_eq!(values(Statistic::PeakHour, true, &facts), [Some(1.0)]);
    }

    #[test]
    fn availability_is_known_time_over_the_window() {
        let facts = facts(&[(0, sums(MILLIS_OF_HOUR, 5))]);
        assert_eq!(values(Statistic::SensorAvailability, true, &facts), [Some(0.5)]);
    }

    #[test]
    fn silent_spaces_leave_the_denominator() {
        let mut facts = facts(&[]);
        let known = BucketSums { occupied: 3, capacity: 6, known: 6 * MILLIS_OF_HOUR };
        facts.sums.insert(("z".into(), bucket(0).start), known);
        facts.starts.insert(("z".into(), bucket(0).start), 4);
        assert_eq!(values(Statistic::Occupancy, false, &facts), [Some(0.5), None]);
        assert_eq!(values(Statistic::Turnover, false, &facts), [Some(4.0), None]);
    }
}

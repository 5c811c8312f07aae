//! When vehicles come and how long they stay, by kind of zone.
//!
//! Must not know of sensors. Sources of the figures: measured hour weights of German car parks, Melbourne
//! bay sensors and charging sessions; the rest is assumed.

use jiff::{Timestamp, Zoned, civil::Weekday, tz::TimeZone};
use parking_crds::{duration::Duration, event::Millis};
use serde::{Deserialize, Serialize};

use super::chance::{Chance, millis};

const MINUTE: f64 = 60_000.0;
const HOUR: f64 = 60.0 * MINUTE;
const LONGEST_STAY: Millis = 3 * 86_400_000;

/// Spread of one zone's days around their mean.
const DAY_SIGMA: f64 = 0.2;
/// Arrivals of a weekend day against a weekday.
const WEEKEND_SHARE: f64 = 0.6;
/// How much later people come at weekends.
const WEEKEND_SHIFT: usize = 2;

const SHOPPERS: [f64; 24] = [
    0.0, 0.002, 0.005, 0.002, 0.002, 0.002, 0.001, 0.022, 0.069, 0.109, 0.130, 0.124, 0.105, 0.092, 0.084,
    0.074, 0.058, 0.042, 0.033, 0.023, 0.012, 0.007, 0.0, 0.0,
];
const DELIVERIES: [f64; 24] = [
    0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.12, 0.20, 0.24, 0.22, 0.14, 0.08, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0,
    0.0, 0.0, 0.0, 0.0,
];
const COMMUTERS: [f64; 24] = [
    0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.030, 0.324, 0.516, 0.126, 0.004, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0,
    0.0, 0.0, 0.0, 0.0, 0.0,
];
const RESIDENTS: [f64; 24] = [
    0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.22, 0.26, 0.22,
    0.16, 0.10, 0.04, 0.0,
];

/// A kind of zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Archetype {
    /// On-street, two hours allowed: where overstays come from.
    OnStreet,
    /// Loading, thirty minutes.
    Loading,
    /// A garage of shoppers.
    Garage,
    /// Park and ride: fills in the morning and stays.
    Commuter,
    /// Residents, over night.
    Resident,
    /// Charging bays.
    Charging,
}

impl Archetype {
    /// Class of its spaces in the inventory.
    pub fn class(self) -> &'static str {
        match self {
            Self::OnStreet => "general",
            Self::Loading => "loading",
            Self::Garage => "garage",
            Self::Commuter => "commuter",
            Self::Resident => "permit",
            Self::Charging => "charging",
        }
    }

    /// Longest stay that its signs allow.
    pub fn max_stay(self) -> Option<Duration> {
        match self {
            Self::OnStreet => Some(Duration::from_secs(2 * 3_600)),
            Self::Loading => Some(Duration::from_secs(30 * 60)),
            Self::Charging => Some(Duration::from_secs(4 * 3_600)),
            Self::Garage | Self::Commuter | Self::Resident => None,
        }
    }

    /// Sessions a space and weekday.
    fn sessions(self) -> f64 {
        match self {
            Self::OnStreet => 5.0,
            Self::Loading => 10.0,
            Self::Garage => 1.1,
            Self::Commuter => 0.9,
            Self::Resident => 0.4,
            Self::Charging => 2.5,
        }
    }

    fn hours(self) -> &'static [f64; 24] {
        match self {
            Self::OnStreet | Self::Garage | Self::Charging => &SHOPPERS,
            Self::Loading => &DELIVERIES,
            Self::Commuter => &COMMUTERS,
            Self::Resident => &RESIDENTS,
        }
    }

    /// Draws one stay.
    pub(super) fn dwell(self, chance: &mut Chance) -> Millis {
        let mut lognormal = |median: f64, sigma: f64| median * (sigma * chance.normal()).exp();
        let dwell = match self {
            Self::OnStreet => lognormal(35.0 * MINUTE, 1.0),
            Self::Loading => lognormal(9.0 * MINUTE, 0.9),
            Self::Resident => lognormal(11.0 * HOUR, 0.6),
            Self::Charging => lognormal(4.985_f64.exp() * MINUTE, 0.738),
            // Gamma with a whole shape of 3: the sum of three exponentials.
            Self::Garage => (0..3).map(|_| chance.exponential(40.0 * MINUTE)).sum(),
            Self::Commuter => 8.5 * HOUR + chance.normal() * HOUR,
        };
        millis(dwell).clamp(60_000, LONGEST_STAY)
    }
}

/// Draws the arrivals of one zone.
pub(super) struct Arrivals {
    archetype: Archetype,
    spaces: f64,
    time_zone: TimeZone,
    hour: Hour,
    day: (i8, f64),
}

/// A local hour with its rate.
struct Hour {
    ends: Millis,
    /// Mean gap between arrivals, ms; `None` where nobody comes.
    gap: Option<f64>,
}

impl Arrivals {
    pub(super) fn new(archetype: Archetype, spaces: u32, time_zone: TimeZone) -> Self {
        let hour = Hour { ends: Millis::MIN, gap: None };
        Self { archetype, spaces: f64::from(spaces), time_zone, hour, day: (0, 1.0) }
    }

    /// The first arrival after `now`, if there is one before `end`.
    pub(super) fn after(&mut self, now: Millis, end: Millis, chance: &mut Chance) -> Option<Millis> {
        let mut from = now;
        while from < end {
            if from >= self.hour.ends {
                self.hour = self.hour_at(from, chance)?;
            }
            if let Some(gap) = self.hour.gap {
                let arrival = from + millis(chance.exponential(gap)).max(1);
                if arrival < self.hour.ends {
                    return Some(arrival);
                }
            }
            // The process has no memory: at the border of an hour the gap is drawn anew.
            from = self.hour.ends;
        }
        None
    }

    fn hour_at(&mut self, time: Millis, chance: &mut Chance) -> Option<Hour> {
        let local = Timestamp::from_millisecond(time).ok()?.to_zoned(self.time_zone.clone());
        if local.day() != self.day.0 {
            let factor = (DAY_SIGMA * chance.normal() - DAY_SIGMA * DAY_SIGMA / 2.0).exp();
            self.day = (local.day(), factor);
        }
        let per_hour = self.archetype.sessions() * self.spaces * self.share(&local) * self.day.1;
        let into = Millis::from(local.minute()) * 60_000
            + Millis::from(local.second()) * 1_000
            + Millis::from(local.millisecond());
        Some(Hour { ends: time + 3_600_000 - into, gap: (per_hour > 0.0).then(|| HOUR / per_hour) })
    }

    /// Share of a weekday's arrivals that fall into this hour.
    fn share(&self, local: &Zoned) -> f64 {
        let hour = usize::try_from(local.hour()).unwrap_or(0);
        let weekend = matches!(local.weekday(), Weekday::Saturday | Weekday::Sunday);
        let shifted = if weekend { (hour + 24 - WEEKEND_SHIFT) % 24 } else { hour };
        let share = self.archetype.hours().get(shifted).copied().unwrap_or(0.0);
        if weekend { share * WEEKEND_SHARE } else { share }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const ALL: [Archetype; 6] = [
        Archetype::OnStreet,
        Archetype::Loading,
        Archetype::Garage,
        Archetype::Commuter,
        Archetype::Resident,
        Archetype::Charging,
    ];
    // Monday, 2 June 2025, midnight in London.
    const MONDAY: Millis = 1_748_818_800_000;
    const DAY: Millis = 86_400_000;

    fn arrivals(archetype: Archetype, start: Millis) -> Vec<Millis> {
        let mut chance = Chance::new(7, Uuid::nil());
        let mut arrivals = Arrivals::new(archetype, 2_000, TimeZone::get("Europe/London").unwrap());
        let next = |now: &Millis| arrivals.after(*now, start + DAY, &mut chance);
        std::iter::successors(Some(start), next).skip(1).collect()
    }

    #[test]
    fn weights_of_a_day_add_up() {
        for archetype in ALL {
            let sum: f64 = archetype.hours().iter().sum();
            assert!((sum - 1.0).abs() < 0.003, "{archetype:?}: {sum}");
        }
    }

    #[test]
    fn sessions_a_space_are_those_of_the_archetype_within_the_spread_of_days() {
        for archetype in ALL {
            let found = f64::from(u32::try_from(arrivals(archetype, MONDAY).len()).unwrap()) / 2_000.0;
            let ratio = found / archetype.sessions();
            assert!((0.5..1.8).contains(&ratio), "{archetype:?}: {ratio}");
        }
    }

    #[test]
    fn weekend_is_quieter_and_later() {
        let (monday, saturday) =
            (arrivals(Archetype::Loading, MONDAY), arrivals(Archetype::Loading, MONDAY + 5 * DAY));
        assert!(monday.iter().all(|time| (6..12).contains(&((time - MONDAY) / 3_600_000))));
        assert!(saturday.iter().all(|time| (8..14).contains(&((time - MONDAY - 5 * DAY) / 3_600_000))));
    }

    #[test]
    fn stays_have_the_measured_medians() {
        for (archetype, minutes) in [
            (Archetype::OnStreet, 35),
            (Archetype::Loading, 9),
            (Archetype::Garage, 107),
            (Archetype::Commuter, 510),
            (Archetype::Resident, 660),
            (Archetype::Charging, 146),
        ] {
            let mut chance = Chance::new(1, Uuid::nil());
            let mut stays: Vec<_> = (0..4_000).map(|_| archetype.dwell(&mut chance)).collect();
            stays.sort_unstable();
            let median = stays[2_000] / 60_000;
            assert!((median - minutes).abs() * 10 <= minutes, "{archetype:?}: {median}");
        }
    }

    #[test]
    fn one_in_ten_overstays_two_hours_on_the_street() {
        let mut chance = Chance::new(2, Uuid::nil());
        let over = (0..10_000).filter(|_| Archetype::OnStreet.dwell(&mut chance) > 7_200_000).count();
        assert!((800..1_300).contains(&over), "{over}");
    }
}

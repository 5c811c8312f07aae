//! One zone from its first record to its last: spaces, stays, devices and what rules make of them.

mod visits;

use std::collections::BTreeMap;

use uuid::Uuid;

use super::{
    facts::{Boots, Fact, Place, Told},
    life::{About, Alerts, Life, Waits},
};

const MINUTE: i64 = 60_000;

/// A threshold rule: what is measured as a fraction, and where it begins and ends to hold, in hundredths.
struct Threshold {
    rule: &'static str,
    waits: Waits,
    measure: fn(View) -> Option<(i64, i64)>,
    begins: fn(i64, i64) -> bool,
    goes_on: fn(i64, i64) -> bool,
}

const fn waits(hold: i64, keep: i64) -> Waits {
    Waits { hold: hold * MINUTE, keep: keep * MINUTE }
}

/// The rules of `rules.yaml`, told anew.
const THRESHOLDS: [Threshold; 7] = [
    Threshold {
        rule: "zone-full",
        waits: waits(2, 5),
        measure: View::ratio,
        begins: |of, all| of * 100 >= all * 98,
        goes_on: |of, all| of * 100 >= all * 95,
    },
    Threshold {
        rule: "zone-almost-full",
        waits: waits(0, 0),
        measure: View::ratio,
        begins: |of, all| of * 100 >= all * 90,
        goes_on: |of, all| of * 100 >= all * 85,
    },
    Threshold {
        rule: "zone-busy",
        waits: waits(10, 0),
        measure: View::ratio,
        begins: |of, all| of * 100 > all * 75,
        goes_on: |of, all| of * 100 > all * 70,
    },
    Threshold {
        rule: "zone-underused",
        waits: waits(30, 10),
        measure: View::ratio,
        begins: |of, all| of * 100 < all * 10,
        goes_on: |of, all| of * 100 < all * 15,
    },
    Threshold {
        rule: "few-free",
        waits: waits(0, 2),
        measure: |view| view.ratio().map(|(occupied, known)| (known - occupied, 1)),
        begins: |free, _| free <= 5,
        goes_on: |free, _| free <= 10,
    },
    Threshold {
        rule: "crowded",
        waits: waits(0, 0),
        measure: View::ratio,
        begins: |occupied, _| occupied >= 150,
        goes_on: |occupied, _| occupied >= 140,
    },
    Threshold {
        rule: "zone-blind",
        waits: waits(5, 0),
        measure: View::coverage,
        begins: |known, all| known * 100 < all * 80,
        goes_on: |known, all| known * 100 < all * 90,
    },
];

const OVERSTAY_GRACE: i64 = 10 * MINUTE;
const LONG_STAY: i64 = 240 * MINUTE;
const PATIENCE: i64 = 45 * MINUTE;
const SILENT: (&str, Waits) = ("sensor-silent", waits(5, 10));

/// How a zone stands: occupied, unknown, in service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct View {
    pub(in super::super) occupied: i64,
    pub(in super::super) unknown: i64,
    pub(in super::super) capacity: i64,
}

impl View {
    fn coverage(self) -> Option<(i64, i64)> {
        (self.capacity > 0).then_some((self.capacity - self.unknown, self.capacity))
    }

    fn ratio(self) -> Option<(i64, i64)> {
        let (known, all) = self.coverage()?;
        (known > 0 && known * 2 >= all).then_some((self.occupied, known))
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Seen {
    #[default]
    Nothing,
    Vehicle,
    Emptiness,
}

#[derive(Clone, Copy)]
struct Visit {
    session: Uuid,
    start: i64,
    start_is_guess: bool,
    end: i64,
    end_is_guess: bool,
}

#[derive(Default)]
struct Space {
    seen: Seen,
    out_of_service: Option<(i64, bool)>,
    newest: Option<(i64, u32, u64)>,
    visit: Option<Visit>,
    last_visit: Option<Visit>,
    end_without_start: Option<i64>,
}

impl Space {
    fn is_out(&self) -> bool {
        self.out_of_service.is_some_and(|(_, out)| out)
    }
}

/// What dwell rules know of a stay: by rule when its alert is due, and the alert.
#[derive(Clone, Copy)]
struct Stay {
    start: i64,
    due: [Option<i64>; 2],
    alerts: [Option<usize>; 2],
}

#[derive(Clone, Copy, Default)]
struct Device {
    heard: i64,
    life: Life,
}

/// The zone.
pub(super) struct Zone<'a> {
    place: &'a Place,
    boots: &'a Boots,
    alerts: Alerts,
    spaces: Vec<Space>,
    devices: Vec<Device>,
    thresholds: [Life; THRESHOLDS.len()],
    stays: BTreeMap<Uuid, Stay>,
    /// Alerts of stays whose end came late, and devices that were heard late: the next record on time decides.
    ended_late: Vec<usize>,
    heard_late: Vec<u32>,
    closed: Option<(i64, bool)>,
    now: i64,
    begun: bool,
    sessions: u64,
}

/// What the zone came to.
pub(super) struct Outcome {
    pub(super) view: View,
    pub(super) heard_of: bool,
    pub(super) sessions: u64,
    pub(super) alerts: Alerts,
}

impl<'a> Zone<'a> {
    pub(super) fn new(place: &'a Place, boots: &'a Boots) -> Self {
        Self {
            place,
            boots,
            alerts: Alerts::default(),
            spaces: place.spaces.iter().map(|_| Space::default()).collect(),
            devices: place.devices.iter().map(|_| Device::default()).collect(),
            thresholds: Default::default(),
            stays: BTreeMap::new(),
            ended_late: Vec::new(),
            heard_late: Vec::new(),
            closed: None,
            now: 0,
            begun: false,
            sessions: 0,
        }
    }

    /// Applies an accepted record; `mark` is the partition's watermark with it.
    pub(super) fn apply(&mut self, fact: &Fact, late: bool, mark: i64) {
        if !std::mem::replace(&mut self.begun, true) {
            self.devices.iter_mut().for_each(|device| device.heard = fact.time);
        }
        if !late {
            self.now = self.now.max(fact.time);
        }
        match fact.told {
            Told::Closed(closed) => {
                if self.closed.is_none_or(|(since, _)| since <= fact.time) {
                    self.closed = Some((fact.time, closed));
                }
            }
            Told::OutOfService(out) => {
                if let Some(space) = fact.space.and_then(|space| self.spaces.get_mut(space as usize))
                    && space.out_of_service.is_none_or(|(since, _)| since <= fact.time)
                {
                    space.out_of_service = Some((fact.time, out));
                }
            }
            Told::Restored => {}
            _ => self.sight(fact, late, mark),
        }
        if let Some(device) = fact.device {
            self.hear(device, fact, late, mark);
        }
        if !late {
            self.judge(mark);
            self.settle(mark);
        }
    }

    /// Raises what a stay has come to by `mark`. A limit that has passed is not moved any more.
    fn watch_stay(&mut self, session: Uuid, mark: i64) {
        let Some(stay) = self.stays.get_mut(&session) else { return };
        let limits = [self.place.max_stay.map(|limit| (limit, OVERSTAY_GRACE)), Some((LONG_STAY, 0))];
        let rules = ["overstay", "long-stay"];
        for (((limit, rule), due), alert) in
            limits.into_iter().zip(rules).zip(&mut stay.due).zip(&mut stay.alerts)
        {
            let Some((limit, grace)) = limit else { continue };
            if due.is_none() && stay.start + limit <= mark {
                *due = Some(stay.start + limit + grace);
            }
            if let (Some(due), None) = (*due, *alert)
                && due <= mark
            {
                *alert = Some(self.alerts.raise(About { rule, subject: session, waits: waits(0, 0) }, due));
            }
        }
    }

    fn about_device(&self, number: u32) -> About {
        let subject = self.place.devices.get(number as usize).copied().unwrap_or_default();
        About { rule: SILENT.0, subject, waits: SILENT.1 }
    }

    fn hear(&mut self, number: u32, fact: &Fact, late: bool, mark: i64) {
        self.watch_device(number, mark);
        if fact.told == Told::Lost {
            return;
        }
        let (about, now) = (self.about_device(number), self.now);
        let Some(device) = self.devices.get_mut(number as usize) else { return };
        device.heard = device.heard.max(fact.time);
        if device.life.holds() && device.heard + PATIENCE > now {
            if late {
                self.heard_late.push(number);
            } else {
                device.life.no(now, about, &mut self.alerts);
            }
        }
    }

    /// Lets time pass for a device: its silence and its alert have deadlines, the earlier comes first.
    fn watch_device(&mut self, number: u32, mark: i64) {
        let about = self.about_device(number);
        let Some(device) = self.devices.get_mut(number as usize) else { return };
        loop {
            let silence = (!device.life.holds()).then_some(device.heard + PATIENCE);
            let silence = silence.filter(|deadline| *deadline <= mark);
            let own = device.life.deadline().filter(|deadline| *deadline <= mark);
            match (own, silence) {
                (Some(own), silence) if silence.is_none_or(|silence| own <= silence) => {
                    device.life.expire(about, &mut self.alerts);
                }
                (_, Some(silence)) => device.life.yes(silence, about, &mut self.alerts),
                _ => return,
            }
        }
    }

    fn judge(&mut self, mark: i64) {
        let view = self.view();
        for (rule, life) in THRESHOLDS.iter().zip(&mut self.thresholds) {
            let about = About { rule: rule.rule, subject: self.place.id, waits: rule.waits };
            life.pass(mark, about, &mut self.alerts);
            let holds = if life.holds() { rule.goes_on } else { rule.begins };
            match (rule.measure)(view) {
                None => life.unknown(),
                Some((of, all)) if holds(of, all) => life.yes(self.now, about, &mut self.alerts),
                Some(_) => life.no(self.now, about, &mut self.alerts),
            }
        }
    }

    fn settle(&mut self, mark: i64) {
        for alert in std::mem::take(&mut self.ended_late) {
            self.alerts.end(alert, self.now);
        }
        for number in std::mem::take(&mut self.heard_late) {
            self.watch_device(number, mark);
            let (about, now) = (self.about_device(number), self.now);
            let Some(device) = self.devices.get_mut(number as usize) else { continue };
            if device.life.holds() && device.heard + PATIENCE > now {
                device.life.no(now, about, &mut self.alerts);
            }
        }
    }

    fn view(&self) -> View {
        if self.closed.is_some_and(|(_, closed)| closed) {
            return View::default();
        }
        let in_service = || self.spaces.iter().filter(|space| !space.is_out());
        let count = |seen| count(in_service().filter(|space| space.seen == seen));
        View {
            occupied: count(Seen::Vehicle),
            unknown: count(Seen::Nothing),
            capacity: i64::from(self.place.capacity) - count_out(&self.spaces),
        }
    }

    /// The end of the log.
    pub(super) fn finish(mut self, mark: i64) -> Outcome {
        for session in self.stays.keys().copied().collect::<Vec<_>>() {
            self.watch_stay(session, mark);
        }
        for number in (0..).take(self.devices.len()) {
            if self.begun {
                self.watch_device(number, mark);
            }
        }
        for (rule, life) in THRESHOLDS.iter().zip(&mut self.thresholds) {
            let about = About { rule: rule.rule, subject: self.place.id, waits: rule.waits };
            life.pass(mark, about, &mut self.alerts);
        }
        Outcome { view: self.view(), heard_of: self.begun, sessions: self.sessions, alerts: self.alerts }
    }
}

fn count<'a>(spaces: impl Iterator<Item = &'a Space>) -> i64 {
    i64::try_from(spaces.count()).unwrap_or(i64::MAX)
}

fn count_out(spaces: &[Space]) -> i64 {
    count(spaces.iter().filter(|space| space.is_out()))
}

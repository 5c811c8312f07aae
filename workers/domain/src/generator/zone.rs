//! One zone: vehicles come, search, stay and leave; its devices tell of it, and some of that goes wrong.
//!
//! Must not depend on other zones. Invariant: a record is due no earlier than what it tells of.

use std::{cmp::Reverse, collections::BinaryHeap};

use jiff::tz::TimeZone;
use parking_crds::event::Millis;
use uuid::Uuid;

use super::{
    arrival::{Archetype, Arrivals},
    chance::{Chance, millis},
    device::{Device, Numbered},
    draft::{Damage, Draft, Kind, Pending},
    profile::{Faults, Profile, Sensing},
    render::Renderer,
};

const DAY: f64 = 86_400_000.0;
const HOUR: Millis = 3_600_000;
const TRIES: u8 = 3;

/// What a zone is made of.
pub(super) struct Plan {
    pub(super) code: String,
    pub(super) id: Uuid,
    pub(super) spaces: u32,
    pub(super) archetype: Archetype,
    pub(super) sensing: Sensing,
}

impl Plan {
    pub(super) fn space_id(&self, number: u32) -> Uuid {
        Uuid::new_v5(&self.id, format!("space {number}").as_bytes())
    }

    pub(super) fn device_id(&self, number: u32) -> Uuid {
        Uuid::new_v5(&self.id, format!("device {number}").as_bytes())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Task {
    Arrive,
    Search { tries: u8 },
    Leave { space: u32 },
    Flap { space: u32, left: u8 },
    Report { device: u32 },
    FailGateway,
    RestoreGateway { first: u32, count: u32, outage: u32 },
    Incident,
    EndIncident { space: Option<u32>, incident: u32 },
}

/// The simulation of one zone.
pub(super) struct ZoneFeed {
    pub(super) id: Uuid,
    pub(super) code: String,
    pub(super) devices: Vec<Device>,
    sensing: Sensing,
    archetype: Archetype,
    arrivals: Arrivals,
    chance: Chance,
    faults: Faults,
    report_interval: Millis,
    end: Millis,
    free: Vec<u32>,
    spaces: u32,
    tasks: BinaryHeap<Reverse<(Millis, Task)>>,
    pending: BinaryHeap<Pending>,
    next: Option<Pending>,
    sent: u64,
    outages: u32,
    incidents: u32,
}

impl ZoneFeed {
    pub(super) fn new(plan: &Plan, profile: &Profile, time_zone: TimeZone) -> Self {
        let mut chance = Chance::new(profile.seed, plan.id);
        let devices = if plan.sensing == Sensing::Spaces { plan.spaces } else { 1 };
        let mut device =
            |number| Device::new(plan.device_id(number), plan.space_id(number), &profile.faults, &mut chance);
        let mut feed = Self {
            id: plan.id,
            code: plan.code.clone(),
            devices: (0..devices).map(&mut device).collect(),
            sensing: plan.sensing,
            archetype: plan.archetype,
            arrivals: Arrivals::new(plan.archetype, plan.spaces, time_zone),
            chance,
            faults: profile.faults,
            report_interval: profile.report_interval.millis(),
            end: profile.end(),
            free: (0..plan.spaces).collect(),
            spaces: plan.spaces,
            tasks: BinaryHeap::new(),
            pending: BinaryHeap::new(),
            next: None,
            sent: 0,
            outages: 0,
            incidents: 0,
        };
        feed.begin(profile.start.as_millisecond());
        feed
    }

    fn begin(&mut self, start: Millis) {
        for device in (0..).take(self.devices.len()) {
            let phase = self.chance.between(0, self.report_interval.min(Millis::from(u32::MAX)));
            self.plan(start + phase, Task::Report { device });
        }
        self.plan_arrival(start);
        self.plan_rare(start, self.faults.outages, Task::FailGateway);
        self.plan_rare(start, self.faults.incidents, Task::Incident);
    }

    /// Makes the next record ready and tells when it is due; `None` at the end.
    pub(super) fn advance(&mut self) -> Option<Millis> {
        loop {
            let due = self.pending.peek().map(|pending| pending.due);
            let task = self.tasks.peek().map(|Reverse((time, _))| *time);
            if due.is_some_and(|due| task.is_none_or(|task| due <= task)) {
                self.next = self.pending.pop();
                return due;
            }
            let Reverse((time, task)) = self.tasks.pop()?;
            self.run(time, task);
        }
    }

    /// Appends the bytes of the record that is ready, and tells its key.
    pub(super) fn write(&mut self, renderer: &mut Renderer, record: &mut Vec<u8>) -> Uuid {
        if let Some(Pending { due, draft, .. }) = self.next.take() {
            renderer.write(self, &draft, due, record);
        }
        self.id
    }

    fn plan(&mut self, time: Millis, task: Task) {
        if time < self.end {
            self.tasks.push(Reverse((time, task)));
        }
    }

    fn plan_arrival(&mut self, now: Millis) {
        if let Some(time) = self.arrivals.after(now, self.end, &mut self.chance) {
            self.plan(time, Task::Arrive);
        }
    }

    fn plan_rare(&mut self, now: Millis, a_day: f64, task: Task) {
        if a_day > 0.0 {
            let gap = millis(self.chance.exponential(DAY / a_day));
            self.plan(now + gap.max(1), task);
        }
    }

    fn run(&mut self, now: Millis, task: Task) {
        match task {
            Task::Arrive => {
                self.plan_arrival(now);
                self.search(now, TRIES);
            }
            Task::Search { tries } => self.search(now, tries),
            Task::Leave { space } => self.leave(now, space),
            Task::Flap { space, left } => self.flap(now, space, left),
            Task::Report { device } => self.report(now, device),
            Task::FailGateway => self.fail_gateway(now),
            Task::RestoreGateway { first, count, outage } => {
                self.infer(now, first, count, Kind::Restored { outage });
            }
            Task::Incident => self.begin_incident(now),
            Task::EndIncident { space, incident } => self.end_incident(now, space, incident),
        }
    }

    fn search(&mut self, now: Millis, tries: u8) {
        let free = u32::try_from(self.free.len()).unwrap_or(u32::MAX);
        if free == 0 {
            if tries > 0 {
                let round = self.chance.between(60_000, 240_000);
                self.plan(now + round, Task::Search { tries: tries - 1 });
            }
            return;
        }
        let pick = self.chance.below(free) as usize;
        let space = self.free.swap_remove(pick);
        let dwell = self.archetype.dwell(&mut self.chance);
        self.plan(now + dwell, Task::Leave { space });
        self.see(now, space);
        if self.device(space).is_some_and(|device| device.flapping) {
            let left = 2 * u8::try_from(2 + self.chance.below(3)).unwrap_or(2);
            self.plan_flap(now, space, left);
        }
    }

    fn leave(&mut self, now: Millis, space: u32) {
        self.free.push(space);
        self.lose_sight(now, space);
    }

    /// The sensor tells what it briefly thinks to see.
    fn flap(&mut self, now: Millis, space: u32, left: u8) {
        if self.free.contains(&space) {
            return;
        }
        if self.device(space).is_some_and(|device| device.seen.is_some()) {
            self.lose_sight(now, space);
        } else {
            self.see(now, space);
        }
        if left > 1 {
            self.plan_flap(now, space, left - 1);
        }
    }

    fn plan_flap(&mut self, now: Millis, space: u32, left: u8) {
        let gap = self.chance.between(5_000, 20_000);
        self.plan(now + gap, Task::Flap { space, left });
    }

    fn device(&self, number: u32) -> Option<&Device> {
        self.devices.get(number as usize).filter(|_| self.sensing == Sensing::Spaces)
    }

    fn see(&mut self, now: Millis, space: u32) {
        if self.device(space).is_none_or(|device| device.stuck) {
            return;
        }
        let session = self.chance.uuid();
        if let Some(device) = self.devices.get_mut(space as usize) {
            device.seen = Some((session, now));
        }
        let vehicle = match self.chance.below(100) {
            0..86 => "car",
            86..94 => "van",
            94..97 => "motorcycle",
            _ => "truck",
        };
        self.send(now, space, Kind::Start { session, vehicle });
    }

    fn lose_sight(&mut self, now: Millis, space: u32) {
        let seen = self.devices.get_mut(space as usize).filter(|_| self.sensing == Sensing::Spaces);
        if let Some((session, since)) = seen.and_then(|device| device.seen.take()) {
            let cost = (now - since) / 60_000 * 5;
            self.send(now, space, Kind::End { session, cost });
        }
    }

    fn report(&mut self, now: Millis, number: u32) {
        self.plan(now + self.report_interval, Task::Report { device: number });
        let occupied = self.occupied();
        let falls_silent =
            self.faults.silent * f64::from(u32::try_from(self.report_interval).unwrap_or(0)) / DAY;
        let silent = self.chance.happens(falls_silent);
        let length = if silent { HOUR + millis(self.chance.exponential(DAY / 12.0)) } else { 0 };
        let Some(device) = self.devices.get_mut(number as usize) else { return };
        if silent {
            device.silent_until = device.silent_until.max(now + length);
        }
        let kind = match self.sensing {
            Sensing::Count => Kind::Count { occupied },
            Sensing::Spaces => Kind::Report { occupied: device.seen.is_some() || device.stuck },
        };
        self.send(now, number, kind);
    }

    fn occupied(&self) -> u32 {
        self.spaces - u32::try_from(self.free.len()).unwrap_or(self.spaces)
    }

    fn fail_gateway(&mut self, now: Millis) {
        self.plan_rare(now, self.faults.outages, Task::FailGateway);
        let devices = u32::try_from(self.devices.len()).unwrap_or(u32::MAX);
        let count = (20 + self.chance.below(181)).min(devices);
        let first = self.chance.below(devices - count + 1);
        let until = now + self.chance.between(600_000, 2 * HOUR);
        for device in self.devices.iter_mut().skip(first as usize).take(count as usize) {
            device.silent_until = device.silent_until.max(until);
        }
        self.outages += 1;
        let outage = self.outages;
        self.infer(now, first, count, Kind::Lost { outage });
        self.plan(until, Task::RestoreGateway { first, count, outage });
    }

    /// The platform tells, in the name of devices that it cannot or can again hear.
    fn infer(&mut self, now: Millis, first: u32, count: u32, kind: Kind) {
        for device in first..first + count {
            self.push(now + 2_000, Self::draft(now, device, kind));
        }
    }

    fn begin_incident(&mut self, now: Millis) {
        self.plan_rare(now, self.faults.incidents, Task::Incident);
        self.incidents += 1;
        let (incident, occupied) = (self.incidents, self.occupied());
        let space = self.chance.below(u32::try_from(self.devices.len()).unwrap_or(u32::MAX));
        let (kind, closed) = match (self.chance.happens(0.7), self.sensing) {
            (false, _) => (Kind::Closed { closed: true, incident }, None),
            (true, Sensing::Spaces) => (Kind::OutOfService { out: true, incident }, Some(space)),
            (true, Sensing::Count) => {
                return self.push(now + 1_000, Self::draft(now, 0, Kind::Corrected { occupied, incident }));
            }
        };
        self.push(now + 1_000, Self::draft(now, closed.unwrap_or(0), kind));
        let length = self.chance.between(HOUR, 6 * HOUR);
        self.plan(now + length, Task::EndIncident { space: closed, incident });
    }

    fn end_incident(&mut self, now: Millis, space: Option<u32>, incident: u32) {
        let kind = match space {
            Some(_) => Kind::OutOfService { out: false, incident },
            None => Kind::Closed { closed: false, incident },
        };
        self.push(now + 1_000, Self::draft(now, space.unwrap_or(0), kind));
    }

    fn draft(time: Millis, device: u32, kind: Kind) -> Draft {
        Draft { kind, device, time, number: Numbered { boot: 0, seq: 0 }, damage: None }
    }

    /// A device sends: the record gets its number, is perhaps lost, and travels as badly as records do.
    fn send(&mut self, now: Millis, number: u32, kind: Kind) {
        let (faults, chance) = (&self.faults, &mut self.chance);
        let Some(device) = self.devices.get_mut(number as usize) else { return };
        let numbered = device.number(faults, chance);
        if now < device.silent_until {
            return;
        }
        let time = device.clock(now);
        let mut due = now + chance.between(100, 800);
        if chance.happens(faults.out_of_order) {
            due += chance.between(1_000, 30_000);
        }
        if chance.happens(faults.late) {
            due += 300_000 + millis(chance.exponential(600_000.0));
        }
        let damage = chance.happens(faults.impossible).then(|| chance.below(10) as usize);
        let damage = damage.and_then(|kind| Damage::ALL.get(kind).copied());
        let draft = Draft { kind, device: number, time, number: numbered, damage };
        let again = chance.happens(faults.duplicates).then(|| chance.between(0, 60_000));
        self.push(due, draft);
        if let Some(after) = again {
            self.push(due + after, draft);
        }
    }

    fn push(&mut self, due: Millis, draft: Draft) {
        self.sent += 1;
        self.pending.push(Pending { due, order: self.sent, draft });
    }
}

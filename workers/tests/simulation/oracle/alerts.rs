//! The alerts that a partition must have told: each instance walked through the whole log alone.

use std::collections::{BTreeMap, BTreeSet};

use parking_crds::{
    event::{Millis, SourceType},
    inventory::Zone,
};
use parking_workers::domain::observation::ZoneView;
use uuid::Uuid;

use super::{
    lifecycle::{Life, Moment, Told, Truth},
    read::Fact,
    verdict::{Judged, Verdict},
    zones::{self, Entry},
};
use crate::rules::{Condition, NoData, RULES, Rule};

/// What one record did to a zone.
struct Sample<'a> {
    fact: &'a Fact,
    late: bool,
    /// Newest time that the zone's records on time told.
    now: Millis,
    view: ZoneView,
    /// Stays that go on, by session.
    open: BTreeMap<Uuid, Millis>,
}

/// A record that the engine looks at, and what it did to the zone.
struct Step<'a> {
    moment: Moment,
    sample: Option<Sample<'a>>,
}

/// All records that the alert stage must have told, in no order.
pub(crate) fn alerts<'z>(judged: &[Judged], zones: impl Iterator<Item = &'z Zone>) -> Vec<Told> {
    let mut told = Vec::new();
    for zone in zones {
        let steps = steps(judged, zone);
        if steps.iter().all(|step| step.sample.is_none()) {
            continue;
        }
        let watches_staleness = RULES.iter().any(|rule| {
            let threshold =
                matches!(rule.condition, Condition::Occupancy { .. } | Condition::Occupied { .. });
            threshold && (rule.hold > 0 || rule.no_data != NoData::KeepState)
        });
        for rule in RULES {
            match rule.condition {
                Condition::Occupancy { .. } | Condition::Occupied { .. } => {
                    told.extend(threshold(rule, zone, &steps, watches_staleness));
                }
                Condition::Dwell { .. } => {
                    let samples = steps.iter().filter_map(|step| step.sample.as_ref());
                    let sessions: BTreeSet<Uuid> =
                        samples.flat_map(|sample| sample.open.keys().copied()).collect();
                    told.extend(sessions.into_iter().flat_map(|session| dwell(rule, zone, session, &steps)));
                }
                Condition::Absence { .. } => {
                    let watched = [SourceType::InGround, SourceType::Camera];
                    let devices = zone.devices.iter().filter(|device| watched.contains(&device.source_type));
                    told.extend(devices.flat_map(|device| absence(rule, device.id, &steps)));
                }
            }
        }
    }
    told
}

fn steps<'a>(judged: &'a [Judged], zone: &Zone) -> Vec<Step<'a>> {
    let mut entries: Vec<Entry<'a>> = Vec::new();
    let (mut steps, mut now) = (Vec::new(), 0);
    for record in judged {
        let Some(watermark) = record.watermark else { continue };
        let moment = Moment { offset: record.offset, watermark };
        let of_zone = record.accepted().filter(|(fact, _)| fact.zone == Some(zone.id));
        let sample = of_zone.map(|(fact, late)| {
            entries.push(Entry { offset: record.offset, fact });
            if !late {
                now = now.max(fact.time);
            }
            let view = zones::view(zone, &entries, watermark);
            let going_on = zones::stays(zone, &entries).into_iter().filter(|stay| stay.end.is_none());
            let open = going_on.map(|stay| (stay.session, stay.start)).collect();
            Sample { fact, late, now, view, open }
        });
        if record.accepted().is_some() || record.verdict == Verdict::Tick {
            steps.push(Step { moment, sample });
        }
    }
    steps
}

fn judge(condition: Condition, view: ZoneView, latched: bool) -> Truth {
    let known = i64::from(view.capacity.saturating_sub(view.unknown));
    let (occupied, capacity) = (i64::from(view.occupied), i64::from(view.capacity));
    if known == 0 || known * 2 < capacity {
        return Truth::Unknown;
    }
    let holds = match condition {
        Condition::Occupancy { value, recover } => {
            occupied * 100 >= known * if latched { recover } else { value }
        }
        Condition::Occupied { value } => occupied >= value,
        Condition::Dwell { .. } | Condition::Absence { .. } => false,
    };
    if holds { Truth::Holds } else { Truth::Ceased }
}

fn threshold(rule: Rule, zone: &Zone, steps: &[Step<'_>], watches_staleness: bool) -> Vec<Told> {
    let mut life = Life::new(rule, rule.hold, "curb_zone_id", zone.id);
    let mut view = ZoneView::default();
    for Step { moment, sample } in steps {
        loop {
            let stale_at = view.stale_at.filter(|_| watches_staleness);
            match first(life.due(), stale_at, moment.watermark) {
                Some(Which::Life) => life.elapse(*moment),
                Some(Which::Watch(deadline)) => {
                    (view.stale_at, view.unknown) = (None, view.capacity);
                    life.see(judge(rule.condition, view, life.is_latched()), deadline, *moment);
                }
                None => break,
            }
        }
        if let Some(sample) = sample {
            view = sample.view;
            if !sample.late {
                life.see(judge(rule.condition, view, life.is_latched()), sample.now, *moment);
            }
        }
    }
    life.told()
}

enum Which {
    Life,
    Watch(Millis),
}

/// The earlier of two deadlines that the watermark has reached; the lifecycle's own comes first.
fn first(life: Option<Millis>, watch: Option<Millis>, watermark: Millis) -> Option<Which> {
    let life = life.filter(|due| *due <= watermark);
    let watch = watch.filter(|due| *due <= watermark);
    match (life, watch) {
        (Some(life), watch) if watch.is_none_or(|watch| life <= watch) => Some(Which::Life),
        (_, Some(watch)) => Some(Which::Watch(watch)),
        _ => None,
    }
}

fn dwell(rule: Rule, zone: &Zone, session: Uuid, steps: &[Step<'_>]) -> Vec<Told> {
    let Condition::Dwell { fallback, grace, close_after } = rule.condition else { return Vec::new() };
    let limit = zone.policy.max_stay.map_or(fallback, parking_crds::duration::Duration::millis);
    let mut life = Life::new(rule, rule.hold + grace, "event_session_id", session);
    // The ends of what is allowed that are still ahead: the limit, then the missed departure.
    let (mut start, mut ahead, mut ended_late) = (None, vec![], false);
    for Step { moment, sample } in steps {
        loop {
            let watch = start.zip(ahead.first()).map(|(start, length): (Millis, &Millis)| start + length);
            match first(life.due(), watch, moment.watermark) {
                Some(Which::Life) => life.elapse(*moment),
                Some(Which::Watch(deadline)) => {
                    ahead.remove(0);
                    life.see(if ahead.is_empty() { Truth::Ceased } else { Truth::Holds }, deadline, *moment);
                }
                None => break,
            }
        }
        let Some(sample) = sample else { continue };
        match (start, sample.open.get(&session).copied()) {
            (None, Some(began)) => (start, ahead) = (Some(began), vec![limit, close_after]),
            (Some(_), Some(began)) => start = Some(began),
            (Some(_), None) => {
                start = None;
                if sample.late && life.is_raised() {
                    ended_late = true;
                } else {
                    life.see(Truth::Ceased, sample.now, *moment);
                }
            }
            (None, None) => {}
        }
        if !sample.late && std::mem::take(&mut ended_late) && life.is_latched() {
            life.see(Truth::Ceased, sample.now, *moment);
        }
    }
    life.told()
}

fn absence(rule: Rule, device: Uuid, steps: &[Step<'_>]) -> Vec<Told> {
    let Condition::Absence { patience } = rule.condition else { return Vec::new() };
    let mut life = Life::new(rule, rule.hold, "data_source_device_id", device);
    let (mut alive, mut retired): (Option<Millis>, Option<Millis>) = (None, None);
    let (mut heard, mut watched, mut unsettled) = (None, false, false);
    for Step { moment, sample } in steps {
        loop {
            let watch = heard.filter(|_| watched).map(|heard: Millis| heard + patience);
            match first(life.due(), watch, moment.watermark) {
                Some(Which::Life) => life.elapse(*moment),
                Some(Which::Watch(deadline)) => {
                    watched = false;
                    life.see(Truth::Holds, deadline, *moment);
                }
                None => break,
            }
        }
        let Some(sample) = sample else { continue };
        // A zone's devices are watched from its first word on.
        if alive.is_none() {
            (alive, watched) = (Some(sample.fact.time), true);
        }
        let of_device = sample.fact.is_event && sample.fact.device == device;
        let lost = sample.fact.kind == "comms_lost"
            || (sample.fact.kind != "decommissioned" && sample.fact.online == Some(false));
        if of_device && !lost {
            let newest = if sample.fact.kind == "decommissioned" { &mut retired } else { &mut alive };
            *newest = (*newest).max(Some(sample.fact.time));
        }
        // Who left service after he was heard may be silent.
        heard = alive.filter(|alive| retired.is_none_or(|retired| retired < *alive));
        watched &= heard.is_some();
        let silent = heard.is_some_and(|heard| heard + patience <= sample.now);
        let asked = of_device && !lost && !watched || (unsettled && !sample.late);
        if !asked {
            continue;
        }
        if life.is_latched() && silent {
            unsettled &= sample.late;
            continue;
        }
        if life.is_latched() && sample.late {
            unsettled = true;
            continue;
        }
        unsettled = false;
        if life.is_latched() {
            life.see(Truth::Ceased, sample.now, *moment);
        }
        watched = watched || heard.is_some();
    }
    life.told()
}

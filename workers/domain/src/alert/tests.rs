//! The engine as a whole: what a log of observations makes of the rules.

mod absence;
mod dwell;
mod restart;
mod rules;
mod threshold;

use std::sync::Arc;

use parking_crds::{
    alert_rule::AlertRule,
    event::{Millis, SourceType},
    inventory::Inventory,
};
use uuid::Uuid;

use super::*;
use crate::observation::{DeviceSignal, DeviceState, SessionChange, ZoneFact, ZoneView};

const ZONE: Uuid = Uuid::from_u128(1);
const SENSOR: Uuid = Uuid::from_u128(11);
const CAMERA: Uuid = Uuid::from_u128(12);
const START: Millis = 1_476_000_000_000;
const MINUTE: Millis = 60_000;

fn inventory() -> Arc<Inventory> {
    let text = "
revisions:
- validFrom: 2016-01-01T00:00:00Z
  timeZone: Europe/London
  zones:
  - id: 00000000-0000-0000-0000-000000000001
    userZoneId: A
    name: Alpha
    capacity: 100
    class: general
    labels: {district: cbd}
    policy: {maxStay: 2h, grace: 10m}
    devices:
    - {id: 00000000-0000-0000-0000-00000000000b, type: in_ground}
    - {id: 00000000-0000-0000-0000-00000000000c, type: camera}
  - {id: 00000000-0000-0000-0000-000000000002, userZoneId: B, capacity: 10, class: disabled}
";
    Arc::new(Inventory::parse(text).unwrap())
}

/// A rule from the members of its spec, as YAML in one line each.
fn rule(name: &str, members: &[&str]) -> AlertRule {
    let members: String = members.iter().flat_map(|member| ["\n  ", member]).collect();
    serde_saphyr::from_str(&format!(
        "apiVersion: parking.tinyx.io/v1alpha1
kind: AlertRule
metadata: {{name: {name}, namespace: city}}
spec:
  pipelineRef: {{name: city}}
  severity: warning{members}
"
    ))
    .unwrap()
}

const FULL: &str =
    "condition: {threshold: {metric: occupancy_now, op: '>=', value: '0.98', recover: '0.95'}}";
const OVERSTAY: &str = "condition: {dwell: {limit: policy, closeAfter: 24h}}";
const SILENT: &str =
    "condition: {absence: {of: {deviceTypes: [in_ground]}, expectedInterval: 300s, missed: 3}}";

fn rule_set(rules: &[AlertRule]) -> Arc<RuleSet> {
    let (set, refused) = RuleSet::compile(rules);
    assert!(refused.is_empty(), "{refused:?}");
    Arc::new(set)
}

fn engine(rules: &[AlertRule]) -> AlertState {
    engine_of(rule_set(rules))
}

fn engine_of(rules: Arc<RuleSet>) -> AlertState {
    AlertState::new(rules, inventory(), Settings { tenant: "city".to_owned(), partition: 3 })
}

/// One record of a log, owned.
#[derive(Clone, Debug)]
struct Seen {
    minute: i64,
    late: bool,
    replayed: bool,
    zone: Option<(Uuid, ZoneView)>,
    sessions: Vec<SessionChange>,
    device: Option<DeviceSignal>,
}

impl Seen {
    fn tick(minute: i64) -> Self {
        Self { minute, late: false, replayed: false, zone: None, sessions: Vec::new(), device: None }
    }

    fn count(minute: i64, occupied: u32) -> Self {
        Self::view(minute, ZoneView { occupied, unknown: 0, capacity: 100, stale_at: None })
    }

    fn view(minute: i64, view: ZoneView) -> Self {
        Self { zone: Some((ZONE, view)), ..Self::tick(minute) }
    }

    fn started(minute: i64, session: u128) -> Self {
        let start = START + minute * MINUTE;
        let session = Uuid::from_u128(session);
        let change = SessionChange::Started { session, space: None, device: SENSOR, start };
        Self { sessions: vec![change], ..Self::count(minute, 1) }
    }

    fn ended(minute: i64, session: u128) -> Self {
        let change = SessionChange::Ended { session: Uuid::from_u128(session) };
        Self { sessions: vec![change], ..Self::count(minute, 0) }
    }

    fn heard(minute: i64, id: Uuid) -> Self {
        Self::signal(minute, id, DeviceState::Alive)
    }

    fn signal(minute: i64, id: Uuid, state: DeviceState) -> Self {
        let source_type = if id == CAMERA { SourceType::Camera } else { SourceType::InGround };
        Self { device: Some(DeviceSignal { id, source_type, state }), ..Self::count(minute, 0) }
    }

    fn late(self) -> Self {
        Self { late: true, ..self }
    }

    fn replayed(self) -> Self {
        Self { replayed: true, ..self }
    }
}

/// Feeds records from `first` on; the watermark follows the newest time that was not late.
fn feed(engine: &mut AlertState, log: &[Seen], first: usize) -> Vec<AlertRecord> {
    let mut out = Vec::new();
    for (index, seen) in log.iter().enumerate().skip(first) {
        let newest = log.iter().take(index + 1).filter(|one| !one.late).map(|one| one.minute).max();
        step(engine, seen, index, START + newest.unwrap_or(0) * MINUTE, &mut out);
    }
    out
}

fn step(engine: &mut AlertState, seen: &Seen, index: usize, watermark: Millis, out: &mut Vec<AlertRecord>) {
    let subject = seen.zone.map_or(Subject::Time, |(zone, view)| {
        Subject::Zone(ZoneFact { zone, view, sessions: &seen.sessions, device: seen.device })
    });
    let input = Observed {
        offset: index as u64,
        watermark,
        event_time: START + seen.minute * MINUTE,
        late: seen.late,
        replayed: seen.replayed,
        event_id: Uuid::from_u128(1_000 + index as u128),
        subject,
    };
    engine.step(&input, &mut Hints::default(), out);
}

/// What was told, as (state, minute at which it was so).
fn told(records: &[AlertRecord]) -> Vec<(AlertStatus, i64)> {
    let minute = |record: &AlertRecord| (record.ends_at.unwrap_or(record.starts_at) - START) / MINUTE;
    records.iter().map(|record| (record.state, minute(record))).collect()
}

fn run(rules: &[AlertRule], log: &[Seen]) -> Vec<AlertRecord> {
    feed(&mut engine(rules), log, 0)
}

const FIRING: AlertStatus = AlertStatus::Firing;
const RESOLVED: AlertStatus = AlertStatus::Resolved;

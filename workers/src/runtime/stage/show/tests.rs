use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use parking_crds::{event::Millis, inventory::Inventory};
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::{
    adapters::memory::{MemoryClock, MemoryEventLog, MemoryStateStore},
    domain::verdict::EventLimits,
    ports::{
        ErrorKind, PortError, PortResult,
        event_log::{EventLog, Stream, StreamPartition},
        live_view::{LiveKind, LiveView},
        state_store::{StageKey, StateStore, Token},
    },
    runtime::{
        occupancy::Occupancy,
        role::RoleStage,
        stage::{CommitLimits, StagePorts, Turn},
        tick,
    },
};

const ZONES: [&str; 2] = ["02885f6f-ef93-441b-9e74-487279380656", "7e6be807-ff61-4f12-85c8-0fb740b24436"];
const AT: StreamPartition = StreamPartition { stream: Stream::Events, partition: 0 };
const T0: Millis = 1_760_601_600_000;
const STALE_AFTER: Millis = 300_000;

fn report(zone: &str, seq: u32, occupied: u32) -> Vec<u8> {
    let (time, id) = (T0 + i64::from(seq), Uuid::new_v5(&Uuid::nil(), format!("{zone}{seq}").as_bytes()));
    let record = json!({
        "event_id": id, "event_type": "scheduled_report", "event_time": time, "event_publication_time": time,
        "curb_zone_id": zone, "data_source_type": "in_ground", "data_source_device_id": zone,
        "ext": {"schema_version": 1, "tenant": "city", "seq": seq, "occupied": occupied},
    });
    record.to_string().into_bytes()
}

/// Names that are drawn once each.
fn owners() -> impl FnMut() -> Uuid {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    || Uuid::from_u128(NEXT.fetch_add(1, Ordering::Relaxed).into())
}

/// A partition, and what is shown of it.
struct Place {
    log: MemoryEventLog,
    store: Arc<MemoryStateStore>,
    clock: MemoryClock,
}

impl Place {
    fn new() -> Self {
        Self { log: MemoryEventLog::new(Uuid::nil(), 1), store: Arc::default(), clock: MemoryClock::new(0) }
    }

    async fn append(&self, record: Vec<u8>) {
        self.log.append(vec![(AT, std::iter::once(record).collect())]).await.unwrap();
    }

    fn runner(&self, view: Arc<dyn LiveView>) -> StageRunner<RoleStage<Occupancy>> {
        let zone = |id| format!("  - {{id: {id}, userZoneId: {id}, capacity: 10, staleAfter: 5m}}\n");
        let text = format!(
            "revisions:\n- validFrom: 2016-01-01T00:00:00Z\n  timeZone: UTC\n  zones:\n{}",
            ZONES.map(zone).concat()
        );
        let inventory = Arc::new(Inventory::parse(&text).unwrap());
        let ports = StagePorts {
            log: Arc::new(self.log.clone()),
            store: Arc::clone(&self.store) as Arc<_>,
            clock: Arc::new(self.clock.clone()),
        };
        let make = move || RoleStage::new(EventLimits::default(), &inventory, Occupancy::default());
        StageRunner::new(ports, 0, CommitLimits::default(), make, owners())
            .with_live_rows(LivePlace::new(view))
    }

    /// Occupied places by zone.
    fn shown(&self) -> Vec<Value> {
        let rows = self.store.shown(LiveKind::Zones);
        let occupied = |zone: &&str| {
            let row = rows.get(&zone.parse().unwrap())?;
            Some(serde_json::from_slice::<Value>(row).unwrap()["occupied"].clone())
        };
        ZONES.iter().filter_map(occupied).collect()
    }
}

/// Turns until all is committed.
async fn settle(runner: &mut StageRunner<RoleStage<Occupancy>>) {
    while runner.turn().await.unwrap() != Turn::Idle {}
}

#[tokio::test]
async fn rows_are_shown_of_what_is_committed_and_no_oftener_than_they_may_be() {
    let place = Place::new();
    let mut runner = place.runner(Arc::clone(&place.store) as Arc<_>);
    place.append(report(ZONES[0], 1, 3)).await;
    assert_eq!(runner.turn().await.unwrap(), Turn::Advanced);
    assert_eq!(place.shown(), [] as [Value; 0], "not committed");
    settle(&mut runner).await;
    assert_eq!(place.shown(), [json!(3)]);

    place.append(report(ZONES[0], 2, 4)).await;
    place.append(report(ZONES[1], 3, 5)).await;
    settle(&mut runner).await;
    assert_eq!((place.shown(), runner.due_in()), (vec![json!(3)], Some(Duration::from_secs(1))));
    place.clock.advance(Duration::from_secs(1));
    settle(&mut runner).await;
    assert_eq!((place.shown(), runner.due_in()), (vec![json!(4), json!(5)], None));
}

#[tokio::test]
async fn a_count_that_goes_stale_in_silence_is_no_longer_shown_as_known() {
    let place = Place::new();
    let mut runner = place.runner(Arc::clone(&place.store) as Arc<_>);
    place.append(report(ZONES[0], 1, 3)).await;
    settle(&mut runner).await;
    let lateness = EventLimits::default().allowed_lateness.millis();
    place.append(tick::record("city", 0, 1, T0 + 1 + STALE_AFTER + lateness)).await;
    place.clock.advance(Duration::from_secs(1));
    settle(&mut runner).await;
    assert_eq!(place.shown(), [Value::Null]);
}

#[tokio::test]
async fn a_new_owner_shows_all_rows_and_takes_those_away_that_are_none_of_its_state() {
    let place = Place::new();
    place.append(report(ZONES[0], 1, 3)).await;
    settle(&mut place.runner(Arc::clone(&place.store) as Arc<_>)).await;
    let key = StageKey { role: "occupancy", partition: 0 };
    let (token, _) = place.store.claim(&key, Uuid::nil()).await.unwrap();
    let rows = ZONES.map(|zone| (zone.parse().unwrap(), Some(Bytes::from_static(b"{}")))).to_vec();
    let left = LiveRows { kind: LiveKind::Zones, rows, all: None };
    assert_eq!(place.store.show(&key, token, left).await.unwrap(), Outcome::Stored);
    settle(&mut place.runner(Arc::clone(&place.store) as Arc<_>)).await;
    assert_eq!(place.shown(), [json!(3)]);
}

/// A view that is away at first.
struct Away {
    until: Millis,
    clock: MemoryClock,
    store: Arc<MemoryStateStore>,
}

#[async_trait]
impl LiveView for Away {
    async fn show(&self, stage: &StageKey, token: Token, rows: LiveRows) -> PortResult<Outcome> {
        use crate::ports::clock::Clock as _;

        if self.clock.monotonic() < self.until {
            return Err(PortError::new(ErrorKind::Transient, "showing live rows"));
        }
        self.store.show(stage, token, rows).await
    }
}

#[tokio::test]
async fn a_view_that_is_away_holds_up_no_commit_and_shows_everything_when_it_is_back() {
    let place = Place::new();
    let away = Away { until: 5_000, clock: place.clock.clone(), store: Arc::clone(&place.store) };
    let mut runner = place.runner(Arc::new(away));
    for (number, zone) in (1..).zip(ZONES) {
        place.append(report(zone, number, number)).await;
        settle(&mut runner).await;
    }
    assert_eq!((runner.committed_offset(), place.shown()), (Some(2), vec![]));
    assert_eq!(runner.due_in(), Some(PAUSE));
    place.clock.advance(PAUSE);
    settle(&mut runner).await;
    assert_eq!(place.shown(), [json!(1), json!(2)]);
}

#[tokio::test]
async fn an_owner_whose_rows_are_refused_drops_its_state() {
    let place = Place::new();
    let mut runner = place.runner(Arc::clone(&place.store) as Arc<_>);
    place.append(report(ZONES[0], 1, 3)).await;
    settle(&mut runner).await;
    place.append(report(ZONES[0], 2, 4)).await;
    settle(&mut runner).await;
    let key = StageKey { role: "occupancy", partition: 0 };
    let (_, _) = place.store.claim(&key, Uuid::nil()).await.unwrap();
    place.clock.advance(Duration::from_secs(1));
    assert_eq!(runner.turn().await.unwrap(), Turn::Fenced);
    assert_eq!((place.shown(), runner.next_offset()), (vec![json!(3)], None));
}

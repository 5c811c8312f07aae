use async_trait::async_trait;
use parking_crds::{
    alert_rule::AlertRule,
    duration::Duration,
    manifest::{self, Manifest},
    pipeline::Route,
};

use super::*;
use crate::{
    adapters::memory::{MemoryClock, MemoryEventLog, MemoryNotifier, MemoryStateStore},
    ports::{
        ErrorKind, PortError,
        event_log::{EventLog, Records},
        notifier::Notifier,
    },
};

fn rule() -> AlertRule {
    let text = "apiVersion: parking.tinyx.io/v1alpha1\nkind: AlertRule\nmetadata: {name: full}\nspec:\n  \
                pipelineRef: {name: city}\n  severity: critical\n  scope: {}\n  instanceKey: [curb_zone_id]\n  \
                condition: {threshold: {metric: occupancy_now, op: \">=\", value: \"0.9\", recover: \"0.8\"}}\n  \
                notify: {routes: [ops]}\n";
    let documents = manifest::parse(text).unwrap();
    let Manifest::Rule(rule) = &documents[0].manifest else { panic!("a rule") };
    rule.as_ref().clone()
}

fn alert(number: u128) -> String {
    record(number, "firing")
}

fn record(number: u128, state: &str) -> String {
    let id = Uuid::from_u128(number);
    format!(
        r#"{{"record_type":"alert","alert_id":"{id}","fingerprint":"f","rule":"parking/full","rule_hash":"h","state":"{state}","reason":null,"severity":"critical","labels":{{}},"annotations":{{}},"value":"1","active_at":1,"starts_at":1,"fired_at":1,"ends_at":null,"cause_event_ids":[],"generation":1,"replayed":false,"origin":{{"partition":0,"offset":0,"ordinal":0}}}}"#
    )
}

/// A receiver that answers with these errors first.
struct Moody {
    errors: std::sync::Mutex<Vec<ErrorKind>>,
    inner: MemoryNotifier,
}

#[async_trait]
impl Notifier for Moody {
    async fn notify(&self, notification: &Notification) -> PortResult<()> {
        let error = self.errors.lock().unwrap().pop();
        match error {
            Some(kind) => Err(PortError::new(kind, "telling")),
            None => self.inner.notify(notification).await,
        }
    }
}

struct World {
    log: Arc<MemoryEventLog>,
    store: MemoryStateStore,
    clock: MemoryClock,
    told: MemoryNotifier,
    counts: Arc<Counts>,
}

impl World {
    fn new() -> Self {
        Self {
            log: Arc::new(MemoryEventLog::new(Uuid::nil(), 1)),
            store: MemoryStateStore::default(),
            clock: MemoryClock::new(0),
            told: MemoryNotifier::default(),
            counts: Arc::default(),
        }
    }

    async fn delivery(&self, errors: Vec<ErrorKind>) -> Delivery {
        self.delivery_of(Slots::one(), errors).await
    }

    async fn delivery_of(&self, slots: Slots, errors: Vec<ErrorKind>) -> Delivery {
        let ports = StagePorts {
            log: self.log.clone(),
            store: Arc::new(self.store.clone()),
            clock: Arc::new(self.clock.clone()),
        };
        let route: Route = serde_json::from_str(r#"{"name":"ops","console":{}}"#).unwrap();
        let notifier = Moody { errors: std::sync::Mutex::new(errors), inner: self.told.clone() };
        let mut owners = 7..;
        let draw = || Uuid::from_u128(owners.next().unwrap());
        let positions = Positions::claim(ports.clone(), &["ops".to_owned()], &slots, 1, draw).await;
        let outlet = Outlet::new(&route, Arc::new(notifier), Arc::clone(&self.counts), &slots);
        Delivery {
            ports,
            routing: Arc::new(Routing::new(&[route], &[rule()])),
            positions: Arc::new(positions.unwrap()),
            outlet: Arc::new(outlet),
            slots,
            partition: 0,
            late_rules: None,
        }
    }

    /// Delivered, refused, repeated.
    fn totals(&self) -> (u64, u64, u64) {
        let Totals { delivered, refused, repeated } = self.counts.totals();
        (delivered, refused, repeated)
    }

    async fn publish(&self, alerts: &[String]) {
        let at = StreamPartition { stream: Stream::Alerts, partition: 0 };
        let parts = vec![(at, alerts.iter().collect::<Records>())];
        self.log.append(parts).await.unwrap();
    }

    /// Rounds until nothing is left; time passes whenever the delivery waits.
    async fn deliver(&self, delivery: &Delivery) -> PortResult<()> {
        let rounds = async {
            while delivery.round().await? {}
            Ok(())
        };
        tokio::pin!(rounds);
        loop {
            tokio::select! {
                biased;
                ended = &mut rounds => return ended,
                () = tokio::task::yield_now() => self.clock.advance(Duration::from_millis(100)),
            }
        }
    }

    fn keys(&self) -> Vec<String> {
        self.told.delivered().into_iter().map(|one| one.idempotency_key).collect()
    }
}

fn key(number: u128) -> String {
    format!("{}/firing/ops/1", Uuid::from_u128(number))
}

#[tokio::test]
async fn alert_is_told_once_and_a_restart_goes_on_behind_it() {
    let world = World::new();
    let first = world.delivery(vec![]).await;
    world.publish(&[alert(1), r#"{"record_type":"watermark"}"#.to_owned()]).await;
    world.deliver(&first).await.unwrap();
    world.publish(&[alert(2)]).await;
    let second = world.delivery(vec![]).await;
    world.deliver(&second).await.unwrap();
    assert_eq!(world.keys(), [key(1), key(2)]);
}

#[tokio::test]
async fn route_that_is_new_is_told_what_fires_and_all_that_comes() {
    let world = World::new();
    world.publish(&[alert(1), alert(2), record(1, "resolved")]).await;
    let delivery = world.delivery(vec![]).await;
    world.publish(&[alert(3), record(2, "resolved")]).await;
    world.deliver(&delivery).await.unwrap();
    assert_eq!(world.keys(), [key(2), key(3), key(2).replace("firing", "resolved")]);
}

#[tokio::test]
async fn an_alert_waits_for_a_rule_that_is_late_but_not_for_ever() {
    let world = World::new();
    let delivery = Delivery { late_rules: Some(Duration::from_secs(120)), ..world.delivery(vec![]).await };
    let stranger = alert(1).replace("parking/full", "parking/new");
    world.publish(&[alert(2), stranger.replace("firing", "resolved"), stranger, alert(3)]).await;
    let (clock, before) = (Arc::clone(&delivery.ports.clock), delivery.ports.clock.monotonic());
    world.deliver(&delivery).await.unwrap();
    let waited = clock.monotonic() - before;
    assert_eq!(world.keys(), [key(2), key(3)]);
    assert!((120_000..180_000).contains(&waited), "{waited} ms");
}

#[tokio::test]
async fn failure_that_passes_is_tried_again() {
    let world = World::new();
    let delivery = world.delivery(vec![ErrorKind::Transient, ErrorKind::Ambiguous]).await;
    world.publish(&[alert(1)]).await;
    world.deliver(&delivery).await.unwrap();
    assert_eq!((world.keys(), world.totals()), (vec![key(1)], (1, 0, 2)));
}

#[tokio::test]
async fn notification_that_is_refused_for_good_is_counted_and_passed_over() {
    let world = World::new();
    let delivery = world.delivery(vec![ErrorKind::Invalid]).await;
    world.publish(&[alert(1), alert(2)]).await;
    world.deliver(&delivery).await.unwrap();
    assert_eq!((world.keys(), world.totals()), (vec![key(2)], (1, 1, 0)));
}

#[tokio::test]
async fn more_than_a_route_takes_a_minute_wait_and_none_is_dropped() {
    let world = World::new();
    let delivery = world.delivery(vec![]).await;
    world.publish(&(0..120).map(alert).collect::<Vec<_>>()).await;
    let clock = &delivery.ports.clock;
    let before = clock.monotonic();
    world.deliver(&delivery).await.unwrap();
    assert_eq!(world.keys().len(), 120);
    assert!(clock.monotonic() - before >= 119_000, "60 a minute");
}

/// A receiver that takes its time.
#[derive(Default)]
struct Slow {
    heard: tokio::sync::Notify,
    answers: tokio::sync::Notify,
}

#[async_trait]
impl Notifier for Slow {
    async fn notify(&self, _: &Notification) -> PortResult<()> {
        self.heard.notify_one();
        self.answers.notified().await;
        Ok(())
    }
}

#[tokio::test]
async fn who_closes_a_route_waits_for_what_is_under_way_and_for_its_position() {
    let (world, slow) = (World::new(), Arc::new(Slow::default()));
    let route: Route = serde_json::from_str(r#"{"name":"ops","console":{}}"#).unwrap();
    let outlet = Outlet::new(&route, Arc::clone(&slow) as Arc<_>, Arc::default(), &Slots::one());
    let delivery = Delivery { outlet: Arc::new(outlet), ..world.delivery(vec![]).await };
    world.publish(&[alert(1), alert(2)]).await;
    let (positions, outlet) = (Arc::clone(&delivery.positions), Arc::clone(&delivery.outlet));
    let tells = async { delivery.round().await.map(drop) };
    let closes = async {
        slow.heard.notified().await;
        let (closed, ()) = tokio::join!(outlet.close(), async { slow.answers.notify_one() });
        let next = positions.next("ops", 0).await;
        drop(closed);
        next
    };
    tokio::select! {
        next = closes => assert_eq!(next, 1, "the first is answered and stored, the second has not begun"),
        _ = tells => panic!("the second is never answered"),
    }
}

#[tokio::test]
async fn former_owner_stops() {
    let world = World::new();
    let former = world.delivery(vec![]).await;
    let _owner = world.delivery(vec![]).await;
    world.publish(&[alert(1)]).await;
    assert_eq!(world.deliver(&former).await.unwrap_err().kind, ErrorKind::Closed);
}

#[tokio::test]
async fn slots_share_the_alerts_of_a_partition_without_a_gap_or_a_repeat() {
    let world = World::new();
    let slots = |owned: &[u32]| Slots { count: 4, owned: owned.iter().copied().collect() };
    let (one, other) =
        (world.delivery_of(slots(&[0, 2]), vec![]).await, world.delivery_of(slots(&[1, 3]), vec![]).await);
    world.publish(&(0..40).map(alert).collect::<Vec<_>>()).await;
    world.deliver(&one).await.unwrap();
    let share = world.keys().len();
    world.deliver(&other).await.unwrap();
    assert!((1..40).contains(&share), "{share} of 40 in two of four slots");
    let mut keys = world.keys();
    keys.sort();
    assert_eq!(keys, (0..40).map(key).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_slot_that_changes_hands_goes_on_where_its_owner_was() {
    let world = World::new();
    let slots = |owned: &[u32]| Slots { count: 2, owned: owned.iter().copied().collect() };
    let one = world.delivery_of(slots(&[0, 1]), vec![]).await;
    world.publish(&(0..9).map(alert).collect::<Vec<_>>()).await;
    world.deliver(&one).await.unwrap();
    one.positions.store().await.unwrap();
    let other = world.delivery_of(slots(&[1]), vec![]).await;
    world.publish(&(9..20).map(alert).collect::<Vec<_>>()).await;
    world.deliver(&other).await.unwrap();
    let heir = world.delivery_of(slots(&[0]), vec![]).await;
    world.deliver(&heir).await.unwrap();
    let mut keys = world.keys();
    keys.sort();
    assert_eq!(keys, (0..20).map(key).collect::<Vec<_>>());
}

#[tokio::test]
async fn after_the_loss_of_all_positions_the_alerts_that_fire_are_told_and_it_is_said() {
    let mut world = World::new();
    let delivery = world.delivery(vec![]).await;
    world.publish(&[alert(1), alert(2), record(1, "resolved"), alert(3)]).await;
    world.deliver(&delivery).await.unwrap();
    let before = world.keys().len();
    world.store = MemoryStateStore::default();
    let heir = world.delivery(vec![]).await;
    world.deliver(&heir).await.unwrap();
    world.publish(&[alert(4)]).await;
    world.deliver(&heir).await.unwrap();
    let told = world.told.delivered().split_off(before);
    let told: Vec<_> = told.into_iter().map(|one| (one.idempotency_key, one.recovered)).collect();
    assert_eq!(told, [(key(2), true), (key(3), true), (key(4), false)]);
}

#[tokio::test]
async fn positions_in_a_stream_that_was_made_anew_are_lost() {
    let mut world = World::new();
    let delivery = world.delivery(vec![]).await;
    world.publish(&[alert(1)]).await;
    world.deliver(&delivery).await.unwrap();
    world.log = Arc::new(MemoryEventLog::new(Uuid::from_u128(1), 1));
    world.publish(&[alert(5)]).await;
    let heir = world.delivery(vec![]).await;
    world.deliver(&heir).await.unwrap();
    assert_eq!(world.keys(), [key(1), key(5)]);
}

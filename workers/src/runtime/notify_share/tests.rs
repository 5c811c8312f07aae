use async_trait::async_trait;

use super::*;
use crate::{
    adapters::memory::{MemoryClock, MemoryEventLog, MemoryNotifier, MemoryStateStore},
    domain::alert::AlertRecord,
    ports::{
        event_log::{EventLog, Offset, Records},
        membership::Change,
    },
};

/// A group of one.
struct Alone;

#[async_trait]
impl Membership for Alone {
    async fn change(&self) -> PortResult<Change> {
        std::future::pending().await
    }

    async fn report(&self, _: &[(Partition, Offset)]) -> PortResult<()> {
        Ok(())
    }

    async fn is_current(&self, _: (Partition, Offset)) -> PortResult<bool> {
        Ok(true)
    }

    async fn leave(&self) -> PortResult<()> {
        Ok(())
    }
}

const ALERT: &str = r#"{"record_type":"alert","alert_id":"00000000-0000-0000-0000-000000000001","fingerprint":"f","rule":"parking/full","rule_hash":"h","state":"firing","reason":null,"severity":"critical","labels":{},"annotations":{},"value":"1","active_at":1,"starts_at":1,"fired_at":1,"ends_at":null,"cause_event_ids":[],"generation":1,"replayed":false,"origin":{"partition":0,"offset":0,"ordinal":0}}"#;

fn rule() -> parking_crds::alert_rule::AlertRule {
    let spec = serde_json::json!({
        "pipelineRef": {"name": "city"}, "severity": "critical", "scope": {}, "instanceKey": ["curb_zone_id"],
        "condition": {"threshold": {"metric": "occupancy_now", "op": ">=", "value": "0.9", "recover": "0.8"}},
        "notify": {"routes": ["ops"]},
    });
    let rule = serde_json::json!({"metadata": {"name": "full"}, "spec": spec});
    serde_json::from_value(rule).unwrap()
}

#[tokio::test]
async fn who_was_fenced_tells_nothing_while_it_begins_again() {
    assert!(serde_json::from_str::<AlertRecord>(ALERT).is_ok());
    let (log, store) = (Arc::new(MemoryEventLog::new(Uuid::nil(), 2)), Arc::new(MemoryStateStore::default()));
    let (clock, board) = (MemoryClock::new(0), ShareBoard::default());
    let route: Route = serde_json::from_str(r#"{"name":"ops","console":{}}"#).unwrap();
    let ports = StagePorts { log: log.clone(), store, clock: Arc::new(clock.clone()) };
    let notifier: Arc<dyn Notifier> = Arc::new(MemoryNotifier::default());
    let notices = Arc::new(Notices {
        ports: ports.clone(),
        routing: Arc::new(Routing::new(std::slice::from_ref(&route), &[rule()])),
        routes: Arc::new([NoticeRoute { route, notifier, counts: Arc::default() }]),
        partitions: 2,
    });
    let owned = [0, 1].into();
    let mut share = NotifyShare::new(&notices, &owned, Arc::new(Alone), board.clone(), || Uuid::from_u128(1));
    let slots = Slots { count: 2, owned };
    let script = async {
        while !board.read().values().all(|standing| standing.committed.is_some()) {
            tokio::task::yield_now().await;
        }
        Positions::claim(ports, &["ops".to_owned()], &slots, 2, || Uuid::from_u128(2)).await.unwrap();
        log.append(vec![(place(0), [ALERT].into_iter().collect::<Records>())]).await.unwrap();
        while board.read().values().all(|standing| standing.trouble.is_none()) {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        never = share.work() => match never {},
        () = script => {}
    }
    assert!(share.deliveries.is_empty(), "{} deliveries of a former owner go on", share.deliveries.len());
}

//! However the leadership is lost, the former leader writes nothing once its lease is over, and another one leads soon.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    time::Duration,
};

use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::{coordination::v1::Lease, core::v1::ConfigMap};
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use parking_e2e::kubernetes::{
    audit::AuditEvent,
    cluster::Cluster,
    interceptor::{Fault, Interceptor},
    operator::Operator,
    wait::{always, eventually},
};
use rustix::process::Signal;
use serde_json::json;

use crate::city::{City, LIMIT};

/// Cities at the same time; each loses its leader in every way.
const CITIES: usize = 4;
/// How long a lease lasts.
const LEASE: SignedDuration = SignedDuration::from_secs(10);

/// How a leadership is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Loss {
    Killed,
    Terminated,
    Stopped,
    Stolen,
    Unrenewed,
}

const LOSSES: [Loss; 5] = [Loss::Terminated, Loss::Killed, Loss::Stopped, Loss::Stolen, Loss::Unrenewed];

impl Loss {
    /// Within what time another one must lead.
    const fn limit(self) -> SignedDuration {
        match self {
            Self::Terminated => SignedDuration::from_secs(2),
            Self::Killed | Self::Stopped | Self::Stolen | Self::Unrenewed => SignedDuration::from_secs(15),
        }
    }
}

struct Replica {
    name: String,
    operator: Operator,
    interceptor: Interceptor,
}

/// A city with a leader and a standby.
struct Ministry {
    city: City,
    leader: Replica,
    standby: Replica,
}

#[expect(clippy::disallowed_methods, reason = "compared with the times of the audit log")]
fn now() -> Timestamp {
    Timestamp::now()
}

async fn replica(city: &City, number: usize) -> Replica {
    let name = format!("replica-{number}");
    let interceptor = Interceptor::start(city.namespace.cluster()).unwrap();
    let operator = city.another_operator(&name, Some(&interceptor)).await;
    Replica { name, operator, interceptor }
}

/// A replica that has looked at the Lease.
async fn standby(city: &City, number: usize) -> Replica {
    let replica = replica(city, number).await;
    eventually("a look at the Lease", LIMIT, async || {
        let seen = replica.interceptor.take_seen();
        let looked = seen.iter().any(|seen| seen.call.resource == "leases");
        if looked { Ok(()) } else { Err(replica.operator.log().unwrap()) }
    })
    .await
    .unwrap();
    replica
}

impl Ministry {
    async fn start() -> Self {
        let city = City::without_operator().await;
        let leader = replica(&city, 0).await;
        city.ready().await;
        let standby = standby(&city, 1).await;
        Self { city, leader, standby }
    }

    fn leases(&self) -> Api<Lease> {
        self.city.namespace.api()
    }

    async fn until_leads(&self, replica: &Replica) {
        eventually(&format!("{} leads", replica.name), LIMIT, async || {
            let lease = self.leases().get(&self.city.identity.account).await;
            let spec = lease.map_err(|error| error.to_string())?.spec;
            let holder = spec.and_then(|spec| spec.holder_identity).unwrap_or_default();
            if holder.starts_with(&replica.name) { Ok(()) } else { Err(holder) }
        })
        .await
        .unwrap_or_else(|error| panic!("{error}\n{}", replica.operator.log().unwrap()));
    }

    /// Waits until the replica writes what was changed by hand.
    async fn until_writes(&self, replica: &Replica) {
        let _ = replica.interceptor.take_seen();
        eventually(&format!("{} writes", replica.name), LIMIT, async || {
            let seen = replica.interceptor.take_seen();
            if seen.iter().any(|seen| seen.call.write.is_some()) { Ok(()) } else { Err(format!("{seen:?}")) }
        })
        .await
        .unwrap_or_else(|error| panic!("{error}\n{}", replica.operator.log().unwrap()));
    }

    /// Takes the leadership from the leader, and answers with the moment at which that began. When it ends the
    /// standby leads and writes, the former leader is no more, and there is another standby.
    async fn lose(&mut self, loss: Loss, next: usize) -> Timestamp {
        self.until_writes(&self.leader).await;
        let began = now();
        match loss {
            Loss::Killed => self.leader.operator.signal(Signal::KILL).unwrap(),
            Loss::Terminated => self.leader.operator.signal(Signal::TERM).unwrap(),
            Loss::Stopped => self.leader.operator.stop().unwrap(),
            Loss::Stolen => self.steal().await,
            Loss::Unrenewed => self.leader.interceptor.set(|call| match call.resource.as_str() {
                "leases" => Fault::Hold,
                _ => Fault::Pass,
            }),
        }
        self.until_leads(&self.standby).await;
        self.until_writes(&self.standby).await;
        if loss == Loss::Stopped {
            self.leader.operator.resume().unwrap();
        }
        let leader = &mut self.leader;
        eventually("the end of the former leader", LIMIT, async || {
            if leader.operator.is_running().unwrap() { Err(leader.operator.log().unwrap()) } else { Ok(()) }
        })
        .await
        .unwrap();
        let next = standby(&self.city, next).await;
        self.leader = mem::replace(&mut self.standby, next);
        began
    }

    async fn steal(&self) {
        let thief = json!({"spec": {"holderIdentity": "a-thief"}});
        let how = PatchParams::default();
        self.leases().patch(&self.city.identity.account, &how, &Patch::Merge(&thief)).await.unwrap();
    }
}

/// Changes an object by hand again and again, so that whoever leads has something to write.
async fn keep_busy(maps: Api<ConfigMap>) {
    let mut turn = 0;
    let change = async || {
        turn += 1;
        if turn % 8 == 0 {
            let patch = Patch::Merge(json!({"data": {"worker.yaml": turn.to_string()}}));
            let changed = maps.patch("city-occupancy", &PatchParams::default(), &patch).await;
            changed.map_err(|error| error.to_string())?;
        }
        Ok(())
    };
    always("changes by hand", Duration::from_hours(1), change).await.unwrap();
}

/// What the audit log says of one city's replicas, told apart by their tokens.
struct Protocol {
    leases: Vec<AuditEvent>,
    writes: Vec<AuditEvent>,
}

impl Protocol {
    fn of(events: Vec<AuditEvent>, user: &str) -> Self {
        let ours = events.into_iter().filter(|event| event.user() == user && event.changes());
        let (leases, writes) = ours.partition(|event| event.resource() == "leases");
        let leases: Vec<AuditEvent> = leases;
        Self { leases: leases.into_iter().filter(|event| event.code() < 300).collect(), writes }
    }

    /// How long after the loss another replica than before had the Lease.
    fn failover(&self, lost: Timestamp) -> SignedDuration {
        let former = self.leases.iter().rfind(|event| event.received < lost).unwrap().credential();
        let next = self.leases.iter().find(|event| event.received > lost && event.credential() != former);
        next.unwrap().received.duration_since(lost)
    }

    /// Writes that came when the lease of their sender was over or in other hands, by sender.
    fn too_late(&self) -> BTreeMap<&str, Vec<String>> {
        let mut found = BTreeMap::<&str, Vec<String>>::new();
        for write in &self.writes {
            let sender = write.credential();
            let before = self.leases.iter().filter(|lease| lease.received <= write.received);
            let holder = before.clone().next_back().map(AuditEvent::credential);
            let renewed =
                before.filter(|lease| lease.credential() == sender).map(|lease| lease.received).max();
            let over = renewed.is_none_or(|renewed| write.received.duration_since(renewed) > LEASE);
            if over || holder != Some(sender) {
                let told = format!(
                    "{} {} {} at {}, lease of {renewed:?}",
                    write.verb,
                    write.resource_path(),
                    write.name(),
                    write.received
                );
                found.entry(sender).or_default().push(told);
            }
        }
        found
    }
}

/// A city whose leadership is lost in every way, beginning with another one in each city.
async fn lose_all(first: usize) -> Vec<(Loss, SignedDuration)> {
    let mut ministry = Ministry::start().await;
    let audit = ministry.city.namespace.cluster().audit_log().unwrap();
    let user = ministry.city.identity.user();
    let maps = ministry.city.namespace.api();
    let order: Vec<Loss> = LOSSES.into_iter().cycle().skip(first).take(LOSSES.len()).collect();
    let losses = async {
        let mut losses = Vec::new();
        for (number, loss) in order.into_iter().enumerate() {
            losses.push((loss, ministry.lose(loss, number + 2).await));
        }
        losses
    };
    let losses = tokio::select! {
        () = keep_busy(maps) => Vec::new(),
        losses = losses => losses,
    };
    let protocol = Protocol::of(audit.all().unwrap(), &user);
    let too_late = protocol.too_late();
    let tokens: BTreeSet<&str> = protocol.leases.iter().map(AuditEvent::credential).collect();
    assert_eq!(tokens.len(), LOSSES.len() + 1, "each replica has led with a token of its own");
    assert!(
        too_late.values().all(|writes| writes.len() < 2),
        "more than one write was in flight: {too_late:#?}"
    );
    println!("{} writes, in flight when the lease was over: {too_late:?}", protocol.writes.len());
    losses.into_iter().map(|(loss, lost)| (loss, protocol.failover(lost))).collect()
}

#[tokio::test]
async fn a_former_leader_writes_nothing_and_another_one_leads_soon() {
    let Some(_) = Cluster::join().await.unwrap().audit_log() else { return };
    let failovers: Vec<_> = join_all((0..CITIES).map(lose_all)).await.into_iter().flatten().collect();
    println!("{} failovers: {failovers:.1?}", failovers.len());
    assert_eq!(failovers.len(), CITIES * LOSSES.len());
    for (loss, took) in failovers {
        assert!(took <= loss.limit(), "{loss:?}: {took:?}");
    }
}

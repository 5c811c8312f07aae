//! Lag, which changes all the time.

use std::time::Duration;

use parking_e2e::kubernetes::{
    audit::{AuditLog, Mark},
    wait::{always, eventually},
};

use crate::{
    city::{City, LIMIT},
    lifecycle::stand_at,
};

/// Longer than what follows from the beginning of a pipeline takes to come to its end.
const CALM: Duration = Duration::from_secs(5);

async fn lag(city: &City, wanted: i64) {
    let pipelines = city.pipelines();
    eventually(&format!("a lag of {wanted}"), LIMIT, async || {
        let status = pipelines.get("city").await.map_err(|error| error.to_string())?.status;
        let found = status.and_then(|status| status.lag);
        if found == Some(wanted) { Ok(()) } else { Err(format!("{found:?}")) }
    })
    .await
    .unwrap_or_else(|error| panic!("{error}\noperator:\n{}", city.log()));
}

/// What the operator listed since then to look at its pipeline.
fn lists(city: &City, audit: &AuditLog, mark: Mark) -> Vec<String> {
    let (user, events) = (city.identity.user(), audit.since(mark).unwrap());
    events
        .iter()
        .filter(|event| event.user() == user && event.verb == "list" && event.resource() != "endpointslices")
        .map(|event| format!("list {}", event.resource_path()))
        .collect()
}

/// Waits until nothing is looked at for a while.
async fn calm(city: &City, audit: &AuditLog) {
    eventually("nothing is looked at", LIMIT, async || {
        let mark = audit.mark().unwrap();
        let calm = async || {
            let lists = lists(city, audit, mark);
            if lists.is_empty() { Ok(()) } else { Err(lists.join(", ")) }
        };
        always("no look", CALM, calm).await.map_err(|error| error.to_string())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn the_last_lag_stands_in_the_status_in_the_end_and_nothing_is_looked_at_for_it() {
    let city = City::start().await;
    city.ready().await;
    let Some(audit) = city.namespace.cluster().audit_log() else {
        return eprintln!("skipped: the cluster's audit log is not ours");
    };
    calm(&city, &audit).await;
    let mark = audit.mark().unwrap();
    stand_at(&city, 3);
    lag(&city, 72).await;
    stand_at(&city, 8);
    lag(&city, 12).await;
    assert_eq!(lists(&city, &audit, mark), Vec::<String>::new());
    let (user, events) = (city.identity.user(), audit.since(mark).unwrap());
    let written = events.iter().filter(|event| event.user() == user && event.changes());
    assert_eq!(written.filter(|event| event.resource() == "parkingpipelines").count(), 2);
}

//! Lag, which changes all the time.

use parking_e2e::kubernetes::wait::eventually;

use crate::{
    city::{City, LIMIT},
    lifecycle::stand_at,
};

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

#[tokio::test]
async fn the_last_lag_stands_in_the_status_in_the_end_and_nothing_is_looked_at_for_it() {
    let city = City::start().await;
    city.ready().await;
    city.until("Progressing", "False").await;
    stand_at(&city, 3);
    lag(&city, 72).await;
    let audit = city.namespace.cluster().audit_log();
    let mark = audit.as_ref().map(|audit| audit.mark().unwrap());
    stand_at(&city, 8);
    lag(&city, 12).await;
    let (Some(audit), Some(mark)) = (audit, mark) else {
        return eprintln!("skipped in part: the cluster's audit log is not ours");
    };
    let (user, events) = (city.identity.user(), audit.since(mark).unwrap());
    let lists: Vec<String> = events
        .iter()
        .filter(|event| event.user() == user && event.verb == "list" && event.resource() != "endpointslices")
        .map(|event| format!("list {}", event.resource_path()))
        .collect();
    assert_eq!(lists, Vec::<String>::new());
    let written = events.iter().filter(|event| event.user() == user && event.changes());
    assert_eq!(written.filter(|event| event.resource() == "parkingpipelines").count(), 1);
}

//! Where nothing changes, nothing is written.

use std::time::Duration;

use parking_e2e::kubernetes::wait::{always, eventually};

use crate::city::{City, LIMIT};

#[tokio::test]
async fn a_converged_pipeline_causes_no_write_nor_does_a_restart_of_the_operator() {
    let mut city = City::start().await;
    city.ready().await;
    city.until("Progressing", "False").await;
    let pipelines = city.pipelines();
    eventually("what the workers count stands in the status", LIMIT, async || {
        let status = pipelines.get("city").await.map_err(|error| error.to_string())?.status;
        if status.as_ref().is_some_and(|status| status.firing.is_some()) {
            Ok(())
        } else {
            Err(format!("{status:?}"))
        }
    })
    .await
    .unwrap();
    let Some(audit) = city.namespace.cluster().audit_log() else {
        return eprintln!("skipped: the cluster's audit log is not ours");
    };
    let user = city.identity.user();
    city.operator.take().unwrap().terminate(Duration::from_secs(10)).unwrap();
    let before = city.pipelines().get("city").await.unwrap().status;
    let mark = audit.mark().unwrap();
    city.start_operator().await;
    let silence = always("no write", Duration::from_secs(20), async || {
        let events = audit.since(mark).map_err(|error| error.to_string())?;
        let writes: Vec<String> = events
            .iter()
            .filter(|event| event.user() == user && event.changes() && event.resource() != "leases")
            .map(|event| format!("{} {} {}", event.verb, event.resource_path(), event.name()))
            .collect();
        if writes.is_empty() { Ok(()) } else { Err(writes.join(", ")) }
    })
    .await;
    let after = city.pipelines().get("city").await.unwrap().status;
    silence.unwrap_or_else(|error| {
        panic!("{error}\nbefore: {before:#?}\nafter: {after:#?}\noperator:\n{}", city.log())
    });
    assert_eq!(after, before);
}

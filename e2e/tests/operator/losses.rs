//! Data that is lost behind the operator's back.

use parking_crds::pipeline::ParkingPipeline;
use parking_e2e::kubernetes::wait::eventually;
use serde_json::json;

use crate::city::{City, LIMIT, PIPELINE, told};

/// `kubectl parking acknowledge`, as somebody types it who has dealt with the loss.
fn acknowledge(city: &City) -> String {
    let mut plugin = city.namespace.cluster().plugin().unwrap();
    let output = plugin.args(["-n", city.namespace.name(), "acknowledge", PIPELINE]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What the alarm says, if it stands.
fn lost(pipeline: &ParkingPipeline) -> Option<&str> {
    let mut conditions = pipeline.status.iter().flat_map(|status| &status.conditions);
    conditions.find(|found| found.type_ == "DataLost").map(|found| found.message.as_str())
}

#[tokio::test]
async fn a_topic_that_was_made_anew_is_told_of_until_somebody_acknowledges_the_loss() {
    let mut city = City::start().await;
    city.ready().await;
    let topics =
        [format!("{}.city.events", city.namespace.name()), format!("{}.city.alerts", city.namespace.name())];
    assert!(acknowledge(&city).contains("no loss"));

    city.strimzi.delete_in_kafka(&topics[0]);
    let pipeline = city.until("DataLost", "True").await;
    assert!(lost(&pipeline).unwrap().contains(&topics[0]), "{}", told(&pipeline));
    city.until("Ready", "True").await;
    city.until("Degraded", "False").await;
    // Neither another operator nor an edit lets it go: the ids in the status are the new ones by now.
    city.kill_operator().await;
    city.start_operator().await;
    city.patch(json!({"spec": {"events": {"retention": "3d"}}})).await;
    city.until("Ready", "True").await;
    let pipeline = city.until("DataLost", "True").await;
    assert!(lost(&pipeline).unwrap().contains(&topics[0]), "{}", told(&pipeline));

    let said = acknowledge(&city);
    assert!(said.contains(&topics[0]), "{said}");
    eventually("the alarm has ended", LIMIT, async || {
        let pipeline = city.pipelines().get(PIPELINE).await.map_err(|error| error.to_string())?;
        lost(&pipeline).map_or(Ok(()), |lost| Err(lost.to_owned()))
    })
    .await
    .unwrap_or_else(|error| panic!("{error}\noperator:\n{}", city.log()));

    city.strimzi.delete_in_kafka(&topics[1]);
    let pipeline = city.until("DataLost", "True").await;
    let message = lost(&pipeline).unwrap();
    assert!(message.contains(&topics[1]) && !message.contains(&topics[0]), "{message}");
}

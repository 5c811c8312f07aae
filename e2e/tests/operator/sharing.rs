//! Several pipelines in one bucket, and a prefix that belongs to somebody else.

use kube::api::DeleteParams;
use serde_json::json;

use crate::{
    bucket::Bucket,
    city::{City, PIPELINE},
};

const TAKE_OVER: &str = "parking.tinyx.io/take-over-bucket";

/// Where a pipeline says whom its prefix belongs to.
fn owner_key(city: &City, name: &str) -> String {
    format!("{}/{name}/_parking/owner", city.namespace.name())
}

async fn gone(city: &City, name: &str) {
    city.pipelines().delete(name, &DeleteParams::background()).await.unwrap();
    city.until_gone(name).await;
}

#[tokio::test]
async fn two_pipelines_of_one_bucket_keep_apart_and_one_that_goes_takes_only_its_own() {
    let city = City::start().await;
    for name in [PIPELINE, "suburb"] {
        city.apply(|pipeline| {
            pipeline["metadata"]["name"] = json!(name);
            pipeline["spec"]["deletionPolicy"] = json!({"bucket": "Delete"});
        })
        .await;
    }
    for name in [PIPELINE, "suburb"] {
        city.until_of(name, "BucketReady", "True").await;
    }
    let bucket = Bucket::of(&city);
    let (mine, other) = (owner_key(&city, PIPELINE), owner_key(&city, "suburb"));
    assert_eq!(bucket.keys().await.unwrap(), [mine.clone(), other.clone()]);
    let lake = format!("{}/suburb/lake/events/part-0.parquet", city.namespace.name());
    bucket.put(&lake, "rows").await;

    gone(&city, PIPELINE).await;
    assert_eq!(bucket.keys().await.unwrap(), [other, lake]);
    city.until_of("suburb", "BucketReady", "True").await;
}

#[tokio::test]
async fn a_prefix_of_another_cluster_is_told_left_alone_and_had_when_the_other_goes() {
    let city = City::start().await;
    let (bucket, key) = (Bucket::of(&city), owner_key(&city, PIPELINE));
    let other = json!({"cluster": "5f0c", "namespace": city.namespace.name(), "name": PIPELINE}).to_string();
    bucket.create().await;
    bucket.put(&key, other.clone()).await;

    city.apply(|_| ()).await;
    let refused = city.until("BucketReady", "False").await;
    let conditions = refused.status.unwrap().conditions;
    let told = conditions.iter().find(|found| found.type_ == "BucketReady").unwrap();
    assert_eq!(told.reason, "OwnedByOther");
    assert!(told.message.contains("of cluster 5f0c") && told.message.contains(TAKE_OVER), "{}", told.message);
    assert_eq!(bucket.get(&key).await.unwrap(), other.as_bytes());
    // What does not need the bucket goes on.
    city.until("TopicsReady", "True").await;

    bucket.delete(&key).await;
    city.until("BucketReady", "True").await;
    assert_ne!(bucket.get(&key).await.unwrap(), other.as_bytes());
}

#[tokio::test]
async fn a_prefix_of_another_cluster_is_taken_over_when_the_annotation_says_so() {
    let city = City::start().await;
    let (bucket, key) = (Bucket::of(&city), owner_key(&city, PIPELINE));
    let other = json!({"cluster": "5f0c", "namespace": "parking", "name": "gone", "created": true});
    bucket.create().await;
    bucket.put(&key, other.to_string()).await;
    let lake = format!("{}/city/lake/events/part-0.parquet", city.namespace.name());
    bucket.put(&lake, "rows").await;
    city.apply(|_| ()).await;
    city.until("BucketReady", "False").await;

    city.patch(json!({"metadata": {"annotations": {TAKE_OVER: "true"}}})).await;
    city.until("BucketReady", "True").await;
    let owner: serde_json::Value = serde_json::from_slice(&bucket.get(&key).await.unwrap()).unwrap();
    assert_eq!((&owner["namespace"], &owner["name"]), (&json!(city.namespace.name()), &json!(PIPELINE)));
    assert_eq!(bucket.get(&lake).await.unwrap(), b"rows", "the lake goes on");
}

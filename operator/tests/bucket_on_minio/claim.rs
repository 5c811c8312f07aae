//! A bucket is made, found, shared or refused.

use aws_sdk_s3::types::{
    ExpirationStatus, LifecycleExpiration, LifecycleRule, LifecycleRuleFilter, Tag, Tagging,
};
use parking_crds::condition::Reason;
use parking_operator::bucket::Wanted;

use crate::minio::{Minio, clean, wanted};

#[tokio::test]
async fn a_missing_bucket_is_made_once_and_then_left_alone() {
    let minio = Minio::start().await;
    let (store, wanted) = (minio.store("city-lake").await, wanted("city-lake", "city", "here"));
    let first = store.ensure(&wanted).await;
    assert!(clean(&first), "{first:?}");
    assert_eq!(first.writes, 4, "bucket, owner, lifecycle, tags");
    let second = store.ensure(&wanted).await;
    assert!(clean(&second) && second.writes == 0, "{second:?}");
    let known = second.owner.unwrap();
    assert!(known.owner.as_ref().unwrap().created);
    assert!(store.unchanged(&wanted, &known).await);
    minio.other().delete_object().bucket("city-lake").key(wanted.owner_object()).send().await.unwrap();
    assert!(!store.unchanged(&wanted, &known).await);
}

#[tokio::test]
async fn an_existing_bucket_keeps_its_rules_and_tags() {
    let minio = Minio::start().await;
    let other = minio.other();
    other.create_bucket().bucket("shared").send().await.unwrap();
    let theirs = LifecycleRule::builder()
        .id("theirs")
        .status(ExpirationStatus::Enabled)
        .filter(LifecycleRuleFilter::builder().prefix("tmp/").build())
        .expiration(LifecycleExpiration::builder().days(3).build())
        .build()
        .unwrap();
    let rules =
        aws_sdk_s3::types::BucketLifecycleConfiguration::builder().rules(theirs.clone()).build().unwrap();
    let request = other.put_bucket_lifecycle_configuration().bucket("shared");
    request.lifecycle_configuration(rules).send().await.unwrap();
    let tags = Tagging::builder().tag_set(Tag::builder().key("team").value("city").build().unwrap());
    other.put_bucket_tagging().bucket("shared").tagging(tags.build().unwrap()).send().await.unwrap();

    let (store, wanted) = (minio.store("shared").await, wanted("shared", "city", "here"));
    let report = store.ensure(&wanted).await;
    assert!(clean(&report), "{report:?}");
    assert!(!report.owner.unwrap().owner.unwrap().created);
    let rules = other.get_bucket_lifecycle_configuration().bucket("shared").send().await.unwrap();
    let ids: Vec<_> = rules.rules().iter().map(|rule| rule.id().unwrap()).collect();
    assert_eq!(ids, ["theirs", "parking-parking-city"]);
    assert_eq!(rules.rules()[0].expiration(), theirs.expiration());
    assert!(rules.rules()[1].expiration().is_none());
    let tags = other.get_bucket_tagging().bucket("shared").send().await.unwrap();
    assert_eq!(tags.tag_set().len(), 1, "a bucket of others is not tagged");
    assert_eq!(store.ensure(&wanted).await.writes, 0);
}

#[tokio::test]
async fn two_pipelines_share_a_bucket_and_a_second_cluster_is_refused() {
    let minio = Minio::start().await;
    let store = minio.store("shared").await;
    assert!(clean(&store.ensure(&wanted("shared", "city", "here")).await));
    assert!(clean(&store.ensure(&wanted("shared", "port", "here")).await));
    let elsewhere = wanted("shared", "city", "there");
    let refused = store.ensure(&elsewhere).await;
    assert_eq!(refused.problems[0].reason, Reason::OwnedByOther);
    assert_eq!(refused.writes, 0);
    let taken = store.ensure(&Wanted { take_over: true, ..elsewhere.clone() }).await;
    assert!(clean(&taken), "{taken:?}");
    let back = store.ensure(&wanted("shared", "city", "here")).await;
    assert_eq!(back.problems[0].reason, Reason::OwnedByOther);
    assert_eq!(store.ensure(&elsewhere).await.writes, 0, "the annotation need not stay");
}

#[tokio::test]
async fn of_many_claims_at_once_exactly_one_wins() {
    let minio = Minio::start().await;
    let store = minio.store("raced").await;
    minio.other().create_bucket().bucket("raced").send().await.unwrap();
    let all: Vec<Wanted> = (0..8).map(|n| wanted("raced", "city", &format!("c{n}"))).collect();
    let reports = futures::future::join_all(all.iter().map(|one| store.ensure(one))).await;
    let winners = reports.iter().filter(|report| report.problems.is_empty()).count();
    assert_eq!(winners, 1, "{reports:?}");
    let lost = reports.iter().flat_map(|report| &report.problems);
    assert!(lost.into_iter().all(|problem| problem.reason == Reason::OwnedByOther));
}

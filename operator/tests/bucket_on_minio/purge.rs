//! What a pipeline kept in a bucket goes, and nothing else.

use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};

use crate::minio::{Minio, keys, put, wanted};

#[tokio::test]
async fn a_purge_ends_with_the_bucket_that_was_made_and_spares_others() {
    let minio = Minio::start().await;
    let (store, other) = (minio.store("city-lake").await, minio.other());
    let (city, port) = (wanted("city-lake", "city", "here"), wanted("city-lake", "port", "here"));
    store.ensure(&city).await;
    let kept = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
    other.put_bucket_versioning().bucket("city-lake").versioning_configuration(kept).send().await.unwrap();
    for n in 0..5 {
        put(&other, "city-lake", &format!("{}events/{}", city.prefix, n % 3)).await;
    }
    other.delete_object().bucket("city-lake").key(format!("{}events/0", city.prefix)).send().await.unwrap();
    put(&other, "city-lake", "theirs").await;

    let not_ours = store.purge(&wanted("city-lake", "city", "there"), 10).await;
    assert!(not_ours.done && not_ours.deleted == 0, "{not_ours:?}");
    let cut_short = store.purge(&city, 1).await;
    assert!(!cut_short.done && cut_short.deleted == 6, "{cut_short:?}");
    let rest = store.purge(&city, 10).await;
    assert!(rest.done && !rest.bucket_deleted && rest.problems.is_empty(), "{rest:?}");
    assert_eq!(keys(&other, "city-lake").await, ["theirs"]);

    store.ensure(&port).await;
    let spared = store.purge(&port, 10).await;
    assert!(spared.done && !spared.bucket_deleted, "{spared:?}");
}

#[tokio::test]
async fn a_purge_deletes_an_empty_bucket_only_where_the_operator_made_it() {
    let minio = Minio::start().await;
    let made = minio.store("made").await;
    made.ensure(&wanted("made", "city", "here")).await;
    let progress = made.purge(&wanted("made", "city", "here"), 10).await;
    assert!(progress.done && progress.bucket_deleted, "{progress:?}");
    assert!(made.purge(&wanted("made", "city", "here"), 10).await.done);

    minio.other().create_bucket().bucket("found").send().await.unwrap();
    let found = minio.store("found").await;
    found.ensure(&wanted("found", "city", "here")).await;
    let progress = found.purge(&wanted("found", "city", "here"), 10).await;
    assert!(progress.done && !progress.bucket_deleted, "{progress:?}");
    assert_eq!(keys(&minio.other(), "found").await, Vec::<String>::new());
}

#[tokio::test]
async fn a_purge_goes_over_many_pages() {
    let minio = Minio::start().await;
    let (store, other) = (minio.store("many").await, minio.other());
    let city = wanted("many", "city", "here");
    store.ensure(&city).await;
    let names: Vec<String> = (0..1100).map(|n| format!("{}events/{n}", city.prefix)).collect();
    for chunk in names.chunks(50) {
        futures::future::join_all(chunk.iter().map(|name| put(&other, "many", name))).await;
    }
    let progress = store.purge(&city, 10).await;
    assert!(progress.done && progress.deleted == 1100, "{progress:?}");
}

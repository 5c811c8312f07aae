//! What is missing, refused or cut: a clear error, nothing half done, and recovery without help.

use std::{collections::BTreeMap, time::Instant};

use bytes::Bytes;
use parking_crds::duration::Duration;
use parking_workers::{
    adapters::{
        lake::DeltaLake,
        s3::{S3Credentials, S3ObjectStore, S3Settings},
    },
    ports::{
        ErrorKind, PortError,
        contract::lake::Visible,
        lake::{Committed, Lake, Position, Table, TableCommit, TableSnapshot},
        object_store::{ObjectStore, PutNew},
    },
    sentence::sentence,
};

use crate::{
    endpoint::{endpoint, keys, settings, settings_at},
    proxy::{Proxy, Wire},
    readable::Readable,
};

const TABLE: Table = Table::Events;

fn lake(settings: &S3Settings) -> Readable {
    Readable(DeltaLake::open(settings.clone(), "city/log", 1).unwrap())
}

async fn step(lake: &Readable, base: TableSnapshot, last_offset: u64) -> Result<Committed, PortError> {
    let (file, body) = lake.sample(&format!("f{last_offset}"), 1);
    lake.put(TABLE, &file.path, body).await?;
    let positions = BTreeMap::from([(0, Position { last_offset, watermark: None })]);
    lake.commit(TABLE, TableCommit { base, files: vec![file], positions }).await
}

fn says(error: &PortError, words: &str) {
    assert_eq!(error.kind, ErrorKind::Invalid, "{error:?}");
    assert!(sentence(error).contains(words), "{}", sentence(error));
}

#[tokio::test]
async fn a_missing_bucket_is_told_by_every_call_and_never_taken_for_an_empty_one() {
    let mut settings = settings().await;
    settings.bucket = "no-such-bucket".parse().unwrap();
    let store = S3ObjectStore::open(&settings).unwrap();
    let words = "there is no such bucket: make it";
    says(&store.put_new("a", Bytes::from("x")).await.unwrap_err(), words);
    says(&store.get("a").await.unwrap_err(), words);
    says(&store.list("").await.unwrap_err(), words);
    let lake = lake(&settings);
    says(&lake.snapshot(TABLE).await.unwrap_err(), words);
    says(&step(&lake, TableSnapshot::default(), 0).await.unwrap_err(), words);
}

#[tokio::test]
async fn refused_keys_are_told_as_such() {
    let good = settings().await;
    let keys = good.credentials.clone().unwrap();
    let wrong = [
        S3Credentials { secret_key: "wrong-secret".to_owned(), ..keys.clone() },
        S3Credentials { access_key: "nobody".to_owned(), ..keys },
    ];
    for credentials in wrong {
        let settings = S3Settings { credentials: Some(credentials), ..good.clone() };
        let store = S3ObjectStore::open(&settings).unwrap();
        let words = "the keys are refused: correct the access key";
        says(&store.put_new("a", Bytes::from("x")).await.unwrap_err(), words);
        says(&store.get("a").await.unwrap_err(), words);
        says(&store.list("a/").await.unwrap_err(), words);
        says(&lake(&settings).snapshot(TABLE).await.unwrap_err(), words);
    }
}

#[tokio::test]
async fn a_prefix_that_is_no_folder_is_refused_before_anything_is_sent() {
    let settings = S3Settings { prefix: "city:".parse().unwrap(), ..settings().await };
    says(&S3ObjectStore::open(&settings).unwrap_err(), "prefix `city:`");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_down_is_told_and_when_it_is_up_again_all_goes_on() {
    let proxy = Proxy::to(&endpoint().await).await;
    let settings = settings_at(&proxy.endpoint());
    let (store, lake) = (S3ObjectStore::open(&settings).unwrap(), lake(&settings));
    assert_eq!(store.put_new("a", Bytes::from("one")).await.unwrap(), PutNew::Created);
    let Committed::Yes(base) = step(&lake, TableSnapshot::default(), 0).await.unwrap() else { panic!() };

    proxy.set(Wire::Down);
    for error in [store.get("a").await.unwrap_err(), lake.snapshot(TABLE).await.unwrap_err()] {
        assert_eq!(error.kind, ErrorKind::Transient, "{error:?}");
    }
    let unsure = store.put_new("b", Bytes::from("two")).await.unwrap_err();
    assert!(matches!(unsure.kind, ErrorKind::Transient | ErrorKind::Ambiguous), "{unsure:?}");
    assert!(step(&lake, base.clone(), 1).await.is_err());

    proxy.set(Wire::Whole);
    assert_eq!(store.get("a").await.unwrap(), Some(Bytes::from("one")));
    assert_eq!(store.put_new("b", Bytes::from("two")).await.unwrap(), PutNew::Created);
    assert_eq!(lake.snapshot(TABLE).await.unwrap(), base);
    assert!(matches!(step(&lake, base, 1).await.unwrap(), Committed::Yes(_)));
    assert_eq!(lake.visible(TABLE).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_whose_answer_was_lost_knows_its_own_object() {
    let proxy = Proxy::to(&endpoint().await).await;
    let store = S3ObjectStore::open(&settings_at(&proxy.endpoint())).unwrap();
    proxy.set(Wire::LosesAnAnswer);
    assert_eq!(store.put_new("a", Bytes::from("one")).await.unwrap(), PutNew::Created);
    assert_eq!(proxy.lost(), 1);
    proxy.set(Wire::LosesAnAnswer);
    assert_eq!(store.put_new("a", Bytes::from("one")).await.unwrap(), PutNew::AlreadyExists);
    assert_eq!(proxy.lost(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_was_lost_is_made_once() {
    let proxy = Proxy::to(&endpoint().await).await;
    let lake = lake(&settings_at(&proxy.endpoint()));
    let Committed::Yes(base) = step(&lake, TableSnapshot::default(), 0).await.unwrap() else { panic!() };
    let (file, body) = lake.sample("f1", 1);
    lake.put(TABLE, &file.path, body).await.unwrap();
    proxy.set(Wire::LosesAnAnswer);
    let positions = BTreeMap::from([(0, Position { last_offset: 1, watermark: None })]);
    let commit = TableCommit { base, files: vec![file], positions };
    assert!(matches!(lake.commit(TABLE, commit).await.unwrap(), Committed::Yes(_)));
    assert_eq!(proxy.lost(), 1);
    assert_eq!(lake.visible(TABLE).await.len(), 2);
    assert_eq!(lake.snapshot(TABLE).await.unwrap().version, Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_call_outlives_its_limit_and_a_write_that_may_have_happened_says_so() {
    let proxy = Proxy::to(&endpoint().await).await;
    let mut settings = settings_at(&proxy.endpoint());
    settings.limits.request = Duration::from_millis(300);
    settings.limits.call = Duration::from_secs(1);
    let (store, lake) = (S3ObjectStore::open(&settings).unwrap(), lake(&settings));
    proxy.set(Wire::Silent);
    let begun = Instant::now();
    assert_eq!(store.get("a").await.unwrap_err().kind, ErrorKind::Transient);
    assert_eq!(store.put_new("a", Bytes::from("x")).await.unwrap_err().kind, ErrorKind::Ambiguous);
    assert_eq!(lake.snapshot(TABLE).await.unwrap_err().kind, ErrorKind::Transient);
    let unsure = lake.commit(TABLE, TableCommit::default()).await.unwrap_err();
    assert!(matches!(unsure.kind, ErrorKind::Transient | ErrorKind::Ambiguous), "{unsure:?}");
    assert!(begun.elapsed().as_secs() < 8, "{:?}", begun.elapsed());
    proxy.set(Wire::Whole);
    assert_eq!(store.get("a").await.unwrap(), Some(Bytes::from("x")), "it did happen");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_of_more_than_one_page_is_whole_and_in_order() {
    let settings = settings().await;
    let store = S3ObjectStore::open(&settings).unwrap();
    let names: Vec<String> = (0..1_203).map(|number| format!("many/{number:05}")).collect();
    for chunk in names.chunks(32) {
        let made = chunk.iter().map(|name| store.put_new(name, Bytes::from_static(b"x")));
        for outcome in futures::future::join_all(made).await {
            assert_eq!(outcome.unwrap(), PutNew::Created);
        }
    }
    assert_eq!(store.list("many/").await.unwrap(), names);
    assert_eq!(store.list("many/0120").await.unwrap(), names[1_200..]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_is_put_in_parts_and_read_back_whole() {
    let settings = settings().await;
    let lake = lake(&settings);
    let path = "event_date=1970-01-01/large.zstd.parquet";
    let large: Bytes = (0..20_000_003_u32).map(|i| i.to_le_bytes()[0] ^ i.to_le_bytes()[1]).collect();
    for _ in 0..2 {
        lake.put(TABLE, path, large.clone()).await.unwrap();
    }
    let store = S3ObjectStore::open(&settings).unwrap();
    assert_eq!(store.list("events/").await.unwrap().len(), 1);
    assert_eq!(keys(settings.prefix.as_str()).await, [format!("{}events/{path}", settings.prefix)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_build_left_is_replaced_until_a_commit_names_it() {
    let settings = settings().await;
    let lake = lake(&settings);
    let store = S3ObjectStore::open(&settings).unwrap();
    let (file, body) = lake.sample("f0", 1);
    let key = format!("events/{}", file.path);
    lake.put(TABLE, &file.path, Bytes::from("of another build")).await.unwrap();
    lake.put(TABLE, &file.path, body.clone()).await.unwrap();
    assert_eq!(store.get(&key).await.unwrap(), Some(body.clone()));
    assert!(matches!(step(&lake, TableSnapshot::default(), 0).await.unwrap(), Committed::Yes(_)));
    let refused = lake.put(TABLE, &file.path, Bytes::from("of a former owner")).await.unwrap_err();
    says(&refused, "the table shows other rows under this name");
    assert_eq!(store.get(&key).await.unwrap(), Some(body));
}

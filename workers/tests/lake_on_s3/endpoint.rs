//! One MinIO for all tests of this binary, one bucket, one prefix a test.

use std::sync::atomic::{AtomicU32, Ordering};

use aws_sdk_s3::{
    Client,
    config::{BehaviorVersion, Credentials, Region},
};
use parking_crds::duration::Duration;
use parking_e2e::minio::{KEYS, Minio};
use parking_workers::adapters::s3::{S3Credentials, S3Limits, S3Settings};
use tokio::sync::OnceCell;

pub(crate) const BUCKET: &str = "city-lake";

static MINIO: OnceCell<Minio> = OnceCell::const_new();

/// URL of the endpoint, its bucket made.
pub(crate) async fn endpoint() -> String {
    MINIO.get_or_init(start).await.endpoint()
}

async fn start() -> Minio {
    let minio = Minio::start().unwrap();
    client(&minio.endpoint()).create_bucket().bucket(BUCKET).send().await.unwrap();
    minio
}

/// A client that shares no code with the system under test.
pub(crate) fn client(endpoint: &str) -> Client {
    let config = aws_sdk_s3::config::Builder::new()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new(KEYS.0, KEYS.1, None, None, "test"))
        .endpoint_url(endpoint)
        .force_path_style(true)
        .build();
    Client::from_conf(config)
}

/// Settings of a place of its own in the bucket.
pub(crate) async fn settings() -> S3Settings {
    settings_at(&endpoint().await)
}

/// The same, at an endpoint.
pub(crate) fn settings_at(endpoint: &str) -> S3Settings {
    static PLACES: AtomicU32 = AtomicU32::new(0);
    let place = PLACES.fetch_add(1, Ordering::Relaxed);
    S3Settings {
        endpoint: Some(endpoint.to_owned()),
        region: "us-east-1".to_owned(),
        bucket: BUCKET.parse().unwrap(),
        prefix: format!("test-{place}/city/").parse().unwrap(),
        path_style: true,
        credentials: Some(S3Credentials { access_key: KEYS.0.to_owned(), secret_key: KEYS.1.to_owned() }),
        ca: None,
        limits: S3Limits {
            connect: Duration::from_secs(2),
            request: Duration::from_secs(20),
            call: Duration::from_secs(60),
        },
    }
}

/// Keys in the bucket below a prefix, as the other client lists them.
pub(crate) async fn keys(prefix: &str) -> Vec<String> {
    let client = client(&endpoint().await);
    let mut pages = client.list_objects_v2().bucket(BUCKET).prefix(prefix).into_paginator().send();
    let mut keys = Vec::new();
    while let Some(page) = pages.next().await {
        keys.extend(page.unwrap().contents().iter().map(|object| object.key().unwrap().to_owned()));
    }
    keys
}

//! One MinIO for all tests of this binary, one bucket, one prefix a city.

use aws_sdk_s3::{
    Client,
    config::{BehaviorVersion, Credentials, Region},
};
use parking_crds::worker_config::Lake;
use parking_e2e::minio::{KEYS, Minio};
use parking_workers::adapters::s3::{S3Credentials, S3Limits, S3Settings};
use tokio::sync::OnceCell;
use uuid::Uuid;

const BUCKET: &str = "city-lake";
const REGION: &str = "us-east-1";

static MINIO: OnceCell<Minio> = OnceCell::const_new();

/// A place for one lake.
pub(crate) struct Place {
    endpoint: String,
    prefix: String,
}

impl Place {
    pub(crate) async fn new() -> Self {
        let endpoint = MINIO.get_or_init(start).await.endpoint();
        Self { endpoint, prefix: format!("{}/city/", Uuid::new_v4()) }
    }

    pub(crate) fn as_config(&self) -> Lake {
        Lake::S3 {
            endpoint: Some(self.endpoint.clone()),
            region: REGION.to_owned(),
            bucket: BUCKET.parse().unwrap(),
            prefix: self.prefix.parse().unwrap(),
            path_style: true,
            credentials: Some("bucket".parse().unwrap()),
            ca: None,
            retention: None,
        }
    }

    pub(crate) fn settings(&self) -> S3Settings {
        S3Settings {
            endpoint: Some(self.endpoint.clone()),
            region: REGION.to_owned(),
            bucket: BUCKET.parse().unwrap(),
            prefix: self.prefix.parse().unwrap(),
            path_style: true,
            credentials: Some(S3Credentials { access_key: KEYS.0.to_owned(), secret_key: KEYS.1.to_owned() }),
            ca: None,
            limits: S3Limits::default(),
        }
    }
}

async fn start() -> Minio {
    let minio = Minio::start().unwrap();
    let config = aws_sdk_s3::config::Builder::new()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .credentials_provider(Credentials::new(KEYS.0, KEYS.1, None, None, "test"))
        .endpoint_url(minio.endpoint())
        .force_path_style(true)
        .build();
    Client::from_conf(config).create_bucket().bucket(BUCKET).send().await.unwrap();
    minio
}

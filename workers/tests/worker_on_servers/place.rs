//! One MinIO for all tests of this binary, one bucket, one prefix a city.

use parking_crds::worker_config::Lake;
use parking_e2e::{minio::KEYS, proxy::Proxy};
use parking_workers::adapters::s3::{S3Credentials, S3Limits, S3Settings};
use uuid::Uuid;

use crate::endpoint::{BUCKET, endpoint};

const REGION: &str = "us-east-1";

/// A place for one lake.
pub(crate) struct Place {
    endpoint: String,
    /// Where workers find it.
    endpoint_of_workers: String,
    prefix: String,
}

impl Place {
    pub(crate) async fn new() -> Self {
        let endpoint = endpoint().await;
        let endpoint_of_workers = endpoint.clone();
        Self { endpoint, endpoint_of_workers, prefix: format!("{}/city/", Uuid::new_v4()) }
    }

    /// Lets workers reach it through a proxy alone.
    pub(crate) fn behind_proxy(&mut self) -> Proxy {
        let address = self.endpoint.trim_start_matches("http://").parse().unwrap();
        let proxy = Proxy::start(address).unwrap();
        self.endpoint_of_workers = format!("http://{}", proxy.address());
        proxy
    }

    pub(crate) fn as_config(&self) -> Lake {
        Lake::S3 {
            endpoint: Some(self.endpoint_of_workers.clone()),
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

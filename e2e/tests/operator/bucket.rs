//! What stands in a city's bucket, as anybody with its keys sees and changes it.

use aws_sdk_s3::{
    Client, Config,
    config::{Credentials, Region},
};
use parking_e2e::minio::KEYS;

use crate::city::City;

/// One bucket.
pub(crate) struct Bucket {
    client: Client,
    name: String,
}

impl Bucket {
    pub(crate) fn of(city: &City) -> Self {
        let config = Config::builder()
            .region(Region::new("us-east-1"))
            .endpoint_url(city.endpoint())
            .force_path_style(true)
            .credentials_provider(Credentials::new(KEYS.0, KEYS.1, None, None, "e2e"))
            .build();
        Self { client: Client::from_conf(config), name: city.namespace.name().to_owned() }
    }

    pub(crate) async fn create(&self) {
        self.client.create_bucket().bucket(&self.name).send().await.unwrap();
    }

    pub(crate) async fn put(&self, key: &str, content: impl Into<Vec<u8>>) {
        let body = content.into().into();
        self.client.put_object().bucket(&self.name).key(key).body(body).send().await.unwrap();
    }

    pub(crate) async fn get(&self, key: &str) -> Option<Vec<u8>> {
        let answer = self.client.get_object().bucket(&self.name).key(key).send().await.ok()?;
        Some(answer.body.collect().await.unwrap().to_vec())
    }

    pub(crate) async fn delete(&self, key: &str) {
        self.client.delete_object().bucket(&self.name).key(key).send().await.unwrap();
    }

    /// Every key in it; none when there is no such bucket.
    pub(crate) async fn keys(&self) -> Option<Vec<String>> {
        let answer = self.client.list_objects_v2().bucket(&self.name).send().await.ok()?;
        Some(answer.contents().iter().filter_map(|one| one.key().map(str::to_owned)).collect())
    }

    /// Deletes it with all that it holds.
    pub(crate) async fn remove(&self) {
        for key in self.keys().await.unwrap_or_default() {
            self.delete(&key).await;
        }
        self.client.delete_bucket().bucket(&self.name).send().await.unwrap();
    }
}

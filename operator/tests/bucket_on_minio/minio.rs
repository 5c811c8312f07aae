//! A MinIO for one test, and the ways to it.

use std::{
    net::TcpListener,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use parking_crds::topology::PipelineId;
use parking_operator::{
    bucket::{Access, BucketReport, Connections, Login, OwnerKey, Store, Wanted},
    validate::KeptSecret,
};

use crate::installed;

pub(crate) const USER: &str = "test-root";
pub(crate) const PASSWORD: &str = "test-root-password";

pub(crate) struct Minio {
    child: Child,
    pub(crate) url: String,
    _data: tempfile::TempDir,
}

impl Drop for Minio {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Minio {
    pub(crate) async fn start() -> Self {
        let data = tempfile::tempdir().unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        // It goes with the thread of its test, however that ends.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(installed::program("minio"))
            .args([
                "server",
                "--quiet",
                "--address",
                &address.to_string(),
                "--console-address",
                "127.0.0.1:0",
            ])
            .arg(data.path())
            .env("MINIO_ROOT_USER", USER)
            .env("MINIO_ROOT_PASSWORD", PASSWORD)
            .env("MINIO_CI_CD", "on")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let minio = Self { child, url: format!("http://{address}"), _data: data };
        minio.wait().await;
        minio
    }

    #[expect(clippy::disallowed_methods, reason = "a real server runs on the wall clock")]
    async fn wait(&self) {
        let url = format!("{}/minio/health/ready", self.url);
        let ready = async {
            while !reqwest::get(&url).await.is_ok_and(|answer| answer.status().is_success()) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), ready).await.expect("MinIO becomes ready");
    }

    pub(crate) fn access(&self, bucket: &str) -> Access {
        Access {
            endpoint: Some(self.url.clone()),
            region: "us-east-1".into(),
            bucket: bucket.parse().unwrap(),
            path_style: true,
            ca: None,
            login: root(),
        }
    }

    pub(crate) async fn store(&self, bucket: &str) -> Store {
        Store::connect(self.access(bucket), &anywhere()).await.unwrap()
    }

    /// A store whose keys may do only what the policy's actions say.
    pub(crate) async fn restricted(&self, bucket: &str, actions: &[&str]) -> Store {
        let credentials = aws_sdk_s3::config::Credentials::new(USER, PASSWORD, None, None, "test");
        let config = aws_sdk_sts::Config::builder()
            .behavior_version(aws_sdk_sts::config::BehaviorVersion::latest())
            .region(aws_sdk_sts::config::Region::new("us-east-1"))
            .endpoint_url(&self.url)
            .credentials_provider(credentials)
            .build();
        let policy = serde_json::json!({
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Action": actions, "Resource": ["arn:aws:s3:::*"]}],
        });
        let client = aws_sdk_sts::Client::from_conf(config);
        let request = client.assume_role().role_arn("arn:x:x:x:x").role_session_name("test");
        let keys = request.policy(policy.to_string()).send().await.unwrap().credentials.unwrap();
        let login = Login::Keys {
            access_key: keys.access_key_id,
            secret_key: KeptSecret(keys.secret_access_key),
            session_token: Some(KeptSecret(keys.session_token)),
        };
        Store::connect(Access { login, ..self.access(bucket) }, &anywhere()).await.unwrap()
    }

    /// A plain client, for what others do to a bucket.
    pub(crate) fn other(&self) -> aws_sdk_s3::Client {
        let credentials = aws_sdk_s3::config::Credentials::new(USER, PASSWORD, None, None, "test");
        let config = aws_sdk_s3::Config::builder()
            .region(aws_sdk_s3::config::Region::new("us-east-1"))
            .endpoint_url(&self.url)
            .force_path_style(true)
            .credentials_provider(credentials)
            .build();
        aws_sdk_s3::Client::from_conf(config)
    }
}

pub(crate) fn root() -> Login {
    Login::Keys { access_key: USER.into(), secret_key: KeptSecret(PASSWORD.into()), session_token: None }
}

pub(crate) fn anywhere() -> Connections {
    Connections::new(Arc::new(|_| true))
}

pub(crate) fn wanted(bucket: &str, name: &str, cluster: &str) -> Wanted {
    let id = PipelineId { namespace: "parking".parse().unwrap(), name: name.parse().unwrap() };
    Wanted {
        bucket: bucket.parse().unwrap(),
        prefix: id.lake_prefix(),
        create: true,
        owner: OwnerKey::new(cluster, &id),
        take_over: false,
    }
}

pub(crate) async fn put(client: &aws_sdk_s3::Client, bucket: &str, key: &str) {
    client.put_object().bucket(bucket).key(key).body(b"x".to_vec().into()).send().await.unwrap();
}

pub(crate) async fn keys(client: &aws_sdk_s3::Client, bucket: &str) -> Vec<String> {
    let answer = client.list_objects_v2().bucket(bucket).send().await.unwrap();
    answer.contents().iter().filter_map(|one| one.key().map(str::to_owned)).collect()
}

pub(crate) fn clean(report: &BucketReport) -> bool {
    report.problems.is_empty() && report.warnings.is_empty()
}

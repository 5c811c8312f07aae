//! The bucket's steps against a real S3 endpoint. Each test has buckets of its own on one server.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::{
    net::TcpListener,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use aws_sdk_s3::types::{
    BucketVersioningStatus, ExpirationStatus, LifecycleExpiration, LifecycleRule, LifecycleRuleFilter, Tag,
    Tagging, VersioningConfiguration,
};
use parking_crds::{condition::Reason, topology::PipelineId};
use parking_operator::{
    bucket::{Access, BucketReport, Connections, Login, OwnerKey, Store, Wanted},
    validate::KeptSecret,
};

mod installed;

const USER: &str = "test-root";
const PASSWORD: &str = "test-root-password";

struct Minio {
    child: Child,
    url: String,
    _data: tempfile::TempDir,
}

impl Drop for Minio {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Minio {
    async fn start() -> Self {
        let data = tempfile::tempdir().unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let child = Command::new(installed::program("minio"))
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

    fn access(&self, bucket: &str) -> Access {
        Access {
            endpoint: Some(self.url.clone()),
            region: "us-east-1".into(),
            bucket: bucket.parse().unwrap(),
            path_style: true,
            ca: None,
            login: root(),
        }
    }

    async fn store(&self, bucket: &str) -> Store {
        Store::connect(self.access(bucket), &anywhere()).await.unwrap()
    }

    /// A store whose keys may do only what the policy's actions say.
    async fn restricted(&self, bucket: &str, actions: &[&str]) -> Store {
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
    fn other(&self) -> aws_sdk_s3::Client {
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

fn root() -> Login {
    Login::Keys { access_key: USER.into(), secret_key: KeptSecret(PASSWORD.into()), session_token: None }
}

fn anywhere() -> Connections {
    Connections::new(Arc::new(|_| true))
}

fn wanted(bucket: &str, name: &str, cluster: &str) -> Wanted {
    let id = PipelineId { namespace: "parking".parse().unwrap(), name: name.parse().unwrap() };
    Wanted {
        bucket: bucket.parse().unwrap(),
        prefix: id.lake_prefix(),
        create: true,
        owner: OwnerKey::new(cluster, &id),
        take_over: false,
    }
}

async fn put(client: &aws_sdk_s3::Client, bucket: &str, key: &str) {
    client.put_object().bucket(bucket).key(key).body(b"x".to_vec().into()).send().await.unwrap();
}

async fn keys(client: &aws_sdk_s3::Client, bucket: &str) -> Vec<String> {
    let answer = client.list_objects_v2().bucket(bucket).send().await.unwrap();
    answer.contents().iter().filter_map(|one| one.key().map(str::to_owned)).collect()
}

fn clean(report: &BucketReport) -> bool {
    report.problems.is_empty() && report.warnings.is_empty()
}

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

#[tokio::test]
async fn a_missing_right_is_a_warning_and_blocks_nothing_that_works() {
    let minio = Minio::start().await;
    minio.other().create_bucket().bucket("poor").send().await.unwrap();
    let store = minio.restricted("poor", &["s3:GetObject", "s3:PutObject"]).await;
    let report = store.ensure(&wanted("poor", "city", "here")).await;
    assert!(report.problems.is_empty(), "{report:?}");
    assert!(report.warnings.iter().any(|text| text.contains("s3:GetLifecycleConfiguration")), "{report:?}");
    assert!(report.warnings.iter().any(|text| text.contains("s3:ListBucket")), "{report:?}");
    let rich = ["s3:GetObject", "s3:PutObject", "s3:ListBucket", "s3:GetLifecycleConfiguration"];
    let report = minio.restricted("poor", &rich).await.ensure(&wanted("poor", "city", "here")).await;
    assert!(report.problems.is_empty(), "{report:?}");
    assert_eq!(report.warnings.len(), 1, "{report:?}");
    assert!(report.warnings[0].contains("s3:PutLifecycleConfiguration"), "{report:?}");
}

#[tokio::test]
async fn a_right_that_the_lake_needs_is_a_problem() {
    let minio = Minio::start().await;
    minio.other().create_bucket().bucket("read-only").send().await.unwrap();
    let store = minio.restricted("read-only", &["s3:GetObject", "s3:ListBucket"]).await;
    let report = store.ensure(&wanted("read-only", "city", "here")).await;
    assert_eq!(report.problems[0].reason, Reason::MissingRight, "{report:?}");
    assert!(report.problems[0].message.contains("s3:PutObject"), "{report:?}");
    let report = minio.restricted("none-yet", &["s3:GetObject", "s3:ListBucket", "s3:PutObject"]).await;
    let report = report.ensure(&wanted("none-yet", "city", "here")).await;
    assert_eq!(report.problems[0].reason, Reason::MissingRight, "{report:?}");
    assert!(report.problems[0].message.contains("s3:CreateBucket"), "{report:?}");
}

#[tokio::test]
async fn refused_keys_are_named_as_such() {
    let minio = Minio::start().await;
    let wrong = [(USER, "not-the-password"), ("nobody", PASSWORD)];
    for (access_key, secret_key) in wrong {
        let login = Login::Keys {
            access_key: access_key.into(),
            secret_key: KeptSecret(secret_key.into()),
            session_token: None,
        };
        let access = Access { login, ..minio.access("city-lake") };
        let store = Store::connect(access, &anywhere()).await.unwrap();
        let report = store.ensure(&wanted("city-lake", "city", "here")).await;
        assert_eq!(report.problems[0].reason, Reason::CredentialsRefused, "{report:?}");
        assert!(!report.problems[0].message.contains(secret_key));
    }
}

#[tokio::test]
async fn each_way_not_to_reach_an_endpoint_is_told_apart() {
    let minio = Minio::start().await;
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = minio.url.rsplit(':').next().unwrap();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let cases = [
        (format!("http://{closed}"), Reason::DependencyFailed, "nothing answers"),
        ("http://no-such-host.invalid".to_owned(), Reason::DependencyFailed, "no address"),
        (format!("https://127.0.0.1:{port}"), Reason::DependencyFailed, "certificate"),
        (format!("http://{}", silent.local_addr().unwrap()), Reason::DependencyFailed, "in time"),
    ];
    let access = &minio.access("city-lake");
    let looks = cases.map(|(endpoint, reason, says)| async move {
        let access = Access { endpoint: Some(endpoint.clone()), ..access.clone() };
        let store = Store::connect(access, &anywhere()).await.unwrap();
        let report = store.ensure(&wanted("city-lake", "city", "here")).await;
        assert_eq!(report.problems[0].reason, reason, "{endpoint}: {report:?}");
        assert!(report.problems[0].message.contains(says), "{endpoint}: {report:?}");
    });
    futures::future::join_all(looks).await;
}

#[tokio::test]
async fn a_name_of_a_refused_address_is_not_connected_to() {
    let minio = Minio::start().await;
    let access =
        Access { endpoint: Some(minio.url.replace("127.0.0.1", "localhost")), ..minio.access("lake") };
    let elsewhere = Connections::new(Arc::new(|address| !address.is_loopback()));
    let store = Store::connect(access, &elsewhere).await.unwrap();
    let report = store.ensure(&wanted("lake", "city", "here")).await;
    assert_eq!(report.problems[0].reason, Reason::NotAllowed, "{report:?}");
}

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

/// Answers every request with the same bytes, then with more, as long as anybody reads.
#[expect(clippy::disallowed_methods, reason = "a server of its own")]
async fn hostile(head: &'static str, more: bool) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(head.as_bytes()).await;
                while more && stream.write_all(&[b'x'; 8192]).await.is_ok() {}
            });
        }
    });
    url
}

#[tokio::test]
async fn what_an_endpoint_answers_is_neither_repeated_nor_read_without_end() {
    let error = "HTTP/1.1 403 Forbidden\r\nContent-Length: 57\r\nConnection: close\r\n\r\n\
                 <Error><Code>hidden</Code><Message>token</Message></Error>";
    let endless = "HTTP/1.1 500 Oh\r\nConnection: close\r\n\r\n";
    for (head, more) in [(error, false), (endless, true)] {
        let access = Access {
            endpoint: Some(hostile(head, more).await),
            region: "us-east-1".into(),
            bucket: "city-lake".parse().unwrap(),
            path_style: true,
            ca: None,
            login: root(),
        };
        let store = Store::connect(access, &anywhere()).await.unwrap();
        let report = store.ensure(&wanted("city-lake", "city", "here")).await;
        assert_eq!(report.problems.len(), 1, "{report:?}");
        let text = format!("{report:?}");
        assert!(!text.contains("hidden") && !text.contains("token"), "{text}");
    }
}

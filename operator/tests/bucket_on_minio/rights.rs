//! Rights and keys that are missing.

use parking_crds::condition::Reason;
use parking_operator::{
    bucket::{Access, Login, Store},
    validate::KeptSecret,
};

use crate::minio::{Minio, PASSWORD, USER, anywhere, wanted};

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

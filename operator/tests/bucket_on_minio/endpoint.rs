//! Endpoints that do not answer, are not allowed, or mean harm.

use std::{net::TcpListener, sync::Arc};

use parking_crds::condition::Reason;
use parking_operator::bucket::{Access, Connections, Store};

use crate::minio::{Minio, anywhere, root, wanted};

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

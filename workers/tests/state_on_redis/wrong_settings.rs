//! Settings that do not fit what is there: the error says what to do, and nothing is ever ready.

use std::net::{Ipv4Addr, TcpListener};

use parking_e2e::redis::{Options, Redis, TlsFiles};
use parking_workers::{
    adapters::redis::{Health, Login, RedisSettings, RedisStateStore, SettingsError, Tls},
    ports::{ErrorKind, state_store::StateStore},
};

use crate::{
    CALM,
    stage::{STAGE, open, owner, ready, sentence, settings},
};

/// What a claim says, and the health afterwards.
async fn refusal(settings: RedisSettings) -> String {
    let store = open(&settings);
    let error = store.claim(&STAGE, owner()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Transient, "{error:?}");
    let Health::NotReady { .. } = store.health() else { panic!("ready: {:?}", store.health()) };
    sentence(&error)
}

fn login(password: &str) -> Login {
    Login { user: None, password: password.to_owned() }
}

#[tokio::test]
async fn a_wrong_password_is_told_without_showing_it() {
    let options = Options {
        password: Some("right".to_owned()),
        sentinel_password: Some("also-right".to_owned()),
        ..Options::default()
    };
    let redis = Redis::start(&options).unwrap();
    let right = RedisSettings {
        login: Some(login("right")),
        sentinel_login: Some(login("also-right")),
        ..settings(&redis)
    };
    let store = open(&right);
    ready(&store).await;
    assert_eq!(store.claim(&STAGE, owner()).await.unwrap().1, None);

    let at_server = refusal(RedisSettings { login: Some(login("hush-hush")), ..right.clone() }).await;
    let master = redis.master().unwrap().to_string();
    assert!(at_server.contains(&master) && at_server.contains("password of the Secret"), "{at_server}");
    let none = refusal(RedisSettings { login: None, ..right.clone() }).await;
    assert!(none.contains("password of the Secret"), "{none}");
    let at_sentinel = refusal(RedisSettings { sentinel_login: Some(login("hush-hush")), ..right }).await;
    assert!(at_sentinel.contains("sentinels' user and password"), "{at_sentinel}");
    assert!(!at_server.contains("hush") && !at_sentinel.contains("hush"));
}

#[tokio::test]
async fn an_unknown_master_name_is_told() {
    let told = refusal(RedisSettings { master_name: "another".to_owned(), ..settings(&CALM) }).await;
    assert!(told.contains("`another`") && told.contains("masterName"), "{told}");
}

#[tokio::test]
async fn sentinels_that_cannot_be_reached_are_told_by_address() {
    let nobody = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().to_string();
    let sentinels = vec![nobody.parse().unwrap()];
    let told = refusal(RedisSettings { sentinels, ..settings(&CALM) }).await;
    assert!(told.contains(&nobody) && told.contains("network policy"), "{told}");
}

#[tokio::test]
async fn one_sentinel_that_can_be_reached_is_enough() {
    let nobody = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().to_string();
    let mut settings = settings(&CALM);
    settings.sentinels.insert(0, nobody.parse().unwrap());
    let store = open(&settings);
    ready(&store).await;
    assert_eq!(store.claim(&STAGE, owner()).await.unwrap().1, None);
}

#[tokio::test]
async fn with_tls_only_servers_that_the_authority_signed_are_talked_to() {
    let folder = tempfile::tempdir().unwrap();
    let files = TlsFiles::make(folder.path()).unwrap();
    let ca = std::fs::read(&files.ca).unwrap();
    let redis = Redis::start(&Options { tls: Some(files), ..Options::default() }).unwrap();
    let trusting = RedisSettings { tls: Some(Tls { ca: Some(ca) }), ..settings(&redis) };
    let store = open(&trusting);
    ready(&store).await;
    assert_eq!(store.claim(&STAGE, owner()).await.unwrap().1, None);

    let of_system = refusal(RedisSettings { tls: Some(Tls { ca: None }), ..trusting.clone() }).await;
    assert!(of_system.contains("certificate"), "{of_system}");
    refusal(RedisSettings { tls: None, ..trusting.clone() }).await;
    for text in ["", "-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----\n"] {
        let broken = Tls { ca: Some(text.as_bytes().to_vec()) };
        let refused = RedisStateStore::open(RedisSettings { tls: Some(broken), ..trusting.clone() });
        assert!(matches!(refused, Err(SettingsError::Ca(_))), "{text}");
    }
}

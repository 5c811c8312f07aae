use serde_json::{Value, json};

use super::*;
use crate::plan::sample;

const NAME: &str = "kafka/events";

/// A cluster that can be used, its users and their Secrets.
struct Fixture {
    kafka: Value,
    around: SeenKafka,
    allowed: BTreeMap<Namespace, Vec<Namespace>>,
    spec: Value,
}

fn good() -> Fixture {
    let kafka = json!({
        "metadata": {"name": "events", "namespace": "kafka"},
        "spec": {"kafka": {
            "authorization": {"type": "simple"},
            "listeners": [
                {"name": "plain", "port": 9092, "tls": false, "authentication": {"type": "scram-sha-512"}},
                {"name": "tls", "port": 9093, "tls": true, "authentication": {"type": "tls"}},
            ],
        }},
        "status": {
            "conditions": [{"type": "Ready", "status": "True"}],
            "listeners": [
                {"name": "plain", "bootstrapServers": "b:9092"},
                {"name": "tls", "bootstrapServers": "b:9093", "certificates": ["CERTIFICATE"]},
            ],
        },
    });
    let topology = sample::pipeline("").topology;
    let mut seen = SeenKafka { version: Some(StrimziVersion::V1), ..SeenKafka::default() };
    for worker in &topology.workers {
        let (name, secret) = (worker.user.to_string(), format!("secret-{}", worker.user));
        let user = json!({
            "metadata": {"name": name},
            "status": {
                "conditions": [{"type": "Ready", "status": "True"}],
                "username": format!("CN={name}"),
                "secret": secret,
            },
        });
        seen.users.insert(name, serde_json::from_value(user).unwrap());
        let members = ["ca.crt", "user.crt", "user.key", "user.p12", "password", "sasl.jaas.config"];
        seen.secrets.insert(secret, members.map(|key| (key.to_owned(), format!("{key}="))).into());
    }
    let allowed = [("kafka".parse().unwrap(), vec!["parking".parse().unwrap()])].into();
    Fixture {
        kafka,
        around: seen,
        allowed,
        spec: json!({"strimzi": {"cluster": "events", "namespace": "kafka"}}),
    }
}

fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn look(change: impl FnOnce(&mut Fixture)) -> Result<(ValidKafka, Vec<Problem>), Vec<Problem>> {
    let mut all = good();
    change(&mut all);
    all.around.kafka = read(all.kafka);
    let spec = read(all.spec);
    kafka(&spec, &sample::pipeline("").topology, &all.around, &all.allowed)
}

fn cluster(change: impl FnOnce(&mut Fixture)) -> StrimziCluster {
    match look(change).unwrap() {
        (ValidKafka::Strimzi(cluster), problems) if problems.is_empty() => cluster,
        other => panic!("{other:?}"),
    }
}

fn refused(change: impl FnOnce(&mut Fixture)) -> Vec<Problem> {
    look(change).unwrap_err()
}

#[test]
fn a_cluster_is_used_as_it_was_observed() {
    let cluster = cluster(|_| ());
    assert_eq!((cluster.authentication, cluster.encrypted), (Authentication::Tls, true));
    assert_eq!(cluster.bootstrap_servers, "b:9093");
    assert_eq!(cluster.ca.as_deref(), Some("Q0VSVElGSUNBVEU="));
    let login: Vec<&str> = cluster.credentials[&Role::Alert].data.keys().map(String::as_str).collect();
    assert_eq!(login, ["user.crt", "user.key"]);
}

fn without_certificates(all: &mut Fixture) {
    for listener in all.kafka["status"]["listeners"].as_array_mut().unwrap() {
        listener["certificates"] = json!([]);
    }
}

#[test]
fn a_listener_that_shows_no_certificate_is_signed_by_the_clusters_own_authority() {
    let cluster = cluster(|all| {
        without_certificates(all);
        let authority = [("ca.crt".to_owned(), "QQ==".to_owned())].into();
        all.around.secrets.insert("events-cluster-ca-cert".to_owned(), authority);
    });
    assert_eq!(cluster.ca.as_deref(), Some("QQ=="));
}

#[test]
fn an_authority_that_is_not_known_yet_is_waited_for() {
    let (_, problems) = look(without_certificates).unwrap();
    assert_eq!(problems[0].condition, ConditionType::UsersReady);
    assert!(problems[0].message.contains("events-cluster-ca-cert"), "{problems:?}");
}

#[test]
fn a_listener_with_passwords_gives_name_and_password() {
    let cluster = cluster(|all| all.spec["strimzi"]["listener"] = json!("plain"));
    assert_eq!((cluster.authentication, cluster.encrypted), (Authentication::ScramSha512, false));
    assert_eq!(cluster.ca, None);
    let login = &cluster.credentials[&Role::Alert].data;
    assert_eq!(login["password"], "password=");
    assert!(login["username"].starts_with("Q049"), "{login:?}");
    assert_eq!(login.len(), 2);
}

#[test]
fn workers_are_told_what_was_observed() {
    let id = sample::pipeline("").id;
    for (listener, encrypted, authentication, protocol) in [
        ("tls", true, "tls", SecurityProtocol::Ssl),
        ("tls", true, "scram-sha-512", SecurityProtocol::SaslSsl),
        ("plain", false, "scram-sha-512", SecurityProtocol::SaslPlaintext),
    ] {
        let cluster = cluster(|all| {
            all.spec["strimzi"]["listener"] = json!(listener);
            all.kafka["spec"]["kafka"]["listeners"][1]["authentication"]["type"] = json!(authentication);
        });
        let Some(Log::Kafka { security_protocol, ca, credentials, .. }) =
            observed_log(&ValidKafka::Strimzi(cluster), &id, Role::Alert)
        else {
            panic!()
        };
        assert_eq!(security_protocol, protocol);
        assert_eq!(ca.is_some(), encrypted);
        assert_eq!(credentials.unwrap(), id.kafka_login(Role::Alert));
    }
}

#[test]
fn what_cannot_be_used_is_named_with_its_cure() {
    type Case = (fn(&mut Fixture), Reason, &'static [ConditionType], &'static str);
    const BOTH: &[ConditionType] = &[ConditionType::TopicsReady, ConditionType::UsersReady];
    const USERS: &[ConditionType] = &[ConditionType::UsersReady];
    let cases: [Case; 10] = [
        (|all| all.around.version = None, Reason::ApiAbsent, BOTH, "install Strimzi"),
        (|all| all.kafka = Value::Null, Reason::RefNotFound, BOTH, "there is no Kafka kafka/events"),
        (|all| all.allowed.clear(), Reason::NotAllowed, BOTH, ALLOWED_NAMESPACES),
        (
            |all| all.spec["strimzi"]["listener"] = json!("external"),
            Reason::RefNotFound,
            USERS,
            "one of plain, tls",
        ),
        (
            |all| all.kafka["spec"]["kafka"]["listeners"][1]["authentication"] = json!({"type": "oauth"}),
            Reason::Invalid,
            USERS,
            "`oauth`: choose a listener with tls or scram-sha-512",
        ),
        (
            |all| all.kafka["spec"]["kafka"]["listeners"][1]["authentication"] = Value::Null,
            Reason::Invalid,
            USERS,
            "authentication `none`",
        ),
        (
            |all| all.kafka["spec"]["kafka"]["authorization"]["type"] = json!("opa"),
            Reason::Invalid,
            USERS,
            "authorization `opa`",
        ),
        (
            |all| all.kafka["spec"]["kafka"]["authorization"] = Value::Null,
            Reason::Invalid,
            USERS,
            "spec.kafka.authorization.type of the Kafka to simple",
        ),
        (
            |all| all.kafka["status"] = Value::Null,
            Reason::Waiting,
            BOTH,
            "no address for the listener tls yet",
        ),
        (|all| all.spec = json!({}), Reason::Invalid, &[ConditionType::TopicsReady], "exactly one"),
    ];
    for (change, reason, conditions, words) in cases {
        let problems = refused(change);
        assert_eq!(problems.iter().map(|one| one.condition).collect::<Vec<_>>(), conditions, "{problems:?}");
        assert!(
            problems.iter().all(|one| one.reason == reason && one.message.contains(words)),
            "{problems:?}"
        );
    }
}

#[test]
fn several_things_are_told_at_once() {
    let problems = refused(|all| {
        all.kafka["spec"]["kafka"]["authorization"] = Value::Null;
        all.spec["strimzi"]["listener"] = json!("external");
    });
    assert_eq!(problems.len(), 2);
}

#[test]
fn the_owner_of_a_cluster_may_allow_namespaces_by_an_annotation() {
    let with = |list: &'static str| {
        look(move |all| {
            all.allowed.clear();
            all.kafka["metadata"]["annotations"] = json!({(ALLOWED_NAMESPACES): list});
        })
    };
    for list in ["parking", "other, parking", "*"] {
        assert!(with(list).is_ok(), "{list}");
    }
    for list in ["", "park", "other,parking2"] {
        assert_eq!(with(list).unwrap_err()[0].reason, Reason::NotAllowed, "{list}");
    }
}

#[test]
fn a_cluster_that_restarts_delays_and_prevents_nothing() {
    let (_, problems) = look(|all| {
        all.kafka["status"]["conditions"] =
            json!([{"type": "Ready", "status": "False", "message": "rolling"}]);
    })
    .unwrap();
    assert_eq!(problems.len(), 2);
    assert!(problems.iter().all(|one| one.reason == Reason::Waiting && one.message.contains(NAME)));
}

#[test]
fn a_login_that_is_not_there_yet_is_told_and_harms_no_other_role() {
    type Change<'a> = &'a dyn Fn(&mut Fixture);
    let user = sample::pipeline("").id.user(Role::Alert).to_string();
    let changes: [(Change, Reason); 5] = [
        (&|all| drop(all.around.users.remove(&user)), Reason::Waiting),
        (&|all| all.around.users.get_mut(&user).unwrap().status = None, Reason::Waiting),
        (&|all| drop(all.around.secrets.remove(&format!("secret-{user}"))), Reason::Waiting),
        (
            &|all| drop(all.around.secrets.get_mut(&format!("secret-{user}")).unwrap().remove("user.key")),
            Reason::Waiting,
        ),
        (
            &|all| {
                let failed = json!([{"type": "Ready", "status": "False", "message": "no such listener"}]);
                let status = all.around.users.get_mut(&user).unwrap().status.as_mut().unwrap();
                status.conditions = serde_json::from_value(failed).unwrap();
            },
            Reason::DependencyFailed,
        ),
    ];
    for (change, reason) in changes {
        let (kafka, problems) = look(|all| change(all)).unwrap();
        let ValidKafka::Strimzi(cluster) = kafka else { panic!() };
        assert_eq!(problems.iter().map(|one| one.reason).collect::<Vec<_>>(), [reason]);
        assert!(problems[0].message.contains(&user));
        assert!(!cluster.credentials.contains_key(&Role::Alert));
        assert!(cluster.credentials.contains_key(&Role::Ingest));
    }
}

#[test]
fn a_kafka_that_somebody_else_runs_is_taken_at_its_word() {
    let (kafka, problems) =
        look(|all| all.spec = json!({"external": {"bootstrapServers": "k:9092"}})).unwrap();
    assert!(problems.is_empty());
    assert!(matches!(kafka, ValidKafka::External(cluster) if cluster.bootstrap_servers == "k:9092"));
}

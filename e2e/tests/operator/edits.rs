//! An edit of any field of a pipeline that may change reaches the objects, and the pipeline is ready again.
//!
//! A field of the definition that neither the tables nor the list of other tests names fails the test.

use std::collections::{BTreeMap, BTreeSet};

use kube::Api;
use parking_crds::pipeline::ParkingPipeline;
use parking_e2e::kubernetes::{
    strimzi::{Listener, make_kafka},
    surroundings::{INVENTORY, KAFKA},
    wait::eventually,
};
use serde_json::{Value, json};

use crate::{
    city::{City, LIMIT, PIPELINE},
    fields::fields_of,
    rows::{Row, are_named, do_not_show_yet, reach, shown},
};

const WORKER: &str = "ConfigMap city-alert";
const ARCHIVE: &str = "ConfigMap city-archive";
const NOTIFY: &str = "ConfigMap city-notify";
const INGEST: &str = "ConfigMap city-ingest";

const EDITED: &[Row<'_>] = &[
    ("image", "StatefulSet city-occupancy", r#""image":"workers:edited""#),
    ("imagePullSecrets[].name", "Deployment city-ingest", r#""imagePullSecrets":[{"name":"pull"}]"#),
    ("serviceAccountAnnotations", "ServiceAccount city-alert", r#""role":"arn""#),
    ("monitoring.labels", "PrometheusRule city", r#""team":"parking""#),
    ("networkPolicy.enabled", "NetworkPolicy city-alert", r#""policyTypes""#),
    ("networkPolicy.extraIngress", "NetworkPolicy city-alert", r#"{"in":"extra"}"#),
    ("networkPolicy.extraEgress", "NetworkPolicy city-alert", r#"{"out":"extra"}"#),
    ("kafka.strimzi.listener", WORKER, ".svc:9094"),
    ("kafka.groupProtocol", WORKER, "groupProtocol: consumer"),
    ("redis.external.sentinels", WORKER, "- other.redis:26379"),
    ("redis.external.masterName", WORKER, "masterName: another"),
    ("redis.external.credentialsSecretRef.name", WORKER, "credentials: redis"),
    ("redis.external.sentinelCredentialsSecretRef.name", WORKER, "sentinelCredentials: sentinels"),
    ("redis.external.waitReplicas", WORKER, "waitReplicas: 2"),
    ("redis.external.tls.caSecretRef.name", WORKER, "ca: redis-ca"),
    ("objectStore.endpoint", ARCHIVE, "endpoint: http://localhost"),
    ("objectStore.region", ARCHIVE, "region: eu-west-1"),
    ("objectStore.credentialsSecretRef.name", "StatefulSet city-archive", r#""secretName":"store""#),
    ("objectStore.caSecretRef.name", ARCHIVE, "ca: s3-ca"),
    ("objectStore.retention", ARCHIVE, "retention: 90d"),
    ("inventory.configMapRef.name", "StatefulSet city-occupancy", r#""name":"other-inventory""#),
    ("inventory.configMapRef.key", "StatefulSet city-occupancy", r#""key":"other.yaml""#),
    ("events.retention", "KafkaTopic ", r#""retention.ms":"259200000""#),
    ("events.allowedLateness", WORKER, "allowedLateness: 45s"),
    ("events.idleAfter", WORKER, "idleAfter: 1m30s"),
    ("events.maxAge", WORKER, "maxAge: 12h"),
    ("events.maxAhead", WORKER, "maxAhead: 1m"),
    ("workers.*.replicas", "StatefulSet city-occupancy", r#""replicas":2"#),
    ("workers.*.resources", "Deployment city-ingest", r#""cpu":"123m""#),
    ("workers.*.nodeSelector", "Deployment city-ingest", r#""nodeSelector":{"a":"b"}"#),
    ("workers.*.tolerations", "Deployment city-ingest", r#""key":"tolerated""#),
    ("workers.*.topologySpread", "Deployment city-ingest", r#""topologyKey":"rack""#),
    ("workers.*.priorityClassName", "Deployment city-ingest", "system-cluster-critical"),
    ("workers.*.podTemplate", "Deployment city-ingest", r#""terminationGracePeriodSeconds":77"#),
    ("workers.*.autoscaling.minReplicas", "ScaledObject city-archive", r#""minReplicaCount":2"#),
    ("workers.*.autoscaling.maxReplicas", "ScaledObject city-archive", r#""maxReplicaCount":3"#),
    ("workers.*.autoscaling.lagThreshold", "ScaledObject city-archive", r#""lagThreshold":"77""#),
    (
        "workers.*.autoscaling.cpuUtilization",
        "HorizontalPodAutoscaler city-notify",
        r#""averageUtilization":55"#,
    ),
    ("workers.*.rollAfter.rows", ARCHIVE, "rows: 500"),
    ("workers.*.rollAfter.age", ARCHIVE, "age: 30s"),
    ("routes[].name", NOTIFY, "- name: hook"),
    ("routes[].maxPerMinute", NOTIFY, "maxPerMinute: 7"),
    ("routes[].includeReplayed", NOTIFY, "includeReplayed: true"),
    ("routes[].webhook.url", NOTIFY, "url: https://webhook.example.com"),
    ("routes[].slack.url", NOTIFY, "url: https://slack.example.com"),
    ("routes[].discord.url", NOTIFY, "url: https://discord.example.com"),
    ("routes[].webhook.urlSecretRef.name", NOTIFY, "name: webhooks"),
    ("routes[].webhook.urlSecretRef.key", NOTIFY, "key: webhook-url"),
    ("routes[].webhook.signingKeySecretRef.name", NOTIFY, "name: signers"),
    ("routes[].webhook.signingKeySecretRef.key", NOTIFY, "key: signing-key"),
    ("routes[].slack.urlSecretRef.name", NOTIFY, "name: slacks"),
    ("routes[].slack.urlSecretRef.key", NOTIFY, "key: slack-url"),
    ("routes[].discord.urlSecretRef.name", NOTIFY, "name: discords"),
    ("routes[].discord.urlSecretRef.key", NOTIFY, "key: discord-url"),
    ("routes[].email.smtp", NOTIFY, "smtp: smtp.example.com:587"),
    ("routes[].email.from", NOTIFY, "from: a@example.com"),
    ("routes[].email.to", NOTIFY, "- b@example.com"),
    ("routes[].email.credentialsSecretRef.name", NOTIFY, "name: mail"),
    ("routes[].console", NOTIFY, "console: {}"),
    ("ingest.apiKeysSecretRef.name", INGEST, "apiKeys: keys"),
    ("ingest.tlsSecretRef.name", INGEST, "tls: ingest-tls"),
    ("ingest.plateKeysSecretRef.name", INGEST, "plateKeys: plates"),
    ("ingest.redisStream", INGEST, "redisStream: true"),
    ("ingest.limits.eventsPerSecond", INGEST, "eventsPerSecond: 9"),
    ("ingest.limits.maxBodyBytes", INGEST, "maxBodyBytes: 2048"),
];

/// Fields of a pipeline whose Kafka somebody else runs.
const EXTERNAL: &[Row<'_>] = &[
    ("kafka.external.bootstrapServers", "ConfigMap outer-alert", "bootstrapServers: k9:9092"),
    ("kafka.external.securityProtocol", "ConfigMap outer-alert", "securityProtocol: SASL_SSL"),
    ("kafka.external.saslMechanism", "ConfigMap outer-alert", "saslMechanism: PLAIN"),
    ("kafka.external.credentialsSecretRef.name", "ConfigMap outer-alert", "credentials: brokers"),
    ("kafka.external.caSecretRef.name", "ConfigMap outer-alert", "ca: brokers"),
    ("inventory.objectRef.key", "ConfigMap outer-alert", "inventoryObject: inventories/city.yaml"),
    ("workers.account", "Deployment outer-account", "outer-account"),
    ("workers.console", "Deployment outer-console", "outer-console"),
    ("workers.reserve", "Deployment outer-reserve", "outer-reserve"),
    ("workers.simulate", "Deployment outer-simulate", "outer-simulate"),
];

/// Fields that reach the objects although the doubles cannot follow: a topic's copies cannot change there, and a
/// bucket's name is no host.
const LAST: &[Row<'_>] = &[
    ("events.replicationFactor", "KafkaTopic ", r#""replicas":2"#),
    ("objectStore.pathStyle", ARCHIVE, "pathStyle: false"),
];

/// What an edit takes away again: a patch of the spec, and objects that go with what it removes.
const REMOVED: &[(&str, &[&str])] = &[
    (r#"{"monitoring": null}"#, &["PodMonitor city-", "PrometheusRule city"]),
    (r#"{"networkPolicy": null}"#, &["NetworkPolicy city-"]),
    (r#"{"workers": {"archive": {"autoscaling": null}}}"#, &["ScaledObject city-archive"]),
    (r#"{"workers": {"notify": {"autoscaling": null}}}"#, &["HorizontalPodAutoscaler city-notify"]),
];

/// Fields that no object shows, or that need servers: the file and the test that follow them.
const ELSEWHERE: &[(&str, &str, &str)] = &[
    (
        "deletionPolicy.topics",
        include_str!("removal.rs"),
        "fn a_pipeline_goes_although_its_kafka_cluster_is_gone",
    ),
    ("deletionPolicy.bucket", include_str!("removal.rs"), "fn a_pipeline_goes_although_its_bucket_is_gone"),
    (
        "deletionPolicy.redis",
        include_str!("removal.rs"),
        "fn a_pipeline_goes_although_its_redis_does_not_answer",
    ),
    ("lifecycle.phase", include_str!("lifecycle.rs"), "fn a_paused_pipeline_drains_rests_and_comes_back"),
    (
        "objectStore.create",
        include_str!("../../../operator/src/bucket/decide.rs"),
        "fn a_missing_bucket_is_made_only_where_the_spec_allows",
    ),
];

/// Fields whose change the API server refuses.
const IMMUTABLE: [&str; 4] =
    ["kafka.strimzi.cluster", "kafka.strimzi.namespace", "objectStore.bucket", "events.partitions"];
/// The refusals that the tests of the API server try.
const REFUSALS: &str = include_str!("../../../crds/tests/rules/cases.rs");

/// A managed Redis is edited by the operator's talk with its servers, which the tests of that talk follow.
const MANAGED_REDIS: &str = "redis.managed.";

#[test]
fn every_field_that_may_change_has_a_row_or_another_test() {
    let mut all = fields_of::<ParkingPipeline>();
    assert!(all.len() > 80, "{all:#?}");
    for (field, file, test) in ELSEWHERE {
        assert!(file.contains(test), "{field}: `{test}` is no more");
    }
    for field in IMMUTABLE {
        let pointer = format!("\"/spec/{}\"", field.replace('.', "/"));
        assert!(REFUSALS.contains(&pointer), "{field}: no refusal is tried");
    }
    let rows = EDITED.iter().chain(EXTERNAL).chain(LAST).map(|(field, ..)| (*field).to_owned());
    let elsewhere = ELSEWHERE.iter().map(|(field, ..)| *field).chain(IMMUTABLE).map(str::to_owned);
    let named: BTreeSet<String> = rows.chain(elsewhere).collect();
    // The required roles always run; their fields are those of every role.
    let required =
        ["ingest", "occupancy", "alert", "archive", "notify"].map(|role| format!("workers.{role}"));
    all.retain(|field| !required.contains(field) && !field.starts_with(MANAGED_REDIS));
    are_named(&all, &named);
}

/// Takes the optional parts away, and waits until nothing of them is left.
async fn remove(city: &City) {
    let there = |objects: &BTreeMap<String, String>| -> Vec<String> {
        let gone = REMOVED.iter().flat_map(|(_, gone)| *gone);
        gone.flat_map(|place| objects.keys().filter(move |name| name.starts_with(place))).cloned().collect()
    };
    assert!(there(&shown(city).await).len() > REMOVED.len(), "the edit made them");
    for (patch, _) in REMOVED {
        let spec: Value = serde_json::from_str(patch).unwrap();
        city.patch(json!({"spec": spec})).await;
    }
    eventually("what was taken out of the spec goes", LIMIT, async || match there(&shown(city).await) {
        left if left.is_empty() => Ok(()),
        left => Err(format!("{left:?}")),
    })
    .await
    .unwrap_or_else(|error| panic!("{error}\noperator:\n{}", city.log()));
}

/// What the edited fields refer to.
async fn references(city: &City) {
    let maps: Api<k8s_openapi::api::core::v1::ConfigMap> = city.namespace.api();
    let authority = maps.get("kube-root-ca.crt").await.unwrap().data.unwrap()["ca.crt"].clone();
    let inventory = maps.get(INVENTORY).await.unwrap().data.unwrap()["inventory.yaml"].clone();
    let other = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "other-inventory"},
        "data": {"other.yaml": inventory},
    });
    city.namespace.apply(&other.to_string()).await.unwrap();
    let (user, password) = parking_e2e::minio::KEYS;
    for name in [
        "store",
        "redis",
        "redis-ca",
        "sentinels",
        "s3-ca",
        "webhooks",
        "signers",
        "slacks",
        "discords",
        "mail",
        "keys",
        "ingest-tls",
        "plates",
        "pull",
        "brokers",
    ] {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name},
            "stringData": {
                "accessKey": user, "secretKey": password, "username": "u", "password": "p",
                "ca.crt": authority, "tls.crt": authority, "tls.key": "k", "one": "1",
                "webhook-url": "https://example.com", "slack-url": "https://example.com",
                "discord-url": "https://example.com", "signing-key": "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3",
            },
        });
        city.namespace.apply(&secret.to_string()).await.unwrap();
    }
}

/// A route of each kind.
fn routes() -> Value {
    let by_secret = |name: &str, key: &str| json!({"urlSecretRef": {"name": name, "key": key}});
    json!([
        {"name": "hook", "webhook": {"url": "https://webhook.example.com"}, "maxPerMinute": 7, "includeReplayed": true},
        {"name": "hook2", "webhook": {
            "urlSecretRef": {"name": "webhooks", "key": "webhook-url"},
            "signingKeySecretRef": {"name": "signers", "key": "signing-key"},
        }},
        {"name": "slack", "slack": {"url": "https://slack.example.com"}},
        {"name": "slack2", "slack": by_secret("slacks", "slack-url")},
        {"name": "discord", "discord": {"url": "https://discord.example.com"}},
        {"name": "discord2", "discord": by_secret("discords", "discord-url")},
        {"name": "shown", "console": {}},
        {"name": "mailed", "email": {
            "smtp": "smtp.example.com:587", "from": "a@example.com", "to": ["b@example.com"],
            "credentialsSecretRef": {"name": "mail"},
        }},
    ])
}

fn edit(pipeline: &mut Value) {
    let endpoint =
        pipeline["spec"]["objectStore"]["endpoint"].as_str().unwrap().replace("127.0.0.1", "localhost");
    let secret = |name: &str| json!({"name": name});
    let spec = &mut pipeline["spec"];
    spec["kafka"]["strimzi"]["listener"] = json!("scram");
    spec["kafka"]["groupProtocol"] = json!("consumer");
    spec["redis"]["external"] = json!({
        "sentinels": ["other.redis:26379"], "masterName": "another",
        "credentialsSecretRef": secret("redis"), "sentinelCredentialsSecretRef": secret("sentinels"),
        "waitReplicas": 2, "tls": {"caSecretRef": secret("redis-ca")},
    });
    spec["objectStore"]["endpoint"] = json!(endpoint);
    spec["objectStore"]["region"] = json!("eu-west-1");
    spec["objectStore"]["credentialsSecretRef"] = secret("store");
    spec["objectStore"]["caSecretRef"] = secret("s3-ca");
    spec["objectStore"]["retention"] = json!("90d");
    spec["inventory"] = json!({"configMapRef": {"name": "other-inventory", "key": "other.yaml"}});
    for (field, value) in [
        ("retention", "3d"),
        ("allowedLateness", "45s"),
        ("idleAfter", "90s"),
        ("maxAge", "12h"),
        ("maxAhead", "1m"),
    ] {
        spec["events"][field] = json!(value);
    }
    spec["workers"] = json!({
        "ingest": {
            "resources": {"requests": {"cpu": "123m"}}, "nodeSelector": {"a": "b"},
            "tolerations": [{"key": "tolerated", "operator": "Exists"}],
            "topologySpread": [{"maxSkew": 2, "topologyKey": "rack", "whenUnsatisfiable": "ScheduleAnyway"}],
            "priorityClassName": "system-cluster-critical",
            "podTemplate": {"spec": {"terminationGracePeriodSeconds": 77}},
        },
        "occupancy": {"replicas": 2},
        "archive": {
            "autoscaling": {"minReplicas": 2, "maxReplicas": 3, "lagThreshold": 77},
            "rollAfter": {"rows": 500, "age": "30s"},
        },
        "notify": {"autoscaling": {"minReplicas": 2, "maxReplicas": 4, "cpuUtilization": 55}},
    });
    spec["routes"] = routes();
    spec["ingest"] = json!({
        "apiKeysSecretRef": secret("keys"), "tlsSecretRef": secret("ingest-tls"),
        "plateKeysSecretRef": secret("plates"), "redisStream": true,
        "limits": {"eventsPerSecond": 9, "maxBodyBytes": 2048},
    });
    spec["image"] = json!("workers:edited");
    spec["imagePullSecrets"] = json!([secret("pull")]);
    spec["serviceAccountAnnotations"] = json!({"role": "arn"});
    spec["monitoring"] = json!({"labels": {"team": "parking"}});
    spec["networkPolicy"] = json!({
        "enabled": true,
        "extraIngress": [{"from": [{"podSelector": {"matchLabels": {"in": "extra"}}}]}],
        "extraEgress": [{"to": [{"podSelector": {"matchLabels": {"out": "extra"}}}]}],
    });
}

fn outer(pipeline: &mut Value, kafka: &Value) {
    pipeline["metadata"]["name"] = json!("outer");
    pipeline["spec"]["kafka"] = json!({"external": kafka});
}

#[tokio::test]
async fn an_edit_of_any_field_reaches_the_objects_and_the_pipeline_is_ready_again() {
    let city = City::without_operator().await;
    let listener =
        |name, authentication| Listener { name, port: 9093, tls: true, authentication: Some(authentication) };
    let listeners = [listener("tls", "tls"), Listener { port: 9094, ..listener("scram", "scram-sha-512") }];
    make_kafka(&city.namespace, KAFKA, &listeners, Some("simple")).await.unwrap();
    references(&city).await;
    let mut city = city;
    city.start_operator().await;
    city.ready().await;
    let plain = json!({"bootstrapServers": "kafka:9092"});
    city.apply(|pipeline| outer(pipeline, &plain)).await;
    city.until_of("outer", "Ready", "True").await;

    do_not_show_yet(&city, EDITED.iter().chain(EXTERNAL).chain(LAST).copied()).await;
    city.apply(edit).await;
    reach(&city, EDITED).await;
    city.until_of(PIPELINE, "Ready", "True").await;
    remove(&city).await;

    let sasl = json!({
        "bootstrapServers": "k9:9092", "securityProtocol": "SASL_SSL", "saslMechanism": "PLAIN",
        "credentialsSecretRef": {"name": "brokers"}, "caSecretRef": {"name": "brokers"},
    });
    city.apply(|pipeline| {
        outer(pipeline, &sasl);
        pipeline["spec"]["inventory"] = json!({"objectRef": {"key": "inventories/city.yaml"}});
        pipeline["spec"]["workers"] = json!({
            "account": {"replicas": 1}, "console": {"replicas": 1}, "reserve": {"replicas": 1},
            "simulate": {"replicas": 1},
        });
    })
    .await;
    reach(&city, EXTERNAL).await;
    city.until_of("outer", "Ready", "True").await;

    city.patch(json!({"spec": {"events": {"replicationFactor": 2}, "objectStore": {"pathStyle": false}}}))
        .await;
    reach(&city, LAST).await;
}

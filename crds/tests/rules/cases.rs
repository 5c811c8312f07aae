//! Valid objects, and one mutation for each rule.
#![allow(clippy::too_many_lines, reason = "a table of cases has one case a line")]

use kube::core::CustomResourceExt;
use parking_crds::{alert_rule::AlertRule, pipeline::ParkingPipeline, stats_job::StatsJob};
use serde_json::{Value, json};

pub(super) const PIPELINE: &str = include_str!("../fixtures/pipeline.yaml");
pub(super) const EXTERNAL: &str = include_str!("../fixtures/pipeline-external.yaml");
pub(super) const RULES: &str = include_str!("../fixtures/rules.yaml");
pub(super) const STATS: &str = include_str!("../fixtures/stats.yaml");

/// One mutation of a valid object: a JSON pointer, its new value (or none to remove it), and what must be said.
pub(super) struct Case {
    pub(super) object: Value,
    #[allow(dead_code, reason = "the API server, which reads these cases too, has its own")]
    pub(super) schema: Value,
    pub(super) pointer: &'static str,
    pub(super) to: Option<Value>,
    /// Whether the valid object is stored already, so that the mutation is an update.
    pub(super) update: bool,
    pub(super) field: &'static str,
    pub(super) says: &'static str,
}

pub(super) fn schema<T: CustomResourceExt>() -> Value {
    serde_json::to_value(&T::crd().spec.versions[0].schema.as_ref().unwrap().open_api_v3_schema).unwrap()
}

pub(super) fn documents(text: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(text).unwrap()
}

pub(super) fn fixture(name: &str) -> (Value, Value) {
    let found = [(PIPELINE, "city"), (STATS, "hourly")].into_iter().find(|(_, known)| *known == name);
    let object = match (found, name) {
        (Some((text, _)), _) => documents(text).remove(0),
        (None, "external") => documents(EXTERNAL).remove(0),
        (None, rule) => {
            documents(RULES).into_iter().find(|object| object["metadata"]["name"] == rule).unwrap()
        }
    };
    let schema = match object["kind"].as_str().unwrap() {
        "ParkingPipeline" => schema::<ParkingPipeline>(),
        "AlertRule" => schema::<AlertRule>(),
        "StatsJob" => schema::<StatsJob>(),
        kind => panic!("{kind}"),
    };
    (object, schema)
}

pub(super) fn case(
    name: &str,
    pointer: &'static str,
    to: Option<Value>,
    field: &'static str,
    says: &'static str,
) -> Case {
    let (object, schema) = fixture(name);
    Case { object, schema, pointer, to, update: false, field, says }
}

pub(super) fn update(
    name: &str,
    pointer: &'static str,
    to: Option<Value>,
    field: &'static str,
    says: &'static str,
) -> Case {
    Case { update: true, ..case(name, pointer, to, field, says) }
}

pub(super) fn pipeline_cases() -> Vec<Case> {
    let secret = json!({"name": "s", "key": "k"});
    let worker = |value| Some(json!({"replicas": 1, "rollAfter": value}));
    let scaled = |by: &str| json!({"autoscaling": {"maxReplicas": 2, by: 50}});
    vec![
        case("city", "/metadata/name", Some(json!("a".repeat(37))), "", "at most 36"),
        case("city", "/metadata/name", Some(json!("city.one")), "", "lower case letter"),
        case("city", "/spec/kafka/strimzi", None, "spec.kafka", "exactly one of strimzi, external"),
        case(
            "city",
            "/spec/kafka/external",
            Some(json!({"bootstrapServers": "k:1"})),
            "spec.kafka",
            "exactly one",
        ),
        update("city", "/spec/kafka/strimzi/cluster", Some(json!("other")), "spec.kafka", "replay"),
        update("city", "/spec/kafka/strimzi/namespace", None, "spec.kafka", "replay"),
        update(
            "city",
            "/spec/kafka",
            Some(json!({"external": {"bootstrapServers": "k:1"}})),
            "spec.kafka",
            "replay",
        ),
        case(
            "external",
            "/spec/kafka/external/credentialsSecretRef",
            None,
            "spec.kafka.external.credentialsSecretRef",
            "SASL",
        ),
        case("city", "/spec/redis/managed", None, "spec.redis", "exactly one of managed, external"),
        case("city", "/spec/redis/managed/sentinels", Some(json!(2)), "spec.redis.managed.sentinels", "odd"),
        update("city", "/spec/objectStore/bucket", Some(json!("other")), "spec.objectStore.bucket", "lake"),
        case(
            "city",
            "/spec/objectStore/endpoint",
            Some(json!("ftp://minio")),
            "spec.objectStore.endpoint",
            "http://",
        ),
        case(
            "city",
            "/spec/objectStore/retention",
            Some(json!("0d")),
            "spec.objectStore.retention",
            "longer",
        ),
        case("city", "/spec/inventory/configMapRef", None, "spec.inventory", "exactly one of configMapRef"),
        case(
            "external",
            "/spec/inventory/configMapRef",
            Some(json!({"name": "a"})),
            "spec.inventory",
            "exactly one",
        ),
        update(
            "city",
            "/spec/events/partitions",
            Some(json!(24)),
            "spec.events.partitions",
            "a new pipeline and replay",
        ),
        update(
            "city",
            "/spec/events/replicationFactor",
            Some(json!(2)),
            "spec.events.replicationFactor",
            "shrink",
        ),
        case("city", "/spec/events/retention", Some(json!("0s")), "spec.events.retention", "longer"),
        case("city", "/spec/events/idleAfter", Some(json!("0ms")), "spec.events.idleAfter", "longer"),
        case("city", "/spec/workers/occupancy", worker(json!({"rows": 1})), "spec.workers", "archive only"),
        case("city", "/spec/workers/ingest", Some(scaled("lagThreshold")), "spec.workers", "cpuUtilization"),
        case(
            "city",
            "/spec/workers/alert/replicas",
            Some(json!(1)),
            "spec.workers.alert.replicas",
            "exclude",
        ),
        case(
            "city",
            "/spec/workers/alert/autoscaling/minReplicas",
            Some(json!(13)),
            "spec.workers.alert.autoscaling.minReplicas",
            "above maxReplicas",
        ),
        case(
            "city",
            "/spec/workers/alert/autoscaling/lagThreshold",
            None,
            "spec.workers.alert.autoscaling",
            "exactly one",
        ),
        case(
            "city",
            "/spec/workers/alert/autoscaling/cpuUtilization",
            Some(json!(50)),
            "spec.workers.alert.autoscaling",
            "exactly one of lagThreshold, cpuUtilization",
        ),
        case("city", "/spec/routes/1/console", None, "spec.routes[1]", "exactly one of webhook"),
        case(
            "city",
            "/spec/routes/1/slack",
            Some(json!({"urlSecretRef": secret})),
            "spec.routes[1]",
            "exactly one",
        ),
        case(
            "city",
            "/spec/routes/0/webhook/urlSecretRef",
            None,
            "spec.routes[0].webhook",
            "exactly one of url",
        ),
        case(
            "external",
            "/spec/routes/0/webhook/urlSecretRef",
            Some(secret.clone()),
            "spec.routes[0].webhook",
            "exactly one",
        ),
        case(
            "external",
            "/spec/routes/0/webhook/url",
            Some(json!("file:///etc")),
            "spec.routes[0].webhook.url",
            "https://",
        ),
    ]
}

pub(super) fn rule_cases() -> Vec<Case> {
    vec![
        case("zone-full", "/metadata/name", Some(json!("a".repeat(64))), "", "at most 63"),
        case(
            "zone-full",
            "/spec/inhibitedBy/0/ruleRef",
            Some(json!("zone-full")),
            ".spec.inhibitedBy",
            "itself",
        ),
        update(
            "zone-full",
            "/spec/pipelineRef/name",
            Some(json!("town")),
            "spec.pipelineRef.name",
            "make a new rule",
        ),
        case("zone-full", "/spec/keepFiringFor", Some(json!("25h")), "spec.keepFiringFor", "at most 24h"),
        case("zone-full", "/spec/keepFiringFor", Some(json!("1d1ms")), "spec.keepFiringFor", "at most 24h"),
        case("zone-full", "/spec/condition/threshold", None, "spec.condition", "exactly one of threshold"),
        case(
            "zone-full",
            "/spec/condition/absence",
            Some(json!({})),
            "spec.condition",
            "exactly one of threshold",
        ),
        case(
            "zone-full",
            "/spec/condition/threshold/recover",
            Some(json!("0.99")),
            "spec.condition.threshold.recover",
            "far side",
        ),
        case(
            "zone-full",
            "/spec/condition/threshold/op",
            Some(json!("<")),
            "spec.condition.threshold.recover",
            "far side",
        ),
        case(
            "zone-full",
            "/spec/condition/threshold/minCoverage",
            Some(json!("1.01")),
            "spec.condition.threshold.minCoverage",
            "between 0 and 1",
        ),
        case(
            "zone-full",
            "/spec/condition/threshold/window",
            Some(json!("0s")),
            "spec.condition.threshold.window",
            "longer",
        ),
        case(
            "overstay-2p",
            "/spec/condition/dwell/limit",
            Some(json!("60m")),
            "spec.condition.dwell.fallback",
            "only with the limit",
        ),
        case(
            "overstay-2p",
            "/spec/condition/dwell/closeAfter",
            Some(json!("0d0h")),
            "spec.condition.dwell.closeAfter",
            "longer",
        ),
        case(
            "sensor-silent",
            "/spec/condition/absence/expectedInterval",
            Some(json!("0s")),
            "spec.condition.absence.expectedInterval",
            "longer",
        ),
        case(
            "sensor-flapping",
            "/spec/condition/rate/window",
            Some(json!("0m")),
            "spec.condition.rate.window",
            "longer",
        ),
        case(
            "unpaid",
            "/spec/condition/sequence/within",
            Some(json!("0m")),
            "spec.condition.sequence.within",
            "longer",
        ),
        case(
            "unpaid",
            "/spec/condition/sequence/first/eventType",
            None,
            "spec.condition.sequence.first",
            "exactly one",
        ),
        case(
            "unpaid",
            "/spec/condition/sequence/first/recordType",
            Some(json!("payment.captured")),
            "spec.condition.sequence.first",
            "exactly one of eventType, recordType",
        ),
        case(
            "unusual",
            "/spec/condition/anomaly/mads",
            Some(json!("0.0")),
            "spec.condition.anomaly.mads",
            "above 0",
        ),
    ]
}

pub(super) fn job_cases() -> Vec<Case> {
    vec![
        case("hourly", "/metadata/name", Some(json!("a".repeat(41))), "", "at most 40"),
        update(
            "hourly",
            "/spec/pipelineRef/name",
            Some(json!("town")),
            "spec.pipelineRef.name",
            "make a new job",
        ),
        case("hourly", "/spec/window", Some(json!("90m")), "spec.window", "multiple of granularity"),
        case("hourly", "/spec/granularity", Some(json!("7h")), "spec.window", "multiple of granularity"),
        case("hourly", "/spec/granularity", Some(json!("0h")), "spec.granularity", "longer"),
        case("hourly", "/spec/sinks/2", Some(json!({})), "spec.sinks[2]", "exactly one of lake"),
        case("hourly", "/spec/sinks/2/redis", Some(json!({})), "spec.sinks[2]", "exactly one of lake"),
        case("hourly", "/spec/engine/datafusion", None, "spec.engine", "exactly one of datafusion"),
        case("hourly", "/spec/engine/spark", Some(json!({})), "spec.engine", "exactly one of datafusion"),
    ]
}

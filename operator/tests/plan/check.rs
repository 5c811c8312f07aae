//! What the static check finds: a sound pipeline, one thing wrong with it, and the finding.

use parking_crds::topology::Topology;
use parking_operator::{
    architecture::{Finding, Severity, check, check_inventory, orphans},
    owned_kinds::OwnedKind,
    plan::{Plan, Planned, plan},
    validate::ValidPipeline,
};
use serde_json::{Value, json};

use crate::fixture::{Files, text};

const OPEN_EDGES: &str = "  networkPolicy: {enabled: true}\n  routes: [{name: ops, console: {}}]\n";

fn rule(name: &str, more: &str) -> String {
    format!(
        "---\napiVersion: parking.tinyx.io/v1alpha1\nkind: AlertRule\nmetadata: {{name: {name}, namespace: parking}}\n\
         spec:\n  pipelineRef: {{name: city}}\n  severity: warning\n  \
         condition: {{threshold: {{metric: occupancy_now, op: \">=\", value: \"0.9\"}}}}\n{more}"
    )
}

fn job(window: &str) -> String {
    format!(
        "---\napiVersion: parking.tinyx.io/v1alpha1\nkind: StatsJob\nmetadata: {{name: weekly, namespace: parking}}\n\
         spec: {{pipelineRef: {{name: city}}, schedule: \"15 * * * *\", window: {window}, statistics: [occupancy], sinks: [{{kafka: {{}}}}]}}\n"
    )
}

fn findings_of(
    files: &Files,
    edit: impl FnOnce(&mut ValidPipeline, &mut Topology, &mut Plan),
) -> Vec<Finding> {
    let mut pipeline = files.valid();
    let mut plan = plan(&pipeline);
    let mut topology = pipeline.topology.clone();
    edit(&mut pipeline, &mut topology, &mut plan);
    check(&topology, &pipeline, &plan, &files.rules, &files.jobs)
}

fn findings(text: &str) -> Vec<Finding> {
    findings_of(&Files::of_text(text), |_, _, _| ())
}

#[track_caller]
fn assert_one(found: &[Finding], severity: Severity, field: &str, words: &str) {
    let [one] = found else { panic!("one finding wanted: {found:#?}") };
    assert_eq!((one.severity, one.field.as_str()), (severity, field), "{one}");
    assert!(one.message.contains(words), "{one}");
}

fn policy<'a>(plan: &'a mut Plan, name: &str) -> &'a mut Value {
    let wanted = |object: &&mut Planned| object.kind == OwnedKind::NetworkPolicy && object.name == name;
    &mut plan.objects.iter_mut().find(wanted).unwrap().manifest["spec"]
}

#[test]
fn a_sound_pipeline_has_no_findings() {
    let rules = rule("a", "  notify: {routes: [ops]}\n  inhibitedBy: [{ruleRef: b}]\n") + &rule("b", "");
    assert_eq!(findings(&(text(OPEN_EDGES) + &rules + &job("7d"))), []);
}

#[test]
fn the_network_is_sound_wherever_the_servers_are() {
    let everyone = "  workers: {console: {}, account: {}, reserve: {}, simulate: {}}\n";
    for (from, to) in [
        ("http://minio.minio:9000", "http://minio.minio"),
        ("http://minio.minio:9000", "https://s3.example.org"),
        ("http://minio.minio:9000", "http://127.0.0.9:9000"),
        ("http://minio.minio:9000", "http://[fd00::9]:9000"),
        ("configMapRef: {name: city-inventory}", "objectRef: {key: city.yaml}"),
        ("redis: {managed: {}}", "redis: {external: {sentinels: [\"s1.redis.svc:26379\"]}}"),
        (
            "kafka: {strimzi: {cluster: events, namespace: kafka}}",
            "kafka: {external: {bootstrapServers: \"k1:9092,k2:9092\"}}",
        ),
    ] {
        let text = text(&format!("{OPEN_EDGES}{everyone}")).replace(from, to);
        assert_eq!(findings(&text), [], "{to}");
    }
}

#[test]
fn a_stream_without_producer_or_consumer_is_found() {
    let files = Files::of_text(&text(""));
    let without = |role| {
        findings_of(&files, |_, topology, _| topology.workers.retain(|worker| worker.config.role != role))
    };
    let found = without(parking_crds::role::Role::Alert);
    assert_one(&found, Severity::Error, "spec.workers", "nobody writes the stream alerts");
    let found = without(parking_crds::role::Role::Archive);
    let words: Vec<&str> = found.iter().map(|finding| finding.message.split(':').next().unwrap()).collect();
    assert_eq!(words, ["nobody reads the stream sessions", "nobody reads the stream dead-letters"]);
}

#[test]
fn a_window_longer_than_the_retention_is_found() {
    let short = text("").replace("{partitions: 4}", "{partitions: 4, retention: 1d}");
    assert_one(
        &findings(&(short + &job("7d"))),
        Severity::Error,
        "spec.events.retention",
        "StatsJob `weekly`",
    );
    let short = text("").replace("bucket: city-lake", "bucket: city-lake, retention: 6d");
    assert_one(&findings(&(short + &job("7d"))), Severity::Error, "spec.objectStore.retention", "6d");
}

#[test]
fn a_missing_right_and_a_missing_user_are_found() {
    let files = Files::of_text(&text(""));
    let user = files.valid().id.user(parking_crds::role::Role::Alert);
    let field = format!("KafkaUser/{user}");
    let at_user = |plan: &mut Plan, edit: &dyn Fn(&mut Value)| {
        let object = plan.objects.iter_mut().find(|object| object.name == user.as_str()).unwrap();
        edit(&mut object.manifest["spec"]["authorization"]["acls"]);
    };
    let revoke = |acls: &mut Value, kind: &str, operation: &str| {
        let acls = acls.as_array_mut().unwrap();
        acls.retain(|acl| {
            let means = acl["resource"]["type"] == kind;
            !(means && acl["operations"].as_array().unwrap().contains(&json!(operation)))
        });
    };
    let found = findings_of(&files, |_, _, plan| at_user(plan, &|acls| revoke(acls, "topic", "Write")));
    assert_one(&found, Severity::Error, &field, "may not Write parking.city.alerts");
    let found = findings_of(&files, |_, _, plan| at_user(plan, &|acls| revoke(acls, "group", "Read")));
    assert_one(&found, Severity::Error, &field, "may not Read parking.city.alert");
    let found = findings_of(&files, |_, _, plan| plan.objects.retain(|object| object.name != user.as_str()));
    assert_one(&found, Severity::Error, &field, "has no user");
}

#[test]
fn workers_without_a_partition_are_found() {
    let found = findings(&text("  workers: {alert: {replicas: 5}}\n"));
    assert_one(&found, Severity::Warning, "spec.workers.alert.replicas", "4 run at most");
    let files = Files::of_text(&text(""));
    let found = findings_of(&files, |_, _, plan| {
        let set = plan.objects.iter_mut().find(|object| object.kind == OwnedKind::StatefulSet).unwrap();
        set.manifest["spec"]["replicas"] = json!(5);
    });
    assert_one(&found, Severity::Error, "StatefulSet/city-alert spec.replicas", "5 workers for 4 partitions");
}

#[test]
fn scaling_by_cpu_without_a_request_or_without_a_pod_is_found() {
    let scaled = |more: &str, min: u8| {
        findings(&text(&format!(
            "  workers: {{ingest: {{autoscaling: {{minReplicas: {min}, maxReplicas: 3, cpuUtilization: 50}}{more}}}}}\n"
        )))
    };
    assert_eq!(scaled("", 1), []);
    assert_eq!(scaled(", resources: {limits: {cpu: \"1\"}}", 1), []);
    let found = scaled(", resources: {requests: {memory: 1Gi}}", 1);
    assert_one(&found, Severity::Error, "spec.workers.ingest.resources.requests.cpu", "share of the request");
    assert_one(&scaled("", 0), Severity::Warning, "spec.workers.ingest.autoscaling.minReplicas", "write 1");
}

#[test]
fn routes_and_rules_that_do_not_exist_are_found() {
    let found = findings(&(text(OPEN_EDGES) + &rule("a", "  notify: {routes: [ops, nowhere]}\n")));
    assert_one(
        &found,
        Severity::Error,
        "AlertRule/a spec.notify.routes[1]",
        "no route `nowhere` (it has: ops)",
    );
    let found = findings(&(text("") + &rule("a", "  inhibitedBy: [{ruleRef: gone}]\n")));
    assert_one(&found, Severity::Error, "AlertRule/a spec.inhibitedBy[0].ruleRef", "`gone` does not exist");
}

#[test]
fn rules_that_silence_each_other_in_a_circle_are_found_once() {
    let circle = rule("c", "  inhibitedBy: [{ruleRef: a}]\n")
        + &rule("a", "  inhibitedBy: [{ruleRef: b}]\n")
        + &rule("b", "  inhibitedBy: [{ruleRef: c}]\n")
        + &rule("d", "  inhibitedBy: [{ruleRef: a}]\n");
    let found = findings(&(text("") + &circle));
    assert_one(&found, Severity::Error, "AlertRule/a spec.inhibitedBy", "a -> b -> c -> a");
}

#[test]
fn rules_and_jobs_of_no_pipeline_are_found() {
    let elsewhere = |text: String| text.replace("pipelineRef: {name: city}", "pipelineRef: {name: town}");
    let files = Files::of_text(&(text("") + &elsewhere(rule("a", "")) + &elsewhere(job("1d"))));
    let found = orphans(&[files.valid().id], &files.rules, &files.jobs);
    let fields: Vec<&str> = found.iter().map(|finding| finding.field.as_str()).collect();
    assert_eq!(fields, ["AlertRule/a spec.pipelineRef.name", "StatsJob/weekly spec.pipelineRef.name"]);
}

#[test]
fn an_inventory_that_is_absent_or_unreadable_is_found() {
    let map = |data: &str| {
        let map = format!(
            "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: city-inventory, namespace: parking}}\ndata: {data}\n"
        );
        let files = Files::of_text(&(text("") + &map));
        check_inventory(&files.valid(), &files.config_maps)
    };
    let files = Files::of_text(&text(""));
    let found = check_inventory(&files.valid(), &[]);
    assert_one(&found, Severity::Error, "spec.inventory.configMapRef.name", "`city-inventory` is not in");
    assert_one(
        &map("{other: a}"),
        Severity::Error,
        "spec.inventory.configMapRef.key",
        "no key `inventory.yaml`",
    );
    assert_one(
        &map("{inventory.yaml: \"zones: 1\"}"),
        Severity::Error,
        "spec.inventory.configMapRef",
        "cannot be read",
    );
}

#[test]
fn a_closed_edge_is_found() {
    let files = Files::of_text(&text(OPEN_EDGES));
    let closed = |name: &str, direction: &str, index: usize| {
        findings_of(&files, |_, _, plan| {
            policy(plan, name)[direction].as_array_mut().unwrap().remove(index);
        })
    };
    let words = |found: Vec<Finding>| -> Vec<String> {
        assert!(
            found
                .iter()
                .all(|finding| finding.severity == Severity::Error && finding.field == "spec.networkPolicy")
        );
        found
            .into_iter()
            .map(|finding| finding.message.split(" is closed").next().unwrap().to_owned())
            .collect()
    };
    assert_eq!(words(closed("city-alert", "egress", 0)), ["alert to the cluster's DNS"]);
    assert_eq!(words(closed("city-alert", "egress", 1)), ["alert to the Kafka brokers on port 9093"]);
    assert_eq!(words(closed("city-alert", "egress", 2)), ["alert to redis on port 6379"]);
    assert_eq!(words(closed("city-alert", "egress", 3)), ["alert to sentinel on port 26379"]);
    let found = closed("city-alert", "ingress", 0);
    assert_eq!(
        words(found),
        ["a scraper of metrics to alert on port 8080", "the operator to alert on port 8080"]
    );
    assert_eq!(words(closed("city-redis", "egress", 2)), ["redis to sentinel on port 26379"]);
}

#[test]
fn an_open_pair_that_no_edge_needs_is_found() {
    let files = Files::of_text(&text("  networkPolicy: {enabled: true}\n"));
    let elsewhere =
        json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "elsewhere"}}});
    let found = findings_of(&files, |_, _, plan| {
        let rules = policy(plan, "city-alert")["ingress"].as_array_mut().unwrap();
        rules.push(json!({"from": [elsewhere], "ports": [{"port": 8080}]}));
    });
    let words = "a pod of another namespace to alert on port 8080 is open";
    assert_one(&found, Severity::Error, "spec.networkPolicy", words);
}

#[test]
fn what_the_users_own_rules_open_is_a_warning() {
    let open = "  networkPolicy: {enabled: true, extraEgress: [{ports: [{port: 22, protocol: TCP}]}]}\n";
    let found = findings(&text(open));
    assert!(
        !found.is_empty() && found.iter().all(|finding| finding.severity == Severity::Warning),
        "{found:#?}"
    );
    assert!(found[0].message.contains("to any address on port 22"), "{}", found[0]);
}

#[test]
fn an_extra_rule_that_is_none_is_found() {
    let found = findings(&text("  networkPolicy: {enabled: true, extraEgress: [{ports: 22}]}\n"));
    assert!(found.iter().all(|finding| finding.message.contains("holds no rule")), "{found:#?}");
    assert!(!found.is_empty());
}

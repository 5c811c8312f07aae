//! What runs the workers of a role.

use parking_crds::{pipeline::ParkingPipelineSpec, role::Role};
use parking_operator::{
    owned_kinds::OwnedKind as Kind,
    plan::plan,
    validate::{Run, ValidPipeline},
};
use serde_json::{Value, json};

use crate::fixture::{find, object, planned, valid};

fn template<'a>(plan: &'a parking_operator::plan::Plan, role: &str) -> &'a Value {
    let name = format!("city-{role}");
    let workload =
        find(plan, Kind::StatefulSet, &name).or_else(|| find(plan, Kind::Deployment, &name)).unwrap();
    &workload["spec"]["template"]
}

fn hash(pipeline: &ValidPipeline, role: &str) -> String {
    let plan = plan(pipeline);
    let annotations = &template(&plan, role)["metadata"]["annotations"];
    annotations["parking.tinyx.io/config-hash"].as_str().unwrap().to_owned()
}

fn with_spec(mut pipeline: ValidPipeline, edit: impl FnOnce(&mut ParkingPipelineSpec)) -> ValidPipeline {
    let mut spec = (*pipeline.spec).clone();
    edit(&mut spec);
    pipeline.spec = spec.into();
    pipeline
}

#[test]
fn stages_are_stateful_sets_that_roll_forward_from_a_bad_revision() {
    let plan = planned("");
    for role in ["occupancy", "alert", "archive"] {
        let set = object(&plan, Kind::StatefulSet, &format!("city-{role}"));
        assert_eq!(set["spec"]["podManagementPolicy"], "Parallel");
        assert_eq!(set["spec"]["updateStrategy"], json!({"type": "RollingUpdate"}));
        assert_eq!(object(&plan, Kind::Service, &format!("city-{role}"))["spec"]["clusterIP"], "None");
    }
    for role in ["ingest", "notify"] {
        let deployment = object(&plan, Kind::Deployment, &format!("city-{role}"));
        let rolling = &deployment["spec"]["strategy"]["rollingUpdate"];
        assert_eq!(*rolling, json!({"maxSurge": 1, "maxUnavailable": 0}));
        let service = &object(&plan, Kind::Service, &format!("city-{role}"))["spec"];
        assert!(service.get("clusterIP").is_none() && service.get("publishNotReadyAddresses").is_none());
    }
}

#[test]
fn a_fixed_number_is_written_a_scaled_one_is_left_to_its_scaler_and_a_resting_one_is_0() {
    for (run, replicas) in
        [(Run::Fixed(3), json!(3)), (Run::Scaled { min: 1, max: 4 }, Value::Null), (Run::Resting, json!(0))]
    {
        let mut pipeline = valid("");
        pipeline.run.insert(Role::Alert, run);
        pipeline.run.insert(Role::Ingest, run);
        let plan = plan(&pipeline);
        assert_eq!(object(&plan, Kind::StatefulSet, "city-alert")["spec"]["replicas"], replicas);
        assert_eq!(object(&plan, Kind::Deployment, "city-ingest")["spec"]["replicas"], replicas);
    }
}

#[test]
fn pause_rests_the_stages_and_stop_rests_everything() {
    let replicas = |phase: &str| {
        let plan = planned(&format!("  lifecycle: {{phase: {phase}}}\n"));
        let of = |kind, name: &str| object(&plan, kind, name)["spec"]["replicas"].clone();
        (of(Kind::Deployment, "city-ingest"), of(Kind::StatefulSet, "city-archive"))
    };
    assert_eq!(replicas("Paused"), (json!(1), json!(0)));
    assert_eq!(replicas("Stopped"), (json!(0), json!(0)));
}

#[test]
fn every_pod_is_restricted_and_holds_no_token() {
    let plan = planned("  workers: {console: {}, account: {}, reserve: {}, simulate: {}}\n");
    for role in Role::ALL {
        let pod = &template(&plan, role.as_str())["spec"];
        assert_eq!(pod["automountServiceAccountToken"], false);
        assert_eq!(
            pod["securityContext"],
            json!({"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}})
        );
        let security = &pod["containers"][0]["securityContext"];
        assert_eq!(security["capabilities"], json!({"drop": ["ALL"]}));
        assert_eq!(security["allowPrivilegeEscalation"], false);
        assert_eq!(security["readOnlyRootFilesystem"], true);
        let account = object(&plan, Kind::ServiceAccount, &format!("city-{role}"));
        assert_eq!(account["automountServiceAccountToken"], false);
    }
}

#[test]
fn a_role_sees_its_own_secrets_and_of_shared_ones_only_the_keys_it_reads() {
    let plan = planned(
        "  ingest: {apiKeysSecretRef: {name: keys}, tlsSecretRef: {name: cert.public}}\n  \
         routes: [{name: ops, webhook: {urlSecretRef: {name: hooks, key: ops}}}]\n",
    );
    let secrets = |role: &str| -> Vec<(String, Value)> {
        let volumes = template(&plan, role)["spec"]["volumes"].as_array().unwrap();
        let of = |volume: &Value| {
            let secret = volume.get("secret")?;
            let keys = secret.get("items").into_iter().flat_map(|items| items.as_array().unwrap());
            Some((secret["secretName"].as_str()?.to_owned(), keys.map(|key| key["key"].clone()).collect()))
        };
        volumes.iter().filter_map(of).collect()
    };
    let names = |role| secrets(role).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    let user = |role| valid("").id.kafka_login(role).to_string();
    assert_eq!(names("ingest"), ["cert.public", &user(Role::Ingest), "city-kafka-ca", "city-redis", "keys"]);
    assert_eq!(names("archive"), [&user(Role::Archive), "city-kafka-ca", "minio"]);
    assert_eq!(names("notify"), ["city-kafka-ca", &user(Role::Notify), "city-redis", "hooks", "minio"]);
    let keys = secrets("notify");
    assert_eq!(keys[0].1, json!(["ca.crt"]));
    assert_eq!(keys[3].1, json!(["ops"]));
    assert_eq!(keys[4].1, json!(["accessKey", "secretKey"]));
    let mounts = &template(&plan, "ingest")["spec"]["containers"][0]["volumeMounts"];
    assert_eq!(mounts[2]["mountPath"], "/etc/parking/secrets/cert.public");
    assert!(!mounts[2]["name"].as_str().unwrap().contains('.'));
}

#[test]
fn an_ingest_that_serves_with_a_certificate_is_probed_with_it() {
    let plan = planned("  ingest: {tlsSecretRef: {name: cert}}\n");
    let scheme =
        |role| template(&plan, role)["spec"]["containers"][0]["readinessProbe"]["httpGet"]["scheme"].clone();
    assert_eq!((scheme("ingest"), scheme("alert")), (json!("HTTPS"), json!("HTTP")));
}

#[test]
fn more_rules_and_another_inventory_never_roll_a_pod() {
    let mut pipeline = valid("");
    let before = plan(&pipeline);
    let rule = parking_crds::rule_bundle::BundledRule { text: "a".repeat(1 << 20), hash: "a".to_owned() };
    for number in 0..64 {
        pipeline.rules.insert(format!("rule-{number}").parse().unwrap(), rule.clone());
    }
    let after = plan(&pipeline);
    assert_eq!(template(&before, "alert"), template(&after, "alert"));
    let volumes = template(&before, "alert")["spec"]["volumes"].as_array().unwrap().clone();
    let rules = volumes.iter().find(|volume| volume["name"] == "rules").unwrap();
    let sources = rules["projected"]["sources"].as_array().unwrap();
    assert_eq!(sources.len(), 17);
    assert!(sources.iter().all(|source| source["configMap"]["optional"] == true));
}

#[test]
fn a_changed_setting_or_secret_rolls_the_roles_that_read_it() {
    let before = valid("");
    let mut later = valid("  routes: [{name: log, console: {}}]\n");
    assert_ne!(hash(&before, "notify"), hash(&later, "notify"));
    assert_eq!(hash(&before, "alert"), hash(&later, "alert"));
    later.secret_hashes.insert(Role::Alert, "new".to_owned());
    assert_ne!(hash(&before, "alert"), hash(&later, "alert"));
    assert_eq!(hash(&before, "archive"), hash(&later, "archive"));
    let labelled = with_spec(valid(""), |spec| spec.monitoring = None);
    assert_eq!(hash(&before, "alert"), hash(&labelled, "alert"));
}

#[test]
fn an_inventory_in_the_bucket_is_read_from_there_with_the_buckets_login() {
    let text = crate::fixture::text("")
        .replace("configMapRef: {name: city-inventory}", "objectRef: {key: city.yaml}");
    let pipeline = crate::fixture::Files::of_text(&text).valid();
    let plan = plan(&pipeline);
    let ingest = template(&plan, "ingest")["spec"].to_string();
    assert!(ingest.contains("minio") && !ingest.contains("/etc/parking/inventory"), "{ingest}");
    let config = object(&plan, Kind::ConfigMap, "city-ingest")["data"]["worker.yaml"].as_str().unwrap();
    assert!(config.contains("inventoryObject: city.yaml"), "{config}");
}

const PATCHED: &str = "  workers:\n    alert:\n      podTemplate:\n        metadata:\n          labels: {team: streets, app.kubernetes.io/component: mine}\n          \
     annotations: {note: a, parking.tinyx.io/config-hash: mine}\n        spec:\n          hostNetwork: false\n          \
     automountServiceAccountToken: true\n          containers:\n          - name: worker\n            env: [{name: RUST_LOG, value: debug}]\n            \
     securityContext: {runAsUser: 1000}\n          - {name: sidecar, image: \"sidecar:1\"}\n          volumes:\n          - {name: tmp, hostPath: {path: /x}}\n          \
     - {name: extra, emptyDir: {}}\n";

#[test]
fn a_pod_template_is_merged_by_name_and_takes_nothing_away_that_it_does_not_name() {
    let plan = planned(PATCHED);
    let pod = &template(&plan, "alert")["spec"];
    let worker = &pod["containers"][0];
    assert_eq!(worker["securityContext"]["runAsUser"], 1000);
    assert_eq!(worker["securityContext"]["capabilities"], json!({"drop": ["ALL"]}));
    let names: Vec<&str> =
        worker["env"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["POD_NAME", "RUST_LOG"]);
    assert_eq!(pod["containers"][1], json!({"name": "sidecar", "image": "sidecar:1"}));
    assert_eq!(pod["automountServiceAccountToken"], true, "named, so changed");
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    let volumes = pod["volumes"].as_array().unwrap();
    assert!(volumes.contains(&json!({"name": "tmp", "hostPath": {"path": "/x"}})), "one source: {volumes:?}");
    assert!(volumes.contains(&json!({"name": "extra", "emptyDir": {}})));
}

#[test]
fn a_pod_template_cannot_change_what_selects_and_owns_the_pods() {
    let plan = planned(PATCHED);
    let metadata = &template(&plan, "alert")["metadata"];
    assert_eq!(metadata["labels"]["app.kubernetes.io/component"], "alert");
    assert_eq!(metadata["labels"]["team"], "streets");
    assert_eq!(metadata["annotations"]["note"], "a");
    assert_ne!(metadata["annotations"]["parking.tinyx.io/config-hash"], "mine");
}

#[test]
fn null_in_a_pod_template_removes_what_it_names() {
    let plan = planned(
        "  workers: {alert: {podTemplate: {spec: {topologySpreadConstraints: null, enableServiceLinks: true}}}}\n",
    );
    let pod = &template(&plan, "alert")["spec"];
    assert!(pod.get("topologySpreadConstraints").is_none());
    assert_eq!(pod["enableServiceLinks"], true);
}

#[test]
fn what_outlives_a_foreground_deletion_has_no_owner() {
    let mut pipeline = valid("  networkPolicy: {enabled: true}\n");
    pipeline.owner.uid = "u-1".to_owned();
    for object in plan(&pipeline).objects {
        let owned = object.manifest.pointer("/metadata/ownerReferences/0/uid") == Some(&json!("u-1"));
        let outlives =
            matches!(object.kind, Kind::ServiceAccount | Kind::Secret | Kind::KafkaTopic | Kind::KafkaUser)
                || object.name.contains("redis");
        assert_eq!(owned, !outlives, "{:?} {}", object.kind, object.name);
    }
}

use serde_json::Value;

use super::*;
use crate::{
    labels,
    plan::{redis_scripts, sample, sentinel},
    settings::PlanSettings,
};

fn planned(pipeline: &ValidPipeline) -> Vec<super::super::Planned> {
    let mut plan = Plan::default();
    redis_scripts::add(&mut plan, pipeline);
    add(&mut plan, pipeline);
    sentinel::add(&mut plan, pipeline);
    plan.objects
}

fn one(pipeline: &ValidPipeline, kind: OwnedKind, name: &str) -> Value {
    let found = planned(pipeline).into_iter().find(|object| object.kind == kind && object.name == name);
    found.unwrap_or_else(|| panic!("no {kind:?} {name}")).manifest
}

#[test]
fn servers_and_sentinels_are_planned_as_they_run() {
    let pipeline = sample::pipeline("");
    for kind in [OwnedKind::Service, OwnedKind::StatefulSet, OwnedKind::PodDisruptionBudget] {
        for name in ["city-redis", "city-redis-sentinel"] {
            insta::assert_yaml_snapshot!(format!("{}_{name}", kind.row().plural), one(&pipeline, kind, name));
        }
    }
}

#[test]
fn nothing_is_planned_where_somebody_else_runs_redis() {
    let mut pipeline = sample::pipeline("");
    pipeline.redis = ValidRedis::External;
    assert!(planned(&pipeline).is_empty());
}

#[test]
fn redis_outlives_a_foreground_deletion_and_carries_our_labels() {
    for object in planned(&sample::pipeline("")) {
        assert!(object.manifest["metadata"].get("ownerReferences").is_none(), "{}", object.name);
        assert_eq!(object.manifest["metadata"]["labels"][labels::PIPELINE], "city", "{}", object.name);
    }
}

#[test]
fn claims_are_found_by_our_labels_and_outlive_their_pods() {
    let set = one(&sample::pipeline(""), OwnedKind::StatefulSet, "city-redis");
    let claim = &set["spec"]["volumeClaimTemplates"][0];
    assert_eq!(claim["metadata"]["labels"][labels::COMPONENT], "redis");
    assert_eq!(claim["spec"]["resources"]["requests"]["storage"], "1Gi");
    let retention = &set["spec"]["persistentVolumeClaimRetentionPolicy"];
    assert_eq!((&retention["whenDeleted"], &retention["whenScaled"]), (&"Retain".into(), &"Retain".into()));
}

#[test]
fn the_password_stands_in_its_secret_and_nowhere_else() {
    let mut pipeline = sample::pipeline("");
    let ValidRedis::Managed { login, .. } = &mut pipeline.redis else { panic!() };
    login.previous = Some(KeptSecret("battery-staple".to_owned()));
    let secret = one(&pipeline, OwnedKind::Secret, "city-redis");
    assert_eq!(secret["data"]["password"], "Y29ycmVjdC1ob3JzZQ==");
    assert_eq!(secret["data"]["previous"], "YmF0dGVyeS1zdGFwbGU=");
    for object in planned(&pipeline).iter().filter(|object| object.kind != OwnedKind::Secret) {
        let text = object.manifest.to_string();
        for hidden in ["correct-horse", "Y29ycmVj", "battery", "YmF0dGVy"] {
            assert!(!text.contains(hidden), "{hidden} in {}", object.name);
        }
    }
}

#[test]
fn a_change_of_numbers_or_password_rolls_no_pod() {
    let template = |pipeline: &ValidPipeline, name| {
        one(pipeline, OwnedKind::StatefulSet, name)["spec"]["template"].clone()
    };
    let mut other = sample::with_redis("{replicas: 5, sentinels: 5}", "");
    let ValidRedis::Managed { login, .. } = &mut other.redis else { panic!() };
    login.password = KeptSecret("another".to_owned());
    for name in ["city-redis", "city-redis-sentinel"] {
        assert_eq!(template(&sample::pipeline(""), name), template(&other, name));
    }
}

#[test]
fn data_are_bounded_by_the_memory_limit_where_there_is_one() {
    let environment = |managed: &str| {
        let set = one(&sample::with_redis(managed, ""), OwnedKind::StatefulSet, "city-redis");
        set["spec"]["template"]["spec"]["containers"][0]["env"].clone()
    };
    let limited = environment("{resources: {limits: {memory: 1Gi}}}");
    assert_eq!(limited[2]["valueFrom"]["resourceFieldRef"]["resource"], "limits.memory");
    assert_eq!(environment("{}").as_array().unwrap().len(), 2);
    assert_eq!(environment("{resources: {limits: {cpu: 1}}}").as_array().unwrap().len(), 2);
}

#[test]
fn images_come_from_the_spec_or_the_settings() {
    let image = |managed: &str, name| {
        let set = one(&sample::with_redis(managed, ""), OwnedKind::StatefulSet, name);
        set["spec"]["template"]["spec"]["containers"][0]["image"].clone()
    };
    for name in ["city-redis", "city-redis-sentinel"] {
        assert_eq!(image("{image: 'mirror/redis:8'}", name), "mirror/redis:8");
        assert_eq!(image("{}", name), PlanSettings::default().redis_image);
    }
}

#[test]
fn a_majority_of_sentinels_decides_and_a_lone_server_needs_no_replica() {
    assert_eq!([1, 3, 5, 7].map(quorum), [1, 2, 3, 4]);
    assert_eq!([1, 2, 3].map(min_replicas_to_write), [0, 1, 1]);
    assert!((1..=9).all(|replicas| min_replicas_to_write(replicas) < WAITING));
}

#[test]
fn workers_find_the_sentinels_that_are_planned() {
    let pipeline = sample::with_redis("{sentinels: 5}", "");
    let config = &pipeline.topology.workers[0].config;
    let parking_crds::worker_config::Store::Redis { sentinels, master_name, .. } = &config.store else {
        panic!()
    };
    let domain = format!(".{}", pipeline.settings.cluster_domain);
    let planned =
        (0..5).map(|ordinal| sentinel_host(&pipeline.id, &pipeline.settings.cluster_domain, ordinal));
    let planned: Vec<String> =
        planned.map(|host| format!("{}:{SENTINEL_PORT}", host.strip_suffix(&domain).unwrap())).collect();
    assert_eq!(*sentinels, planned);
    assert_eq!(master_name, MASTER_NAME);
    let settings = one(&pipeline, OwnedKind::ConfigMap, "city-redis")["data"]["settings"].clone();
    assert_eq!(settings.as_str().unwrap().matches(&format!(":{SENTINEL_PORT}")).count(), 5);
}

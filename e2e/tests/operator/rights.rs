//! Rights that are taken away in mid-life: the missing one is named, nothing else suffers, and it heals by itself.

use k8s_openapi::api::{
    policy::v1::PodDisruptionBudget,
    rbac::v1::{ClusterRole, PolicyRule, Role, RoleBinding},
};
use kube::{
    Api,
    api::{DeleteParams, PostParams},
};
use parking_e2e::kubernetes::wait::eventually;
use serde_json::json;

use crate::{
    city::{City, LIMIT, PIPELINE},
    example::{is_repaired, ready, until_logged},
    holdings::holdings,
    statistics::{self, JOB, city_with_lake},
    whole_suite::deprived,
};

#[tokio::test]
async fn an_operator_without_its_rights_says_so_harms_nothing_and_goes_on_when_it_has_them_again() {
    let mut city = City::start().await;
    ready(&city).await;
    let before = holdings(&city).await;
    deprived(&city.identity);
    let bindings: Api<RoleBinding> = city.namespace.api();
    let mut binding = bindings.get(&city.identity.account).await.unwrap();
    bindings.delete(&city.identity.account, &DeleteParams::default()).await.unwrap();
    city.patch(json!({"spec": {"workers": {"occupancy": {"replicas": 2}}}})).await;
    until_logged(&city, &[PIPELINE, "forbidden", "cannot"]).await;
    let without: Vec<String> = holdings(&city).await.into_keys().collect();
    assert_eq!(without, before.into_keys().collect::<Vec<_>>(), "nothing came and nothing went");
    assert!(city.operator.as_mut().unwrap().is_running().unwrap(), "{}", city.log());

    binding.metadata.resource_version = None;
    binding.metadata.uid = None;
    bindings.create(&PostParams::default(), &binding).await.unwrap();
    let pipeline = city.until("Ready", "True").await;
    assert_eq!(pipeline.status.unwrap().workers.as_deref(), Some("6/6"));
    is_repaired(&city, LIMIT).await;
    assert!(city.operator.as_mut().unwrap().is_running().unwrap(), "{}", city.log());
}

#[tokio::test]
async fn one_missing_right_is_named_in_the_condition_of_what_it_concerns() {
    const BUDGETS: &str = "poddisruptionbudgets";
    let city = City::start().await;
    city.ready().await;
    deprived(&city.identity);
    let roles: Api<Role> = city.namespace.api();
    let whole = roles.get(&city.identity.account).await.unwrap();
    let mut reduced = whole.clone();
    let granted = reduced.rules.as_mut().unwrap();
    for resources in granted.iter_mut().filter_map(|rule| rule.resources.as_mut()) {
        resources.retain(|resource| resource != BUDGETS);
    }
    granted.retain(|rule| rule.resources.as_ref().is_some_and(|resources| !resources.is_empty()));
    let reads = PolicyRule {
        api_groups: Some(vec!["policy".to_owned()]),
        resources: Some(vec![BUDGETS.to_owned()]),
        verbs: ["get", "list", "watch"].map(str::to_owned).to_vec(),
        ..PolicyRule::default()
    };
    granted.push(reads);
    let reduced = roles.replace(&city.identity.account, &PostParams::default(), &reduced).await.unwrap();

    let budgets: Api<PodDisruptionBudget> = city.namespace.api();
    budgets.delete("city-occupancy", &DeleteParams::default()).await.unwrap();
    let pipeline = city.until("WorkersAvailable", "False").await;
    let conditions = pipeline.status.unwrap().conditions;
    let workers = conditions.iter().find(|found| found.type_ == "WorkersAvailable").unwrap();
    assert_eq!(workers.reason, "MissingRight");
    for word in ["PodDisruptionBudget", "city-occupancy", "grant"] {
        assert!(workers.message.contains(word), "{}", workers.message);
    }
    for other in ["TopicsReady", "UsersReady", "RedisReady", "BucketReady"] {
        assert!(
            conditions.iter().any(|found| found.type_ == other && found.status == "True"),
            "{conditions:?}"
        );
    }

    let whole = Role { metadata: reduced.metadata, ..whole };
    roles.replace(&city.identity.account, &PostParams::default(), &whole).await.unwrap();
    city.until("Ready", "True").await;
    eventually("the budget", LIMIT, async || {
        budgets.get("city-occupancy").await.map_err(|error| error.to_string())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn where_the_cluster_asks_who_may_block_a_deletion_the_operator_needs_the_right_to_finalizers() {
    let city = city_with_lake().await;
    city.load_rules(0).await;
    city.until("Ready", "True").await;
    deprived(&city.identity);
    let roles: Api<ClusterRole> = Api::all(city.namespace.client());
    let whole = roles.get(&city.identity.account).await.unwrap();
    let mut reduced = whole.clone();
    let is_of_finalizers =
        |rule: &PolicyRule| rule.resources.iter().flatten().any(|resource| resource.ends_with("/finalizers"));
    reduced.rules.as_mut().unwrap().retain(|rule| !is_of_finalizers(rule));
    let reduced = roles.replace(&city.identity.account, &PostParams::default(), &reduced).await.unwrap();

    let budgets: Api<PodDisruptionBudget> = city.namespace.api();
    budgets.delete("city-occupancy", &DeleteParams::default()).await.unwrap();
    city.namespace.apply(&statistics::manifest(|_| ())).await.unwrap();
    let pipeline = city.until("WorkersAvailable", "False").await;
    let told: Vec<String> =
        pipeline.status.unwrap().conditions.into_iter().map(|condition| condition.message).collect();
    let refused = |told: &String| told.contains("city-occupancy") && told.contains("blockOwnerDeletion");
    assert!(told.iter().any(refused), "{told:#?}");
    until_logged(&city, &[JOB, "blockOwnerDeletion"]).await;

    let whole = ClusterRole { metadata: reduced.metadata, ..whole };
    roles.replace(&city.identity.account, &PostParams::default(), &whole).await.unwrap();
    city.until("Ready", "True").await;
    statistics::next_run(&city, &[].into()).await;
}

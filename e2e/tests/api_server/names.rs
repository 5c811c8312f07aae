//! Names and texts that users meet at the command line.

use std::{collections::BTreeMap, time::Duration};

use parking_e2e::{
    kubernetes::{cluster::Cluster, definitions::Definitions, namespace::Namespace},
    process::run,
};
use serde_json::json;

use crate::cases;

const LIMIT: Duration = Duration::from_secs(30);

/// Every name of every resource that is served, with the resources that answer to it.
async fn names(cluster: &Cluster) -> BTreeMap<String, Vec<String>> {
    let client = cluster.client();
    let mut lists = vec![client.list_core_api_resources("v1").await.unwrap()];
    for group in client.list_api_groups().await.unwrap().groups {
        let version = group.preferred_version.unwrap().group_version;
        lists.push(client.list_api_group_resources(&version).await.unwrap());
    }
    let mut found = BTreeMap::<String, Vec<String>>::new();
    for list in lists {
        let group = list.group_version.split_once('/').map_or("", |(group, _)| group).to_owned();
        for resource in list.resources.into_iter().filter(|resource| !resource.name.contains('/')) {
            let whole = format!("{}.{group}", resource.name);
            let mut names = resource.short_names.clone().unwrap_or_default();
            names.extend([resource.name, resource.singular_name, resource.kind.to_lowercase()]);
            names.sort();
            names.dedup();
            for name in names {
                found.entry(name).or_default().push(whole.clone());
            }
        }
    }
    found
}

#[tokio::test]
async fn no_name_of_an_installed_definition_is_used_twice() {
    let cluster = Cluster::join().await.unwrap();
    let installed: Vec<String> = Definitions::all().unwrap().names().collect();
    let names = names(&cluster).await;
    assert_eq!(names["pp"], ["parkingpipelines.parking.tinyx.io"]);
    let shared: Vec<_> = names
        .iter()
        .filter(|(_, resources)| resources.len() > 1 && resources.iter().any(|one| installed.contains(one)))
        .collect();
    assert_eq!(shared, Vec::<(&String, &Vec<String>)>::new());
}

#[tokio::test]
async fn explain_tells_what_a_field_is_for_and_its_default() {
    let cluster = Cluster::join().await.unwrap();
    for (path, telling) in [
        ("parkingpipeline.spec.events", ["partitions", "Lateness", "replicationFactor"]),
        ("alertrule.spec.condition.threshold", ["window", "recover", "minCoverage"]),
        ("statsjob.spec", ["schedule", "timeZone", "missedRuns"]),
    ] {
        let finished = run(cluster.kubectl().unwrap().args(["explain", path]), LIMIT).unwrap();
        assert!(finished.status.success(), "{}", finished.stderr);
        let text = finished.stdout;
        for word in telling {
            assert!(text.contains(word), "{path}: {word} is missing in\n{text}");
        }
        assert!(!text.contains("<no description>"), "{text}");
        assert!(text.contains("efault"), "no default is told:\n{text}");
    }
}

#[tokio::test]
async fn unknown_fields_are_pruned_and_only_a_strict_client_hears_of_them() {
    let cluster = Cluster::join().await.unwrap();
    let namespace = Namespace::create(&cluster).await.unwrap();
    let mut pipeline = cases::documents(cases::PIPELINE).remove(0);
    pipeline["metadata"]["namespace"] = json!(namespace.name());
    pipeline["spec"]["fromTheFuture"] = json!({"a": 1});
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), pipeline.to_string()).unwrap();
    let create = |validate: &str| {
        let mut kubectl = cluster.kubectl().unwrap();
        kubectl.args(["create", "-o", "json", &format!("--validate={validate}"), "-f"]).arg(file.path());
        run(&mut kubectl, LIMIT).unwrap()
    };
    let strict = create("strict");
    assert!(!strict.status.success() && strict.stderr.contains("spec.fromTheFuture"), "{}", strict.stderr);
    let lenient = create("warn");
    assert!(lenient.status.success(), "{}", lenient.stderr);
    assert!(lenient.stderr.contains("unknown field \"spec.fromTheFuture\""), "{}", lenient.stderr);
    assert!(!lenient.stdout.contains("fromTheFuture"));
}

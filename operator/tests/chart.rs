//! The charts as `helm` renders them: rights, restricted pods, strict values, and objects that the API server knows.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "helpers of tests")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use clap::Parser;
use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        batch::v1::Job,
        core::v1::{Service, ServiceAccount},
        networking::v1::NetworkPolicy,
        policy::v1::PodDisruptionBudget,
        rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding},
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::CustomResourceExt;
use parking_crds::{alert_rule::AlertRule, pipeline::ParkingPipeline, stats_job::StatsJob};
use parking_operator::{
    cli::{self, Cli},
    rbac::{self, Place},
    settings::Settings,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

mod installed;

const NAMESPACED: &[&str] =
    &["scope=namespaced", "namespaces={parking,city}", "kafkaNamespaces.kafka={parking,city}"];
const MONITORING: &[&str] =
    &["monitoring.coreos.com/v1/PodMonitor", "monitoring.coreos.com/v1/PrometheusRule"];

fn charts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts")
}

fn helm(arguments: &[&str]) -> Output {
    let home = tempfile::tempdir().unwrap();
    Command::new(installed::program("helm"))
        .args(arguments)
        .current_dir(charts())
        .envs(["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"].map(|name| (name, home.path())))
        .env("KUBECONFIG", home.path().join("none"))
        .output()
        .unwrap()
}

fn rendered_text(chart: &str, sets: &[&str], apis: &[&str]) -> Result<String, String> {
    let mut arguments = vec!["template", "parking-operator", chart, "--namespace", "parking-system"];
    arguments.extend(sets.iter().flat_map(|set| ["--set", set]));
    arguments.extend(apis.iter().flat_map(|api| ["--api-versions", api]));
    let output = helm(&arguments);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

fn rendered(sets: &[&str], apis: &[&str]) -> Vec<Value> {
    serde_saphyr::from_multiple(&rendered_text("parking-operator", sets, apis).unwrap()).unwrap()
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}

/// Everything that can be set at once.
fn everything() -> Vec<&'static str> {
    vec![
        "image.digest=sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "workerImage.tag=1.2.3",
        "imagePullSecrets[0].name=registry",
        "kafkaNamespaces.kafka={parking}",
        "extraEnv[0].name=HTTPS_PROXY",
        "extraEnv[0].value=http://proxy.example:3128",
        "serviceAccount.annotations.team=mobility",
        "labels.team=mobility",
        "podLabels.team=mobility",
        "podAnnotations.team=mobility",
        "priorityClassName=system-cluster-critical",
        "nodeSelector.disk=ssd",
        "tolerations[0].key=infra",
        "tolerations[0].operator=Exists",
        "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].key=zone",
        "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].operator=Exists",
        "service.annotations.team=mobility",
        "podMonitor.labels.release=prometheus",
        "prometheusRule.labels.release=prometheus",
        "networkPolicy.enabled=true",
        "networkPolicy.metricsFrom[0].namespaceSelector.matchLabels.name=monitoring",
        "uninstall.force=true",
    ]
}

#[test]
fn the_chart_renders_as_reviewed_in_both_scopes_and_with_everything_set() {
    let text = |sets: &[&str], apis: &[&str]| rendered_text("parking-operator", sets, apis).unwrap();
    insta::assert_snapshot!("cluster", text(&[], &[]));
    insta::assert_snapshot!("namespaced", text(NAMESPACED, &[]));
    insta::assert_snapshot!("everything", text(&everything(), MONITORING));
}

#[test]
fn both_charts_pass_strict_lint() {
    for chart in ["parking-operator", "parking-operator-crds"] {
        let output = helm(&["lint", "--strict", chart]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
}

/// Group, resource, verb and the one name that they are about, if any.
type Right = (String, String, String, Option<String>);

fn words(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().map(|word| word.as_str().unwrap().to_owned()).collect()
}

fn rights_of(role: &Value) -> BTreeSet<Right> {
    let mut found = BTreeSet::new();
    for rule in role["rules"].as_array().unwrap() {
        let names = words(&rule["resourceNames"]);
        let names = if names.is_empty() { vec![None] } else { names.into_iter().map(Some).collect() };
        for group in words(&rule["apiGroups"]) {
            for resource in words(&rule["resources"]) {
                for verb in words(&rule["verbs"]) {
                    let right =
                        |name: &Option<String>| (group.clone(), resource.clone(), verb.clone(), name.clone());
                    found.extend(names.iter().map(right));
                }
            }
        }
    }
    found
}

fn rights_at(places: &[Place]) -> BTreeSet<Right> {
    let mut found = BTreeSet::new();
    for rule in rbac::rules().iter().filter(|rule| places.contains(&rule.place)) {
        let name = match rule.objects {
            rbac::Objects::Any => None,
            rbac::Objects::OwnLease => Some("parking-operator".to_owned()),
        };
        for resource in &rule.resources {
            let right = |verb: &&str| {
                (rule.group.to_owned(), (*resource).to_owned(), (*verb).to_owned(), name.clone())
            };
            found.extend(rule.verbs.iter().map(right));
        }
    }
    found
}

/// What the operator's ServiceAccount may do: namespace (none for all) and rights.
fn granted(objects: &[Value]) -> Vec<(Option<String>, BTreeSet<Right>)> {
    let account = of_kind(objects, "ServiceAccount")[0]["metadata"]["name"].clone();
    let subjects = json!([{"kind": "ServiceAccount", "name": account, "namespace": "parking-system"}]);
    let bindings = of_kind(objects, "ClusterRoleBinding").into_iter().chain(of_kind(objects, "RoleBinding"));
    let role_of = |binding: &Value| {
        let role = objects.iter().find(|role| {
            role["kind"] == binding["roleRef"]["kind"]
                && role["metadata"]["name"] == binding["roleRef"]["name"]
                && role["metadata"]["namespace"] == binding["metadata"]["namespace"]
        });
        rights_of(role.unwrap_or_else(|| panic!("no role for {binding}")))
    };
    bindings
        .map(|binding| {
            assert_eq!(binding["subjects"], subjects);
            (binding["metadata"]["namespace"].as_str().map(ToOwned::to_owned), role_of(binding))
        })
        .collect()
}

#[test]
fn cluster_scope_grants_exactly_the_rules_of_the_program() {
    let granted = granted(&rendered(&[], &[]));
    let expected = [
        (None, rights_at(&[Place::Pipelines, Place::Kafka, Place::Cluster])),
        (Some("parking-system".to_owned()), rights_at(&[Place::Home])),
    ];
    assert_eq!(granted, expected);
}

#[test]
fn namespaced_scope_grants_exactly_the_rules_of_the_program_and_nothing_in_other_namespaces() {
    let granted: BTreeSet<_> = granted(&rendered(NAMESPACED, &[])).into_iter().collect();
    let at = |namespace: &str, place: Place| (Some(namespace.to_owned()), rights_at(&[place]));
    let expected = [
        (None, rights_at(&[Place::Cluster])),
        at("parking-system", Place::Home),
        at("parking", Place::Pipelines),
        at("city", Place::Pipelines),
        at("kafka", Place::Kafka),
    ];
    assert_eq!(granted, expected.into_iter().collect());
}

#[test]
fn no_role_of_the_chart_has_a_wildcard_lists_secrets_or_hands_out_rights() {
    for sets in [&[] as &[&str], NAMESPACED, &everything()] {
        let objects = rendered(sets, MONITORING);
        let roles = of_kind(&objects, "ClusterRole").into_iter().chain(of_kind(&objects, "Role"));
        for (group, resource, verb, _) in roles.flat_map(rights_of) {
            assert!(
                ![&group, &resource, &verb].iter().any(|word| word.contains('*')),
                "{group} {resource} {verb}"
            );
            assert!(resource != "secrets" || !["list", "watch", "deletecollection"].contains(&verb.as_str()));
            assert!(!["escalate", "bind", "impersonate"].contains(&verb.as_str()));
            assert_ne!(group, "rbac.authorization.k8s.io");
        }
    }
}

#[test]
fn users_of_the_cluster_roles_learn_about_our_kinds_and_nothing_else() {
    let objects = rendered(&[], &[]);
    let roles = of_kind(&objects, "ClusterRole");
    let verbs_of = |role: &str| -> BTreeSet<String> {
        let label = format!("rbac.authorization.k8s.io/aggregate-to-{role}");
        let role = roles.iter().find(|found| found["metadata"]["labels"][&label] == "true").unwrap();
        let rights = rights_of(role);
        assert!(rights.iter().all(|(group, ..)| group == "parking.tinyx.io"));
        rights.into_iter().map(|(_, _, verb, _)| verb).collect()
    };
    let set = |verbs: &[&str]| verbs.iter().map(|verb| (*verb).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(verbs_of("view"), set(&["get", "list", "watch"]));
    assert_eq!(verbs_of("edit"), set(&["create", "delete", "patch", "update"]));
    assert_eq!(verbs_of("admin"), set(&["deletecollection"]));
    assert_eq!(of_kind(&rendered(&["rbac.aggregateToUserRoles=false"], &[]), "ClusterRole").len(), 1);
}

/// The pods of Deployment and Job.
fn pods(objects: &[Value]) -> Vec<&Value> {
    let workloads = of_kind(objects, "Deployment").into_iter().chain(of_kind(objects, "Job"));
    workloads.map(|workload| &workload["spec"]["template"]["spec"]).collect()
}

#[test]
fn every_pod_meets_the_restricted_standard() {
    let objects = rendered(&everything(), &[]);
    assert_eq!(pods(&objects).len(), 2);
    for pod in pods(&objects) {
        let security = &pod["securityContext"];
        assert_eq!(security["runAsNonRoot"], true);
        assert_eq!(security["seccompProfile"], json!({"type": "RuntimeDefault"}));
        assert!(security["runAsUser"].as_i64().unwrap() > 0);
        for host in ["hostNetwork", "hostPID", "hostIPC", "volumes"] {
            assert!(pod[host].is_null(), "{host}");
        }
        for container in pod["containers"].as_array().unwrap() {
            let expected = json!({
                "allowPrivilegeEscalation": false,
                "capabilities": {"drop": ["ALL"]},
                "readOnlyRootFilesystem": true,
            });
            assert_eq!(container["securityContext"], expected);
            assert!(container["resources"]["requests"]["memory"].is_string());
        }
    }
}

#[test]
fn a_platform_that_assigns_users_is_left_to_do_so() {
    let objects = rendered(&["runAsUser=null"], &[]);
    for pod in pods(&objects) {
        assert!(pod["securityContext"]["runAsUser"].is_null());
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    }
}

fn command_line(pod: &Value) -> cli::Command {
    let mut arguments = vec!["parking-operator".to_owned()];
    arguments.extend(words(&pod["containers"][0]["args"]));
    if arguments[1] == "run" {
        // In a pod, these two come from the environment.
        arguments.extend(["--identity=pod-0".to_owned(), "--operator-namespace=parking-system".to_owned()]);
    }
    Cli::try_parse_from(arguments).unwrap_or_else(|error| panic!("{error}")).command
}

fn settings(sets: &[&str]) -> Settings {
    let objects = rendered(sets, &[]);
    let deployments = of_kind(&objects, "Deployment");
    let cli::Command::Run(arguments) = command_line(&deployments[0]["spec"]["template"]["spec"]) else {
        panic!("the Deployment does not run")
    };
    arguments.settings()
}

#[test]
fn the_operator_understands_what_the_chart_tells_it() {
    let settings =
        settings(&[NAMESPACED, &["workerImage.tag=1.2.3", "resync=1m", "service.port=9090"]].concat());
    let names = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect::<Vec<_>>();
    assert_eq!(settings.namespaces, names(&["parking", "city"]));
    let kafka = [("kafka".parse().unwrap(), names(&["parking", "city"]))];
    assert_eq!(settings.kafka_namespaces, kafka.into_iter().collect());
    assert_eq!(settings.plan.worker_image, "ghcr.io/tinyx/parking-workers:1.2.3");
    assert_eq!(settings.resync.as_secs(), 60);
    assert_eq!(settings.listen.port(), 9090);
    assert_eq!(settings.lease_name.as_str(), "parking-operator");
}

#[test]
fn the_charts_images_are_those_that_the_program_would_take() {
    assert_eq!(settings(&[]).plan.worker_image, Settings::clone(&settings(&[])).plan.worker_image);
    let default = parking_operator::settings::PlanSettings::default();
    let of_chart = settings(&[]).plan;
    assert_eq!((of_chart.worker_image, of_chart.redis_image), (default.worker_image, default.redis_image));
}

#[test]
fn a_digest_wins_over_a_tag() {
    let digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    let objects = rendered(&["image.tag=1.2.3", &format!("image.digest={digest}")], &[]);
    for pod in pods(&objects) {
        assert_eq!(pod["containers"][0]["image"], format!("ghcr.io/tinyx/parking-operator@{digest}"));
    }
}

#[test]
fn an_uninstall_is_checked_before_anything_goes_unless_told_otherwise() {
    let check = |sets: &[&str]| {
        let objects = rendered(sets, &[]);
        of_kind(&objects, "Job").first().map(|job| {
            assert_eq!(job["metadata"]["annotations"]["helm.sh/hook"], "pre-delete");
            assert_eq!(job["spec"]["backoffLimit"], 0);
            let cli::Command::CheckUninstall(arguments) = command_line(&job["spec"]["template"]["spec"])
            else {
                panic!("the hook does not check")
            };
            (arguments.force, arguments.namespaces.len())
        })
    };
    assert_eq!(check(&[]), Some((false, 0)));
    assert_eq!(check(NAMESPACED), Some((false, 2)));
    assert_eq!(check(&["uninstall.force=true"]), Some((true, 0)));
    assert_eq!(check(&["uninstall.check=false"]), None);
}

#[test]
fn monitoring_is_rendered_only_where_it_is_served_and_wanted() {
    let count = |sets: &[&str], apis: &[&str]| {
        let objects = rendered(sets, apis);
        of_kind(&objects, "PodMonitor").len() + of_kind(&objects, "PrometheusRule").len()
    };
    assert_eq!(count(&[], &[]), 0);
    assert_eq!(count(&[], MONITORING), 2);
    assert_eq!(count(&["podMonitor.enabled=false", "prometheusRule.enabled=false"], MONITORING), 0);
}

#[test]
fn ports_selectors_and_budgets_meet_the_pods() {
    let objects = rendered(&["networkPolicy.enabled=true"], MONITORING);
    let template = &of_kind(&objects, "Deployment")[0]["spec"]["template"];
    assert_eq!(template["spec"]["containers"][0]["ports"][0]["name"], "http");
    let labels = template["metadata"]["labels"].as_object().unwrap();
    let selects = |selector: &Value| {
        selector.as_object().unwrap().iter().all(|(key, value)| labels.get(key) == Some(value))
    };
    let of = |kind: &str| &of_kind(&objects, kind)[0]["spec"];
    assert!(selects(&of("Service")["selector"]));
    assert_eq!(of("Service")["ports"][0]["targetPort"], "http");
    assert!(selects(&of("PodDisruptionBudget")["selector"]["matchLabels"]));
    assert!(selects(&of("NetworkPolicy")["podSelector"]["matchLabels"]));
    assert!(selects(&of("PodMonitor")["selector"]["matchLabels"]));
    assert_eq!(of("PodMonitor")["podMetricsEndpoints"][0]["port"], "http");
    let spread = &template["spec"]["topologySpreadConstraints"][0];
    assert!(selects(&spread["labelSelector"]["matchLabels"]));
    assert!(of_kind(&rendered(&["replicas=1"], &[]), "PodDisruptionBudget").is_empty());
    let job = &of_kind(&objects, "Job")[0]["spec"]["template"]["metadata"]["labels"];
    assert_ne!(job["app.kubernetes.io/component"], labels["app.kubernetes.io/component"]);
}

#[test]
fn wrong_values_are_refused_with_their_path() {
    let refused: [(&[&str], &str); 12] = [
        (&["replica=3"], "'replica' not allowed"),
        (&["image.tags=x"], "/image"),
        (&["image.digest=sha256:short"], "/image/digest"),
        (&["replicas=0"], "/replicas"),
        (&["scope=world"], "/scope"),
        (&["scope=namespaced"], "/namespaces"),
        (&["namespaces={parking}"], "/namespaces"),
        (&["scope=namespaced", "namespaces={Parking}"], "/namespaces/0"),
        (&["kafkaNamespaces.kafka=parking"], "/kafkaNamespaces/kafka"),
        (&["resync=soon"], "/resync"),
        (&["redisImage.tag="], "/redisImage"),
        (&["service.port=80"], "/service/port"),
    ];
    for (sets, path) in refused {
        let error = rendered_text("parking-operator", sets, &[]).unwrap_err();
        assert!(error.contains(path), "{sets:?}: {error}");
    }
    let error = rendered_text("parking-operator-crds", &["keeps=false"], &[]).unwrap_err();
    assert!(error.contains("'keeps' not allowed"), "{error}");
    let error = rendered_text("parking-operator", &["serviceAccount.create=false"], &[]).unwrap_err();
    assert!(error.contains("serviceAccount.name is needed"), "{error}");
}

fn templates_of(chart: &str) -> String {
    let folder = fs::read_dir(charts().join(chart).join("templates")).unwrap();
    folder.map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap()).collect()
}

/// Paths of the schema's members that a chart's author names, such as `image.tag`.
fn members(schema: &Value, path: &str, found: &mut BTreeSet<String>) {
    for (name, member) in schema["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let text = member["description"].as_str().unwrap_or_default();
        let known_to_kubernetes = path.starts_with("resources.");
        assert!(known_to_kubernetes || text.ends_with('.'), "{path} is not described in the schema");
        if member["properties"].is_object() && !known_to_kubernetes && path != "resources" {
            assert_eq!(member["additionalProperties"], false, "{path} takes any value");
            members(member, &path, found);
        } else {
            found.insert(path);
        }
    }
}

#[test]
fn every_value_has_a_default_a_schema_a_use_and_a_line_in_the_readme() {
    for chart in ["parking-operator", "parking-operator-crds"] {
        let file = |name: &str| fs::read_to_string(charts().join(chart).join(name)).unwrap();
        let values: Value = serde_saphyr::from_str(&file("values.yaml")).unwrap();
        let schema: Value = serde_json::from_str(&file("values.schema.json")).unwrap();
        let (templates, readme) = (templates_of(chart), file("README.md"));
        assert_eq!(schema["additionalProperties"], false);
        let mut paths = BTreeSet::new();
        members(&schema, "", &mut paths);
        // Helm adds it to subcharts.
        assert!(paths.remove("global"));
        for path in &paths {
            let pointer = format!("/{}", path.replace('.', "/"));
            assert!(values.pointer(&pointer).is_some(), "{chart}: {path} has no default in values.yaml");
            let parent = path.split('.').next().unwrap();
            let used = templates.contains(&format!(".Values.{path}"))
                || (parent.ends_with("mage") && templates.contains(&format!(".Values.{parent} ")));
            assert!(used, "{chart}: no template uses {path}");
            assert!(readme.contains(&format!("`{path}`")), "{chart}: README.md does not name {path}");
        }
        for (name, value) in values.as_object().unwrap() {
            assert!(schema["properties"][name].is_object(), "{chart}: {name} is not in the schema");
            for inner in value.as_object().into_iter().flat_map(serde_json::Map::keys) {
                let known = &schema["properties"][name];
                assert!(
                    !known["properties"][inner].is_null(),
                    "{chart}: {name}.{inner} is not in the schema"
                );
            }
        }
    }
}

/// An object that survives its own type has no field that the type does not know.
fn survives<T: DeserializeOwned + Serialize>(object: &Value) {
    let typed: T = serde_json::from_value(object.clone()).unwrap_or_else(|error| panic!("{error}: {object}"));
    let again = serde_json::to_value(&typed).unwrap();
    assert_contains(&again, object, object["kind"].as_str().unwrap());
}

fn assert_contains(typed: &Value, written: &Value, path: &str) {
    match (typed, written) {
        (Value::Object(typed), Value::Object(written)) => {
            for (name, value) in written {
                let path = format!("{path}.{name}");
                let typed = typed.get(name).unwrap_or_else(|| panic!("{path} is no field of its kind"));
                assert_contains(typed, value, &path);
            }
        }
        (Value::Array(typed), Value::Array(written)) => {
            assert_eq!(typed.len(), written.len(), "{path}");
            for (index, (typed, written)) in typed.iter().zip(written).enumerate() {
                assert_contains(typed, written, &format!("{path}[{index}]"));
            }
        }
        _ => assert_eq!(typed, written, "{path}"),
    }
}

#[test]
fn every_object_is_one_that_kubernetes_knows() {
    for sets in [&[] as &[&str], NAMESPACED, &everything()] {
        let objects = rendered(sets, &[]);
        let mut names = BTreeSet::new();
        for object in &objects {
            let kind = object["kind"].as_str().unwrap();
            match kind {
                "ClusterRole" => survives::<ClusterRole>(object),
                "ClusterRoleBinding" => survives::<ClusterRoleBinding>(object),
                "Deployment" => survives::<Deployment>(object),
                "Job" => survives::<Job>(object),
                "NetworkPolicy" => survives::<NetworkPolicy>(object),
                "PodDisruptionBudget" => survives::<PodDisruptionBudget>(object),
                "Role" => survives::<Role>(object),
                "RoleBinding" => survives::<RoleBinding>(object),
                "Service" => survives::<Service>(object),
                "ServiceAccount" => survives::<ServiceAccount>(object),
                other => panic!("{other} is not expected here"),
            }
            let metadata = &object["metadata"];
            assert_eq!(metadata["labels"]["app.kubernetes.io/managed-by"], "Helm");
            assert!(names.insert((kind, metadata["namespace"].to_string(), metadata["name"].to_string())));
        }
    }
}

/// The schema of a kind as Kubernetes describes it, with every field that it does not name refused.
fn strict_schema<T: schemars::JsonSchema>() -> Value {
    let mut schema = serde_json::to_value(schemars::schema_for!(T)).unwrap();
    close(&mut schema);
    schema
}

fn close(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            if members.get("properties").is_some_and(Value::is_object) {
                members.entry("additionalProperties").or_insert(Value::Bool(false));
            }
            members.values_mut().for_each(close);
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

fn schemas() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |kind: &str, schema: Value| {
        fs::write(folder.path().join(format!("{kind}.json")), schema.to_string()).unwrap();
    };
    write("clusterrole", strict_schema::<ClusterRole>());
    write("clusterrolebinding", strict_schema::<ClusterRoleBinding>());
    write("deployment", strict_schema::<Deployment>());
    write("job", strict_schema::<Job>());
    write("networkpolicy", strict_schema::<NetworkPolicy>());
    write("poddisruptionbudget", strict_schema::<PodDisruptionBudget>());
    write("role", strict_schema::<Role>());
    write("rolebinding", strict_schema::<RoleBinding>());
    write("service", strict_schema::<Service>());
    write("serviceaccount", strict_schema::<ServiceAccount>());
    folder
}

/// What kubeconform says of a text, offline.
fn kubeconform(schemas: &Path, text: &str) -> (bool, String) {
    let manifest = schemas.join("rendered.yaml");
    fs::write(&manifest, text).unwrap();
    let location = format!("{}/{{{{ .ResourceKind }}}}.json", schemas.display());
    let output = Command::new(installed::program("kubeconform"))
        .args(["-strict", "-verbose", "-schema-location", &location])
        .arg(&manifest)
        .output()
        .unwrap();
    (output.status.success(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn kubeconform_finds_nothing_to_object_to() {
    let schemas = schemas();
    let everything = rendered_text("parking-operator", &everything(), &[]).unwrap();
    let texts =
        [&[] as &[&str], NAMESPACED].map(|sets| rendered_text("parking-operator", sets, &[]).unwrap());
    for text in texts.iter().chain([&everything]) {
        let (fine, said) = kubeconform(schemas.path(), text);
        assert!(fine, "{said}");
    }
}

#[test]
fn kubeconform_would_object_to_a_field_that_does_not_exist() {
    let schemas = schemas();
    let text = rendered_text("parking-operator", &[], &[]).unwrap();
    for (right, wrong) in [("livenessProbe", "liveProbe"), ("replicas: 2", "replicas: two")] {
        let (fine, said) = kubeconform(schemas.path(), &text.replace(right, wrong));
        assert!(!fine && said.contains("Deployment"), "{said}");
    }
}

#[test]
fn the_definitions_are_those_of_the_types_and_stay_unless_told_otherwise() {
    let expected = [AlertRule::crd(), ParkingPipeline::crd(), StatsJob::crd()];
    for (sets, policy) in
        [(&["labels.team=mobility"] as &[&str], json!("keep")), (&["keep=false"], Value::Null)]
    {
        let text = rendered_text("parking-operator-crds", sets, &[]).unwrap();
        let found: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
        assert_eq!(found.len(), expected.len());
        for (mut found, expected) in found.into_iter().zip(&expected) {
            survives::<CustomResourceDefinition>(&found);
            assert_eq!(found["metadata"]["annotations"]["helm.sh/resource-policy"], policy);
            found["metadata"] = json!({"name": found["metadata"]["name"]});
            assert_eq!(found, serde_json::to_value(expected).unwrap());
        }
    }
}

//! Pods are restricted, found by what selects them, and tell the program what the values say.

use clap::Parser;
use parking_operator::{
    cli::{self, Cli},
    settings::Settings,
};
use serde_json::{Value, json};

use crate::rendering::{MONITORING, NAMESPACED, everything, of_kind, rendered, words};

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

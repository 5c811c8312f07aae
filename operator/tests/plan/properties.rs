//! What holds of every plan.

use std::collections::BTreeSet;

use parking_operator::{owned_kinds::OwnedKind, plan::plan};
use proptest::{prelude::*, sample::subsequence, string::string_regex};
use serde_json::Value;

use crate::fixture::Files;

/// Lines of a spec of which any choice makes a pipeline; a later one with the same field is never chosen too.
const OPTIONS: [&str; 8] = [
    "  routes: [{name: a, console: {}}, {name: b, webhook: {urlSecretRef: {name: hook.secret, key: url}}}, {name: c, email: {smtp: \"smtp.example.org:465\", from: \"a@example.org\", to: [\"b@example.org\"]}}]\n",
    "  monitoring: {labels: {release: prometheus}}\n",
    "  networkPolicy: {enabled: true, extraEgress: [{to: [{ipBlock: {cidr: 10.0.0.0/8}}]}]}\n",
    "  ingest: {apiKeysSecretRef: {name: keys}, tlsSecretRef: {name: cert}}\n",
    "  serviceAccountAnnotations: {example.org/role: parking}\n",
    "  imagePullSecrets: [{name: registry}]\n",
    "  image: \"registry.example.org/parking:1\"\n",
    "  lifecycle: {phase: Paused}\n",
];
const WORKERS: [&str; 4] = [
    "    ingest: {autoscaling: {maxReplicas: 9, cpuUtilization: 70}}\n",
    "    alert: {autoscaling: {minReplicas: 0, maxReplicas: 99, lagThreshold: 5000}}\n",
    "    archive: {replicas: 99, nodeSelector: {disk: ssd}, tolerations: [{key: parking, operator: Exists}], priorityClassName: high}\n",
    "    console: {}\n",
];
const REQUIRED: [&str; 4] = [
    "  kafka: {strimzi: {cluster: events, namespace: kafka}}\n",
    "  redis: {managed: {}}\n",
    "  objectStore: {bucket: city-lake}\n",
    "  inventory: {configMapRef: {name: inv, key: a.yaml}}\n",
];

fn rules(name: &str) -> Vec<String> {
    ["full", "late", "silent"].map(|rule| format!(
        "---\napiVersion: parking.tinyx.io/v1alpha1\nkind: AlertRule\nmetadata: {{name: {rule}}}\n\
         spec: {{pipelineRef: {{name: {name}}}, severity: info, condition: {{threshold: {{metric: occupancy_now, op: \">=\", value: \"0.9\"}}}}}}\n"
    )).to_vec()
}

/// The head of a manifest and the parts of its spec, in their usual order.
#[derive(Clone, Debug)]
struct Parts {
    name: String,
    head: String,
    spec: Vec<String>,
    rules: Vec<String>,
}

impl Parts {
    fn text(&self) -> String {
        format!("{}spec:\n{}{}", self.head, self.spec.concat(), self.rules.concat())
    }

    fn reversed(&self) -> Self {
        let mut other = self.clone();
        other.spec.reverse();
        other.rules.reverse();
        other
    }
}

fn parts() -> impl Strategy<Value = Parts> {
    let name = string_regex("[a-z]([-a-z0-9]{0,34}[a-z0-9])?").unwrap();
    let namespace = string_regex("[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?").unwrap();
    let options = subsequence(OPTIONS.to_vec(), 0..=OPTIONS.len());
    let workers = subsequence(WORKERS.to_vec(), 0..=WORKERS.len());
    (name, namespace, 1..40_u16, options, workers).prop_map(|(name, namespace, partitions, options, workers)| {
        let head = format!(
            "apiVersion: parking.tinyx.io/v1alpha1\nkind: ParkingPipeline\nmetadata: {{name: \"{name}\", namespace: \"{namespace}\"}}\n"
        );
        let workers = if workers.is_empty() { Vec::new() } else { vec![format!("  workers:\n{}", workers.concat())] };
        let events = format!("  events: {{partitions: {partitions}}}\n");
        let required = REQUIRED.iter().chain(&options).map(|text| (*text).to_owned());
        let rules = rules(&format!("\"{name}\""));
        Parts { head, spec: required.chain([events]).chain(workers).collect(), rules, name }
    })
}

fn is_label_value(text: &str) -> bool {
    let inner = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    let ends = |byte: Option<u8>| byte.is_none_or(|byte| byte.is_ascii_alphanumeric());
    inner && text.len() <= 63 && ends(text.bytes().next()) && ends(text.bytes().last())
}

fn is_dns_subdomain(text: &str) -> bool {
    let label = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

/// Places at which the API server would drop something, and so see a difference for ever.
fn emptiness(value: &Value, path: &str, found: &mut Vec<String>) {
    // A selector of everything and a network peer of all namespaces are written as an empty map.
    let meant = path.ends_with("/namespaceSelector");
    match value {
        Value::Null => found.push(path.to_owned()),
        Value::Array(items) if items.is_empty() => found.push(path.to_owned()),
        Value::Object(members) if members.is_empty() && !meant => found.push(path.to_owned()),
        Value::Array(items) => {
            items
                .iter()
                .enumerate()
                .for_each(|(index, item)| emptiness(item, &format!("{path}/{index}"), found));
        }
        Value::Object(members) => {
            members.iter().for_each(|(key, member)| emptiness(member, &format!("{path}/{key}"), found));
        }
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn every_plan_is_sound(parts in parts()) {
        let files = Files::of_text(&parts.text());
        let plan = plan(&files.valid());
        let names: BTreeSet<_> =
            plan.objects.iter().map(|object| (object.kind, &object.namespace, &object.name)).collect();
        prop_assert_eq!(names.len(), plan.objects.len());
        let known: BTreeSet<OwnedKind> = OwnedKind::all().collect();
        for object in &plan.objects {
            prop_assert!(known.contains(&object.kind));
            prop_assert!(is_dns_subdomain(&object.name), "{}", object.name);
            prop_assert!(object.kind != OwnedKind::Service || object.name.len() <= 63);
            let labels = object.manifest["metadata"]["labels"].as_object().unwrap();
            prop_assert_eq!(&labels["parking.tinyx.io/pipeline"], &Value::from(parts.name.as_str()));
            prop_assert!(labels.contains_key("parking.tinyx.io/pipeline-namespace"));
            for value in labels.values() {
                prop_assert!(is_label_value(value.as_str().unwrap()), "{}", value);
            }
            let mut found = Vec::new();
            emptiness(&object.manifest, "", &mut found);
            prop_assert!(found.is_empty(), "{:?} {}: {:?}", object.kind, object.name, found);
        }
    }

    #[test]
    fn a_plan_depends_on_what_is_written_and_not_on_its_order(parts in parts()) {
        let valid = |parts: &Parts| Files::of_text(&parts.text()).valid();
        let (one, reversed) = (valid(&parts), valid(&parts.reversed()));
        prop_assert_eq!(plan(&one), plan(&one));
        prop_assert_eq!(plan(&one), plan(&reversed));
    }
}

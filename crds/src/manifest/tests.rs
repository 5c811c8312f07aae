use super::*;

const PIPELINE: &str = "\
apiVersion: parking.tinyx.io/v1alpha1
kind: ParkingPipeline
metadata: {name: city, namespace: parking}
spec:
  kafka:
    strimzi: {cluster: events, namespace: kafka}
  redis:
    managed: {}
  objectStore: {bucket: city-lake}
  inventory:
    configMapRef: {name: city-inventory}
  events: {partitions: 12, retention: 7d}
";

const RULE: &str = "\
apiVersion: parking.tinyx.io/v1alpha1
kind: AlertRule
metadata: {name: zone-full}
spec:
  pipelineRef: {name: city}
  severity: critical
  condition:
    threshold: {metric: occupancy_now, op: \">=\", value: \"0.98\", recover: \"0.95\"}
";

fn problems(text: &str) -> Vec<String> {
    parse(text).unwrap_err().0.iter().map(ToString::to_string).collect()
}

fn changed(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from}");
    text.replace(from, to)
}

#[test]
fn every_document_of_a_text_is_read() {
    let text = format!(
        "# a city\n---\n{PIPELINE}---\n{RULE}---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: inv}}\ndata: {{a: b}}\n"
    );
    let documents = parse(&text).unwrap();
    assert_eq!(documents.iter().map(|d| (d.number, d.line)).collect::<Vec<_>>(), [(1, 3), (2, 16), (3, 25)]);
    assert!(matches!(documents[0].manifest, Manifest::Pipeline(_)));
    assert!(matches!(documents[1].manifest, Manifest::Rule(_)));
    assert!(matches!(documents[2].manifest, Manifest::ConfigMap(_)));
    assert_eq!(documents[1].line_of("spec.pipelineRef.name"), 20);
}

#[test]
fn an_unknown_field_is_named_with_its_line() {
    let text = changed(PIPELINE, "partitions: 12", "partitions: 12, partition: 3");
    assert_eq!(problems(&text), ["line 12 (document 1), spec.events.partition: is not a known field"]);
}

#[test]
fn unknown_fields_of_metadata_and_of_core_objects_are_refused() {
    let text = changed(PIPELINE, "namespace: parking", "spacename: parking");
    assert_eq!(problems(&text), ["line 3 (document 1), metadata.spacename: is not a known field"]);
    let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndate: {}\n";
    assert_eq!(problems(text), ["line 4 (document 1), date: is not a known field"]);
}

#[test]
fn a_missing_field_is_named_at_its_parent() {
    let text = changed(PIPELINE, "bucket: city-lake", "");
    assert_eq!(problems(&text), ["line 9 (document 1), spec.objectStore.bucket: is missing"]);
}

#[test]
fn all_problems_of_all_documents_are_reported_at_once() {
    let pipeline = changed(PIPELINE, "partitions: 12, retention: 7d", "partitions: 0, idle: 3s");
    let rule = changed(RULE, "severity: critical", "severity: fatal");
    assert_eq!(
        problems(&format!("{pipeline}---\n{rule}")),
        [
            "line 12 (document 1), spec.events.idle: is not a known field",
            "line 12 (document 1), spec.events.partitions: must be at least 1, not 0",
            "line 19 (document 2), spec.severity: \"fatal\" is not one of info, warning, critical",
        ]
    );
}

#[test]
fn a_value_that_its_type_refuses_is_named_with_line_and_field() {
    let text = changed(PIPELINE, "7d", "7w");
    let [problem] = problems(&text).try_into().unwrap();
    assert!(
        problem.starts_with("line 12 (document 1), spec.events.retention: `7w` is not a duration"),
        "{problem}"
    );
}

#[test]
fn a_number_where_a_decimal_string_belongs_says_how_to_write_it() {
    let text = changed(RULE, "value: \"0.98\"", "value: 0.98");
    assert_eq!(
        problems(&text),
        ["line 8 (document 1), spec.condition.threshold.value: must be a string: write \"0.98\""]
    );
}

#[test]
fn broken_yaml_is_named_with_its_line() {
    let [problem] = problems(&format!("{RULE}---\na: [1\nb: 2\n")).try_into().unwrap();
    assert!(problem.starts_with("line 1") && problem.contains("(document 2)"), "{problem}");
}

#[test]
fn a_key_that_stands_twice_is_refused() {
    let text = changed(PIPELINE, "  redis:\n", "  events: {partitions: 1}\n  redis:\n");
    let [problem] = problems(&text).try_into().unwrap();
    assert!(problem.contains("duplicate"), "{problem}");
}

#[test]
fn a_foreign_kind_is_refused() {
    let text = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\n";
    assert!(problems(text)[0].starts_with("line 2 (document 1), kind: apps/v1 Deployment is not known here"));
    assert!(problems("a: 1\n")[0].contains("apiVersion: is missing"));
}

#[test]
fn a_list_entry_that_stands_twice_is_refused() {
    let text =
        format!("{PIPELINE}  routes:\n  - {{name: ops, console: {{}}}}\n  - {{name: ops, console: {{}}}}\n");
    assert_eq!(
        problems(&text),
        ["line 15 (document 1), spec.routes[1].name: `ops` stands in this list twice"]
    );
}

#[test]
fn problems_of_an_inventory_are_told_at_their_lines_in_the_manifest() {
    let text = "apiVersion: v1
kind: ConfigMap
metadata: {name: inventory}
data:
  inventory.yaml: |
    revisions:
    - validFrom: 2016-10-01T00:00:00Z
      timeZone: Europe/Lundon
      zones:
      - {id: 02885f6f-ef93-441b-9e74-487279380656, userZoneId: A, capacity: 10}
      - {id: 02885f6f-ef93-441b-9e74-487279380656, userZoneId: B, capacity: 10}
";
    let told = |text: &str| -> Vec<String> {
        let document = &parse(text).unwrap()[0];
        let Manifest::ConfigMap(map) = &document.manifest else { panic!("{document:?}") };
        let inventory = &map.data.as_ref().unwrap()["inventory.yaml"];
        let error = crate::inventory::Inventory::parse(inventory).unwrap_err();
        let problems = document.inventory_problems("data.inventory.yaml", inventory, &error);
        problems.iter().map(ToString::to_string).collect()
    };
    let found = told(text);
    assert!(found[0].starts_with("line 8 (document 1), revisions[0].timeZone: `Europe/Lundon`"), "{found:?}");
    let twice = "line 11 (document 1), revisions[0].zones[1].id: stands already at revisions[0].zones[0].id";
    assert_eq!(found[1], twice);
    let found = told(&changed(text, "      timeZone", "      timezone"));
    assert!(found[0].starts_with("line 8 (document 1), data.inventory.yaml: "), "{found:?}");
}

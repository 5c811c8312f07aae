//! The generated files of the charts are what the code says.
//!
//! `make generate` rewrites them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

mod metrics_told;

use std::{fmt::Write as _, fs, path::Path};

use kube::CustomResourceExt;
use parking_crds::{alert_rule::AlertRule, pipeline::ParkingPipeline, stats_job::StatsJob};
use parking_operator::rbac::{Objects, Place, Rule, rules};

fn assert_current(path: &str, text: &str) {
    let path = Path::new("../charts").join(path);
    if std::env::var_os("PARKING_GENERATE").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    let drift = committed.lines().zip(text.lines()).position(|(old, new)| old != new);
    assert!(
        committed == text,
        "{} differs from the code (first at line {:?}): run `make generate`",
        path.display(),
        drift.map(|line| line + 1)
    );
}

/// A definition as a template: its own text, with the chart's labels and annotations.
fn definition_template(yaml: &str) -> String {
    let metadata = "metadata:\n";
    let (head, tail) = yaml.split_once(metadata).unwrap();
    let tail = tail.replace("{{", "{{ \"{{\" }}");
    format!(
        "{{{{- /* Generated from the types in crds/src; see operator/tests/generated.rs. */ -}}}}\n\
         {head}{metadata}  labels:\n    \
         {{{{- include \"parking-operator-crds.labels\" . | nindent 4 }}}}\n  \
         {{{{- include \"parking-operator-crds.annotations\" . | nindent 2 }}}}\n{tail}"
    )
}

fn list(words: &[&str]) -> String {
    let quoted: Vec<String> = words
        .iter()
        .map(|word| if word.is_empty() { "\"\"".to_owned() } else { (*word).to_owned() })
        .collect();
    format!("[{}]", quoted.join(", "))
}

fn rule_template(rule: &Rule) -> String {
    let names = match rule.objects {
        Objects::Any => String::new(),
        Objects::OwnLease => "  resourceNames: [{{ include \"parking-operator.fullname\" . }}]\n".to_owned(),
    };
    format!(
        "# {}\n- apiGroups: {}\n  resources: {}\n{names}  verbs: {}\n",
        rule.reason,
        list(&[rule.group]),
        list(&rule.resources),
        list(rule.verbs)
    )
}

fn rules_template() -> String {
    let mut text =
        "{{- /* Generated from operator/src/rbac.rs; see operator/tests/generated.rs. */ -}}\n".to_owned();
    for place in Place::ALL {
        write!(text, "\n{{{{- define \"parking-operator.rules.{}\" -}}}}\n", place.as_str()).unwrap();
        for rule in rules().iter().filter(|rule| rule.place == place) {
            text.push_str(&rule_template(rule));
        }
        text.push_str("{{- end }}\n");
    }
    text
}

#[test]
fn the_definitions_of_the_chart_are_current() {
    for definition in [ParkingPipeline::crd(), AlertRule::crd(), StatsJob::crd()] {
        let text = definition_template(&serde_saphyr::to_string(&definition).unwrap());
        assert_current(
            &format!("parking-operator-crds/templates/{}.yaml", definition.spec.names.plural),
            &text,
        );
    }
}

#[test]
fn the_rights_of_the_chart_are_current() {
    assert_current("parking-operator/templates/_rules.tpl", &rules_template());
}

#[test]
fn the_warnings_about_pipelines_are_current() {
    let text = format!(
        "# What Prometheus warns about of every pipeline. A pipeline with `spec.monitoring` brings the same for itself; the\n\
         # chart installs these with `prometheusRule.pipelines`. Series need the labels `namespace` and\n\
         # `parking_tinyx_io_pipeline`, as the operator's PodMonitors give them.\n\
         # Generated from operator/src/plan/warnings.rs by `make generate`.\n{}",
        serde_saphyr::to_string(&parking_operator::plan::warnings::about_all()).unwrap()
    );
    assert_current("parking-operator/monitoring/pipeline-rules.yaml", &text);
}

#[test]
fn the_reference_of_metrics_is_current() {
    let mut text = "# Metrics of the operator\n\n\
        What `/metrics` of `parking-operator run` answers, in the text format of Prometheus. No label names an object: there\n\
        may be ten thousand.\n\n\
        Made from the code by `make generate`; the dashboard and the warnings in `charts/parking-operator/monitoring` are\n\
        checked against it. What workers tell stands in [workers/metrics.md](../workers/metrics.md).\n\n\
        | Metric | Type | Labels | Meaning |\n|---|---|---|---|\n"
        .to_owned();
    let helps = metrics_told::helps();
    for (name, (kind, labels)) in metrics_told::families() {
        let labels: Vec<_> = labels.iter().map(|label| format!("`{label}`")).collect();
        let (labels, help) = (labels.join(", "), &helps[&name]);
        writeln!(text, "| `{name}` | {kind} | {labels} | {help} |").unwrap();
    }
    assert_current("../operator/metrics.md", &text);
}

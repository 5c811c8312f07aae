//! The generated files of the charts are what the code says.
//!
//! `make generate` rewrites them.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

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

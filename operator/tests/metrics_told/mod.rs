//! What the operator tells, once each of its metrics has counted something.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use parking_crds::condition::ConditionType;
use parking_operator::{
    error::Class,
    metrics::{ConditionState, Metrics},
    object::{ObjectId, ObjectKind},
};

/// Everything in the text format of Prometheus.
pub(crate) fn text() -> String {
    let metrics = Metrics::new().unwrap();
    metrics.reconciled(ObjectKind::Pipeline, Duration::from_millis(3), Some(Class::Blocked));
    metrics.queue_depth(ObjectKind::Pipeline, 1);
    metrics.api_missing("keda.sh", true);
    let city = ObjectId::new(ObjectKind::Pipeline, "parking", "city");
    metrics.conditions(&city, &[(ConditionType::Ready, ConditionState::True)]);
    metrics.leader(true);
    metrics.request("get", "secrets", "200");
    metrics.polled("secret", "answered");
    drop(metrics.write_waits());
    String::from_utf8(metrics.text().unwrap().1).unwrap()
}

/// Help of each family.
#[allow(dead_code, reason = "only the reference tells it")]
pub(crate) fn helps() -> BTreeMap<String, String> {
    let text = text();
    let lines = text.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split_once(' '));
    lines.map(|(name, help)| (name.to_owned(), help.to_owned())).collect()
}

/// Kind and labels of each family.
pub(crate) fn families() -> BTreeMap<String, (String, BTreeSet<String>)> {
    let text = text();
    let mut families = BTreeMap::new();
    let mut newest = String::new();
    for line in text.lines() {
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            families.insert(name.to_owned(), (kind.to_owned(), BTreeSet::new()));
            name.clone_into(&mut newest);
        }
        let labels = line.split_once('{').and_then(|(_, rest)| rest.split_once('}'));
        if let (false, Some((labels, _))) = (line.starts_with('#'), labels) {
            let names = labels.split(',').filter_map(|label| Some(label.split_once('=')?.0.to_owned()));
            families.get_mut(&newest).unwrap().1.extend(names.filter(|name| name != "le"));
        }
    }
    families
}

//! What would happen to objects, and what follows for pods and data: pure.

use std::fmt::Write as _;

use kube::ResourceExt;
use parking_crds::{
    pipeline::{ParkingPipeline, Retention},
    stats_job::{Computation, StatsJob},
};
use serde_json::Value;

use super::compare::FieldChange;
use crate::{labels, live::Live, owned_kinds::OwnedKind};

const TEMPLATE: &[&str] = &["spec", "template"];

/// What would happen to an object.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Verb {
    /// It would appear.
    Created,
    /// These fields would change.
    Changed(Vec<FieldChange>),
    /// It would be made anew around its pods, since these fields cannot be edited.
    Remade(Vec<FieldChange>),
    /// It would go.
    Deleted,
    /// It cannot be as wanted, for this reason.
    Refused(String),
}

/// An object that would not stay as it is.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Change {
    /// Its kind.
    pub(super) kind: String,
    /// Its namespace.
    pub(super) namespace: String,
    /// Its name.
    pub(super) name: String,
    /// What would happen to it.
    pub(super) verb: Verb,
}

/// Which pods would be replaced, and why.
pub(super) fn rolls(changes: &[Change], live: &Live) -> Vec<String> {
    let mut rolls = Vec::new();
    for change in changes.iter().filter(|change| matches!(change.kind.as_str(), "StatefulSet" | "Deployment"))
    {
        let (Verb::Changed(fields) | Verb::Remade(fields)) = &change.verb else { continue };
        let template: Vec<&FieldChange> = fields.iter().filter(|field| field.is_below(TEMPLATE)).collect();
        if template.is_empty() {
            continue;
        }
        let pods = live
            .iter()
            .find(|(key, _)| key.kind.row().name == change.kind && key.name == change.name)
            .and_then(|(_, object)| object.data.pointer("/spec/replicas")?.as_u64())
            .unwrap_or(0);
        let file = changes.iter().any(|other| other.kind == "ConfigMap" && other.name == change.name);
        let mut reasons: Vec<String> = template.iter().filter_map(|field| reason(field, file)).collect();
        reasons.dedup();
        if reasons.is_empty() {
            reasons.push("its pod template changed".to_owned());
        }
        rolls.push(format!("{} ({pods} pods): {}", change.name, reasons.join(", ")));
    }
    rolls
}

fn reason(field: &FieldChange, file_changed: bool) -> Option<String> {
    let last = field.path.last()?;
    if last == labels::CONFIG_HASH {
        let what = if file_changed { "its configuration changed" } else { "a Secret that it mounts changed" };
        return Some(what.to_owned());
    }
    let text = |value: &Option<Value>| value.as_ref().and_then(Value::as_str).unwrap_or("none").to_owned();
    (last == "image").then(|| format!("image {} → {}", text(&field.old), text(&field.new)))
}

/// Data that an edit of the pipeline, or its deletion, takes away or leaves unread.
pub(super) fn stakes(
    before: Option<&ParkingPipeline>,
    after: &ParkingPipeline,
    changes: &[Change],
) -> Vec<String> {
    let mut stakes: Vec<String> = changes.iter().filter_map(shorter_retention).collect();
    let policy = after.spec.deletion_policy.clone().unwrap_or_default();
    let known = before.map(|before| before.spec.deletion_policy.clone().unwrap_or_default());
    let going = after.metadata.deletion_timestamp.is_some();
    for (wish, was, what) in [
        (
            policy.topics(),
            known.as_ref().map(parking_crds::pipeline::DeletionPolicy::topics),
            "its topics with every record",
        ),
        (
            policy.redis(),
            known.as_ref().map(parking_crds::pipeline::DeletionPolicy::redis),
            "the volumes of its Redis",
        ),
        (
            policy.bucket(),
            known.as_ref().map(parking_crds::pipeline::DeletionPolicy::bucket),
            "its tables and snapshots in the bucket",
        ),
    ] {
        match (wish, was) {
            (Retention::Delete, _) if going => {
                stakes.push(format!("the pipeline is being deleted, and {what} with it"));
            }
            (Retention::Delete, Some(Retention::Retain) | None) => {
                stakes.push(format!("from now on, deleting the pipeline deletes {what}"));
            }
            _ => {}
        }
    }
    let Some(before) = before else { return stakes };
    let (old, new) = (&before.spec.object_store, &after.spec.object_store);
    if old.bucket != new.bucket || old.endpoint != new.endpoint {
        stakes.push(format!("the tables in bucket {} stay there and are read no longer", old.bucket));
    }
    if let Some(kept) = new.retention.filter(|kept| old.retention.is_none_or(|before| *kept < before)) {
        stakes.push(format!("rows of the lake that are older than {kept} go"));
    }
    if before.spec.redis.managed.is_some() && after.spec.redis.managed.is_none() {
        stakes
            .push("the managed Redis goes; live state is rebuilt from the log, its volumes stay".to_owned());
    }
    stakes
}

fn shorter_retention(change: &Change) -> Option<String> {
    const RETENTION: &[&str] = &["spec", "config", "retention.ms"];
    let Verb::Changed(fields) = &change.verb else { return None };
    let field = fields.iter().find(|field| change.kind == "KafkaTopic" && field.is_below(RETENTION))?;
    let millis = |value: &Option<Value>| match value {
        Some(Value::String(text)) => text.parse::<i64>().ok(),
        Some(other) => other.as_i64(),
        None => None,
    };
    let (old, new) = (millis(&field.old)?, millis(&field.new)?);
    let length = |millis: i64| super::super::tree::age(millis / 1_000);
    (new < old).then(|| {
        format!(
            "topic {} keeps records for {} instead of {}: older ones go",
            change.name,
            length(new),
            length(old)
        )
    })
}

/// Statistics whose results are computed anew.
pub(super) fn recomputed(before: Option<&StatsJob>, after: &StatsJob) -> Option<String> {
    let changed =
        before.is_some_and(|job| Computation::of(&job.spec).id() != Computation::of(&after.spec).id());
    changed.then(|| {
        format!("StatsJob {} computes something else: its windows are computed anew", after.name_any())
    })
}

/// Whether objects of the kind would be pruned when they are not planned.
pub(super) fn goes(kind: OwnedKind) -> bool {
    crate::apply::is_pruned(kind)
}

/// Everything as text. Writing to a string cannot fail.
pub(super) fn show(changes: &[Change], rolls: &[String], stakes: &[String], problems: &[String]) -> String {
    let mut text = String::new();
    for change in changes {
        let Change { kind, namespace, name, verb } = change;
        let (word, fields): (String, &[FieldChange]) = match verb {
            Verb::Created => ("created".to_owned(), &[]),
            Verb::Changed(fields) => ("changed".to_owned(), fields),
            Verb::Remade(fields) => ("made anew around its pods".to_owned(), fields),
            Verb::Deleted => ("deleted".to_owned(), &[]),
            Verb::Refused(why) => (format!("refused: {why}"), &[]),
        };
        let _ = writeln!(text, "{kind} {namespace}/{name}  {word}");
        for field in fields {
            let _ = writeln!(text, "    {field}");
        }
    }
    for (title, lines) in [("Pods that roll", rolls), ("Data at stake", stakes), ("Problems", problems)] {
        if !lines.is_empty() {
            let _ = writeln!(text, "\n{title}");
        }
        for line in lines {
            let _ = writeln!(text, "    {line}");
        }
    }
    if !changes.is_empty() {
        let count = |wanted: fn(&Verb) -> bool| changes.iter().filter(|change| wanted(&change.verb)).count();
        let _ = writeln!(
            text,
            "\n{} created, {} changed, {} deleted, {} refused",
            count(|verb| matches!(verb, Verb::Created)),
            count(|verb| matches!(verb, Verb::Changed(_) | Verb::Remade(_))),
            count(|verb| matches!(verb, Verb::Deleted)),
            count(|verb| matches!(verb, Verb::Refused(_))),
        );
    }
    text
}

#[cfg(test)]
mod tests;

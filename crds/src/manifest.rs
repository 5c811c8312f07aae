//! Manifests: YAML files with custom resources, read as strictly as the API server reads them.
//!
//! Must not: open files or follow references between objects.
//! Invariants: a text that parses passes schema and rules of the custom resources;
//! all problems of a text are reported at once, each with document, line and field.

use std::fmt;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::core::cel::ValidationErrors;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    alert_rule::AlertRule, inventory::InventoryError, pipeline::ParkingPipeline, stats_job::StatsJob,
};

mod document;
mod outline;
mod schema;

use document::split;
use outline::Outline;

pub(crate) use outline::Error as TextError;

/// The API version of the custom resources.
pub const API_VERSION: &str = "parking.tinyx.io/v1alpha1";

/// One object of a manifest.
#[derive(Clone, Debug, PartialEq)]
pub enum Manifest {
    /// A pipeline.
    Pipeline(Box<ParkingPipeline>),
    /// A rule.
    Rule(Box<AlertRule>),
    /// A statistics job.
    StatsJob(Box<StatsJob>),
    /// A `ConfigMap`, such as one with an inventory.
    ConfigMap(Box<ConfigMap>),
    /// A Secret, such as one with the URL of a webhook.
    Secret(Box<Secret>),
}

/// One object and where it stands in its text.
#[derive(Clone, Debug)]
pub struct Document {
    /// The object.
    pub manifest: Manifest,
    /// Position among the documents of the text, from 1.
    pub number: usize,
    /// Line of the text on which the document's first field stands, from 1.
    pub line: u64,
    outline: Outline,
}

impl Document {
    /// The line of a field such as `spec.pipelineRef.name`, or of its nearest written ancestor.
    pub fn line_of(&self, field: &str) -> u64 {
        self.outline.line_of(field)
    }

    /// A problem with a field of this document.
    pub fn problem(&self, field: &str, message: impl Into<String>) -> Problem {
        Problem {
            document: self.number,
            line: self.line_of(field),
            field: field.to_owned(),
            message: message.into(),
        }
    }

    /// What is wrong with the inventory that stands as text in a field, each problem at its own line.
    pub fn inventory_problems(&self, field: &str, text: &str, error: &InventoryError) -> Vec<Problem> {
        // Block text begins below its field, other text beside it.
        let first_line = self.line_of(field) + u64::from(text.contains('\n'));
        let problem = |line, field: &str, message: &str| Problem {
            document: self.number,
            line,
            field: field.to_owned(),
            message: message.to_owned(),
        };
        match error {
            InventoryError::Syntax { line, message } => vec![problem(first_line + line - 1, field, message)],
            InventoryError::Problems(found) => {
                let outline = Outline::read(text, first_line).ok();
                let lines =
                    |inner: &str| outline.as_ref().map_or(first_line, |outline| outline.line_of(inner));
                let parts = found.iter().map(|found| found.split_once(": ").unwrap_or((field, found)));
                parts.map(|(inner, message)| problem(lines(inner), inner, message)).collect()
            }
        }
    }
}

/// What is wrong with a manifest, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problem {
    /// Position of the document in the text, from 1.
    pub document: usize,
    /// Line of the text, from 1.
    pub line: u64,
    /// Path of the field, such as `spec.routes[0].name`; empty when the document as a whole is meant.
    pub field: String,
    /// What is wrong, as one sentence without a full stop.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} (document {})", self.line, self.document)?;
        if !self.field.is_empty() {
            write!(f, ", {}", self.field)?;
        }
        write!(f, ": {}", self.message)
    }
}

/// Everything that is wrong with a manifest; never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

/// Reads every document of a YAML text. Empty documents are left out.
pub fn parse(text: &str) -> Result<Vec<Document>, Problems> {
    let (mut documents, mut problems) = (Vec::new(), Vec::new());
    for (index, (first_line, chunk)) in split(text).into_iter().enumerate() {
        match parse_document(&chunk, index + 1, first_line) {
            Ok(document) => documents.extend(document),
            Err(found) => problems.extend(found),
        }
    }
    if problems.is_empty() { Ok(documents) } else { Err(Problems(problems)) }
}

fn parse_document(chunk: &str, number: usize, first_line: u64) -> Result<Option<Document>, Vec<Problem>> {
    let outline = Outline::read(chunk, first_line).map_err(|error| {
        vec![Problem { document: number, line: error.line, field: String::new(), message: error.message }]
    })?;
    if outline.is_null() {
        return Ok(None);
    }
    let source = Source { chunk, number, first_line, outline: &outline };
    let manifest = source.manifest()?;
    Ok(Some(Document { manifest, number, line: outline.line_of(""), outline }))
}

/// One document on its way to becoming a manifest.
struct Source<'a> {
    chunk: &'a str,
    number: usize,
    first_line: u64,
    outline: &'a Outline,
}

impl Source<'_> {
    fn manifest(&self) -> Result<Manifest, Vec<Problem>> {
        let value = self.outline.to_json();
        let header = |key| value.get(key).and_then(Value::as_str).unwrap_or_default();
        match (header("apiVersion"), header("kind")) {
            (API_VERSION, "ParkingPipeline") => {
                let pipeline: ParkingPipeline = self.custom(schema::pipeline(), &value)?;
                self.rules(pipeline.validate_cel()).map(|()| Manifest::Pipeline(Box::new(pipeline)))
            }
            (API_VERSION, "AlertRule") => {
                let rule: AlertRule = self.custom(schema::alert_rule(), &value)?;
                self.rules(rule.validate_cel()).map(|()| Manifest::Rule(Box::new(rule)))
            }
            (API_VERSION, "StatsJob") => {
                let job: StatsJob = self.custom(schema::stats_job(), &value)?;
                self.rules(job.validate_cel()).map(|()| Manifest::StatsJob(Box::new(job)))
            }
            ("v1", "ConfigMap") => {
                self.core(&["data", "binaryData", "immutable"], &value).map(Manifest::ConfigMap)
            }
            ("v1", "Secret") => {
                self.core(&["data", "stringData", "immutable", "type"], &value).map(Manifest::Secret)
            }
            (version, kind) => Err(vec![self.unknown_kind(version, kind)]),
        }
    }

    fn custom<T: DeserializeOwned>(&self, schema: &Value, value: &Value) -> Result<T, Vec<Problem>> {
        let mut found = schema::check_envelope(value, &["spec", "status"]);
        found.extend(schema::check(schema, value));
        self.refuse(found)?;
        self.typed()
    }

    fn core<T: DeserializeOwned>(&self, fields: &[&str], value: &Value) -> Result<T, Vec<Problem>> {
        self.refuse(schema::check_envelope(value, fields))?;
        self.typed()
    }

    fn typed<T: DeserializeOwned>(&self) -> Result<T, Vec<Problem>> {
        serde_saphyr::from_str(self.chunk).map_err(|error| {
            let error = outline::Error::new(&error, self.first_line);
            let field = self.outline.field_at(error.line, error.column);
            vec![Problem { document: self.number, line: error.line, field, message: error.message }]
        })
    }

    fn rules(&self, outcome: Result<(), ValidationErrors>) -> Result<(), Vec<Problem>> {
        let broken = outcome.err().map(ValidationErrors::into_vec).unwrap_or_default();
        self.refuse(
            broken
                .into_iter()
                .map(|error| (error.field_path.trim_start_matches('.').to_owned(), error.message))
                .collect(),
        )
    }

    fn refuse(&self, found: Vec<(String, String)>) -> Result<(), Vec<Problem>> {
        if found.is_empty() {
            return Ok(());
        }
        let mut problems: Vec<Problem> =
            found.into_iter().map(|(field, message)| self.problem(field, message)).collect();
        problems.sort_by(|a, b| (a.line, &a.field).cmp(&(b.line, &b.field)));
        Err(problems)
    }

    fn problem(&self, field: String, message: String) -> Problem {
        Problem { document: self.number, line: self.outline.line_of(&field), field, message }
    }

    fn unknown_kind(&self, version: &str, kind: &str) -> Problem {
        let (field, message) = match (version, kind) {
            ("", _) => {
                ("apiVersion", format!("is missing; write {API_VERSION}, or v1 for a ConfigMap or Secret"))
            }
            (_, "") => ("kind", "is missing".to_owned()),
            _ => (
                "kind",
                format!(
                    "{version} {kind} is not known here; known are {API_VERSION} ParkingPipeline, AlertRule and StatsJob, and v1 ConfigMap and Secret"
                ),
            ),
        };
        self.problem(field.to_owned(), message)
    }
}

#[cfg(test)]
mod tests;

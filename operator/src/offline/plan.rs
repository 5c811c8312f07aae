//! The command `plan`, as `parking-operator` and `kubectl parking` have it.
//!
//! Must not: write anywhere. Invariant: the system is shown whatever the static check says of it.

use std::{fmt::Write as _, sync::Arc};

use super::{ReadError, System, gather, print, read, systems};
use crate::{
    architecture::Severity,
    cli::{PlanArguments, PlanFormat},
};

/// What the command shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The planned system, for standard output.
    pub text: String,
    /// What the static check says of it, one line a finding, for standard error.
    pub findings: String,
    /// Whether the system cannot work.
    pub broken: bool,
}

/// Why nothing can be planned.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The manifests cannot be used.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// An object cannot be written as YAML.
    #[error("the plan cannot be written as YAML: {0}")]
    Yaml(#[from] serde_saphyr::SerializeError),
}

/// Plans what the manifests ask for.
pub fn plan(arguments: PlanArguments) -> Result<Shown, PlanError> {
    let settings = Arc::new(arguments.shape.settings());
    shown(&systems(&gather(&read(&arguments.files)?)?, &settings)?, arguments.output)
}

fn shown(systems: &[System], format: PlanFormat) -> Result<Shown, PlanError> {
    let mut findings = String::new();
    for (system, finding) in systems.iter().flat_map(|one| one.findings.iter().map(move |found| (one, found)))
    {
        // Writing to a string cannot fail.
        let _ = writeln!(findings, "ParkingPipeline {}: {finding}", system.id);
    }
    let broken = systems.iter().flat_map(|one| &one.findings).any(|one| one.severity == Severity::Error);
    let plans: Vec<_> = systems.iter().map(|one| (one.id.clone(), one.plan.clone())).collect();
    let text = match format {
        PlanFormat::Yaml => print::yaml(&plans)?,
        PlanFormat::Json => print::json(&plans),
        PlanFormat::Tree => print::tree(&plans),
    };
    Ok(Shown { text, findings, broken })
}

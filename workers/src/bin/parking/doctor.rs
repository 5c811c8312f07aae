//! `parking doctor`: checks what `parking up` would be given, and shows what it would make of it.

use std::{io, path::PathBuf, process::ExitCode};

use parking_workers::{
    adapters::embedded::{self, OpenError},
    command::{
        doctor::{Finding, mask_secrets, render},
        feed::Feed,
        import::ImportSettings,
    },
    deployment::{self, Deployment},
    domain::alert::{RuleSet, bare_name},
};

#[derive(clap::Args)]
pub(crate) struct DoctorArgs {
    /// A manifest, or a folder of manifests; may be given again.
    #[arg(short, long = "file", required = true, value_name = "PATH")]
    files: Vec<PathBuf>,
    /// The data folder that would be used.
    #[arg(long, default_value = ".parking", value_name = "DIR")]
    data: PathBuf,
}

pub(crate) fn run(args: &DoctorArgs) -> io::Result<ExitCode> {
    let paths = args.files.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
    let mut findings = Vec::new();
    match deployment::load(&args.files) {
        Ok(deployment) => {
            findings.push(Finding::fine(format!("{paths}: pipeline {}", deployment.name())));
            findings.extend(rules(&deployment));
            findings.extend(input(&deployment));
            findings.push(folder(args, &deployment));
            crate::print(&configuration(&deployment))?;
        }
        Err(error) => {
            findings.extend(error.to_string().lines().map(|problem| Finding::wrong(paths.clone(), problem)));
        }
    }
    crate::print(&render(&findings))?;
    let wrong = findings.iter().any(|finding| finding.problem.is_some());
    Ok(if wrong { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn rules(deployment: &Deployment) -> Vec<Finding> {
    let (_, refused) = RuleSet::compile(&deployment.rules);
    let finding = |name: &String| match refused.iter().find(|(rule, _)| bare_name(rule) == name) {
        Some((_, error)) => Finding::wrong(format!("rule {name}"), error.to_string()),
        None => Finding::fine(format!("rule {name}")),
    };
    deployment.rules.iter().filter_map(|rule| rule.metadata.name.as_ref()).map(finding).collect()
}

fn input(deployment: &Deployment) -> Option<Finding> {
    let (format, path) = deployment.replay.as_ref()?;
    let settings = ImportSettings {
        tenant: deployment.name(),
        partitions: deployment.partitions(),
        batch: 1,
        pace: None,
        end_of_input: false,
    };
    let subject = format!("input {format}:{}", path.display());
    Some(match Feed::open(format, path, settings) {
        Ok(_) => Finding::fine(subject),
        Err(error) => Finding::wrong(subject, error.to_string()),
    })
}

fn folder(args: &DoctorArgs, deployment: &Deployment) -> Finding {
    let subject = format!("data folder {}", args.data.display());
    match embedded::describe(&args.data) {
        Err(OpenError::NoData(_)) => Finding::fine(format!("{subject}, to be made")),
        Err(error) => Finding::wrong(subject, error.to_string()),
        Ok(found) if found.pipeline != deployment.name() => {
            Finding::wrong(subject, format!("it belongs to pipeline {}", found.pipeline))
        }
        Ok(found) if found.partitions != deployment.partitions() => {
            Finding::wrong(subject, format!("it was made with {} partitions", found.partitions))
        }
        Ok(_) => Finding::fine(subject),
    }
}

/// The objects as they will be used, secrets masked, as YAML documents.
fn configuration(deployment: &Deployment) -> String {
    let objects = [serde_json::to_value(&deployment.pipeline)]
        .into_iter()
        .chain(deployment.rules.iter().map(serde_json::to_value))
        .chain(deployment.jobs.iter().map(serde_json::to_value));
    let mut text = String::new();
    for mut object in objects.flatten() {
        mask_secrets(&mut object);
        text.push_str(&serde_saphyr::to_string(&object).unwrap_or_default());
        text.push_str("---\n");
    }
    text
}

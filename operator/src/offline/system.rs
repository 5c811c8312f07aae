//! A whole system from manifests: the pipeline's plan, that of its statistics, and what the static check says.
//!
//! Must not: open files, or name a clock: the example of a run begins at `startAt`, or at the start of the century.

use std::{collections::BTreeSet, sync::Arc};

use kube::ResourceExt;
use parking_crds::{stats_job::StatsJob, topology::PipelineId};

use super::{Gathered, ReadError};
use crate::{
    apis::Apis,
    architecture::{Finding, Severity, check, check_inventory},
    plan::{self, Plan},
    settings::PlanSettings,
    stats_job::runs::RunPlan,
    validate::{self, JobSurroundings, ValidJob},
};

/// Start of the example run of a job that does not say from when on it computes, ms: the year 2000.
const EXAMPLE: i64 = 946_684_800_000;

/// One pipeline with everything that belongs to it, planned.
#[derive(Clone, Debug)]
pub struct System {
    /// The pipeline.
    pub id: PipelineId,
    /// Every object, with one run of each statistics job as an example.
    pub plan: Plan,
    /// What is wrong with it.
    pub findings: Vec<Finding>,
}

/// Plans every pipeline; problems of all of them are told at once.
pub fn systems(gathered: &[Gathered], settings: &Arc<PlanSettings>) -> Result<Vec<System>, ReadError> {
    let (mut systems, mut refused) = (Vec::new(), Vec::new());
    for one in gathered {
        match system(one, settings) {
            Ok(system) => systems.push(system),
            Err(ReadError::Problems(problems)) => refused.extend(problems),
            Err(error @ ReadError::Unreadable { .. }) => return Err(error),
        }
    }
    if refused.is_empty() { Ok(systems) } else { Err(ReadError::Problems(refused)) }
}

fn system(gathered: &Gathered, settings: &Arc<PlanSettings>) -> Result<System, ReadError> {
    let Gathered { pipeline, rules, jobs, config_maps, .. } = gathered;
    let valid = validate::offline(pipeline, rules, Arc::clone(settings))
        .map_err(|problems| gathered.refuse(&problems))?;
    let mut planned = plan::plan(&valid);
    let mut findings = check(&valid.topology, &valid, &planned, rules, jobs);
    findings.extend(check_inventory(&valid, config_maps));
    for job in jobs {
        match checked(job, gathered, settings) {
            Ok(job) => planned.merge(stats(&job)),
            Err(found) => findings.extend(found),
        }
    }
    Ok(System { id: valid.id, plan: planned, findings })
}

fn checked(
    job: &StatsJob,
    gathered: &Gathered,
    settings: &Arc<PlanSettings>,
) -> Result<ValidJob, Vec<Finding>> {
    let around = JobSurroundings {
        pipeline: Some(&gathered.pipeline),
        jobs: &gathered.jobs,
        missing_secrets: &BTreeSet::new(),
        apis: &Apis::all(),
        settings,
    };
    validate::stats_job(job, &around).map_err(|problems| {
        let finding = |message| Finding {
            severity: Severity::Error,
            field: format!("StatsJob/{}", job.name_any()),
            message,
        };
        problems.into_iter().map(|problem| finding(problem.message)).collect()
    })
}

/// What every run of a job needs, and one run.
fn stats(job: &ValidJob) -> Plan {
    let mut planned = plan::stats_objects(job);
    let window = job.calendar.window_at(job.start_at().unwrap_or(EXAMPLE));
    let run = RunPlan::new(&job.namespace, &job.name, &job.computation_id, (window, 1), 1);
    planned.objects.push(plan::stats_run(job, &run));
    planned
}

//! Whether every stream is written and read, and kept long enough.

use parking_crds::{
    duration::Duration, pipeline::ParkingPipelineSpec, role::Role, stats_job::StatsJob, topology::Topology,
};

use kube::ResourceExt;

use super::Finding;

pub(super) fn check(topology: &Topology, spec: &ParkingPipelineSpec, jobs: &[&StatsJob]) -> Vec<Finding> {
    let mut findings = streams(topology);
    findings.extend(jobs.iter().flat_map(|job| retention(spec, job)));
    findings
}

fn streams(topology: &Topology) -> Vec<Finding> {
    let anyone = |side: &dyn Fn(Role) -> bool| topology.workers.iter().any(|plan| side(plan.config.role));
    let mut findings = Vec::new();
    for plan in &topology.streams {
        let stream = plan.stream;
        if !anyone(&|role| role.writes().contains(&stream)) {
            findings.push(Finding::error(
                "spec.workers",
                format!("nobody writes the stream {stream}: run a role that does"),
            ));
        }
        if !anyone(&|role| role.reads().contains(&stream)) {
            findings.push(Finding::error(
                "spec.workers",
                format!("nobody reads the stream {stream}: run a role that does"),
            ));
        }
    }
    findings
}

/// A window is computed from the lake, and what the archive has missed is only in the log.
fn retention(spec: &ParkingPipelineSpec, job: &StatsJob) -> Vec<Finding> {
    let window = job.spec.window();
    let kept = [
        ("spec.events.retention", Some(spec.events.retention())),
        ("spec.objectStore.retention", spec.object_store.retention),
    ];
    let short = |(field, kept): (&str, Option<Duration>)| {
        let kept = kept.filter(|kept| *kept < window)?;
        Some(Finding::error(
            field,
            format!(
                "records are kept for {kept}, but StatsJob `{}` looks back {window}: keep them longer or shorten its window",
                job.name_any()
            ),
        ))
    };
    kept.into_iter().filter_map(short).collect()
}

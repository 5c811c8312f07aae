//! How many pods of each role run: as the spec says, or none once what there was is worked off.
//!
//! Must not: name a client or read a clock.
//! Invariants: a stage rests only when its stored offsets reached the ends that were noted, or when the time
//! for that is over; what follows a stage drains after it; a role at rest stays at rest until the pipeline
//! shall run again.

use std::collections::BTreeMap;

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use kube::ResourceExt;
use parking_crds::{
    pipeline::{Drain, ParkingPipeline, Phase, PipelinePhase},
    role::Role,
    stream::Stream,
    topology::{Replicas, Topology},
};

use crate::{apis::Apis, labels, owned_kinds::OwnedKind, validate::Run};

/// Longest time that stages get to drain.
pub const DRAIN_SECONDS: i64 = 600;

/// Stages that read what comes from outside; then those that read what these write.
const FIRST: [Role; 2] = [Role::Occupancy, Role::Alert];
const SECOND: [Role; 2] = [Role::Archive, Role::Notify];

/// How far one partition was read, and how far it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Stored offset of the next record.
    pub position: u64,
    /// Offset after the newest record.
    pub end: u64,
}

/// How far each role has read each stream, by partition, as its workers report.
pub type Positions = BTreeMap<(Role, Stream), BTreeMap<u16, Position>>;

/// What is known of the pipeline that shall run, rest or drain.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// What the pipeline shall do.
    pub phase: Phase,
    /// What was noted when it was told to rest.
    pub drain: Option<&'a Drain>,
    /// Pods that each role's workload has now.
    pub replicas: &'a BTreeMap<Role, u16>,
    /// How far stages are.
    pub positions: &'a Positions,
    /// The time.
    pub now: Timestamp,
}

/// What follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// How many pods of each role run.
    pub runs: BTreeMap<Role, Run>,
    /// Draining, Paused or Stopped; none while the pipeline shall run.
    pub phase: Option<PipelinePhase>,
    /// What is to be kept in the status.
    pub drain: Option<Drain>,
    /// Roles that rest although they did not reach the noted ends.
    pub timed_out: Vec<Role>,
}

/// What the pipeline shall do; a command's annotation goes before the spec.
pub fn wanted(pipeline: &ParkingPipeline) -> Phase {
    match pipeline.annotations().get(labels::PHASE).map(String::as_str) {
        Some("Running") => Phase::Running,
        Some("Paused") => Phase::Paused,
        Some("Stopped") => Phase::Stopped,
        _ => pipeline.spec.phase(),
    }
}

/// Decides how many pods of each role run.
pub fn decide(topology: &Topology, apis: &Apis, seen: &Situation<'_>) -> Decision {
    let as_specified: BTreeMap<Role, Run> = topology
        .workers
        .iter()
        .map(|worker| {
            let role = worker.config.role;
            (role, run(worker.replicas, scales_by_lag(role), seen.replicas.get(&role).copied(), apis))
        })
        .collect();
    match seen.phase {
        Phase::Running => Decision { runs: as_specified, phase: None, drain: None, timed_out: Vec::new() },
        Phase::Paused => Draining::of(topology, seen).decide(as_specified, PipelinePhase::Paused),
        Phase::Stopped => Draining::of(topology, seen).decide(as_specified, PipelinePhase::Stopped),
    }
}

/// Roles that own partitions scale by lag, which needs KEDA; others by processor time.
const fn scales_by_lag(role: Role) -> bool {
    role.owns_partitions()
}

/// Without the autoscaler's API the number that runs now is kept within the bounds.
fn run(wanted: Replicas, by_lag: bool, live: Option<u16>, apis: &Apis) -> Run {
    match wanted {
        Replicas::Fixed(replicas) => Run::Fixed(replicas),
        Replicas::Scaled { min, max } if by_lag && !apis.serve(OwnedKind::ScaledObject) => {
            Run::Fixed(live.unwrap_or(min).clamp(min, max))
        }
        Replicas::Scaled { min, max } => Run::Scaled { min, max },
    }
}

struct Draining<'a> {
    seen: &'a Situation<'a>,
    partitions: u16,
    drain: Drain,
    over: bool,
}

impl<'a> Draining<'a> {
    fn of(topology: &Topology, seen: &'a Situation<'a>) -> Self {
        let drain = seen.drain.cloned().unwrap_or(Drain { since: Time(seen.now), ends: BTreeMap::new() });
        let over = seen.now.as_second() - drain.since.0.as_second() >= DRAIN_SECONDS;
        let partitions = topology.stream(Stream::Events).map_or(0, |events| events.partitions);
        Self { seen, partitions, drain, over }
    }

    fn decide(mut self, mut runs: BTreeMap<Role, Run>, target: PipelinePhase) -> Decision {
        let stopping = target == PipelinePhase::Stopped;
        if stopping {
            for (_, run) in runs.iter_mut().filter(|(role, _)| !is_stage(**role)) {
                *run = Run::Resting;
            }
        }
        let mut timed_out = Vec::new();
        let input_ended = !stopping || runs.keys().all(|&role| is_stage(role) || self.rests(role));
        if input_ended {
            self.note(&[Stream::Events], &FIRST);
            let first_done = self.rest(&mut runs, &FIRST, &[Stream::Events], &mut timed_out);
            if first_done && FIRST.iter().all(|&role| self.rests(role)) {
                let others = [Stream::Events, Stream::Sessions, Stream::Alerts, Stream::DeadLetters];
                self.note(&others, &SECOND);
                self.rest(&mut runs, &SECOND, &others, &mut timed_out);
            }
        }
        let at_rest = runs.iter().all(|(role, run)| *run != Run::Resting || self.rests(*role))
            && runs.iter().all(|(role, run)| !is_stage(*role) || *run == Run::Resting);
        let phase = if at_rest { target } else { PipelinePhase::Draining };
        Decision { runs, phase: Some(phase), drain: Some(self.drain), timed_out }
    }

    /// Lets the roles rest that are done; whether all are.
    fn rest(
        &self,
        runs: &mut BTreeMap<Role, Run>,
        roles: &[Role],
        streams: &[Stream],
        timed_out: &mut Vec<Role>,
    ) -> bool {
        let mut all = true;
        for role in roles {
            let Some(run) = runs.get_mut(role) else { continue };
            let done = self.rests(*role) || self.drained(*role, streams);
            if done || self.over {
                *run = Run::Resting;
                if !done {
                    timed_out.push(*role);
                }
            } else {
                all = false;
            }
        }
        all
    }

    fn rests(&self, role: Role) -> bool {
        self.seen.replicas.get(&role).is_none_or(|&replicas| replicas == 0)
    }

    /// Notes the ends of streams as the roles see them, once all partitions are known.
    fn note(&mut self, streams: &[Stream], roles: &[Role]) {
        for stream in streams {
            if self.drain.ends.contains_key(stream) {
                continue;
            }
            let ends: Option<Vec<i64>> = (0..self.partitions)
                .map(|partition| {
                    let ends = roles.iter().filter_map(|&role| self.position(role, *stream, partition));
                    ends.map(|position| position.end).max().and_then(|end| i64::try_from(end).ok())
                })
                .collect();
            if let Some(ends) = ends {
                self.drain.ends.insert(*stream, ends);
            }
        }
    }

    fn position(&self, role: Role, stream: Stream, partition: u16) -> Option<Position> {
        self.seen.positions.get(&(role, stream))?.get(&partition).copied()
    }

    /// Whether the role reached the noted end of every stream that it reads; one that reports nothing did not.
    fn drained(&self, role: Role, streams: &[Stream]) -> bool {
        let mut read = streams.iter().filter(|&&stream| self.seen.positions.contains_key(&(role, stream)));
        let reads_any = read.clone().next().is_some();
        reads_any
            && read.all(|&stream| {
                self.drain.ends.get(&stream).is_some_and(|ends| {
                    (0_u16..).zip(ends).all(|(partition, &end)| {
                        self.position(role, stream, partition)
                            .is_some_and(|seen| i64::try_from(seen.position).is_ok_and(|at| at >= end))
                    })
                })
            })
    }
}

fn is_stage(role: Role) -> bool {
    FIRST.contains(&role) || SECOND.contains(&role)
}

#[cfg(test)]
mod tests;

use parking_crds::pipeline::ParkingPipeline;

use super::*;

const PARTITIONS: u16 = 2;

fn topology() -> Topology {
    let text = include_str!("../../../crds/tests/fixtures/pipeline.yaml");
    let mut pipeline: ParkingPipeline = serde_saphyr::from_str(text).unwrap();
    pipeline.spec.events.partitions = PARTITIONS;
    Topology::of(&pipeline, &[], &[]).unwrap()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn everyone(replicas: u16) -> BTreeMap<Role, u16> {
    topology().workers.iter().map(|worker| (worker.config.role, replicas)).collect()
}

fn positions(of: &[(Role, Stream, u64)], end: u64) -> Positions {
    of.iter()
        .map(|&(role, stream, position)| {
            ((role, stream), (0..PARTITIONS).map(|p| (p, Position { position, end })).collect())
        })
        .collect()
}

fn behind() -> Positions {
    positions(&[(Role::Occupancy, Stream::Events, 3), (Role::Alert, Stream::Events, 5)], 9)
}

fn decide_at(
    phase: Phase,
    drain: Option<&Drain>,
    replicas: &BTreeMap<Role, u16>,
    positions: &Positions,
    second: i64,
) -> Decision {
    let seen = Situation { phase, drain, replicas, positions, now: at(second) };
    decide(&topology(), &Apis::all(), &seen)
}

#[test]
fn a_running_pipeline_has_the_replicas_of_its_spec() {
    let decision = decide_at(Phase::Running, None, &everyone(1), &behind(), 0);
    assert_eq!(decision.phase, None);
    assert_eq!(decision.drain, None);
    assert_eq!(decision.runs[&Role::Ingest], Run::Fixed(2));
    assert_eq!(decision.runs[&Role::Alert], Run::Scaled { min: 1, max: PARTITIONS });
}

#[test]
fn without_keda_the_live_number_is_kept_within_the_bounds() {
    let (replicas, none) = (everyone(9), Positions::new());
    let seen =
        Situation { phase: Phase::Running, drain: None, replicas: &replicas, positions: &none, now: at(0) };
    let decision = decide(&topology(), &Apis::default(), &seen);
    assert_eq!(decision.runs[&Role::Alert], Run::Fixed(PARTITIONS));
}

#[test]
fn a_paused_pipeline_notes_the_ends_and_drains_to_them_while_ingest_goes_on() {
    let first = decide_at(Phase::Paused, None, &everyone(1), &behind(), 100);
    let drain = first.drain.clone().unwrap();
    assert_eq!(drain.ends[&Stream::Events], vec![9, 9]);
    assert_eq!(first.phase, Some(PipelinePhase::Draining));
    assert_eq!(first.runs[&Role::Occupancy], Run::Fixed(2));
    assert_eq!(first.runs[&Role::Ingest], Run::Fixed(2));

    // More came in meanwhile: only what was there at the pause counts.
    let done = positions(&[(Role::Occupancy, Stream::Events, 9), (Role::Alert, Stream::Events, 8)], 40);
    let second = decide_at(Phase::Paused, Some(&drain), &everyone(1), &done, 101);
    assert_eq!(second.runs[&Role::Occupancy], Run::Resting);
    assert_ne!(second.runs[&Role::Alert], Run::Resting);
    assert_eq!(second.drain.as_ref().unwrap().ends[&Stream::Events], vec![9, 9]);
}

#[test]
fn the_archive_drains_after_the_stages_that_feed_it() {
    let drain = Drain { since: Time(at(100)), ends: BTreeMap::from([(Stream::Events, vec![9, 9])]) };
    let archive = |sessions| {
        positions(&[(Role::Archive, Stream::Events, 20), (Role::Archive, Stream::Sessions, sessions)], 20)
    };
    let mut replicas = everyone(1);
    let before = decide_at(Phase::Paused, Some(&drain), &replicas, &archive(20), 101);
    assert_ne!(before.runs[&Role::Archive], Run::Resting, "occupancy and alert still run");

    replicas.extend([(Role::Occupancy, 0), (Role::Alert, 0)]);
    let behind = decide_at(Phase::Paused, Some(&drain), &replicas, &archive(19), 102);
    assert_ne!(behind.runs[&Role::Archive], Run::Resting);
    let done = decide_at(Phase::Paused, behind.drain.as_ref(), &replicas, &archive(20), 103);
    assert_eq!(done.runs[&Role::Archive], Run::Resting);
}

#[test]
fn a_stage_that_does_not_drain_rests_after_ten_minutes_and_is_named() {
    let drain = Drain { since: Time(at(0)), ends: BTreeMap::from([(Stream::Events, vec![9, 9])]) };
    let decision = decide_at(Phase::Paused, Some(&drain), &everyone(1), &behind(), DRAIN_SECONDS);
    assert_eq!(decision.runs[&Role::Occupancy], Run::Resting);
    assert_eq!(decision.timed_out, [Role::Occupancy, Role::Alert]);
}

#[test]
fn a_stopped_pipeline_ends_its_input_before_it_notes_the_ends() {
    let mut replicas = everyone(1);
    let first = decide_at(Phase::Stopped, None, &replicas, &behind(), 0);
    assert_eq!(first.runs[&Role::Ingest], Run::Resting);
    assert!(first.drain.as_ref().unwrap().ends.is_empty());

    replicas.insert(Role::Ingest, 0);
    let second = decide_at(Phase::Stopped, first.drain.as_ref(), &replicas, &behind(), 1);
    assert_eq!(second.drain.unwrap().ends[&Stream::Events], vec![9, 9]);
}

#[test]
fn a_pipeline_made_paused_is_at_rest_at_once() {
    let decision = decide_at(Phase::Paused, None, &BTreeMap::new(), &Positions::new(), 0);
    assert_eq!(decision.phase, Some(PipelinePhase::Paused));
    assert_eq!(decision.runs[&Role::Occupancy], Run::Resting);
    assert_eq!(decision.runs[&Role::Ingest], Run::Fixed(2));
}

#[test]
fn everything_at_rest_is_paused_or_stopped() {
    let drain = Drain { since: Time(at(0)), ends: BTreeMap::new() };
    let paused = decide_at(Phase::Paused, Some(&drain), &everyone(0), &Positions::new(), 1);
    assert_eq!(paused.phase, Some(PipelinePhase::Paused));
    let stopped = decide_at(Phase::Stopped, Some(&drain), &everyone(0), &Positions::new(), 1);
    assert_eq!(stopped.phase, Some(PipelinePhase::Stopped));
    assert!(stopped.runs.values().all(|run| *run == Run::Resting));
}

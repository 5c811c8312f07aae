//! Bugs on purpose: the simulation must find each of them, by the symptom that it causes.

use crate::{planted::Plant, run::run, trace::Trace};

const MOST_SEEDS: u64 = 2_000;

#[track_caller]
fn assert_found(plant: Plant, symptom: &str) {
    let found = (0..MOST_SEEDS).find_map(|seed| {
        let outcome = run(seed, plant, &Trace::default());
        let wrong = outcome.wrong.into_iter().find(|wrong| wrong.contains(symptom))?;
        Some((seed, wrong))
    });
    let Some((seed, wrong)) = found else { panic!("{plant:?} showed no `{symptom}` in {MOST_SEEDS} seeds") };
    println!("{plant:?} was found by seed {seed}: {wrong}");
}

macro_rules! bugs {
    ($($name:ident: $plant:ident by $symptom:literal),+ $(,)?) => {
        $(
            #[test]
            fn $name() {
                assert_found(Plant::$plant, $symptom);
            }
        )+
    };
}

bugs! {
    a_store_without_a_fence_is_found: NoFence by "totals",
    a_commit_whose_base_is_not_checked_is_found: BaseNotChecked by "alerts",
    a_zombie_whose_token_is_accepted_is_found: ZombieTokenAccepted by "an owner that was replaced",
    an_outbox_trimmed_before_it_was_published_is_found: OutboxTrimmedBeforePublish by "sessions:",
    an_outbox_not_published_again_on_claim_is_found: OutboxForgottenByClaim by "sessions:",
    an_offset_stored_before_its_state_is_found: OffsetBeforeState by "totals:",
    a_state_stored_before_its_offset_is_found: StateBeforeOffset by "totals:",
    duplicate_windows_that_are_not_stored_are_found: DuplicateWindowsNotStored by "totals:",
    ids_that_are_not_stored_are_found: IdsNotStored by "totals:",
    a_watermark_that_is_not_restored_is_found: WatermarkNotRestored by "totals:",
    timers_that_are_not_armed_again_are_found: TimersNotRearmed by "alerts:",
    a_zone_that_is_not_stored_is_found: ZoneNotStored by ", zone",
    revisions_that_restart_are_found: RevisionsRestarted by "revisions of session",
    dead_letters_counted_twice_are_found: LastRecordSteppedAgain by "totals of dead letters",
    an_archive_that_ignores_the_lakes_positions_is_found: LakePositionsIgnored by "rows of table",
    a_lake_checked_on_another_snapshot_is_found: LakeCheckedOnAnotherSnapshot by "rows of table",
    a_torn_file_that_is_kept_is_found: TornFileKept by "a row that cannot be read",
    an_archives_memory_of_another_position_is_found: NewestMemoryTaken by "rows of table events",
    outputs_archived_twice_are_found: OriginsForgotten by "rows of table",
    a_snapshot_that_names_a_later_offset_is_found: SnapshotOffsetTooLate by "totals:",
    a_snapshot_of_another_partition_is_found: SnapshotOfAnotherPartition by "totals:",
    a_torn_snapshot_that_is_believed_is_found: TornSnapshotBelieved by "totals",
    a_stage_that_begins_anew_though_it_has_snapshots_is_found: SnapshotsNotFound by "totals:",
    zones_that_are_not_rebuilt_are_found: ZonesNotRebuilt by ", zone",
    an_answer_before_the_record_is_durable_is_found: AnsweredBeforeDurable by "acknowledged records are not in the log",
}

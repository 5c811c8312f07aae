//! The roles of a pipeline as tasks: one stage a role and partition, one archive for all.
//!
//! Invariant: the archive ends after the stages, so that it has seen all that they published.

use std::sync::Arc;

use parking_crds::duration::Duration;
use tokio::{sync::watch, task::JoinSet};
use uuid::Uuid;

use super::{Pipeline, UpError, sleep::Sleep, tables};
use crate::{
    adapters::lake::DeltaLake,
    domain::alert::{RuleSet, Settings, bare_name},
    http::{RefusedRule, StatusBoard},
    ports::{ErrorKind, PortError, clock::Clock},
    runtime::{
        archive::Flush,
        rest::Silence,
        role::{Duty, RoleStage, Together},
        stage::{StageError, StageRunner, Turn},
    },
};

/// How long a stage rests after a failure that may pass.
const REST: Duration = Duration::from_millis(500);

/// Running roles.
pub(super) struct Roles {
    stages: JoinSet<Result<(), StageError>>,
    archive: JoinSet<Result<(), UpError>>,
    stages_end: watch::Sender<bool>,
    archive_ends: watch::Sender<Option<Flush>>,
}

/// What every stage's task is given.
#[derive(Clone)]
struct Driver {
    board: Arc<StatusBoard>,
    clock: Arc<dyn Clock>,
    ends: watch::Receiver<bool>,
    silence: Silence,
}

impl Roles {
    /// Starts all of them.
    pub(super) fn start(pipeline: &Pipeline<'_>, lake: &Arc<DeltaLake>, board: &Arc<StatusBoard>) -> Self {
        let (archive_ends, archive_end) = watch::channel(None);
        let archive = tables::archive(pipeline, lake, board.ports());
        let archive = JoinSet::from_iter([tables::drive(
            archive,
            Sleep::new(pipeline, lake),
            pipeline.ports.clone(),
            archive_end,
        )]);
        let (stages_end, ends) = watch::channel(false);
        let driver = Driver {
            board: Arc::clone(board),
            clock: Arc::clone(&pipeline.ports.clock),
            ends,
            silence: Silence {
                clock: Arc::clone(&pipeline.ports.clock),
                idle_after: (!pipeline.options.until_idle)
                    .then(|| pipeline.deployment.pipeline.spec.events.idle_after()),
                tenant: pipeline.name.clone(),
            },
        };
        let stages = start_stages(pipeline, &load_rules(pipeline, board), &driver);
        Self { stages, archive, stages_end, archive_ends }
    }

    /// Completes when a role fails; roles do not end otherwise.
    pub(super) async fn failure(&mut self) -> UpError {
        let ended = || PortError::new(ErrorKind::Closed, "running a role to the end of its input").into();
        tokio::select! {
            Some(stage) = self.stages.join_next() => match stage {
                Ok(Ok(())) => ended(),
                Ok(Err(error)) => error.into(),
                Err(error) => error.into(),
            },
            Some(archive) = self.archive.join_next() => match archive {
                Ok(Ok(())) => ended(),
                Ok(Err(error)) => error,
                Err(error) => error.into(),
            },
            else => ended(),
        }
    }

    /// Lets every role finish what is in the log. Rows that reached no limit wait for the next run where
    /// `flush` says so.
    pub(super) async fn drain(mut self, flush: Flush) -> Result<(), UpError> {
        self.stages_end.send_replace(true);
        while let Some(stage) = self.stages.join_next().await {
            stage??;
        }
        self.archive_ends.send_replace(Some(flush));
        while let Some(archive) = self.archive.join_next().await {
            archive??;
        }
        Ok(())
    }
}

fn load_rules(pipeline: &Pipeline<'_>, board: &StatusBoard) -> Arc<RuleSet> {
    let (rules, refused) = RuleSet::compile(&pipeline.deployment.rules);
    let refused: Vec<_> = refused
        .into_iter()
        .map(|(rule, error)| RefusedRule { rule, reason: error.reason(), message: error.to_string() })
        .collect();
    for RefusedRule { rule, reason, message } in &refused {
        tracing::warn!(rule, reason, "rule refused, the others go on: {message}");
    }
    let names = pipeline.deployment.rules.iter().filter_map(|rule| rule.metadata.name.clone());
    let is_refused = |name: &String| refused.iter().any(|one| bare_name(&one.rule) == name);
    board.rules(names.filter(|name| !is_refused(name)).collect(), refused.clone());
    Arc::new(rules)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the composition root is where tasks begin and owners get their names"
)]
fn start_stages(
    pipeline: &Pipeline<'_>,
    rules: &Arc<RuleSet>,
    driver: &Driver,
) -> JoinSet<Result<(), StageError>> {
    let (limits, commit) = (pipeline.limits, pipeline.options.commit);
    let ports = driver.board.ports().ports(Together::ROLE, &pipeline.ports);
    let mut stages = JoinSet::new();
    for partition in 0..pipeline.partitions {
        let (inventory, rules) = (Arc::clone(&pipeline.deployment.inventory), Arc::clone(rules));
        let settings = Settings { tenant: pipeline.name.clone(), partition };
        let make = move || RoleStage::together(limits, &inventory, &rules, settings.clone());
        let runner = StageRunner::new(ports.clone(), partition, commit, make, Uuid::new_v4);
        stages.spawn(drive(runner, driver.clone()));
    }
    stages
}

type Runner = StageRunner<RoleStage<Together>>;

/// Turns the stage of a partition until it is told to end and nothing is left to step.
async fn drive(mut runner: Runner, mut driver: Driver) -> Result<(), StageError> {
    let (mut started, partition) = (false, runner.source().partition);
    let mut heard = driver.clock.monotonic();
    loop {
        let ends = *driver.ends.borrow_and_update();
        match runner.turn().await {
            Ok(turn) => {
                if !std::mem::replace(&mut started, true) {
                    driver.board.stage_started();
                }
                match turn {
                    Turn::Advanced => {
                        heard = driver.clock.monotonic();
                        tokio::task::yield_now().await;
                    }
                    Turn::Fenced => tracing::warn!(partition, "another owner took a stage over"),
                    Turn::Idle if ends => return Ok(()),
                    Turn::Idle | Turn::Waiting => {
                        heard = tokio::select! {
                            rested = driver.silence.rest(&runner, heard) => rested?,
                            _ = driver.ends.changed() => heard,
                        };
                    }
                }
            }
            Err(StageError::Port(error)) if error.kind == ErrorKind::Transient => {
                tracing::warn!(partition, "a stage failed, trying again: {error}");
                driver.board.stage_restarted(partition);
                driver.clock.pause(REST).await;
            }
            Err(error) => return Err(error),
        }
    }
}

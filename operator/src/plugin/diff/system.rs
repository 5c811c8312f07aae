//! What the operator would make of a pipeline, compared with what is there.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use parking_crds::{
    condition::{ConditionType, Reason},
    inventory::Inventory,
    names::Namespace,
    pipeline::{ParkingPipeline, Phase},
    topology::{PipelineId, Topology},
};

use super::{
    CONCURRENCY,
    change::{Change, Verb, goes, recomputed, rolls, stakes},
    dry_run,
    subject::{Files, Subject},
};
use crate::{
    apis::Apis,
    labels, lifecycle,
    live::{Observed, is_ours, is_terminating},
    observe::{Children, kafka_namespace, observe},
    plan::{self, Plan},
    plugin::{Failure, Session},
    problem::Problem,
    settings::{PlanSettings, Settings},
    status::alert_rule::Verdict,
    validate::{self, Assembled, Facts, JobSurroundings, KeptSecret, RedisLogin, assemble},
    versions::Versions,
};

/// What would happen.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) changes: Vec<Change>,
    pub(super) rolls: Vec<String>,
    pub(super) stakes: Vec<String>,
    pub(super) problems: Vec<String>,
}

impl Outcome {
    pub(super) fn extend(&mut self, other: Self) {
        self.changes.extend(other.changes);
        self.rolls.extend(other.rolls);
        self.stakes.extend(other.stakes);
        self.problems.extend(other.problems);
    }

    /// Whether the API server refuses the pipeline.
    pub(super) fn refuses(&self, pipeline: &ParkingPipeline) -> bool {
        self.changes.iter().any(|change| {
            change.kind == "ParkingPipeline"
                && change.name == pipeline.name_any()
                && matches!(change.verb, Verb::Refused(_))
        })
    }
}

/// Everything that a plan depends on besides the pipeline.
pub(super) struct Surroundings<'a> {
    pub(super) session: &'a Session,
    pub(super) apis: &'a Apis,
    pub(super) settings: Option<&'a Settings>,
    pub(super) files: &'a Files,
    pub(super) now: Timestamp,
}

impl Surroundings<'_> {
    /// Plans a pipeline and asks the API server about each object.
    pub(super) async fn would_become(&self, subject: &Subject) -> Result<Outcome, Failure> {
        let pipeline = &subject.pipeline;
        let topology =
            Topology::of(pipeline, &[], &[]).map_err(|error| Failure::Refused(error.to_string()))?;
        let id = topology.pipeline.clone();
        let what = format!("looking at what ParkingPipeline {id} consists of");
        let spec = &pipeline.spec;
        let mut observed = observe(
            &self.session.client,
            self.apis,
            &topology,
            &spec.kafka,
            &spec.inventory,
            Children::All,
            &Versions::default(),
        )
        .await
        .map_err(Failure::observe(what))?;
        self.add_files(&mut observed, pipeline, &id);
        let assembled = self.assembled(subject, topology, &observed);
        let mut outcome = Outcome { problems: problems(&assembled), ..Outcome::default() };
        let Some(valid) = &assembled.valid else {
            outcome.stakes = stakes(subject.before.as_ref(), pipeline, &[]);
            return Ok(outcome);
        };
        let mut planned = plan::plan(valid);
        let kept = self.add_jobs(subject, &mut planned, &mut outcome);
        outcome.changes = self.dry_runs(&planned, &observed).await?;
        if pipeline.metadata.deletion_timestamp.is_none() {
            outcome.changes.extend(surplus(&planned, &observed, &kept));
        }
        outcome.rolls = rolls(&outcome.changes, &observed.live);
        outcome.stakes.extend(stakes(subject.before.as_ref(), pipeline, &outcome.changes));
        let grown = assembled.grow.iter();
        outcome
            .problems
            .extend(grown.map(|claim| format!("volume {claim} grows; it can never shrink again")));
        Ok(outcome)
    }

    /// What the files hold is there by the time at which the operator looks.
    fn add_files(&self, observed: &mut Observed, pipeline: &ParkingPipeline, id: &PipelineId) {
        let here = |namespace: Option<String>| namespace.as_deref() == Some(id.namespace.as_str());
        for secret in self.files.secrets.iter().filter(|secret| here(secret.namespace())) {
            observed.secrets.insert((id.namespace.to_string(), secret.name_any()), secret.clone());
        }
        let named = pipeline.spec.inventory.config_map_ref.as_ref().map(|map| map.name.as_str().to_owned());
        let map =
            self.files.config_maps.iter().find(|map| here(map.namespace()) && Some(map.name_any()) == named);
        if let Some(map) = map {
            observed.inventory = Some(map.clone());
        }
    }

    fn assembled(&self, subject: &Subject, topology: Topology, observed: &Observed) -> Assembled {
        let pipeline = &subject.pipeline;
        let inventory = inventory(pipeline, observed);
        let settings = Arc::new(self.plan_settings());
        let known = pipeline.status.as_ref().map(|status| status.topic_ids.clone()).unwrap_or_default();
        let runs = match lifecycle::wanted(pipeline) {
            Phase::Running => {
                let replicas = BTreeMap::new();
                let situation = lifecycle::Situation {
                    phase: Phase::Running,
                    drain: None,
                    replicas: &replicas,
                    positions: &BTreeMap::new(),
                    now: self.now,
                };
                lifecycle::decide(&topology, self.apis, &situation).runs
            }
            rest @ (Phase::Paused | Phase::Stopped) => validate::runs(rest, &topology),
        };
        assemble(Facts {
            pipeline,
            observed,
            inventory: inventory.as_ref().map(Option::as_ref).map_err(Clone::clone),
            rules: &subject.rules,
            runs,
            apis: self.apis,
            settings: &settings,
            kafka_namespaces: &self.kafka_namespaces(pipeline, &topology.pipeline),
            login: observed
                .secret(&topology.pipeline.namespace, &topology.pipeline.redis_secret())
                .and_then(RedisLogin::of)
                .unwrap_or_else(|| RedisLogin::new(KeptSecret("made-by-the-operator".to_owned()), None)),
            previous_may_go: false,
            volumes_grow: true,
            topic_ids: &known,
            topology,
        })
    }

    fn plan_settings(&self) -> PlanSettings {
        self.settings.map(|settings| settings.plan.clone()).unwrap_or_default()
    }

    /// An operator that could not be asked is taken to allow what the pipeline needs.
    fn kafka_namespaces(
        &self,
        pipeline: &ParkingPipeline,
        id: &PipelineId,
    ) -> BTreeMap<Namespace, Vec<Namespace>> {
        match self.settings {
            Some(settings) => settings.kafka_namespaces.clone(),
            None => kafka_namespace(id, &pipeline.spec.kafka)
                .parse()
                .map(|kafka| BTreeMap::from([(kafka, vec![id.namespace.clone()])]))
                .unwrap_or_default(),
        }
    }

    /// Adds what runs of statistics need. Answers with jobs that cannot be planned: nothing of theirs is touched.
    fn add_jobs(&self, subject: &Subject, planned: &mut Plan, outcome: &mut Outcome) -> BTreeSet<String> {
        let settings = Arc::new(self.plan_settings());
        let mut kept = BTreeSet::new();
        for job in &subject.jobs {
            let around = JobSurroundings {
                pipeline: Some(&subject.pipeline),
                jobs: &subject.jobs,
                missing_secrets: &BTreeSet::new(),
                apis: self.apis,
                settings: &settings,
            };
            match validate::stats_job(job, &around) {
                Ok(valid) => planned.merge(plan::stats_objects(&valid)),
                Err(problems) => {
                    kept.insert(job.name_any());
                    let told =
                        |problem: &Problem| format!("StatsJob {}: {}", job.name_any(), problem.message);
                    outcome.problems.extend(problems.iter().map(told));
                }
            }
            let before = subject.jobs_before.iter().find(|before| before.name_any() == job.name_any());
            outcome.stakes.extend(recomputed(before, job));
        }
        kept
    }

    async fn dry_runs(&self, planned: &Plan, observed: &Observed) -> Result<Vec<Change>, Failure> {
        let served = planned.objects.iter().filter(|object| self.apis.serve(object.kind));
        let runs: Vec<_> = served
            .map(|object| dry_run::of_plan(&self.session.client, self.apis, &observed.live, object))
            .collect();
        let found: Vec<Option<Change>> = stream::iter(runs).buffered(CONCURRENCY).try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }
}

/// The inventory that the pipeline names, if it names one that can be read here.
fn inventory(pipeline: &ParkingPipeline, observed: &Observed) -> Result<Option<Inventory>, Problem> {
    let Some(reference) = &pipeline.spec.inventory.config_map_ref else { return Ok(None) };
    let key = reference.key.as_ref().map_or("inventory.yaml", |key| key.as_str());
    let refused = |message| Problem::invalid(ConditionType::WorkersAvailable, message);
    let text = observed.inventory.as_ref().and_then(|map| map.data.as_ref()?.get(key));
    let text = text.ok_or_else(|| {
        refused(format!(
            "ConfigMap {} with the key {key} is missing: create it, or correct spec.inventory",
            reference.name
        ))
    })?;
    Inventory::parse(text)
        .map(Some)
        .map_err(|error| refused(format!("ConfigMap {}, key {key}: {error}", reference.name)))
}

/// What keeps the pipeline from being as specified; what merely takes its time is left out.
fn problems(assembled: &Assembled) -> Vec<String> {
    let lasting = assembled.problems.iter().filter(|problem| problem.reason != Reason::Waiting);
    let told = lasting.map(|problem| format!("{}: {}", problem.condition.as_str(), problem.message));
    let rules = assembled.verdicts.iter().filter_map(|(name, verdict)| match verdict {
        Verdict::Refused(problem) => Some(format!("AlertRule {name}: {}", problem.message)),
        Verdict::Accepted { .. } | Verdict::Disabled => None,
    });
    told.chain(rules).collect()
}

/// Objects of the operator that nobody plans any more.
fn surplus(planned: &Plan, observed: &Observed, kept: &BTreeSet<String>) -> Vec<Change> {
    let wanted: BTreeSet<_> = planned.objects.iter().map(plan::Planned::key).collect();
    let of_kept = |object: &kube::core::DynamicObject| {
        object.labels().get(labels::STATS_JOB).is_some_and(|job| kept.contains(job))
    };
    let surplus = observed.live.iter().filter(|(key, object)| {
        goes(key.kind)
            && !wanted.contains(key)
            && is_ours(object)
            && !is_terminating(object)
            && !of_kept(object)
    });
    surplus
        .map(|(key, _)| Change {
            kind: key.kind.row().name.to_owned(),
            namespace: key.namespace.clone(),
            name: key.name.clone(),
            verb: Verb::Deleted,
        })
        .collect()
}

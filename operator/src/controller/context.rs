//! What the loops share: the client, the stores of our kinds, and what is remembered between two looks.
//!
//! Invariant: whatever is remembered here can be lost; a look after a restart comes to the same end.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use kube::{
    Client, ResourceExt,
    runtime::reflector::{ObjectRef, Store},
};
use parking_crds::{
    alert_rule::AlertRule, inventory::Inventory, names::RuleName, pipeline::ParkingPipeline,
    stats_job::StatsJob, topology::PipelineId,
};
use tokio::sync::{
    mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    watch,
};

use crate::{
    apis::Apis,
    backoff::Backoff,
    bucket::Connections,
    error::Class,
    live::Observed,
    metrics::Metrics,
    monotonic::{self, Instant},
    object::{ObjectId, ObjectKind},
    observe::ObserveError,
    outgoing::Outgoing,
    owned_kinds::OwnedKind,
    poll::{secrets::SecretPolls, workers::WorkerPolls},
    rollout::Rollouts,
    server::Health,
    settings::{PlanSettings, Settings},
    status::alert_rule::Verdict,
    validate::{KeptSecret, RedisLogin},
    versions::Versions,
};

use super::{Echoes, Events, Guarded, Listed, Looks, bucket::KnownBucket, verdicts::Verdicts};

/// The part of a resync after which a look does what is done once a resync: it reads everything anew and asks for looks
/// at its rules. The resync's own look comes later.
const ANEW: f64 = 0.8;

/// Everything that exists of our kinds, as watched.
#[derive(Clone)]
pub struct Stores {
    /// Pipelines.
    pub pipelines: Store<Guarded<ParkingPipeline>>,
    /// Rules.
    pub rules: Store<Guarded<AlertRule>>,
    /// Statistics jobs.
    pub jobs: Store<Guarded<StatsJob>>,
    /// Whether they hold everything.
    pub listed: Listed,
    /// What the operator itself made them hold.
    pub echoes: Echoes,
}

/// Where looks are asked for.
#[derive(Clone)]
pub struct Triggers {
    looks: [Looks; ObjectKind::ALL.len()],
    counts: UnboundedSender<PipelineId>,
}

impl Triggers {
    /// Nothing is asked for yet; and where the counts that were asked for arrive.
    pub fn new(concurrency: u16, health: &Health) -> (Self, UnboundedReceiver<PipelineId>) {
        let (counts, of_counts) = unbounded_channel();
        let looks = ObjectKind::ALL.map(|kind| Looks::new(kind, concurrency, health.clone()));
        (Self { looks, counts }, of_counts)
    }

    /// Asks for the counts of a pipeline to be written.
    pub fn count(&self, pipeline: PipelineId) {
        // A closed channel means that the loop has ended: nobody is left to write them.
        let _ = self.counts.send(pipeline);
    }

    /// Asks for a look at an object.
    pub fn look(&self, object: ObjectId) {
        self.looks(object.kind).ask(object);
    }

    /// The looks at objects of a kind.
    pub fn looks(&self, kind: ObjectKind) -> &Looks {
        let [pipelines, rules, jobs] = &self.looks;
        match kind {
            ObjectKind::Pipeline => pipelines,
            ObjectKind::AlertRule => rules,
            ObjectKind::StatsJob => jobs,
        }
    }

    /// Looks that no controller is told of.
    #[cfg(test)]
    pub(super) fn untold() -> Self {
        let metrics = Metrics::new().unwrap();
        Self::new(1, &Health::new(metrics)).0
    }
}

/// What is remembered of a pipeline between two looks.
#[derive(Default)]
pub(super) struct Memory {
    /// The passwords of its Redis, as they shall be.
    pub login: Option<RedisLogin>,
    /// The password that its Redis is about to get.
    pub next_password: Option<KeptSecret>,
    /// What lasts in its Redis.
    pub redis: crate::redis::Waits,
    /// Its bucket.
    pub bucket: Option<KnownBucket>,
    /// Its inventory, by the version of the ConfigMap.
    pub inventory: Option<(String, Arc<Result<Inventory, String>>)>,
    /// Whether it was looked at: who depends on it waits for that.
    pub looked: bool,
    /// When counts were written to its status last.
    pub counted: Option<Instant>,
    /// How new the lists of the last look were, if it wrote nothing, and when all were the newest.
    pub lists: Option<(Versions, Instant)>,
}

/// What the loops share.
pub struct Context {
    /// The client behind the gate.
    pub client: Client,
    /// What the operator was told.
    pub settings: Settings,
    /// The same, as far as it shapes plans.
    pub plan: Arc<PlanSettings>,
    /// Identity of the cluster: the uid of its first namespace.
    pub cluster: String,
    /// Which optional APIs the cluster serves.
    pub apis: watch::Receiver<Arc<Apis>>,
    /// Everything that exists of our kinds.
    pub stores: Stores,
    /// Where looks are asked for.
    pub triggers: Triggers,
    /// What is measured.
    pub metrics: Metrics,
    /// What is told about the process.
    pub health: Health,
    /// Who writes Events.
    pub events: Events,
    /// How buckets are talked to.
    pub buckets: Connections,
    /// Which pipelines may roll.
    pub rollouts: Rollouts,
    /// Who asks for Secrets again and again.
    pub secrets: SecretPolls,
    /// Who asks workers again and again.
    pub workers: WorkerPolls,
    pub(super) remembered: Mutex<Remembered>,
    /// The newest that watches have told of each kind.
    heard: Mutex<Versions>,
}

/// What is remembered between looks.
#[derive(Default)]
pub(super) struct Remembered {
    backoff: Backoff,
    pipelines: BTreeMap<PipelineId, Memory>,
    verdicts: BTreeMap<PipelineId, Arc<Verdicts>>,
}

impl Context {
    /// Nothing is remembered yet.
    #[expect(clippy::too_many_arguments, reason = "each part is made elsewhere and shared here")]
    pub fn new(
        client: Client,
        settings: Settings,
        cluster: String,
        apis: watch::Receiver<Arc<Apis>>,
        stores: Stores,
        triggers: Triggers,
        metrics: Metrics,
        health: Health,
        events: Events,
        outgoing: Outgoing,
    ) -> Result<Self, reqwest::Error> {
        let allowed = move |ip| outgoing.judge((ip, 0).into()).is_ok();
        Ok(Self {
            buckets: Connections::new(Arc::new(allowed)),
            plan: Arc::new(settings.plan.clone()),
            rollouts: Rollouts::new(settings.max_rolling_pipelines),
            secrets: SecretPolls::new(metrics.clone()),
            workers: WorkerPolls::new(settings.worker_poll, metrics.clone())?,
            remembered: Mutex::default(),
            heard: Mutex::default(),
            client,
            settings,
            cluster,
            apis,
            stores,
            triggers,
            metrics,
            health,
            events,
        })
    }

    fn remembered(&self) -> MutexGuard<'_, Remembered> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether objects of the namespace are reconciled.
    pub fn serves(&self, namespace: &str) -> bool {
        let namespaces = &self.settings.namespaces;
        namespaces.is_empty() || namespaces.iter().any(|served| served.as_str() == namespace)
    }

    /// The APIs that are served now.
    pub fn apis(&self) -> Arc<Apis> {
        Arc::clone(&self.apis.borrow())
    }

    /// A watch has told of that version of an object of a kind.
    pub(super) fn hear(&self, kind: OwnedKind, version: &str) {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).note(kind, version);
    }

    /// How new the lists of a look at a pipeline must be: as new as those of the look before and what was heard since.
    /// They must be the newest after a look that wrote or failed, and once a resync; then when that was is now.
    pub(super) fn oldest_lists(&self, id: &PipelineId) -> (Versions, Instant) {
        match self.remember(id, |memory| memory.lists.take()).filter(|(_, since)| !self.is_due(*since)) {
            Some((read, since)) => {
                (read.and(&self.heard.lock().unwrap_or_else(PoisonError::into_inner)), since)
            }
            None => (Versions::default(), monotonic::now()),
        }
    }

    /// A look wrote nothing: what it saw is what stands, until more is heard.
    pub(super) fn keep_lists(&self, id: &PipelineId, observed: &Observed, newest_at: Instant) {
        self.remember(id, |memory| memory.lists = Some((observed.versions.clone(), newest_at)));
    }

    /// A look failed: where the API server's versions began anew, it never reaches those that are remembered.
    pub(super) fn lists_failed(&self, error: &ObserveError) {
        if matches!(error.request(), kube::Error::Api(status) if status.code == 504) {
            self.remembered().pipelines.values_mut().for_each(|memory| memory.lists = None);
            *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Versions::default();
        }
    }

    /// Changes what is remembered of a pipeline.
    pub(super) fn remember<T>(&self, id: &PipelineId, change: impl FnOnce(&mut Memory) -> T) -> T {
        change(self.remembered().pipelines.entry(id.clone()).or_default())
    }

    /// What became of the rules of a pipeline when it was looked at last.
    pub(super) fn verdicts(&self, id: &PipelineId) -> Option<Arc<Verdicts>> {
        self.remembered().verdicts.get(id).cloned()
    }

    /// Keeps what became of a pipeline's rules, and asks for the looks at rules that follow from it.
    pub(super) fn keep_verdicts(&self, id: &PipelineId, of: BTreeMap<RuleName, (i64, Verdict)>, asked: bool) {
        let before = self.verdicts(id);
        let is_due = |last| self.is_due(last);
        let (verdicts, changed) = Verdicts::after(before.as_deref(), of, asked, monotonic::now(), is_due);
        self.remembered().verdicts.insert(id.clone(), Arc::new(verdicts));
        for rule in changed {
            let namespace = id.namespace.as_str();
            self.triggers.look(ObjectId::new(ObjectKind::AlertRule, namespace, rule.as_str()));
        }
    }

    /// Whether what is done once a resync is to be done again.
    fn is_due(&self, last: Instant) -> bool {
        monotonic::now() - last > self.settings.resync.mul_f64(ANEW)
    }

    /// The pipeline is gone.
    pub(super) fn forget_pipeline(&self, id: &PipelineId) {
        let object = ObjectId::new(ObjectKind::Pipeline, id.namespace.as_str(), id.name.as_str());
        {
            let mut remembered = self.remembered();
            remembered.pipelines.remove(id);
            remembered.verdicts.remove(id);
            remembered.backoff.forget(&object);
        }
        self.rollouts.forget(id);
        self.workers.forget(id);
        self.secrets.forget(&object);
        self.metrics.forget(&object);
    }

    /// A look went well.
    pub(super) fn succeeded(&self, object: &ObjectId) {
        self.remembered().backoff.forget(object);
    }

    /// A look failed: how long to wait.
    pub(super) fn failed(&self, object: &ObjectId, class: Class, hint: Option<Duration>) -> Duration {
        self.remembered().backoff.failed(object, class, rand::random(), hint)
    }

    /// A pipeline that exists and can be read.
    pub(super) fn pipeline(&self, namespace: &str, name: &str) -> Option<Arc<ParkingPipeline>> {
        let found = self.stores.pipelines.get(&ObjectRef::new(name).within(namespace))?;
        found.0.as_ref().ok().cloned()
    }

    /// Every pipeline that exists.
    pub(super) fn all_pipelines(&self) -> BTreeSet<PipelineId> {
        let pipelines = self.stores.pipelines.state();
        let decoded = pipelines.iter().filter_map(|pipeline| pipeline.0.as_ref().ok());
        decoded
            .filter(|pipeline| self.serves(&pipeline.namespace().unwrap_or_default()))
            .filter(|pipeline| pipeline.metadata.deletion_timestamp.is_none())
            .filter_map(|pipeline| PipelineId::of(pipeline).ok())
            .collect()
    }

    /// The rules that name a pipeline.
    pub(super) fn rules_of(&self, id: &PipelineId) -> Vec<AlertRule> {
        let rules = self.stores.rules.state();
        let decoded = rules.iter().filter_map(|rule| rule.0.as_ref().ok());
        decoded
            .filter(|rule| rule.spec.pipeline_ref.name.as_str() == id.name.as_str())
            .filter(|rule| rule.namespace().as_deref() == Some(id.namespace.as_str()))
            .filter(|rule| rule.metadata.deletion_timestamp.is_none())
            .map(|rule| rule.as_ref().clone())
            .collect()
    }
}

/// A pause of about that length, so that objects of the same age are not looked at together.
pub(super) fn spread(pause: Duration) -> Duration {
    pause.mul_f64(0.9 + 0.2 * rand::random::<f64>())
}

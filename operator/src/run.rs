//! The operator's life in a cluster: serve probes, wait for the definitions, lead, reconcile, stop.
//!
//! Invariants: nothing is written before this replica leads; a lost leadership ends the process.

use std::{collections::BTreeSet, future::Future, net::SocketAddr, sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::Namespace as NamespaceObject;
use kube::{
    Api, Client, Config, ResourceExt,
    runtime::{Controller, events::Reporter},
};
use parking_crds::{
    alert_rule::AlertRule, pipeline::ParkingPipeline, stats_job::StatsJob, topology::PipelineId,
};
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
    task::{JoinHandle, JoinSet},
};

use crate::{
    apis::Apis,
    controller::{self, Context, Echoes, Events, Guarded, Listed, Stores, Triggers, relations, watches},
    discovery,
    gate::{self, GateLayer, GateSettings, LeaseName},
    labels,
    leader::{Election, Ended, Leadership, Terms, leadership},
    metrics::{Metrics, MetricsError},
    monotonic,
    outgoing::Outgoing,
    server::{self, Health},
    settings::Settings,
};

/// Pause between two looks for the definitions.
const DEFINITIONS: Duration = Duration::from_secs(5);

/// How long work that was broken off may take to its next pause.
const LAST_STEP: Duration = Duration::from_secs(1);

/// The operator could not run, or must not run on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// There is no way to the API server.
    #[error("no way to an API server is known: run in a pod with a service account, or set KUBECONFIG ({0})")]
    Config(#[from] kube::config::InferConfigError),
    /// The API server does not answer as it must.
    #[error("the API server could not be asked: {0}")]
    Api(#[from] kube::Error),
    /// The address for probes is taken.
    #[error("{address} cannot be listened on: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The metrics contradict themselves.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// No HTTP client can be made.
    #[error("no HTTP client can be made: {0}")]
    Http(#[from] reqwest::Error),
    /// Another replica leads now.
    #[error("the leadership was lost: this replica ends so that it writes nothing more")]
    LeadershipLost,
    /// The loops came to an end by themselves; a leader that does nothing would keep the others from it.
    #[error("the work broke off ({0}): this replica ends so that another one leads")]
    Broken(#[from] tokio::task::JoinError),
}

/// Runs until told to stop.
#[expect(clippy::disallowed_methods, reason = "the composition root is where tasks begin")]
pub async fn run(
    settings: Settings,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), RunError> {
    let (stopping, stopped) = watch::channel(false);
    tokio::spawn(async move {
        stop.await;
        let _ = stopping.send(true);
    });
    let metrics = Metrics::new()?;
    let health = Health::new(metrics.clone());
    let listener = TcpListener::bind(settings.listen)
        .await
        .map_err(|source| RunError::Listen { address: settings.listen, source })?;
    let server = tokio::spawn(server::serve(listener, health.clone(), until(stopped.clone())));
    let (publisher, leads) = leadership();
    let lease = LeaseName {
        namespace: settings.plan.operator_namespace.to_string(),
        name: settings.lease_name.to_string(),
    };
    let writes = settings.writes_per_second.try_into().unwrap_or(std::num::NonZeroU32::MIN);
    let layer = GateLayer::new(GateSettings::new(lease.clone(), writes), leads.clone(), metrics.clone());
    let config = Config::infer().await?;
    let api_server = addresses(&config).await;
    let client = gate::client(config, &layer)?;
    if !definitions(&client, &health, stopped.clone()).await {
        return Ok(());
    }
    let identity = format!("{}-{:08x}", settings.identity, rand::random::<u32>());
    let election = Election::new(client.clone(), &lease, Terms::new(identity), publisher, metrics.clone());
    let quiet = layer.clone();
    let election = tokio::spawn(election.run(until(stopped.clone()), async move { quiet.quiet().await }));
    let mut work = tokio::spawn(lead(client, settings, metrics, health, api_server, leads, stopped));
    let ended = tokio::select! {
        ended = election => match ended {
            Ok(Ended::Stopped) => Ok(()),
            Ok(Ended::Lost) | Err(_) => Err(RunError::LeadershipLost),
        },
        failure = failure(&mut work) => Err(failure),
    };
    work.abort();
    server.abort();
    // Work that is in the middle of a step would find the runtime gone, and panic.
    if !work.is_finished() {
        let _ = monotonic::within(LAST_STEP, work).await;
    }
    ended
}

/// Why the work failed; never ends where it came to its regular end.
async fn failure(work: &mut JoinHandle<Result<(), RunError>>) -> RunError {
    match work.await {
        Ok(Ok(())) => std::future::pending().await,
        Ok(Err(error)) => error,
        Err(error) => error.into(),
    }
}

async fn until(mut stopped: watch::Receiver<bool>) {
    // A sender that is gone cannot say more: that is a stop as well.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// The API server's own addresses, which user-given URLs may not name.
async fn addresses(config: &Config) -> Vec<SocketAddr> {
    let host = config.cluster_url.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let port = config.cluster_url.port_u16().unwrap_or(443);
    match tokio::net::lookup_host((host, port)).await {
        Ok(addresses) => addresses.collect(),
        Err(_) => Vec::new(),
    }
}

/// Waits until our own definitions are served; whether they are before the stop.
async fn definitions(client: &Client, health: &Health, stopped: watch::Receiver<bool>) -> bool {
    let wait = async {
        loop {
            match discovery::missing_definitions(client).await {
                Ok(missing) if missing.is_empty() => {
                    health.missing_crds(BTreeSet::new());
                    return;
                }
                Ok(missing) => {
                    let names: Vec<&str> = missing.iter().map(String::as_str).collect();
                    tracing::warn!(
                        missing = names.join(", "),
                        "definitions are missing: install the chart parking-operator-crds"
                    );
                    health.missing_crds(missing);
                }
                Err(error) => tracing::warn!(%error, "the API server does not answer; it is asked again"),
            }
            monotonic::sleep(DEFINITIONS).await;
        }
    };
    tokio::select! {
        () = wait => true,
        () = until(stopped) => false,
    }
}

/// Waits for the leadership, then reconciles.
async fn lead(
    client: Client,
    settings: Settings,
    metrics: Metrics,
    health: Health,
    api_server: Vec<SocketAddr>,
    mut leads: watch::Receiver<Leadership>,
    stopped: watch::Receiver<bool>,
) -> Result<(), RunError> {
    if leads.wait_for(|leads| matches!(leads, Leadership::Until(_))).await.is_err() {
        return Ok(());
    }
    tracing::info!("this replica leads");
    let (apis_sender, apis) = watch::channel(Arc::new(first_apis(&client).await));
    let cluster = cluster_identity(&client).await;
    let (triggers, counts) = Triggers::new(settings.concurrency, &health);
    let (stores, loops) = watch_kinds(&client, &triggers);
    let reporter =
        Reporter { controller: labels::MANAGER.to_owned(), instance: Some(settings.identity.clone()) };
    let outgoing = Outgoing::new(api_server, settings.allow_loopback_endpoints);
    let context = Arc::new(Context::new(
        client.clone(),
        settings,
        cluster,
        apis,
        stores,
        triggers,
        metrics.clone(),
        health,
        Events::new(client.clone(), reporter),
        outgoing,
    )?);
    watches::report_missing(&context.apis(), &context);
    let _beside = beside(&client, &context, apis_sender, counts);
    tokio::join!(
        controller::run(
            loops.pipelines,
            Arc::clone(&context),
            until(stopped.clone()),
            controller::pipeline::step,
        ),
        controller::run(
            loops.rules,
            Arc::clone(&context),
            until(stopped.clone()),
            controller::alert_rule::step,
        ),
        controller::run(loops.jobs, Arc::clone(&context), until(stopped), controller::stats_job::step),
    );
    Ok(())
}

/// The controllers of our kinds.
struct Loops {
    pipelines: Controller<Guarded<ParkingPipeline>>,
    rules: Controller<Guarded<AlertRule>>,
    jobs: Controller<Guarded<StatsJob>>,
}

/// Watches our kinds, each of which tells the others what concerns them.
fn watch_kinds(client: &Client, triggers: &Triggers) -> (Stores, Loops) {
    let (listed, echoes) = (Listed::default(), Echoes::new(triggers.clone()));
    let shared = || (listed.clone(), echoes.clone(), triggers.clone());
    let hear = relations::of_rules(triggers.clone());
    let (rules, of_rules) = controller::kind(Api::all(client.clone()), shared(), hear);
    let (jobs, of_jobs) = controller::kind(Api::all(client.clone()), shared(), |_, _| ());
    let hear = relations::of_pipelines(rules.clone(), jobs.clone(), triggers.clone());
    let (pipelines, of_pipelines) = controller::kind(Api::all(client.clone()), shared(), hear);
    (
        Stores { pipelines, rules, jobs, listed, echoes },
        Loops { pipelines: of_pipelines, rules: of_rules, jobs: of_jobs },
    )
}

/// What asks for looks beside the loops; it ends when the set is dropped.
#[expect(clippy::disallowed_methods, reason = "the composition root is where tasks begin")]
fn beside(
    client: &Client,
    context: &Arc<Context>,
    apis: watch::Sender<Arc<Apis>>,
    counts: mpsc::UnboundedReceiver<PipelineId>,
) -> JoinSet<()> {
    let (asked, mut asks) = mpsc::unbounded_channel();
    let (triggers, counted) = (context.triggers.clone(), context.triggers.clone());
    let mut tasks = JoinSet::new();
    tasks.spawn(watches::discover(Arc::clone(context), apis));
    tasks.spawn(watches::run(Arc::clone(context)));
    tasks.spawn(context.secrets.clone().run(client.clone(), asked.clone()));
    tasks.spawn(context.workers.clone().run(client.clone(), asked, move |pipeline| counted.count(pipeline)));
    tasks.spawn(controller::pipeline::counts::run(Arc::clone(context), counts));
    tasks.spawn(async move {
        while let Some(object) = asks.recv().await {
            triggers.look(object);
        }
    });
    tasks
}

/// Asks until the API server says what it serves.
async fn first_apis(client: &Client) -> Apis {
    loop {
        match discovery::apis(client).await {
            Ok(apis) => return apis,
            Err(error) => {
                tracing::warn!(%error, "the cluster's APIs could not be listed; they are asked for again");
            }
        }
        monotonic::sleep(DEFINITIONS).await;
    }
}

/// The uid of the first namespace names the cluster; asks until the API server tells it.
async fn cluster_identity(client: &Client) -> String {
    let namespaces: Api<NamespaceObject> = Api::all(client.clone());
    loop {
        match namespaces.get_metadata("kube-system").await {
            Ok(namespace) => return namespace.uid().unwrap_or_default(),
            Err(error) => {
                tracing::warn!(%error, "the namespace kube-system, whose uid names the cluster, cannot be read; it is asked for again");
            }
        }
        monotonic::sleep(DEFINITIONS).await;
    }
}

//! What is measured, one step after another.

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::pin,
    time::{Duration, Instant},
};

use futures::{
    StreamExt as _,
    future::{Either, select},
    try_join,
};
use k8s_openapi::{
    NamespaceResourceScope, apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    apimachinery::pkg::apis::meta::v1::Condition,
};
use kube::{
    Api, Resource, ResourceExt as _,
    api::PostParams,
    runtime::{WatchStreamExt as _, watcher},
};
use parking_crds::{alert_rule::AlertRule, pipeline::ParkingPipeline};
use parking_e2e::{
    kubernetes::{
        error::{Error, Result},
        wait::eventually,
    },
    procfs,
};
use serde::de::DeserializeOwned;

use crate::{
    clock::{self, say},
    edits::{Stuck, edits, percentile},
    figures::{
        Bound::{self, AtLeast, AtMost},
        Figures,
    },
    fleet::Fleet,
    requests::{Requests, reconciles},
};

/// How long a step may take before the bench gives up; no figure.
const LIMIT: Duration = Duration::from_mins(30);
/// Nothing is written for so long: all is done.
const CALM: Duration = Duration::from_secs(20);
const MINUTE: Duration = Duration::from_mins(1);

pub(crate) async fn all(fleet: &mut Fleet, figures: &mut Figures) -> Result<()> {
    converge(fleet).await?;
    acceptance(fleet, figures).await?;
    idle(fleet, figures).await?;
    cold_start(fleet, figures).await?;
    let seconds = edits(fleet, 200).await?;
    figures.add("an edit reaches its children: median", "s", percentile(&seconds, 50), Bound::None);
    figures.add("an edit reaches its children: p99", "s", percentile(&seconds, 99), AtMost(1.0));
    fleet.settle(CALM, LIMIT).await?;
    relist(fleet, figures).await?;
    let _stuck = Stuck::start(fleet).await?;
    let seconds = edits(fleet, 100).await?;
    figures.add("an edit beside a stuck pipeline: p99", "s", percentile(&seconds, 99), AtMost(1.0));
    fleet.stop_operator()
}

/// Every pipeline with all its objects; made faster than the operator may write otherwise, since it is no figure.
async fn converge(fleet: &mut Fleet) -> Result<()> {
    fleet.start_operator(Some(1_000)).await?;
    let count = fleet.size.pipelines;
    let ready = follow::<ParkingPipeline>(fleet, "pipelines with workers", count, |pipeline| {
        holds(&pipeline.status.as_ref()?.conditions, "WorkersAvailable", pipeline.metadata.generation)
    });
    try_join!(fleet.make_pipelines(), ready)?;
    fleet.settle(CALM, LIMIT).await?;
    fleet.stop_operator()
}

async fn acceptance(fleet: &mut Fleet, figures: &mut Figures) -> Result<()> {
    fleet.start_operator(None).await?;
    fleet.settle(CALM, LIMIT).await?;
    let (start, mark, before) = (clock::now(), fleet.mark()?, fleet.processor());
    let accepted = follow::<AlertRule>(fleet, "accepted rules", fleet.size.rules, |rule| {
        holds(&rule.status.as_ref()?.conditions, "Accepted", rule.metadata.generation)
    });
    try_join!(fleet.make_rules(), accepted)?;
    let seconds = start.elapsed().as_secs_f64();
    figures.add(format!("first acceptance of {} rules", fleet.size.rules), "s", seconds, AtMost(600.0));
    add_writes(figures, "writes for that", &fleet.requests_since(mark)?, Bound::None);
    add_processor(fleet, figures, "acceptance", &before, seconds);
    fleet.settle(CALM, LIMIT).await?;
    figures.add(
        "until all are loaded and nothing is written",
        "s",
        start.elapsed().as_secs_f64(),
        Bound::None,
    );
    Ok(())
}

async fn idle(fleet: &Fleet, figures: &mut Figures) -> Result<()> {
    say("a minute in which nothing happens");
    let (mark, before) = (fleet.mark()?, fleet.processor());
    clock::pause(MINUTE).await;
    let requests = fleet.requests_since(mark)?;
    figures.add("resident memory when idle", "MB", procfs::resident(fleet.operator())?, AtMost(100.0));
    figures.add("  of which pages of its program", "MB", procfs::of_files(fleet.operator())?, Bound::None);
    add_writes(figures, "writes a minute when idle", &requests, AtMost(0.0));
    figures.add("requests a minute when idle", "requests", requests.total() as f64, Bound::None);
    for (what, count) in &requests.counts {
        figures.add(format!("  {what}"), "requests", *count as f64, Bound::None);
    }
    add_processor(fleet, figures, "idleness", &before, MINUTE.as_secs_f64());
    Ok(())
}

/// A new process finds everything as it shall be.
async fn cold_start(fleet: &mut Fleet, figures: &mut Figures) -> Result<()> {
    fleet.stop_operator()?;
    let (start, mark) = (clock::now(), fleet.mark()?);
    fleet.start_operator(None).await?;
    let mut before = fleet.processor();
    before.retain(|(name, _)| name != "operator");
    let (pipelines, rules) = (fleet.size.pipelines as f64, fleet.size.rules as f64);
    let (mut done, mut last) = (0.0, (start, 0.0));
    eventually("every object is looked at", LIMIT, async || {
        let metrics = fleet.metrics();
        let looks = (reconciles(&metrics, "ParkingPipeline"), reconciles(&metrics, "AlertRule"));
        done = looks.0 + looks.1;
        if done > last.1 {
            last = (clock::now(), done);
        }
        let complete = looks.0 >= pipelines && looks.1 >= rules && last.0.elapsed() > Duration::from_secs(5);
        if complete { Ok(()) } else { Err(format!("{looks:?}")) }
    })
    .await?;
    let seconds = (last.0 - start).as_secs_f64();
    figures.add("cold start: until no object waits", "s", seconds, Bound::None);
    figures.add("cold start: reconciles", "", done, Bound::None);
    figures.add("cold start: reconciles a second", "1/s", done / seconds, AtLeast(100.0));
    figures.add("cold start: objects a second", "1/s", (pipelines + rules) / seconds, Bound::None);
    let requests = fleet.requests_since(mark)?;
    add_writes(figures, "cold start: writes", &requests, AtMost(0.0));
    figures.add("cold start: requests", "requests", requests.total() as f64, Bound::None);
    figures.add("cold start: most memory", "MB", procfs::peak(fleet.operator())?, Bound::None);
    add_processor(fleet, figures, "cold start", &before, seconds);
    fleet.settle(CALM, LIMIT).await
}

/// A definition that changes makes the API server end its watches and forget their past: all is listed again.
async fn relist(fleet: &Fleet, figures: &mut Figures) -> Result<()> {
    procfs::forget_peak(fleet.operator())?;
    let mark = fleet.mark()?;
    let definitions: Api<CustomResourceDefinition> = Api::all(fleet.client());
    for plural in ["alertrules", "parkingpipelines", "statsjobs"] {
        let name = format!("{plural}.parking.tinyx.io");
        let mut definition = definitions.get(&name).await?;
        let versions = definition.spec.versions.iter_mut();
        for schema in versions.flat_map(|version| version.schema.iter_mut()) {
            if let Some(schema) = &mut schema.open_api_v3_schema {
                schema.description = Some("As after an upgrade of the definitions.".to_owned());
            }
        }
        definitions.replace(&name, &PostParams::default(), &definition).await?;
    }
    eventually("our three kinds are listed again", LIMIT, async || {
        clock::pause(Duration::from_secs(1)).await;
        let requests = fleet.requests_since(mark).map_err(|error| error.to_string())?;
        let listed = ["list alertrules", "list parkingpipelines", "list statsjobs"];
        let missing: Vec<_> = listed.into_iter().filter(|what| requests.of(what) == 0).collect();
        if missing.is_empty() { Ok(()) } else { Err(missing.join(", ")) }
    })
    .await?;
    fleet.settle(CALM, LIMIT).await?;
    let requests = fleet.requests_since(mark)?;
    figures.add("most memory on relist", "MB", procfs::peak(fleet.operator())?, AtMost(150.0));
    figures.add("memory after relist", "MB", procfs::resident(fleet.operator())?, AtMost(100.0));
    add_writes(figures, "writes on relist", &requests, AtMost(0.0));
    Ok(())
}

/// Whether a condition holds for the newest generation.
fn holds(conditions: &[Condition], kind: &str, generation: Option<i64>) -> Option<()> {
    let found = conditions.iter().find(|condition| condition.type_ == kind)?;
    (found.status == "True" && found.observed_generation == generation).then_some(())
}

/// Watches a kind until so many objects are as they shall be.
async fn follow<K>(fleet: &Fleet, what: &str, count: usize, is_done: impl Fn(&K) -> Option<()>) -> Result<()>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug
        + Send
        + 'static,
{
    let mut done = BTreeSet::new();
    let (start, mut told): (Instant, Instant) = (clock::now(), clock::now());
    let objects = watcher(Api::<K>::all(fleet.client()), watcher::Config::default());
    let mut objects = pin!(objects.default_backoff().touched_objects());
    while done.len() < count {
        let told_in_time = pin!(clock::pause(Duration::from_secs(5)));
        if let Either::Left((Some(Ok(object)), _)) = select(objects.next(), told_in_time).await
            && is_done(&object).is_some()
        {
            done.insert((object.namespace(), object.name_any()));
        }
        if told.elapsed() > Duration::from_secs(10) {
            told = clock::now();
            say(&format!("{} of {count} {what}", done.len()));
        }
        if start.elapsed() > LIMIT {
            let last = format!("{} of {count}", done.len());
            return Err(Error::Late { what: what.to_owned(), limit: LIMIT, last });
        }
    }
    say(&format!("{} of {count} {what} after {:.1} s", done.len(), start.elapsed().as_secs_f64()));
    Ok(())
}

fn add_writes(figures: &mut Figures, when: &str, requests: &Requests, bound: Bound) {
    figures.add(when, "writes", requests.written() as f64, bound);
    for (what, count) in &requests.writes {
        figures.add(format!("  {what}"), "writes", *count as f64, Bound::None);
    }
}

/// How much of a processor each process took since then.
fn add_processor(fleet: &Fleet, figures: &mut Figures, when: &str, before: &[(String, f64)], seconds: f64) {
    let before: BTreeMap<&str, f64> = before.iter().map(|(name, spent)| (name.as_str(), *spent)).collect();
    for (name, spent) in fleet.processor() {
        let share = (spent - before.get(name.as_str()).copied().unwrap_or_default()) / seconds;
        figures.add(format!("  processors during {when}: {name}"), "", share, Bound::None);
    }
}

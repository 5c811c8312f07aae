//! A statistics job from the lake's first event to the last window, whatever happens to its runs and to itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use k8s_openapi::api::batch::v1::Job;
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PatchParams},
    core::{ApiResource, DynamicObject, GroupVersionKind},
};
use parking_crds::{
    lake_index::{self, LakeIndex, Table, TableState},
    stats_index::{self, StatsIndex},
    stats_job::{RunResult, StatsJob},
    stats_run::parse_instant,
    time::Window,
};
use parking_e2e::kubernetes::{
    kubelet::Outcome,
    wait::{always, eventually},
};
use serde_json::{Value, json};

use crate::{
    bucket::Bucket,
    city::{City, LIMIT, PIPELINE},
};

pub(crate) const JOB: &str = "hourly";

/// A day of January 2026 as a window reads in a status.
fn day(first: u32) -> String {
    format!("2026-01-{first:02}T00:00:00Z/2026-01-{:02}T00:00:00Z", first + 1)
}

fn midnight(day: u32) -> i64 {
    parse_instant(&format!("2026-01-{day:02}T00:00:00Z")).unwrap()
}

pub(crate) fn manifest(change: impl FnOnce(&mut Value)) -> String {
    let mut job = json!({
        "apiVersion": "parking.tinyx.io/v1alpha1", "kind": "StatsJob", "metadata": {"name": JOB},
        "spec": {
            "pipelineRef": {"name": PIPELINE}, "schedule": "* * * * *", "timeZone": "UTC", "window": "1d",
            "statistics": ["occupancy"], "sinks": [{"lake": {"table": JOB}}], "missedRuns": "CatchUpAll",
        },
    });
    change(&mut job);
    job.to_string()
}

/// What the workers and the runs of a pipeline write into its bucket.
pub(crate) struct Lake<'a> {
    city: &'a City,
    bucket: Bucket,
}

impl<'a> Lake<'a> {
    pub(crate) fn of(city: &'a City) -> Self {
        Self { city, bucket: Bucket::of(city) }
    }

    fn key(&self, below: &str) -> String {
        format!("{}/{PIPELINE}/{below}", self.city.namespace.name())
    }

    /// The archive has every event from noon of 2 January until the start of a day.
    pub(crate) async fn reaches(&self, day: u32) {
        let state = TableState { version: u64::from(day), watermark: Some(midnight(day)) };
        let tables = [Table::Events, Table::Sessions, Table::Alerts].map(|table| (table, state)).into();
        let first_event = Some(midnight(2) + 12 * 3_600_000);
        let index = LakeIndex { first_event, tables, ..LakeIndex::default() };
        self.bucket.put(&self.key(lake_index::KEY), serde_json::to_vec(&index).unwrap()).await;
    }

    /// A run has committed its windows, and says so before it ends.
    pub(crate) async fn computed(&self, run: &Run) {
        let key = self.key(&stats_index::key(&JOB.parse().unwrap()));
        let stored = self.bucket.get(&key).await.map(|text| StatsIndex::parse(&text).unwrap());
        let mut index = stored.unwrap_or_default();
        index.computation.clone_from(&run.computation);
        index.done.add(Window {
            start: parse_instant(&run.from).unwrap(),
            end: parse_instant(&run.until).unwrap(),
        });
        index.last_result = Some(RunResult::Succeeded);
        self.bucket.put(&key, serde_json::to_vec(&index).unwrap()).await;
    }
}

/// A run, as its Job says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Run {
    pub(crate) name: String,
    from: String,
    until: String,
    attempt: String,
    computation: String,
}

impl Run {
    fn said(name: String, annotations: &BTreeMap<String, String>) -> Self {
        let text = |key: &str| annotations[&format!("parking.tinyx.io/{key}")].clone();
        Self {
            name,
            from: text("windows-from"),
            until: text("windows-until"),
            attempt: text("attempt"),
            computation: text("computation"),
        }
    }

    fn windows(&self) -> String {
        format!("{}/{}", self.from, self.until)
    }
}

pub(crate) async fn runs(city: &City) -> Vec<Run> {
    let jobs: Api<Job> = city.namespace.api();
    let read = |job: Job| {
        let said = job.spec.unwrap().template.metadata.unwrap().annotations.unwrap();
        Run::said(job.metadata.name.unwrap(), &said)
    };
    jobs.list(&of_the_job()).await.unwrap().items.into_iter().map(read).collect()
}

fn of_the_job() -> ListParams {
    ListParams::default().labels(&format!("parking.tinyx.io/stats-job={JOB}"))
}

/// Waits for a run that was not known yet.
pub(crate) async fn next_run(city: &City, known: &BTreeSet<Run>) -> Run {
    eventually("another run", 3 * LIMIT, async || {
        let mut new: Vec<Run> = runs(city).await.into_iter().filter(|run| !known.contains(run)).collect();
        if new.len() == 1 { Ok(new.remove(0)) } else { Err(format!("{new:?}")) }
    })
    .await
    .unwrap_or_else(|error| panic!("{error}\noperator:\n{}", city.log()))
}

pub(crate) async fn until(city: &City, holds: impl Fn(&StatsJob) -> bool) -> StatsJob {
    let jobs: Api<StatsJob> = city.namespace.api();
    eventually("the job's status", 3 * LIMIT, async || {
        let job = jobs.get(JOB).await.map_err(|error| error.to_string())?;
        let current =
            job.status.as_ref().is_some_and(|status| status.observed_generation == job.metadata.generation);
        if current && holds(&job) { Ok(job) } else { Err(format!("{:#?}", job.status)) }
    })
    .await
    .unwrap_or_else(|error| panic!("{error}\noperator:\n{}", city.log()))
}

pub(crate) fn says(job: &StatsJob, condition: &str, status: &str, reason: &str) -> bool {
    let conditions = job.status.iter().flat_map(|status| &status.conditions);
    conditions.into_iter().any(|found| {
        found.type_ == condition && found.status == status && (reason.is_empty() || found.reason == reason)
    })
}

pub(crate) fn last_window(job: &StatsJob) -> Option<&str> {
    job.status.as_ref()?.last_window.as_deref()
}

/// Patches the job's spec as a user does.
pub(crate) async fn patch(city: &City, spec: Value) {
    let jobs: Api<StatsJob> = city.namespace.api();
    jobs.patch(JOB, &PatchParams::default(), &Patch::Merge(json!({"spec": spec}))).await.unwrap();
}

/// A city with a bucket, a lake until 5 January and a kubelet whose runs go on until told otherwise.
pub(crate) async fn city_with_lake() -> City {
    city_with_lake_and(|_| ()).await
}

/// The same, with a change of the pipeline's manifest.
pub(crate) async fn city_with_lake_and(change: impl FnOnce(&mut Value)) -> City {
    let city = City::start().await;
    city.kubelet.change(|rules| rules.jobs = Outcome::Never);
    city.apply(change).await;
    city.until("BucketReady", "True").await;
    Lake::of(&city).reaches(5).await;
    city
}

/// Lets the run end with a result.
pub(crate) async fn succeed(city: &City, run: &Run) -> StatsJob {
    Lake::of(city).computed(run).await;
    city.kubelet.change(|rules| rules.jobs = Outcome::Succeeds);
    let job = until(city, |job| says(job, "Complete", "True", "")).await;
    city.kubelet.change(|rules| rules.jobs = Outcome::Never);
    job
}

/// One line of what `kubectl get stj` prints.
fn shown(city: &City) -> String {
    let mut kubectl = city.namespace.cluster().kubectl().unwrap();
    kubectl.args(["-n", city.namespace.name(), "get", "stj", JOB]);
    let output = kubectl.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    let header = lines.next().unwrap();
    assert_eq!(header, "NAME SCHEDULE SUSPENDED LASTWINDOW LASTRESULT NEXTRUN AGE");
    lines.next().unwrap()
}

#[tokio::test]
async fn a_job_computes_exactly_the_missing_windows_rests_when_told_and_does_none_twice() {
    let city = city_with_lake().await;
    city.namespace.apply(&manifest(|job| job["spec"]["suspend"] = json!(false))).await.unwrap();
    let first = next_run(&city, &BTreeSet::new()).await;
    assert_eq!(first.windows(), "2026-01-02T00:00:00Z/2026-01-05T00:00:00Z", "three days in one run");
    let running = until(&city, |job| says(job, "Complete", "False", "RunActive")).await;
    assert_eq!(running.status.unwrap().active, std::slice::from_ref(&first.name));
    let done = succeed(&city, &first).await;
    assert_eq!(last_window(&done), Some(day(4).as_str()));
    let line = shown(&city);
    assert!(line.starts_with(&format!("{JOB} * * * * * false {} Succeeded 20", day(4))), "{line}");

    patch(&city, json!({"suspend": true})).await;
    until(&city, |job| says(job, "Ready", "True", "Suspended")).await;
    Lake::of(&city).reaches(6).await;
    // Another edit makes the operator look at the lake, which has moved on.
    patch(&city, json!({"successfulRunsHistoryLimit": 9})).await;
    until(&city, |job| says(job, "Ready", "True", "Suspended")).await;
    assert_eq!(runs(&city).await, std::slice::from_ref(&first), "nothing starts while the job is suspended");
    assert!(shown(&city).contains(" true "), "{}", shown(&city));

    patch(&city, json!({"suspend": false})).await;
    let second = next_run(&city, &BTreeSet::from([first.clone()])).await;
    assert_eq!(second.windows(), day(5), "only what is missing");
    let done = succeed(&city, &second).await;
    assert_eq!(last_window(&done), Some(day(5).as_str()));

    let jobs: Api<StatsJob> = city.namespace.api();
    jobs.delete(JOB, &DeleteParams::foreground()).await.unwrap();
    eventually("job and runs are gone", LIMIT, async || {
        let there = jobs.get_opt(JOB).await.map_err(|error| error.to_string())?.is_some();
        let runs = runs(&city).await;
        if there || !runs.is_empty() { Err(format!("{there} {runs:?}")) } else { Ok(()) }
    })
    .await
    .unwrap();
    city.namespace.apply(&manifest(|_| ())).await.unwrap();
    let again = until(&city, |job| says(job, "Complete", "True", "")).await;
    assert_eq!(last_window(&again), Some(day(5).as_str()), "read from the lake");
    always("no run is done twice", Duration::from_secs(3), async || match runs(&city).await {
        runs if runs.is_empty() => Ok(()),
        runs => Err(format!("{runs:?}")),
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_run_that_fails_is_tried_again_under_another_name_and_the_history_stays_short() {
    let city = city_with_lake().await;
    city.kubelet.change(|rules| rules.jobs = Outcome::Refuses);
    let limits = json!({"successfulRunsHistoryLimit": 1, "failedRunsHistoryLimit": 0});
    let short = |job: &mut Value| {
        for (limit, count) in limits.as_object().unwrap() {
            job["spec"][limit] = count.clone();
        }
    };
    city.namespace.apply(&manifest(short)).await.unwrap();
    let first = next_run(&city, &BTreeSet::new()).await;
    let failed = until(&city, |job| says(job, "Ready", "False", "RunFailed")).await;
    let told = failed.status.unwrap().conditions.into_iter().find(|found| found.type_ == "Ready").unwrap();
    assert!(told.message.contains(&first.name) && told.message.contains("refused"), "{}", told.message);

    city.kubelet.change(|rules| rules.jobs = Outcome::Never);
    let mut known = BTreeSet::from([first.clone()]);
    let second = next_run(&city, &known).await;
    assert_ne!(second.name, first.name);
    assert_eq!((second.windows(), second.attempt.as_str()), (first.windows(), "2"));
    succeed(&city, &second).await;
    known.insert(second);

    for reached in [6, 7] {
        Lake::of(&city).reaches(reached).await;
        // The lake is looked at with the job, at the latest a minute later.
        patch(&city, json!({"failedRunsHistoryLimit": 0, "successfulRunsHistoryLimit": 1, "suspend": false}))
            .await;
        city.kubelet.change(|rules| rules.jobs = Outcome::Never);
        let jobs: Api<StatsJob> = city.namespace.api();
        let touch = json!({"metadata": {"annotations": {"e2e": reached.to_string()}}});
        jobs.patch(JOB, &PatchParams::default(), &Patch::Merge(touch)).await.unwrap();
        let run = next_run(&city, &known).await;
        assert_eq!((run.windows(), run.attempt.as_str()), (day(reached - 1), "1"));
        succeed(&city, &run).await;
        known.insert(run);
    }
    let newest = known.iter().max_by_key(|run| run.until.clone()).unwrap();
    eventually("only the newest run is kept", LIMIT, async || match runs(&city).await {
        kept if kept == [newest.clone()] => Ok(()),
        kept => Err(format!("{kept:?}")),
    })
    .await
    .unwrap_or_else(|error| panic!("{error}\noperator:\n{}", city.log()));
}

fn spark(city: &City) -> Api<DynamicObject> {
    let gvk = GroupVersionKind::gvk("sparkoperator.k8s.io", "v1beta2", "SparkApplication");
    Api::namespaced_with(city.namespace.client(), city.namespace.name(), &ApiResource::from_gvk(&gvk))
}

/// The runs on Spark, each with the spec of its application.
async fn applications(city: &City) -> Vec<(Run, Value)> {
    let read = |object: DynamicObject| {
        (Run::said(object.name_any(), object.annotations()), object.data["spec"].clone())
    };
    spark(city).list(&of_the_job()).await.unwrap().items.into_iter().map(read).collect()
}

/// Waits for a run on Spark that was not known yet.
async fn next_application(city: &City, known: &[&Run]) -> (Run, Value) {
    eventually("another application", 3 * LIMIT, async || {
        let mut new = applications(city).await;
        new.retain(|(run, _)| !known.contains(&run));
        if new.len() == 1 { Ok(new.remove(0)) } else { Err(format!("{new:?}")) }
    })
    .await
    .unwrap_or_else(|error| panic!("{error}\noperator:\n{}", city.log()))
}

/// The operator of Spark reports how an application stands.
async fn report(city: &City, run: &Run, state: &str) {
    let status = json!({"status": {"applicationState": {"state": state}}});
    spark(city).patch_status(&run.name, &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
}

#[tokio::test]
async fn a_run_on_spark_is_an_application_of_the_users_image_tried_again_when_it_fails() {
    let city = city_with_lake().await;
    let on_spark = |job: &mut Value| {
        job["spec"]["engine"] = json!({"spark": {"image": "statistics:of-the-user", "executors": 3}});
        job["spec"]["failedRunsHistoryLimit"] = json!(0);
    };
    city.namespace.apply(&manifest(on_spark)).await.unwrap();
    let (first, spec) = next_application(&city, &[]).await;
    assert_eq!(spec["image"], "statistics:of-the-user");
    assert_eq!(spec["executor"]["instances"], 3);
    assert_eq!(first.windows(), "2026-01-02T00:00:00Z/2026-01-05T00:00:00Z");
    let arguments = spec["arguments"].to_string();
    for told in [&first.from, &first.until] {
        assert!(arguments.contains(told), "{arguments}");
    }

    report(&city, &first, "FAILED").await;
    let (second, _) = next_application(&city, &[&first]).await;
    assert_eq!((second.windows(), second.attempt.as_str()), (first.windows(), "2"));
    eventually("the failed one goes", LIMIT, async || match applications(&city).await {
        left if left.iter().all(|(run, _)| run.name != first.name) => Ok(()),
        left => Err(format!("{left:?}")),
    })
    .await
    .unwrap_or_else(|error| panic!("{error}\noperator:\n{}", city.log()));

    Lake::of(&city).computed(&second).await;
    report(&city, &second, "COMPLETED").await;
    let done = until(&city, |job| says(job, "Complete", "True", "")).await;
    assert_eq!(last_window(&done), Some(day(4).as_str()));
}

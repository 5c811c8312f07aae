//! `diff`: what manifests, or a pipeline as it is, would change, through the operator's own plan and dry runs.
//!
//! Must not: store anything. Invariant: what the operator would do is computed by the functions that the operator
//! itself uses, from what the user may read.

mod change;
mod compare;
mod dry_run;
mod settings;
mod subject;
mod system;

use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::{
    api::core::v1::{ConfigMap, Secret},
    jiff::Timestamp,
};
use kube::core::{ApiResource, DynamicObject};
use parking_crds::{alert_rule::AlertRule, pipeline::ParkingPipeline, stats_job::StatsJob};

use self::{
    change::{Change, show},
    subject::{Files, dynamic, of_cluster, of_files},
    system::{Outcome, Surroundings},
};
use super::{Answer, Failure, Session, cli::DiffArguments};
use crate::{discovery, offline};

/// Dry runs that are under way at once.
const CONCURRENCY: usize = 8;

/// Shows what would change.
pub async fn run(session: &Session, arguments: &DiffArguments, now: Timestamp) -> Result<Answer, Failure> {
    let files = Files::of(offline::read(&arguments.files)?, &session.namespace);
    let subjects = match &arguments.name {
        Some(name) => vec![Box::pin(of_cluster(session, name.as_str())).await?],
        None => Box::pin(of_files(session, &files)).await?,
    };
    let apis = discovery::apis(&session.client).await;
    let apis = apis.map_err(Failure::request("asking which APIs the cluster serves"))?;
    let (settings, note) = settings::read(&session.client).await;
    let mut outcome = Outcome { changes: of_objects(session, &files).await?, ..Outcome::default() };
    let around = Surroundings { session, apis: &apis, settings: settings.as_ref(), files: &files, now };
    for subject in &subjects {
        // What the API server refuses is never planned.
        if !outcome.refuses(&subject.pipeline) {
            outcome.extend(around.would_become(subject).await?);
        }
    }
    let Outcome { changes, rolls, stakes, problems } = outcome;
    let code = u8::from(!changes.is_empty());
    Ok(Answer { text: show(&changes, &rolls, &stakes, &problems), notes: note, code })
}

/// What would become of the files' own objects.
async fn of_objects(session: &Session, files: &Files) -> Result<Vec<Change>, Failure> {
    fn add<K>(all: &mut Vec<(ApiResource, DynamicObject)>, objects: &[K])
    where
        K: kube::Resource<DynamicType = ()> + serde::Serialize,
    {
        let of = |object| Some((ApiResource::erase::<K>(&()), dynamic(object)?));
        all.extend(objects.iter().filter_map(of));
    }
    let mut objects = Vec::new();
    add::<ConfigMap>(&mut objects, &files.config_maps);
    add::<Secret>(&mut objects, &files.secrets);
    add::<ParkingPipeline>(&mut objects, &files.pipelines);
    add::<AlertRule>(&mut objects, &files.rules);
    add::<StatsJob>(&mut objects, &files.jobs);
    let runs: Vec<_> =
        objects.iter().map(|(kind, file)| dry_run::of_file(&session.client, kind, file)).collect();
    let found: Vec<Option<Change>> = stream::iter(runs).buffered(CONCURRENCY).try_collect().await?;
    Ok(found.into_iter().flatten().collect())
}

//! A run of statistics as a `SparkApplication`: the user's image computes the same SQL from the same file.
//!
//! The image holds [`PROGRAM`], which takes the arguments of `parking`: `stats run --config FILE --from T --until T`.

use parking_crds::{quantity::Bytes, stats_job::Spark};
use serde_json::{Value, json};

use super::{
    Planned,
    job::{CONFIG_FOLDER, TTL_SECONDS, labels_of, run_metadata, secret_folder, told},
    metadata::with_spec,
};
use crate::{owned_kinds::OwnedKind, stats_job::runs::RunPlan, validate::ValidJob};

/// The program within the image.
pub const PROGRAM: &str = "local:///opt/parking/stats_run.py";
/// The Spark that the SQL is tested with; the operator of Spark only shows it.
const SPARK_VERSION: &str = "4.2.0";
const DEFAULT_SERVICE_ACCOUNT: &str = "spark";
const DEFAULT_MEMORY: Bytes = Bytes::gibibytes(2);

/// The application of a run.
pub(super) fn planned(job: &ValidJob, spark: &Spark, run: &RunPlan) -> Planned {
    let (config, arguments) = told(job, run);
    let secrets: Vec<Value> = job
        .environment
        .secrets
        .iter()
        .map(|secret| json!({"name": secret, "path": secret_folder(secret), "secretType": "Generic"}))
        .collect();
    let configs = json!([{"name": config, "path": CONFIG_FOLDER}]);
    let mut driver = json!({
        "cores": 1,
        "memory": "1024m",
        "labels": labels_of(job),
        "serviceAccount": spark.service_account.as_ref().map_or(DEFAULT_SERVICE_ACCOUNT, |name| name.as_str()),
        "configMaps": configs,
    });
    let mut executor = json!({
        "instances": spark.executors.unwrap_or(2),
        "cores": spark.executor_cores.unwrap_or(1),
        "memory": mebibytes(spark.executor_memory.unwrap_or(DEFAULT_MEMORY)),
        "labels": labels_of(job),
        "configMaps": configs,
    });
    let mut spec = json!({
        "type": "Python",
        "pythonVersion": "3",
        "mode": "cluster",
        "sparkVersion": SPARK_VERSION,
        "image": spark.image,
        "mainApplicationFile": PROGRAM,
        "arguments": arguments,
        // Another try is another application, with another number.
        "restartPolicy": {"type": "Never"},
        "timeToLiveSeconds": TTL_SECONDS,
    });
    set_unless_empty(&mut driver, "secrets", secrets.clone());
    set_unless_empty(&mut executor, "secrets", secrets);
    let pull = job.environment.image_pull_secrets.iter().map(|secret| json!(secret)).collect();
    set_unless_empty(&mut spec, "imagePullSecrets", pull);
    if let Some(map) = spec.as_object_mut() {
        if !spark.config.is_empty() {
            map.insert("sparkConf".to_owned(), json!(spark.config));
        }
        map.insert("driver".to_owned(), driver);
        map.insert("executor".to_owned(), executor);
    }
    Planned::of(OwnedKind::SparkApplication, &with_spec(run_metadata(job, run), &spec))
}

fn set_unless_empty(object: &mut Value, key: &str, list: Vec<Value>) {
    if let Some(map) = object.as_object_mut().filter(|_| !list.is_empty()) {
        map.insert(key.to_owned(), Value::Array(list));
    }
}

/// Memory as Spark writes it.
fn mebibytes(bytes: Bytes) -> String {
    format!("{}m", bytes.as_u64().div_ceil(1 << 20))
}

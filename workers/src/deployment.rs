//! What the files given to `parking up` ask for: one pipeline with its rules, jobs and inventory.
//!
//! The only reader of manifests on a laptop. Invariant: what it returns is complete and consistent;
//! everything that is wrong is told at once, each problem with file, line and field.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
};

use k8s_openapi::api::core::v1::Secret;
use parking_crds::{
    alert_rule::AlertRule,
    inventory::Inventory,
    manifest::{self, Document, Manifest},
    pipeline::ParkingPipeline,
    stats_job::StatsJob,
};

use crate::{
    command::{feed::SIMULATE, replay::Format},
    domain::{stats, verdict::EventLimits},
    ports::event_log::Partition,
};

/// The annotation that names what `parking up` replays: `format:path`.
pub const REPLAY_ANNOTATION: &str = "parking.tinyx.io/replay";

/// Bytes of the largest file of manifests; an API server takes a tenth of it.
const LARGEST_FILE: u64 = 16 * 1024 * 1024;

/// One pipeline, ready to run.
#[derive(Debug)]
pub struct Deployment {
    /// The pipeline.
    pub pipeline: ParkingPipeline,
    /// Its rules.
    pub rules: Vec<AlertRule>,
    /// Its statistics jobs.
    pub jobs: Vec<StatsJob>,
    /// Its inventory.
    pub inventory: Arc<Inventory>,
    /// The inventory as it was written.
    pub inventory_text: String,
    /// Secrets that stand in the files; what else is referred to is not on this machine.
    pub secrets: Vec<Secret>,
    /// What is replayed into it: format and file.
    pub replay: Option<(String, PathBuf)>,
}

impl Deployment {
    /// Name of the pipeline.
    pub fn name(&self) -> String {
        self.pipeline.metadata.name.clone().unwrap_or_default()
    }

    /// Partitions of every stream.
    pub fn partitions(&self) -> Partition {
        Partition::from(self.pipeline.spec.events.partitions)
    }

    /// Limits of the events.
    pub fn limits(&self) -> EventLimits {
        let events = &self.pipeline.spec.events;
        EventLimits {
            allowed_lateness: events.allowed_lateness(),
            max_age: events.max_age(),
            max_ahead: events.max_ahead(),
        }
    }
}

/// Why files are no deployment.
#[derive(Debug, thiserror::Error)]
pub enum DeploymentError {
    /// A path cannot be read.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// The path.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The files hold no pipeline.
    #[error("{paths}: no ParkingPipeline in these files; add one, or name its folder with -f")]
    NoPipeline {
        /// As given.
        paths: String,
    },
    /// The objects do not fit together; one line for each problem.
    #[error("{}", .0.join("\n"))]
    Problems(Vec<String>),
}

struct Placed {
    path: PathBuf,
    document: Document,
}

impl Placed {
    fn problem(&self, field: &str, message: impl Into<String>) -> String {
        format!("{}: {}", self.path.display(), self.document.problem(field, message))
    }
}

/// Reads every YAML file of the paths (folders: all `.yaml` and `.yml` in them, sorted).
pub fn load(paths: &[PathBuf]) -> Result<Deployment, DeploymentError> {
    let (mut placed, mut problems) = (Vec::new(), Vec::new());
    for path in files(paths)? {
        let text = match read(&path)? {
            Ok(text) => text,
            Err(problem) => {
                problems.push(format!("{}: {problem}", path.display()));
                continue;
            }
        };
        match manifest::parse(&text) {
            Ok(documents) => {
                placed.extend(documents.into_iter().map(|document| Placed { path: path.clone(), document }));
            }
            Err(found) => {
                problems.extend(found.0.iter().map(|problem| format!("{}: {problem}", path.display())));
            }
        }
    }
    if !problems.is_empty() {
        return Err(DeploymentError::Problems(problems));
    }
    assemble(paths, &placed)
}

/// The text of a file, or what keeps it from being one.
fn read(path: &Path) -> Result<Result<String, String>, DeploymentError> {
    let unreadable = |source| DeploymentError::Unreadable { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(LARGEST_FILE + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > LARGEST_FILE {
        return Ok(Err(format!("larger than {LARGEST_FILE} bytes, so no manifest")));
    }
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    Ok(std::str::from_utf8(text).map(ToOwned::to_owned).map_err(|error| {
        let before = text.get(..error.valid_up_to()).unwrap_or_default();
        let lines = (1..).zip(before.split(|byte| *byte == b'\n'));
        let (line, begun) = lines.last().unwrap_or((1, before));
        format!("line {line}, byte {}: not UTF-8", begun.len() + 1)
    }))
}

fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, DeploymentError> {
    let mut files = Vec::new();
    for path in paths {
        let unreadable = |source| DeploymentError::Unreadable { path: path.clone(), source };
        if !fs::metadata(path).map_err(unreadable)?.is_dir() {
            files.push(path.clone());
            continue;
        }
        let entries =
            fs::read_dir(path).map_err(unreadable)?.collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
        let is_yaml = |path: &PathBuf| path.extension().is_some_and(|end| end == "yaml" || end == "yml");
        let mut found: Vec<_> = entries.into_iter().map(|entry| entry.path()).filter(is_yaml).collect();
        found.sort();
        files.extend(found);
    }
    Ok(files)
}

fn assemble(paths: &[PathBuf], placed: &[Placed]) -> Result<Deployment, DeploymentError> {
    let mut problems = Vec::new();
    let pipelines = placed.iter().filter_map(|one| match &one.document.manifest {
        Manifest::Pipeline(pipeline) => Some((one, pipeline)),
        _ => None,
    });
    let mut pipelines = pipelines.collect::<Vec<_>>().into_iter();
    let Some((home, pipeline)) = pipelines.next() else {
        let paths = paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
        return Err(DeploymentError::NoPipeline { paths });
    };
    for (other, second) in pipelines {
        let message = if second.metadata.name == pipeline.metadata.name {
            format!("a pipeline of this name stands already in {}", home.path.display())
        } else {
            "one process runs one pipeline: give each its own `parking up`".to_owned()
        };
        problems.push(other.problem("metadata.name", message));
    }
    let name = pipeline.metadata.name.clone().unwrap_or_default();
    let (mut rules, mut jobs) = (Vec::new(), Vec::new());
    for one in placed {
        let (reference, what) = match &one.document.manifest {
            Manifest::Rule(rule) => (rule.spec.pipeline_ref.name.as_str(), "the rule"),
            Manifest::StatsJob(job) => (job.spec.pipeline_ref.name.as_str(), "the job"),
            _ => continue,
        };
        if reference != name {
            let message = format!("{what} names the pipeline `{reference}`, but there is only `{name}`");
            problems.push(one.problem("spec.pipelineRef.name", message));
            continue;
        }
        match &one.document.manifest {
            Manifest::Rule(rule) => rules.push(rule.as_ref().clone()),
            Manifest::StatsJob(job) => {
                if let Err(error) = stats::calendar_of(&job.spec) {
                    problems.push(one.problem(error.field, error.reason));
                }
                jobs.push(job.as_ref().clone());
            }
            _ => {}
        }
    }
    problems.extend(named_twice(placed));
    let inventory = inventory(home, pipeline, placed).map_err(|found| problems.extend(found)).ok();
    let replay = replay(home, pipeline).map_err(|problem| problems.push(problem)).ok();
    match (inventory, replay) {
        (Some(inventory), Some(replay)) if problems.is_empty() => {
            let (inventory, inventory_text) = (Arc::new(inventory.0), inventory.1);
            Ok(Deployment {
                pipeline: pipeline.as_ref().clone(),
                rules,
                jobs,
                inventory,
                inventory_text,
                secrets: secrets(placed),
                replay,
            })
        }
        _ => Err(DeploymentError::Problems(problems)),
    }
}

fn secrets(placed: &[Placed]) -> Vec<Secret> {
    let secret = |one: &Placed| match &one.document.manifest {
        Manifest::Secret(secret) => Some(secret.as_ref().clone()),
        _ => None,
    };
    placed.iter().filter_map(secret).collect()
}

/// Rules and jobs that have the name of another; an API server would let the later one win.
fn named_twice(placed: &[Placed]) -> Vec<String> {
    let mut first_homes = BTreeMap::new();
    let mut problems = Vec::new();
    for one in placed {
        let (kind, name) = match &one.document.manifest {
            Manifest::Rule(rule) => ("rule", &rule.metadata.name),
            Manifest::StatsJob(job) => ("job", &job.metadata.name),
            Manifest::ConfigMap(map) => ("ConfigMap", &map.metadata.name),
            _ => continue,
        };
        if let Some(first) = first_homes.insert((kind, name), one) {
            let (path, line) = (first.path.display(), first.document.line_of("metadata.name"));
            let message = format!("a {kind} of this name stands already in {path}, line {line}");
            problems.push(one.problem("metadata.name", message));
        }
    }
    problems
}

fn inventory(
    home: &Placed,
    pipeline: &ParkingPipeline,
    placed: &[Placed],
) -> Result<(Inventory, String), Vec<String>> {
    let Some(reference) = &pipeline.spec.inventory.config_map_ref else {
        let message = "an embedded pipeline needs configMapRef: put the inventory into a ConfigMap beside it";
        return Err(vec![home.problem("spec.inventory", message)]);
    };
    let wanted = reference.name.as_str();
    let found = placed.iter().find_map(|one| match &one.document.manifest {
        Manifest::ConfigMap(map) if map.metadata.name.as_deref() == Some(wanted) => Some((one, map)),
        _ => None,
    });
    let Some((one, map)) = found else {
        let message = format!("no ConfigMap `{wanted}` in these files");
        return Err(vec![home.problem("spec.inventory.configMapRef.name", message)]);
    };
    let Some(text) = map.data.as_ref().and_then(|data| data.get("inventory.yaml")) else {
        return Err(vec![one.problem("data", "the key `inventory.yaml` is missing")]);
    };
    let inventory = Inventory::parse(text).map_err(|error| -> Vec<String> {
        let problems = one.document.inventory_problems("data.inventory.yaml", text, &error);
        problems.iter().map(|problem| format!("{}: {problem}", one.path.display())).collect()
    })?;
    Ok((inventory, text.clone()))
}

fn replay(home: &Placed, pipeline: &ParkingPipeline) -> Result<Option<(String, PathBuf)>, String> {
    let annotations = pipeline.metadata.annotations.as_ref();
    let Some(text) = annotations.and_then(|annotations| annotations.get(REPLAY_ANNOTATION)) else {
        return Ok(None);
    };
    let Some((format, path)) = text.split_once(':') else {
        let message = format!("`{text}` must be FORMAT:PATH, for example birmingham:readings.csv");
        return Err(home.problem("metadata.annotations", message));
    };
    if format != SIMULATE
        && let Err(error) = format.parse::<Format>()
    {
        return Err(home.problem("metadata.annotations", error.to_string()));
    }
    let folder = home.path.parent().unwrap_or(Path::new("."));
    Ok(Some((format.to_owned(), folder.join(path))))
}

//! Which objects of some manifests belong to which pipeline.
//!
//! Must not: plan. Invariants: each pipeline stands once; each rule and job belongs to one of them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use parking_crds::{
    alert_rule::AlertRule, manifest::Manifest, pipeline::ParkingPipeline, stats_job::StatsJob,
};

use super::{Placed, ReadError};
use crate::problem::Problem;

/// A pipeline and what refers to it.
#[derive(Clone, Debug)]
pub struct Gathered {
    /// The pipeline.
    pub pipeline: ParkingPipeline,
    /// Its rules.
    pub rules: Vec<AlertRule>,
    /// Its statistics jobs.
    pub jobs: Vec<StatsJob>,
    /// Every ConfigMap of the files; its inventory may be among them.
    pub config_maps: Vec<ConfigMap>,
    /// Where the pipeline stands.
    placed: Placed,
}

impl Gathered {
    /// Problems of the pipeline, each with the file that it stands in.
    pub fn refuse(&self, problems: &[Problem]) -> ReadError {
        let line = |problem: &Problem| refusal(&self.placed, "", &problem.message);
        ReadError::Problems(problems.iter().map(line).collect())
    }
}

/// Namespace and name; objects without a namespace belong together.
type Key = (String, String);

/// Every pipeline of the manifests, sorted by namespace and name, with its rules.
pub fn gather(placed: &[Placed]) -> Result<Vec<Gathered>, ReadError> {
    let mut problems = Vec::new();
    let mut pipelines = BTreeMap::<Key, Gathered>::new();
    let config_maps: Vec<ConfigMap> = placed.iter().filter_map(config_map).cloned().collect();
    for one in placed {
        let Manifest::Pipeline(pipeline) = &one.document.manifest else { continue };
        let gathered = Gathered {
            pipeline: pipeline.as_ref().clone(),
            rules: Vec::new(),
            jobs: Vec::new(),
            config_maps: config_maps.clone(),
            placed: one.clone(),
        };
        let key = (pipeline.namespace().unwrap_or_default(), pipeline.name_any());
        if let Some(before) = pipelines.insert(key, gathered) {
            let message =
                format!("a pipeline of this name stands already in {}", before.placed.path.display());
            problems.push(refusal(one, "metadata.name", &message));
        }
    }
    for one in placed {
        let (namespace, name) = match &one.document.manifest {
            Manifest::Rule(rule) => (rule.namespace(), &rule.spec.pipeline_ref.name),
            Manifest::StatsJob(job) => (job.namespace(), &job.spec.pipeline_ref.name),
            Manifest::Pipeline(_) | Manifest::ConfigMap(_) | Manifest::Secret(_) => continue,
        };
        let key = (namespace.unwrap_or_default(), name.as_str().to_owned());
        match (pipelines.get_mut(&key), &one.document.manifest) {
            (Some(gathered), Manifest::Rule(rule)) => gathered.rules.push(rule.as_ref().clone()),
            (Some(gathered), Manifest::StatsJob(job)) => gathered.jobs.push(job.as_ref().clone()),
            (Some(_), _) => {}
            (None, _) => {
                let message = format!(
                    "the pipeline `{name}` stands in none of the files, at least not in the same namespace: give its file too"
                );
                problems.push(refusal(one, "spec.pipelineRef.name", &message));
            }
        }
    }
    if pipelines.is_empty() && problems.is_empty() {
        problems.push("there is no ParkingPipeline in these files: give the file that holds it".to_owned());
    }
    if problems.is_empty() {
        Ok(pipelines.into_values().collect())
    } else {
        Err(ReadError::Problems(problems))
    }
}

fn config_map(placed: &Placed) -> Option<&ConfigMap> {
    match &placed.document.manifest {
        Manifest::ConfigMap(map) => Some(map),
        Manifest::Pipeline(_) | Manifest::Rule(_) | Manifest::StatsJob(_) | Manifest::Secret(_) => None,
    }
}

fn refusal(placed: &Placed, field: &str, message: &str) -> String {
    format!("{}: {}", placed.path.display(), placed.document.problem(field, message))
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use parking_crds::{condition::ConditionType, manifest};

    use super::*;

    fn birmingham() -> String {
        let folder = Path::new("../examples/birmingham");
        let text = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
        ["pipeline.yaml", "rules.yaml", "stats.yaml"].map(text).join("\n---\n")
    }

    fn placed(text: &str) -> Vec<Placed> {
        let documents = manifest::parse(text).unwrap();
        documents.into_iter().map(|document| Placed { path: PathBuf::from("city.yaml"), document }).collect()
    }

    fn refused(text: &str) -> String {
        gather(&placed(text)).unwrap_err().to_string()
    }

    #[test]
    fn rules_and_jobs_are_gathered_under_their_pipeline() {
        let other = birmingham().replace("birmingham", "london");
        let gathered = gather(&placed(&format!("{}\n---\n{other}", birmingham()))).unwrap();
        let found: Vec<_> =
            gathered.iter().map(|one| (one.pipeline.name_any(), one.rules.len(), one.jobs.len())).collect();
        assert_eq!(found, [("birmingham".to_owned(), 2, 1), ("london".to_owned(), 2, 1)]);
    }

    #[test]
    fn a_rule_of_an_unknown_pipeline_is_refused_with_its_line() {
        let text = birmingham().replacen("name: birmingham", "name: london", 1);
        let error = refused(&text);
        assert_eq!(error.lines().count(), 3, "{error}");
        assert!(error.contains("spec.pipelineRef.name: the pipeline `birmingham` stands in none"), "{error}");
    }

    #[test]
    fn a_pipeline_that_stands_twice_is_refused() {
        let text = birmingham();
        assert!(refused(&format!("{text}\n---\n{text}")).contains("metadata.name: a pipeline of this name"));
    }

    #[test]
    fn files_without_a_pipeline_are_refused() {
        assert!(refused("").contains("there is no ParkingPipeline"));
    }

    #[test]
    fn problems_of_a_pipeline_name_its_file() {
        let gathered = gather(&placed(&birmingham())).unwrap();
        let problem = Problem::invalid(ConditionType::Ready, "spec.events: too few partitions");
        let error = gathered[0].refuse(&[problem]).to_string();
        assert_eq!(error, "city.yaml: line 1 (document 1): spec.events: too few partitions");
    }
}

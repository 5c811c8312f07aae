//! What Strimzi says of a pipeline's topics.

use std::collections::BTreeMap;

use kube::ResourceExt;
use parking_crds::{
    condition::{ConditionType, Reason},
    topology::{PipelineId, StreamPlan, Topology},
};

use crate::{
    error::Class,
    foreign::strimzi::{KafkaTopic, condition},
    labels,
    problem::Problem,
};

/// The same problem for topics and users.
pub(super) fn both(reason: Reason, message: impl Into<String>) -> Vec<Problem> {
    let message = message.into();
    [ConditionType::TopicsReady, ConditionType::UsersReady]
        .into_iter()
        .map(|condition| Problem { condition, reason, class: Class::Blocked, message: message.clone() })
        .collect()
}

/// What is not right with the topics of a pipeline. `seen` holds the resources by name; `previous` the ids of topics
/// by name, as they were when they were last seen. A problem of the condition `DataLost` makes that one `True`.
pub fn topics(
    topology: &Topology,
    seen: &BTreeMap<String, KafkaTopic>,
    previous: &BTreeMap<String, String>,
) -> Vec<Problem> {
    let look = |plan: &StreamPlan| {
        let name = plan.topic.as_str();
        let Some(topic) = seen.get(name) else {
            return vec![problem(Reason::Waiting, format!("KafkaTopic {name} does not exist yet"))];
        };
        let lost = made_anew(name, topic, previous.get(name));
        verdict(&topology.pipeline, name, topic).into_iter().chain(lost).collect()
    };
    topology.streams.iter().flat_map(look).collect()
}

/// Ids of the topics by name, to be kept for the next look; what is not known now stays as it was.
pub fn topic_ids(
    topology: &Topology,
    seen: &BTreeMap<String, KafkaTopic>,
    previous: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let id = |plan: &StreamPlan| {
        let name = plan.topic.as_str();
        let now = seen.get(name).and_then(|topic| topic.status.as_ref()?.topic_id.as_ref());
        Some((name.to_owned(), now.or_else(|| previous.get(name))?.clone()))
    };
    topology.streams.iter().filter_map(id).collect()
}

fn problem(reason: Reason, message: String) -> Problem {
    Problem { condition: ConditionType::TopicsReady, reason, class: Class::Blocked, message }
}

fn verdict(id: &PipelineId, name: &str, topic: &KafkaTopic) -> Option<Problem> {
    let label = |key: &str| topic.labels().get(key).map(String::as_str);
    let owner = (label(labels::PIPELINE_NAMESPACE), label(labels::PIPELINE));
    if owner != (Some(id.namespace.as_str()), Some(id.name.as_str())) {
        let message = format!(
            "KafkaTopic {name} exists and is not this pipeline's: remove it, or label it \
             {}={} and {}={} to hand it over",
            labels::PIPELINE_NAMESPACE,
            id.namespace,
            labels::PIPELINE,
            id.name
        );
        return Some(problem(Reason::NameTaken, message));
    }
    if topic.metadata.deletion_timestamp.is_some() {
        return Some(problem(
            Reason::Waiting,
            format!("KafkaTopic {name} is being deleted and will be made anew"),
        ));
    }
    let Some(status) = &topic.status else {
        let message =
            format!("Strimzi has not looked at KafkaTopic {name} yet: wait, or look at its topic operator");
        return Some(problem(Reason::Waiting, message));
    };
    if status.observed_generation < topic.metadata.generation {
        return Some(problem(
            Reason::Waiting,
            format!("Strimzi has not seen the newest KafkaTopic {name} yet"),
        ));
    }
    let holds =
        |type_: &str| condition(&status.conditions, type_).is_some_and(|found| found.status == "True");
    let left_alone = holds("Unmanaged") || holds("ReconciliationPaused");
    match condition(&status.conditions, "Ready") {
        Some(ready) if ready.status == "True" => None,
        Some(failed) => {
            let reason = match failed.reason.as_deref() {
                Some("NotSupported") => Reason::NotSupported,
                Some("ResourceConflict") => Reason::ResourceConflict,
                _ => Reason::DependencyFailed,
            };
            let word = failed.reason.as_deref().unwrap_or("no reason given");
            let said = failed.message.as_deref().unwrap_or("no message given");
            Some(problem(reason, format!("Strimzi refuses KafkaTopic {name} ({word}): {said}")))
        }
        None if left_alone => None,
        None => Some(problem(Reason::Waiting, format!("KafkaTopic {name} is not ready yet"))),
    }
}

fn made_anew(name: &str, topic: &KafkaTopic, previous: Option<&String>) -> Option<Problem> {
    let (now, before) = (topic.status.as_ref()?.topic_id.as_ref()?, previous?);
    (now != before).then(|| Problem {
        condition: ConditionType::DataLost,
        reason: Reason::RecordsLost,
        class: Class::Blocked,
        message: format!(
            "the topic {name} was deleted and made anew (id {before}, now {now}): records that no worker had read are \
             gone; replay them from their source"
        ),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::plan::sample;

    const NAME: &str = "parking.city.events";

    fn good() -> Value {
        json!({
            "metadata": {
                "name": NAME,
                "generation": 2,
                "labels": {(labels::PIPELINE): "city", (labels::PIPELINE_NAMESPACE): "parking"},
            },
            "spec": {},
            "status": {"observedGeneration": 2, "topicId": "a", "conditions": [{"type": "Ready", "status": "True"}]},
        })
    }

    fn look(change: impl FnOnce(&mut Value), previous: Option<&str>) -> Vec<Problem> {
        let mut topology = sample::pipeline("").topology;
        topology.streams.truncate(1);
        let mut topic = good();
        change(&mut topic);
        let seen = [(NAME.to_owned(), serde_json::from_value(topic).unwrap())].into();
        let previous = previous.map(|id| (NAME.to_owned(), id.to_owned())).into_iter().collect();
        topics(&topology, &seen, &previous)
    }

    fn says(condition: &Value) -> impl FnOnce(&mut Value) + use<> {
        let conditions = json!([condition]);
        move |topic| topic["status"]["conditions"] = conditions
    }

    #[test]
    fn a_ready_topic_has_no_problem() {
        assert_eq!(look(|_| (), None), []);
        assert_eq!(look(|_| (), Some("a")), []);
    }

    #[test]
    fn a_topic_that_strimzi_leaves_alone_is_no_failure() {
        for type_ in ["Unmanaged", "ReconciliationPaused"] {
            assert_eq!(look(says(&json!({"type": type_, "status": "True"})), Some("a")), [], "{type_}");
        }
    }

    #[test]
    fn each_verdict_of_strimzi_has_its_reason_and_its_own_words() {
        for (word, reason) in [
            ("NotSupported", Reason::NotSupported),
            ("ResourceConflict", Reason::ResourceConflict),
            ("KafkaError", Reason::DependencyFailed),
            ("TimeoutException", Reason::DependencyFailed),
        ] {
            let failed =
                json!({"type": "Ready", "status": "False", "reason": word, "message": "because of rain"});
            let problems = look(says(&failed), None);
            assert_eq!(problems.len(), 1, "{word}");
            assert_eq!((problems[0].condition, problems[0].reason), (ConditionType::TopicsReady, reason));
            assert!(problems[0].message.ends_with(&format!("{NAME} ({word}): because of rain")));
        }
    }

    #[test]
    fn what_strimzi_has_not_seen_is_waited_for() {
        let changes: [fn(&mut Value); 5] = [
            |topic| topic["status"]["observedGeneration"] = json!(1),
            |topic| topic["status"]["conditions"] = json!([]),
            |topic| topic["status"] = Value::Null,
            |topic| topic["status"]["observedGeneration"] = Value::Null,
            |topic| topic["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z"),
        ];
        for change in changes {
            let problems = look(change, None);
            assert_eq!(problems.iter().map(|one| one.reason).collect::<Vec<_>>(), [Reason::Waiting]);
        }
        let topology = sample::pipeline("").topology;
        let problems = topics(&topology, &BTreeMap::new(), &BTreeMap::new());
        assert_eq!(problems.len(), topology.streams.len());
        assert!(problems.iter().all(|one| one.reason == Reason::Waiting));
    }

    #[test]
    fn a_topic_of_another_pipeline_is_named_and_not_used() {
        for owner in [json!({}), json!({(labels::PIPELINE): "town", (labels::PIPELINE_NAMESPACE): "parking"})]
        {
            let problems = look(|topic| topic["metadata"]["labels"] = owner, None);
            assert_eq!(problems[0].reason, Reason::NameTaken);
        }
    }

    #[test]
    fn another_id_is_another_topic_and_an_unknown_id_is_none() {
        let lost = look(|_| (), Some("b"));
        assert_eq!((lost[0].condition, lost[0].reason), (ConditionType::DataLost, Reason::RecordsLost));
        let paused = says(&json!({"type": "ReconciliationPaused", "status": "True"}));
        let cleared = look(
            |topic| {
                paused(topic);
                topic["status"]["topicId"] = Value::Null;
            },
            Some("b"),
        );
        assert_eq!(cleared, []);
    }

    #[test]
    fn an_id_is_kept_while_strimzi_does_not_tell_it() {
        let topology = sample::pipeline("").topology;
        let mut topic: KafkaTopic = serde_json::from_value(good()).unwrap();
        let ids = |topic: &KafkaTopic, previous: &BTreeMap<String, String>| {
            topic_ids(&topology, &[(NAME.to_owned(), topic.clone())].into(), previous)
        };
        let first = ids(&topic, &BTreeMap::new());
        assert_eq!(first, [(NAME.to_owned(), "a".to_owned())].into());
        topic.status.as_mut().unwrap().topic_id = None;
        assert_eq!(ids(&topic, &first), first);
    }
}

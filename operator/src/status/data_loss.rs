//! The alarm `DataLost`: it stands from the loss until somebody says that it is dealt with.
//!
//! What was lost is seen once: a topic's new id is the known one from the next look on, and an elected master is the
//! master. So the condition itself is where a loss is kept, and its acknowledgement names the time since when it
//! stands: no clock but the one that set it is asked.

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Condition, jiff::Timestamp};
use kube::{Resource, ResourceExt};
use parking_crds::condition::{ConditionType, find};

use crate::labels;

/// Behind what was lost: how the alarm ends.
const CURE: &str = "; once that is dealt with, `kubectl parking acknowledge` ends this alarm";

/// The loss that stands unacknowledged, with what is newly lost behind it.
pub fn standing(before: &[Condition], new: Option<&str>, acknowledged: Option<Timestamp>) -> Option<String> {
    let old = stands_since(before)
        .filter(|(since, _)| acknowledged.is_none_or(|acknowledged| acknowledged < *since))
        .map(|(_, message)| message.strip_suffix(CURE).unwrap_or(message));
    let lost = match (old, new) {
        (Some(old), Some(new)) if !old.contains(new) => format!("{old}; {new}"),
        (Some(told), _) | (None, Some(told)) => told.to_owned(),
        (None, None) => return None,
    };
    Some(lost + CURE)
}

/// Since when a loss stands, and what was lost.
pub fn stands_since(conditions: &[Condition]) -> Option<(Timestamp, &str)> {
    find(conditions, ConditionType::DataLost)
        .filter(|condition| condition.status == "True")
        .map(|condition| (condition.last_transition_time.0, condition.message.as_str()))
}

/// Up to when losses of an object are acknowledged; a value that is no time acknowledges none.
pub fn acknowledged(object: &impl Resource) -> Option<Timestamp> {
    object.annotations().get(labels::DATA_LOSS_ACKNOWLEDGED)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use parking_crds::condition::Reason;

    use super::*;
    use crate::status::Conditions;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// What the alarm says after a look at that second.
    fn look(
        before: &[Condition],
        second: i64,
        new: Option<&str>,
        acknowledged: Option<i64>,
    ) -> Vec<Condition> {
        let mut conditions = Conditions::new(before, 1, at(second));
        if let Some(message) = standing(before, new, acknowledged.map(at)) {
            conditions.set(ConditionType::DataLost, true, Reason::RecordsLost, message);
        }
        conditions.done()
    }

    fn said(conditions: &[Condition]) -> Option<&str> {
        stands_since(conditions).map(|(_, message)| message.strip_suffix(CURE).unwrap())
    }

    #[test]
    fn a_loss_stands_until_it_is_acknowledged() {
        let lost = look(&[], 10, Some("events is new"), None);
        assert_eq!(said(&lost), Some("events is new"));
        let later = look(&lost, 20, None, None);
        assert_eq!(later, lost, "nothing is written for it");
        assert_eq!(look(&later, 30, None, Some(9)), lost, "that was about a loss before");
        assert_eq!(look(&later, 30, None, Some(10)), []);
    }

    #[test]
    fn losses_stand_beside_each_other_each_once() {
        let first = look(&[], 10, Some("events is new"), None);
        let both = look(&first, 20, Some("alerts is new"), None);
        assert_eq!(said(&both), Some("events is new; alerts is new"));
        assert_eq!(look(&both, 30, Some("alerts is new"), None), both);
        assert_eq!(both[0].last_transition_time, Time(at(10)));
    }

    #[test]
    fn what_is_lost_after_an_acknowledgement_is_a_new_loss() {
        let first = look(&[], 10, Some("events is new"), None);
        let second = look(&look(&first, 20, None, Some(10)), 30, Some("alerts is new"), Some(10));
        assert_eq!(said(&second), Some("alerts is new"));
        assert_eq!(stands_since(&second).unwrap().0, at(30));
    }
}

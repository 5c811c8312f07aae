//! The alarm `DataLost`: it stands from the loss until somebody says that it is dealt with.
//!
//! What was lost is seen once: a topic's new id is the known one from the next look on, and an elected master is the
//! master. So the condition itself is where a loss is kept. An acknowledgement names what it was given for by its
//! [`fingerprint`], so it says nothing of what is lost meanwhile or later.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{Resource, ResourceExt};
use parking_crds::condition::{ConditionType, find};
use sha2::{Digest, Sha256};

use super::LONGEST_MESSAGE;
use crate::labels;

/// Behind what was lost: how the alarm ends.
const CURE: &str = "; once that is dealt with, `kubectl parking acknowledge` ends this alarm";
const BETWEEN: &str = "; ";
/// Stands for what was lost before, where all of it would be too long.
const EARLIER: &str = "… ";

/// The loss that stands unacknowledged, with what is newly lost behind it.
pub fn standing(before: &[Condition], new: &[&str], acknowledged: Option<&str>) -> Option<String> {
    let old = stands(before)
        .filter(|condition| acknowledged != Some(fingerprint(condition).as_str()))
        .map_or("", |condition| what(condition));
    let new = new.iter().filter(|message| !old.contains(**message)).copied();
    let lost: Vec<&str> = [old].into_iter().chain(new).filter(|message| !message.is_empty()).collect();
    (!lost.is_empty()).then(|| newest(&lost.join(BETWEEN)) + CURE)
}

/// The condition that tells of a loss.
pub fn stands(conditions: &[Condition]) -> Option<&Condition> {
    find(conditions, ConditionType::DataLost).filter(|condition| condition.status == "True")
}

/// What was lost, in words.
pub fn what(condition: &Condition) -> &str {
    condition.message.strip_suffix(CURE).unwrap_or(&condition.message)
}

/// Tells one loss from every other one: 16 hexadecimal digits.
pub fn fingerprint(condition: &Condition) -> String {
    let text = format!("{} {}", condition.last_transition_time.0, what(condition));
    let digest: [u8; 32] = Sha256::digest(text).into();
    let head = digest.iter().take(8).fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    format!("{head:016x}")
}

/// The loss of an object that is dealt with.
pub fn acknowledged(object: &impl Resource) -> Option<&str> {
    object.annotations().get(labels::DATA_LOSS_ACKNOWLEDGED).map(String::as_str)
}

/// The end of a text that is too long for a message with what stands behind it.
fn newest(lost: &str) -> String {
    let room = LONGEST_MESSAGE - CURE.chars().count();
    let length = lost.chars().count();
    if length <= room {
        return lost.to_owned();
    }
    EARLIER.chars().chain(lost.chars().skip(length - room + EARLIER.chars().count())).collect()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
    use parking_crds::condition::Reason;

    use super::*;
    use crate::status::Conditions;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// What the alarm says after a look at that second.
    fn look(before: &[Condition], second: i64, new: &[&str], acknowledged: Option<&str>) -> Vec<Condition> {
        let mut conditions = Conditions::new(before, 1, at(second));
        if let Some(message) = standing(before, new, acknowledged) {
            conditions.set(ConditionType::DataLost, true, Reason::RecordsLost, message);
        }
        conditions.done()
    }

    /// What somebody acknowledges who sees this.
    fn seen(conditions: &[Condition]) -> String {
        fingerprint(stands(conditions).unwrap())
    }

    fn said(conditions: &[Condition]) -> &str {
        stands(conditions).map_or("", what)
    }

    #[test]
    fn a_loss_stands_until_it_is_acknowledged() {
        let lost = look(&[], 10, &["events is new"], None);
        assert_eq!(said(&lost), "events is new");
        let later = look(&lost, 20, &[], None);
        assert_eq!(later, lost, "nothing is written for it");
        assert_eq!(look(&later, 30, &[], Some("another one")), lost);
        assert_eq!(look(&later, 30, &[], Some(&seen(&lost))), []);
    }

    #[test]
    fn losses_stand_beside_each_other_each_once() {
        let first = look(&[], 10, &["events is new"], None);
        let both = look(&first, 20, &["events is new", "alerts is new"], None);
        assert_eq!(said(&both), "events is new; alerts is new");
        assert_eq!(look(&both, 30, &["alerts is new"], None), both);
        assert_eq!(both[0].last_transition_time, Time(at(10)));
    }

    #[test]
    fn what_is_lost_beside_an_acknowledgement_or_after_it_stands() {
        let first = look(&[], 10, &["events is new"], None);
        let acknowledged = seen(&first);
        let beside = look(&first, 20, &["alerts is new"], Some(&acknowledged));
        assert_eq!(said(&beside), "alerts is new");
        assert_eq!(look(&beside, 30, &[], Some(&acknowledged)), beside);
        let joined = look(&first, 20, &["alerts is new"], None);
        assert_eq!(look(&joined, 30, &[], Some(&acknowledged)), joined, "only half of it was seen");
        let ended = look(&first, 20, &[], Some(&acknowledged));
        let again = look(&ended, 30, &["events is new"], Some(&acknowledged));
        assert_eq!(look(&again, 40, &[], Some(&acknowledged)), again, "the same words, another loss");
    }

    #[test]
    fn of_more_than_a_message_holds_the_newest_is_told_with_its_cure() {
        let mut conditions = Vec::new();
        for number in 0..200 {
            conditions = look(&conditions, 10, &[&format!("topic {number:03} is new")], None);
        }
        assert_eq!(conditions[0].message.chars().count(), LONGEST_MESSAGE);
        assert!(conditions[0].message.ends_with(CURE));
        assert!(said(&conditions).starts_with(EARLIER) && said(&conditions).ends_with("topic 199 is new"));
        assert_eq!(look(&conditions, 20, &[], None), conditions, "nothing is written for it");
    }
}

//! Which Secret is asked for next, and whom its change concerns: pure, told the time.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use crate::{monotonic::Instant, object::ObjectId};

/// The longest pause after a forbidden or failed question.
const LONGEST: Duration = Duration::from_mins(5);
/// Shortest pause between two questions, on average: where more Secrets are needed than can be asked for in time, each
/// waits for its turn, and the API server has no more to do.
const GAP: Duration = Duration::from_millis(5);
/// What questions may catch up with at once.
const BURST: Duration = Duration::from_millis(100);

/// Name of a Secret. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SecretName {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
}

impl SecretName {
    /// The Secret of that namespace and name.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

/// Where a Secret comes from; decides how soon a change is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The operator wrote it, and repairs it.
    Copied,
    /// A user or another operator wrote it.
    Referenced,
}

impl Source {
    const fn interval(self) -> Duration {
        match self {
            Self::Copied => Duration::from_secs(4),
            Self::Referenced => Duration::from_secs(20),
        }
    }
}

/// Which state of a Secret was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretVersion {
    /// It exists, in that version.
    Present(String),
    /// It does not exist.
    Absent,
}

/// What an object depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interest {
    /// The Secret.
    pub secret: SecretName,
    /// Where it comes from.
    pub source: Source,
    /// What the object's reconcile saw of it; a Secret that it did not read is taken as it is found.
    pub seen: Option<SecretVersion>,
}

/// What a question brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The Secret's state.
    Is(SecretVersion),
    /// The operator may not read it.
    Forbidden,
    /// There was no answer.
    Failed,
}

impl Answer {
    /// The label value of metrics.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Is(SecretVersion::Present(_)) => "present",
            Self::Is(SecretVersion::Absent) => "absent",
            Self::Forbidden => "forbidden",
            Self::Failed => "failed",
        }
    }
}

#[derive(Debug)]
struct Asked {
    interested: BTreeMap<ObjectId, (Source, Option<SecretVersion>)>,
    due: Instant,
    /// Whether the question is under way.
    asking: bool,
    failures: u32,
}

impl Asked {
    fn interval(&self) -> Duration {
        self.interested
            .values()
            .map(|(source, _)| source.interval())
            .min()
            .unwrap_or(Source::Referenced.interval())
    }
}

/// Every Secret that something depends on.
#[derive(Debug, Default)]
pub(super) struct Registry {
    secrets: BTreeMap<SecretName, Asked>,
    of: BTreeMap<ObjectId, Vec<SecretName>>,
    queue: BTreeSet<(Instant, SecretName)>,
    registered: u32,
    /// When the next question may be asked.
    free: Option<Instant>,
}

impl Registry {
    /// Replaces what the object depends on; tells whether a question became due sooner than before.
    pub(super) fn register(&mut self, object: &ObjectId, interests: Vec<Interest>, now: Instant) -> bool {
        let first = self.next_due();
        let kept: BTreeSet<&SecretName> = interests.iter().map(|interest| &interest.secret).collect();
        let gone: Vec<SecretName> =
            self.of.get(object).into_iter().flatten().filter(|name| !kept.contains(name)).cloned().collect();
        for name in gone {
            self.leave(&name, object);
        }
        self.of.insert(object.clone(), kept.into_iter().cloned().collect());
        for Interest { secret, source, seen } in interests {
            let due = self.first_due(source, now);
            if let Some(asked) = self.secrets.get_mut(&secret) {
                asked.interested.insert(object.clone(), (source, seen));
                if !asked.asking && asked.failures == 0 && asked.due > due {
                    self.queue.remove(&(asked.due, secret.clone()));
                    asked.due = due;
                    self.queue.insert((due, secret));
                }
            } else {
                let interested = [(object.clone(), (source, seen))].into();
                self.queue.insert((due, secret.clone()));
                self.secrets.insert(secret, Asked { interested, due, asking: false, failures: 0 });
            }
        }
        self.next_due() != first
    }

    /// Spreads first questions evenly over the interval: steps of the golden ratio never cluster.
    fn first_due(&mut self, source: Source, now: Instant) -> Instant {
        self.registered = self.registered.wrapping_add(1);
        let part = (f64::from(self.registered) * 0.618_033_988_749_895).fract();
        now + source.interval().mul_f64(0.5f64.mul_add(part, 0.5))
    }

    pub(super) fn forget(&mut self, object: &ObjectId) {
        for name in self.of.remove(object).unwrap_or_default() {
            self.leave(&name, object);
        }
    }

    fn leave(&mut self, name: &SecretName, object: &ObjectId) {
        let Some(asked) = self.secrets.get_mut(name) else { return };
        asked.interested.remove(object);
        if asked.interested.is_empty() {
            self.queue.remove(&(asked.due, name.clone()));
            self.secrets.remove(name);
        }
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        let (due, _) = self.queue.first()?;
        Some(self.free.map_or(*due, |free| free.max(*due)))
    }

    /// The next Secret to ask for, if one is due.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<SecretName> {
        if self.next_due()? > now {
            return None;
        }
        let (_, name) = self.queue.pop_first()?;
        let earliest = now.checked_sub(BURST).unwrap_or(now);
        self.free = Some(self.free.map_or(earliest, |free| free.max(earliest)) + GAP);
        if let Some(asked) = self.secrets.get_mut(&name) {
            asked.asking = true;
        }
        Some(name)
    }

    /// Notes an answer; returns whom it concerns.
    pub(super) fn answered(&mut self, name: &SecretName, answer: &Answer, now: Instant) -> Vec<ObjectId> {
        let Some(asked) = self.secrets.get_mut(name) else { return Vec::new() };
        let mut concerned = Vec::new();
        let pause = if let Answer::Is(version) = answer {
            asked.failures = 0;
            for (object, (_, seen)) in &mut asked.interested {
                if seen.as_ref().is_some_and(|seen| seen != version) {
                    concerned.push(object.clone());
                }
                if seen.as_ref() != Some(version) {
                    *seen = Some(version.clone());
                }
            }
            asked.interval()
        } else {
            asked.failures = asked.failures.saturating_add(1);
            asked.interval().saturating_mul(2_u32.saturating_pow(asked.failures)).min(LONGEST)
        };
        self.queue.remove(&(asked.due, name.clone()));
        asked.asking = false;
        asked.due = now + pause;
        self.queue.insert((asked.due, name.clone()));
        concerned
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{monotonic, object::ObjectKind};

    fn object(n: u32) -> ObjectId {
        ObjectId::new(ObjectKind::Pipeline, "parking", &format!("p{n}"))
    }

    fn interest(name: &str, source: Source, seen: Option<&str>) -> Interest {
        let seen = seen.map(|version| SecretVersion::Present(version.to_owned()));
        Interest { secret: SecretName::new("parking", name), source, seen }
    }

    fn is(version: &str) -> Answer {
        Answer::Is(SecretVersion::Present(version.to_owned()))
    }

    #[test]
    fn a_change_between_the_reconcile_and_the_first_question_is_not_missed() {
        let (mut registry, now) = (Registry::default(), monotonic::now());
        registry.register(&object(1), vec![interest("a", Source::Copied, Some("1"))], now);
        registry.register(&object(2), vec![interest("a", Source::Referenced, Some("2"))], now);
        registry.register(&object(3), vec![interest("a", Source::Referenced, None)], now);
        let name = registry.take_due(now + Duration::from_secs(4)).unwrap();
        assert_eq!(registry.answered(&name, &is("2"), now), [object(1)]);
        assert_eq!(registry.answered(&name, &is("2"), now), []);
        assert_eq!(
            registry.answered(&name, &Answer::Is(SecretVersion::Absent), now),
            [object(1), object(2), object(3)]
        );
    }

    #[test]
    fn a_forbidden_secret_is_asked_for_ever_more_seldom() {
        let (mut registry, mut now) = (Registry::default(), monotonic::now());
        registry.register(&object(1), vec![interest("a", Source::Copied, None)], now);
        let mut pauses = Vec::new();
        for _ in 0..9 {
            let due = registry.next_due().unwrap();
            pauses.push((due - now).as_secs());
            now = due;
            let name = registry.take_due(now).unwrap();
            assert_eq!(registry.answered(&name, &Answer::Forbidden, now), []);
            registry.register(&object(1), vec![interest("a", Source::Copied, None)], now);
        }
        assert_eq!(pauses[1..], [8, 16, 32, 64, 128, 256, 300, 300]);
    }

    #[test]
    fn two_thousand_secrets_are_asked_for_evenly_and_no_faster_than_the_rate() {
        let (mut registry, mut now) = (Registry::default(), monotonic::now());
        for pipeline in 0..200 {
            let secrets = (0..10).map(|n| interest(&format!("{pipeline}-{n}"), Source::Copied, None));
            registry.register(&object(pipeline), secrets.collect(), now);
        }
        let (mut in_tenths, mut names) = (Vec::new(), BTreeSet::new());
        for _ in 0..200 {
            let mut asked = 0;
            for _ in 0..20 {
                now += GAP;
                while let Some(name) = registry.take_due(now) {
                    registry.answered(&name, &is("1"), now);
                    names.insert(name);
                    asked += 1;
                }
            }
            in_tenths.push(asked);
        }
        assert_eq!(names.len(), 2_000, "each has its turn within 20 s");
        assert!(in_tenths.iter().all(|asked| *asked <= 40), "{in_tenths:?}");
        assert!(in_tenths[60..].iter().all(|asked| *asked == 20), "{in_tenths:?}");
    }

    #[test]
    fn few_secrets_are_asked_for_as_often_as_their_source_demands() {
        let (mut registry, now) = (Registry::default(), monotonic::now());
        let secrets = (0..9).map(|n| interest(&n.to_string(), Source::Copied, None));
        registry.register(&object(1), secrets.collect(), now);
        let name = registry.take_due(now + Duration::from_secs(4)).unwrap();
        registry.answered(&name, &is("1"), now);
        let again = registry.queue.iter().find(|(_, queued)| *queued == name).unwrap().0;
        assert_eq!(again - now, Duration::from_secs(4));
    }

    proptest! {
        #[test]
        fn the_queue_holds_exactly_what_something_depends_on(
            steps in proptest::collection::vec((0..4u32, proptest::collection::vec(0..5u32, 0..4), 0..4u8), 1..60)
        ) {
            let (mut registry, mut now) = (Registry::default(), monotonic::now());
            let mut model: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
            for (who, names, step) in steps {
                now += Duration::from_millis(900);
                if step == 0 {
                    registry.forget(&object(who));
                    model.remove(&who);
                } else {
                    let interests =
                        names.iter().map(|n| interest(&n.to_string(), Source::Copied, None)).collect();
                    registry.register(&object(who), interests, now);
                    model.insert(who, names.into_iter().collect());
                }
                while let Some(name) = registry.take_due(now) {
                    registry.answered(&name, &is("1"), now);
                }
                let wanted: BTreeSet<String> = model.values().flatten().map(u32::to_string).collect();
                let queued: Vec<&str> = registry.queue.iter().map(|(_, name)| &*name.name).collect();
                prop_assert_eq!(queued.len(), wanted.len());
                prop_assert!(queued.iter().all(|name| wanted.contains(*name)));
                prop_assert_eq!(registry.secrets.len(), wanted.len());
            }
        }
    }
}

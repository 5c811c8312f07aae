//! Looks that were asked for at objects of one kind: which object comes next, and how many are looked at at once.
//!
//! The client's controller keeps a large entry for everything that it was told of, and takes what it has in no order:
//! it is told of a few objects ahead of their turns. The others stand here in line, each once.
//! Invariants: first come, first served, however often one comes; what the controller comes back to by itself takes
//! no place in line, and keeps nobody there. What is asked for while an object is looked at, or has been told to the
//! controller, is looked at after that. Nobody is looked at, or counts as waiting, before every kind is listed.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use futures::{FutureExt, Stream, stream};
use kube::runtime::reflector::ObjectRef;
use tokio::sync::{Notify, Semaphore, SemaphorePermit};

use crate::{
    object::{ObjectId, ObjectKind},
    server::Health,
};

use super::{Guarded, Listed, Ours};

/// The controller is told of at least so many objects ahead of their turns.
const AHEAD: usize = 64;

/// The looks at objects of one kind. Clones share them.
#[derive(Clone)]
pub struct Looks(Arc<Shared>);

struct Shared {
    kind: ObjectKind,
    turns: Semaphore,
    /// So many objects are told to the controller ahead of their turns.
    ahead: usize,
    waiting: Mutex<Waiting>,
    /// Somebody came, or the controller has room.
    news: Notify,
    health: Health,
}

#[derive(Default)]
struct Waiting {
    line: VecDeque<ObjectId>,
    in_line: BTreeSet<ObjectId>,
    /// With the controller, before their turns; whether it was told of them from the line.
    with_controller: BTreeMap<ObjectId, bool>,
    /// Whether every kind is listed.
    begun: bool,
}

impl Waiting {
    fn next(&mut self, ahead: usize) -> Option<ObjectId> {
        if self.with_controller.values().filter(|told| **told).count() >= ahead {
            return None;
        }
        let object = self.line.pop_front()?;
        self.in_line.remove(&object);
        self.with_controller.insert(object.clone(), true);
        if self.line.is_empty() {
            self.line = VecDeque::new();
        }
        Some(object)
    }

    /// Looks that have not begun. One object can wait for two: with the controller, and in line again.
    fn depth(&self) -> usize {
        if self.begun { self.line.len().saturating_add(self.with_controller.len()) } else { 0 }
    }
}

impl Looks {
    /// None was asked for yet; so many objects of the kind are looked at at once.
    pub fn new(kind: ObjectKind, concurrency: u16, health: Health) -> Self {
        Self(Arc::new(Shared {
            kind,
            turns: Semaphore::new(concurrency.into()),
            ahead: AHEAD.max(2 * usize::from(concurrency)),
            waiting: Mutex::default(),
            news: Notify::new(),
            health,
        }))
    }

    /// Asks for a look at an object.
    pub(super) fn ask(&self, object: ObjectId) {
        self.change(|waiting| {
            if waiting.in_line.insert(object.clone()) {
                waiting.line.push_back(object);
            }
        });
        self.0.news.notify_one();
    }

    /// What the controller is told once every kind is listed, as it has room. There may be one such stream at a time.
    pub(super) fn told<K: Ours>(
        &self,
        listed: Listed,
    ) -> impl Stream<Item = ObjectRef<Guarded<K>>> + Send + 'static {
        let looks = self.clone();
        let begun = async move {
            listed.all().await;
            looks.change(|waiting| waiting.begun = true);
            stream::unfold(looks, |looks| async {
                let object = looks.next().await;
                Some((ObjectRef::new(&object.name).within(&object.namespace), looks))
            })
        };
        begun.flatten_stream()
    }

    async fn next(&self) -> ObjectId {
        loop {
            if let Some(object) = self.try_next() {
                return object;
            }
            // Whoever comes between the two lines above leaves word.
            self.0.news.notified().await;
        }
    }

    /// The object whose turn is next; none while nobody stands in line or the controller has no room.
    pub(super) fn try_next(&self) -> Option<ObjectId> {
        self.change(|waiting| waiting.next(self.0.ahead))
    }

    /// Waits for an object's turn, which lasts as long as the permit.
    pub(super) async fn turn(&self, object: &ObjectId) -> Option<SemaphorePermit<'_>> {
        self.change(|waiting| {
            waiting.with_controller.entry(object.clone()).or_default();
        });
        let _waits = Waits { looks: self, object };
        // The runtime's semaphore is fair, and this one is never closed.
        self.0.turns.acquire().await.ok()
    }

    /// An object waits with the controller no more: it has its turn, gives up, or is gone.
    pub(super) fn waits_no_more(&self, object: &ObjectId) {
        self.change(|waiting| waiting.with_controller.remove(object));
        self.0.news.notify_one();
    }

    fn change<T>(&self, change: impl FnOnce(&mut Waiting) -> T) -> T {
        let mut waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = change(&mut waiting);
        self.0.health.queued(self.0.kind, waiting.depth());
        changed
    }
}

/// The wait for a turn; it ends with the value.
struct Waits<'a> {
    looks: &'a Looks,
    object: &'a ObjectId,
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.looks.waits_no_more(self.object);
    }
}

#[cfg(test)]
mod tests {
    use futures::{StreamExt, poll};
    use parking_crds::alert_rule::AlertRule;

    use super::*;
    use crate::metrics::Metrics;

    fn looks() -> (Looks, Metrics) {
        let metrics = Metrics::new().unwrap();
        let looks = Looks::new(ObjectKind::AlertRule, 1, Health::new(metrics.clone()));
        looks.change(|waiting| waiting.begun = true);
        (looks, metrics)
    }

    fn note_all(listed: &Listed) {
        for kind in ObjectKind::ALL {
            listed.note(kind);
        }
    }

    fn rule(name: &str) -> ObjectId {
        ObjectId::new(ObjectKind::AlertRule, "york", name)
    }

    fn depth(metrics: &Metrics) -> usize {
        let text = String::from_utf8(metrics.text().unwrap().1).unwrap();
        let mut lines = text.lines();
        let line = lines.find_map(|line| line.split_once("queue_depth{kind=\"AlertRule\"} ")).unwrap();
        line.1.parse().unwrap()
    }

    #[tokio::test]
    async fn whoever_comes_again_waits_behind_those_who_wait() {
        let (looks, metrics) = looks();
        let (one, other) = (rule("one"), rule("other"));
        let busy = looks.turn(&one).now_or_never().flatten();
        assert!(busy.is_some() && depth(&metrics) == 0);
        let mut quiet = Box::pin(looks.turn(&other));
        assert!(poll!(&mut quiet).is_pending());
        let mut again = Box::pin(looks.turn(&one));
        assert!(poll!(&mut again).is_pending() && depth(&metrics) == 2);
        drop(busy);
        assert!(poll!(&mut again).is_pending(), "the quiet one has waited longer");
        let served = poll!(&mut quiet);
        assert!(served.is_ready() && depth(&metrics) == 1);
        drop(again);
        assert_eq!(depth(&metrics), 0, "whoever gives up waits no more");
    }

    #[test]
    fn an_object_stands_in_line_once_and_keeps_its_place() {
        let (looks, _) = looks();
        for name in ["a", "b", "a", "c", "b"] {
            looks.ask(rule(name));
        }
        let order: Vec<ObjectId> = std::iter::from_fn(|| looks.try_next()).collect();
        assert_eq!(order, ["a", "b", "c"].map(rule));
    }

    #[tokio::test]
    async fn what_is_asked_for_during_a_look_is_looked_at_after_it() {
        let (looks, _) = looks();
        looks.ask(rule("a"));
        assert_eq!(looks.try_next(), Some(rule("a")));
        looks.ask(rule("a"));
        assert_eq!(looks.try_next(), Some(rule("a")), "the controller may have read it already");
        let _turn = looks.turn(&rule("a")).await;
        looks.ask(rule("a"));
        assert_eq!(looks.try_next(), Some(rule("a")));
    }

    #[tokio::test]
    async fn the_controller_is_told_of_more_when_one_has_its_turn_or_is_gone() {
        let (looks, metrics) = looks();
        for number in 0..AHEAD + 3 {
            looks.ask(rule(&format!("rule-{number:03}")));
        }
        let listed = Listed::default();
        note_all(&listed);
        let mut told = Box::pin(looks.told::<AlertRule>(listed));
        let first: Vec<_> = told.by_ref().take(AHEAD).collect().await;
        assert_eq!(first.len(), AHEAD);
        let mut next = told.next();
        assert!(poll!(&mut next).is_pending());
        assert_eq!(depth(&metrics), AHEAD + 3);
        let turn = looks.turn(&rule("rule-000")).await;
        assert!(turn.is_some() && poll!(&mut next).is_ready());
        let mut next = told.next();
        assert!(poll!(&mut next).is_pending());
        looks.waits_no_more(&rule("rule-001"));
        assert!(poll!(&mut next).is_ready());
        assert_eq!(depth(&metrics), AHEAD + 1);
    }

    #[tokio::test]
    async fn what_the_controller_comes_back_to_keeps_nobody_in_line() {
        let (looks, metrics) = looks();
        let busy = looks.turn(&rule("busy")).await;
        let again: Vec<ObjectId> = (0..AHEAD).map(|number| rule(&format!("again-{number}"))).collect();
        let mut turns: Vec<_> = again.iter().map(|object| Box::pin(looks.turn(object))).collect();
        for turn in &mut turns {
            assert!(poll!(turn).is_pending());
        }
        looks.ask(rule("new"));
        assert_eq!(looks.try_next(), Some(rule("new")));
        assert_eq!(depth(&metrics), AHEAD + 1);
        drop((busy, turns));
        assert_eq!(depth(&metrics), 1);
    }

    #[tokio::test]
    async fn nobody_is_told_or_waits_before_every_kind_is_listed() {
        let (looks, metrics) = looks();
        looks.change(|waiting| waiting.begun = false);
        looks.ask(rule("a"));
        let listed = Listed::default();
        let mut told = Box::pin(looks.told::<AlertRule>(listed.clone()));
        let mut next = told.next();
        assert!(poll!(&mut next).is_pending() && depth(&metrics) == 0);
        note_all(&listed);
        assert!(poll!(&mut next).is_ready() && depth(&metrics) == 1);
    }
}

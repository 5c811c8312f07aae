//! Looks that were asked for at objects of one kind: which object comes next, and how many are looked at at once.
//!
//! The client's controller keeps a large entry for everything that it was told of, and takes what it has in no order:
//! it is told of a few objects ahead of their turns. The others stand here in line, each once.
//! Invariants: first come, first served, however often one comes; what is asked for while an object is looked at, or
//! has been handed to the controller, is looked at after that.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use futures::{Stream, stream};
use kube::runtime::reflector::ObjectRef;
use tokio::sync::{Notify, Semaphore, SemaphorePermit};

use crate::{
    object::{ObjectId, ObjectKind},
    server::Health,
};

use super::{Guarded, Ours};

/// So many objects are with the controller before their turns.
const AHEAD: usize = 64;

/// The looks at objects of one kind. Clones share them.
#[derive(Clone)]
pub struct Looks(Arc<Shared>);

struct Shared {
    kind: ObjectKind,
    turns: Semaphore,
    waiting: Mutex<Waiting>,
    /// Somebody came, or there is room with the controller.
    news: Notify,
    health: Health,
}

#[derive(Default)]
struct Waiting {
    line: VecDeque<ObjectId>,
    in_line: BTreeSet<ObjectId>,
    /// With the controller, before their turns.
    ahead: BTreeSet<ObjectId>,
}

impl Waiting {
    fn next(&mut self) -> Option<ObjectId> {
        if self.ahead.len() >= AHEAD {
            return None;
        }
        let object = self.line.pop_front()?;
        self.in_line.remove(&object);
        self.ahead.insert(object.clone());
        if self.line.is_empty() {
            self.line = VecDeque::new();
        }
        Some(object)
    }

    /// Looks that have not begun. One object can wait for two: ahead of its turn, and in line again.
    fn depth(&self) -> usize {
        self.line.len().saturating_add(self.ahead.len())
    }
}

impl Looks {
    /// None was asked for yet; so many objects of the kind are looked at at once.
    pub fn new(kind: ObjectKind, concurrency: u16, health: Health) -> Self {
        Self(Arc::new(Shared {
            kind,
            turns: Semaphore::new(concurrency.into()),
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

    /// What the controller is told, as it has room. There may be one such stream at a time.
    pub(super) fn told<K: Ours>(&self) -> impl Stream<Item = ObjectRef<Guarded<K>>> + Send + 'static {
        stream::unfold(self.clone(), |looks| async {
            let object = looks.next().await;
            Some((ObjectRef::new(&object.name).within(&object.namespace), looks))
        })
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
        self.change(Waiting::next)
    }

    /// Waits for an object's turn, which lasts as long as the permit.
    pub(super) async fn turn(&self, object: &ObjectId) -> Option<SemaphorePermit<'_>> {
        self.change(|waiting| waiting.ahead.insert(object.clone()));
        let _ahead = Ahead { looks: self, object };
        // The runtime's semaphore is fair, and this one is never closed.
        self.0.turns.acquire().await.ok()
    }

    /// The controller was told of an object that is gone: it takes no turn.
    pub(super) fn gone(&self, object: &ObjectId) {
        self.change(|waiting| waiting.ahead.remove(object));
        self.0.news.notify_one();
    }

    fn change<T>(&self, change: impl FnOnce(&mut Waiting) -> T) -> T {
        let mut waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = change(&mut waiting);
        self.0.health.queued(self.0.kind, waiting.depth());
        changed
    }
}

/// Ends with the wait for a turn, served or not.
struct Ahead<'a> {
    looks: &'a Looks,
    object: &'a ObjectId,
}

impl Drop for Ahead<'_> {
    fn drop(&mut self) {
        self.looks.gone(self.object);
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, StreamExt, poll};
    use parking_crds::alert_rule::AlertRule;

    use super::*;
    use crate::metrics::Metrics;

    fn looks(concurrency: u16) -> (Looks, Metrics) {
        let metrics = Metrics::new().unwrap();
        (Looks::new(ObjectKind::AlertRule, concurrency, Health::new(metrics.clone())), metrics)
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
        let (looks, metrics) = looks(1);
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
        let (looks, _) = looks(1);
        for name in ["a", "b", "a", "c", "b"] {
            looks.ask(rule(name));
        }
        let order: Vec<ObjectId> = std::iter::from_fn(|| looks.try_next()).collect();
        assert_eq!(order, ["a", "b", "c"].map(rule));
    }

    #[tokio::test]
    async fn what_is_asked_for_during_a_look_is_looked_at_after_it() {
        let (looks, _) = looks(1);
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
        let (looks, metrics) = looks(1);
        for number in 0..AHEAD + 3 {
            looks.ask(rule(&format!("rule-{number:03}")));
        }
        let mut told = Box::pin(looks.told::<AlertRule>());
        let first: Vec<_> = told.by_ref().take(AHEAD).collect().await;
        assert_eq!(first.len(), AHEAD);
        let mut next = told.next();
        assert!(poll!(&mut next).is_pending());
        assert_eq!(depth(&metrics), AHEAD + 3);
        let turn = looks.turn(&rule("rule-000")).await;
        assert!(turn.is_some() && poll!(&mut next).is_ready());
        let mut next = told.next();
        assert!(poll!(&mut next).is_pending());
        looks.gone(&rule("rule-001"));
        assert!(poll!(&mut next).is_ready());
        assert_eq!(depth(&metrics), AHEAD + 1);
    }
}

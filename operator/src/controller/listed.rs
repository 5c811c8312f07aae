//! Which of our kinds the API server has listed since the start.
//!
//! Invariant: nothing is looked at before all are: a pipeline without its rules would lose them, and a rule without
//! its pipeline would be refused.

use std::collections::BTreeSet;

use tokio::sync::watch;

use crate::object::ObjectKind;

/// The kinds whose stores hold everything; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Listed(watch::Sender<BTreeSet<ObjectKind>>);

impl Listed {
    /// The store of a kind holds everything.
    pub fn note(&self, kind: ObjectKind) {
        self.0.send_if_modified(|listed| listed.insert(kind));
    }

    /// Ends when every kind is listed.
    pub async fn all(&self) {
        let mut listed = self.0.subscribe();
        // The sender lives in `self`, so the wait cannot fail.
        let _ = listed.wait_for(|listed| listed.len() == ObjectKind::ALL.len()).await;
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn everybody_waits_until_every_kind_is_listed() {
        let listed = Listed::default();
        let (one, other) = (listed.all(), listed.all());
        let mut both = Box::pin(futures::future::join(one, other));
        for kind in ObjectKind::ALL {
            assert!((&mut both).now_or_never().is_none(), "{kind:?} is not listed yet");
            listed.note(kind);
            listed.note(kind);
        }
        both.await;
    }
}

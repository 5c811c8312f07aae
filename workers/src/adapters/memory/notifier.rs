//! A receiver that remembers what it was told.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use super::locked;
use crate::ports::{
    PortResult,
    notifier::{Notification, Notifier},
};

/// See the module. A clone is another handle on the same memory.
#[derive(Clone, Debug, Default)]
pub struct MemoryNotifier {
    delivered: Arc<Mutex<Vec<Notification>>>,
}

impl MemoryNotifier {
    /// Every delivery in order, repeats included.
    pub fn delivered(&self) -> Vec<Notification> {
        locked(&self.delivered).clone()
    }
}

#[async_trait]
impl Notifier for MemoryNotifier {
    async fn notify(&self, notification: &Notification) -> PortResult<()> {
        locked(&self.delivered).push(notification.clone());
        Ok(())
    }
}

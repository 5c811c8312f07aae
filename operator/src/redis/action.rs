//! What may be done to servers and sentinels, one command or deletion each.

use super::Target;

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisAction {
    /// Make the server the master.
    Promote {
        /// Ordinal of the server.
        server: u16,
        /// Its `min-replicas-to-write` from then on.
        min_replicas: u32,
    },
    /// Make the server follow another.
    Follow {
        /// Ordinal of the server.
        server: u16,
        /// Host of the master.
        host: String,
    },
    /// Set `min-replicas-to-write`.
    SetMinReplicas {
        /// Ordinal of the server.
        server: u16,
        /// The number.
        to: u32,
    },
    /// Set `replica-priority`.
    SetPriority {
        /// Ordinal of the server.
        server: u16,
        /// The priority.
        to: u32,
    },
    /// Tell a sentinel the master, all settings and the password.
    Monitor {
        /// Ordinal of the sentinel.
        sentinel: u16,
        /// Host of the master.
        host: String,
    },
    /// Have a sentinel forget the master that it knows, and tell it another with all settings and the password.
    Remonitor {
        /// Ordinal of the sentinel.
        sentinel: u16,
        /// Host of the master.
        host: String,
    },
    /// Tell a sentinel quorum, password and all settings again.
    SetSettings {
        /// Ordinal of the sentinel.
        sentinel: u16,
    },
    /// Have a sentinel promote another server.
    Failover {
        /// Ordinal of the sentinel.
        sentinel: u16,
    },
    /// Have a sentinel forget everyone but the master.
    Reset {
        /// Ordinal of the sentinel.
        sentinel: u16,
    },
    /// Let the current password in, besides those that are.
    Admit(Target),
    /// Let the next password in, besides those that are.
    AdmitNext(Target),
    /// Use the current password towards others.
    UseCurrent(Target),
    /// Let nothing in but the current password.
    AdmitOnlyCurrent(Target),
    /// Delete a pod. Not done here, see [`delete_pods`](super::RedisReport::delete_pods).
    DeletePod {
        /// Name of the pod.
        pod: String,
    },
}

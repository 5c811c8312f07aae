//! A real Kubernetes control plane for tests: etcd, kube-apiserver and kube-controller-manager from source.
//!
//! A test begins with `let cluster = Cluster::join().await?` and makes a [`Namespace`](namespace::Namespace). The
//! first test of a test binary starts the control plane, in a network namespace of its own; every test's thread
//! then moves into that network namespace, so that all that it starts (clients, processes, listeners) is there too.
//! No kubelet runs: doubles do what a test needs of one, each a module that says what it stands for.
//!
//! With `KUBECONFIG` set, that cluster is used instead; tests that need more than its API (the audit log,
//! addresses of pods) say so and pass.
//!
//! Must not: link a package under test, or wait for a fixed time.
//! Invariants: whatever way a test binary ends, no server process and no file stays behind.

pub mod audit;
mod background;
pub mod chart;
pub mod cluster;
pub mod control_plane;
pub mod definitions;
pub mod error;
pub mod interceptor;
pub mod kubelet;
pub mod namespace;
pub mod objects;
pub mod operator;
pub mod reports;
pub mod strimzi;
pub mod surroundings;
pub mod wait;
pub mod worker;

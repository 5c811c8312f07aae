//! What the black-box tests share: find the real binary, run it against a deadline, wait for a condition,
//! start a pipeline from files, read its tables with programs of others, start servers and a control plane.
//!
//! It drives the system only from outside (files, ports, signals) and never links a package under test.
//! Nothing here waits for a fixed time: every wait has a condition and a deadline.

pub mod fault_table;
pub mod held;
pub mod kafka;
pub mod kubernetes;
pub mod locate;
pub mod minio;
pub mod pipeline;
pub mod process;
pub mod procfs;
pub mod proxy;
pub mod readers;
pub mod redis;
pub mod wait;

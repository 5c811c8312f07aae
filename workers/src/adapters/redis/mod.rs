//! The state store in a Redis with Sentinel.

mod connect;
mod failure;
mod keys;
mod link;
mod load;
mod replicas;
mod scripts;
mod sentinels;
mod settings;
mod state_store;

pub use link::Health;
pub use settings::{Address, LONGEST_TIMEOUT, Login, RedisSettings, SettingsError, Tls};
pub use state_store::RedisStateStore;

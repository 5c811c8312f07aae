//! A stage that writes, and what it may find again.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_e2e::redis::Redis;
use parking_workers::adapters::redis::{Address, RedisSettings};

/// Settings with keys that no other store has.
pub(crate) fn settings(redis: &Redis) -> RedisSettings {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let address = |sentinel: std::net::SocketAddr| sentinel.to_string().parse::<Address>().unwrap();
    RedisSettings::new(
        redis.sentinels().into_iter().map(address).collect(),
        redis.options().master_name.clone(),
        format!("test:{number}:").parse().unwrap(),
    )
}

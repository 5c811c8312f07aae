//! What ran where. Invariant: what the system does not tell is absent.

use std::fs;

use serde::{Deserialize, Serialize};

/// The machine and the versions.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Machine {
    /// Processors that this process may use.
    pub processors: usize,
    /// As the first of them calls itself.
    pub model: Option<String>,
    /// Bytes.
    pub memory: Option<u64>,
    /// Version of the kernel.
    pub kernel: Option<String>,
    /// Version of `parking`.
    pub parking: String,
    /// Version of librdkafka.
    pub librdkafka: String,
    /// Version of the Redis.
    pub redis: Option<String>,
}

impl Machine {
    /// This one, with the answer of its Redis to `INFO`.
    pub(super) fn with(redis: Option<&str>) -> Self {
        let read = |path| fs::read_to_string(path).ok();
        let memory = read("/proc/meminfo").and_then(|text| {
            let kibibytes = after(&text, "MemTotal")?.strip_suffix("kB")?.trim().parse::<u64>().ok()?;
            Some(kibibytes * 1_024)
        });
        Self {
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            model: read("/proc/cpuinfo").and_then(|text| after(&text, "model name").map(str::to_owned)),
            memory,
            kernel: read("/proc/sys/kernel/osrelease").map(|text| text.trim().to_owned()),
            parking: env!("CARGO_PKG_VERSION").to_owned(),
            librdkafka: rdkafka::util::get_rdkafka_version().1,
            redis: redis.and_then(|text| after(text, "redis_version").map(str::to_owned)),
        }
    }

    /// For people.
    pub(super) fn line(&self) -> String {
        let Self { processors, model, memory, kernel, parking, librdkafka, redis } = self;
        let told = |what: &Option<String>| what.clone().unwrap_or_else(|| "unknown".to_owned());
        let memory = memory.map_or_else(|| "?".to_owned(), |bytes| (bytes >> 30).to_string());
        let (model, kernel, redis) = (told(model), told(kernel), told(redis));
        format!(
            "{processors} × {model}, {memory} GiB, Linux {kernel}; parking {parking}, librdkafka {librdkafka}, Redis {redis}"
        )
    }
}

/// The value of the first line with this name.
fn after<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        (found.trim() == name).then(|| value.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_the_redis_is_found_in_its_answer() {
        let machine = Machine::with(Some("# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\n"));
        assert_eq!(machine.redis.as_deref(), Some("7.0.15"));
        assert!(machine.line().contains("Redis 7.0.15"));
    }
}

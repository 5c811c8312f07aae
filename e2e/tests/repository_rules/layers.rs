//! What a layer may name: the domain and the topology are pure, ports name no product, nobody looks upwards.

use crate::files::{SourceFile, repository_files};

const IO_CRATES: &[&str] = &[
    "axum",
    "datafusion",
    "deltalake",
    "fjall",
    "hyper",
    "object_store",
    "rdkafka",
    "redis",
    "reqwest",
    "tokio",
    "tonic",
];
const IO_CRATE_FAMILIES: &[&str] = &["aws_", "datafusion_", "deltalake_", "tokio_"];
const IO_MODULES: &[&str] = &["env", "fs", "net", "process", "thread"];
const CLOCKS: &[&str] = &["Instant", "SystemTime"];

struct Layer {
    name: &'static str,
    folders: &'static [&'static str],
    allowed_crates: &'static [&'static str],
    upper_modules: &'static [&'static str],
    /// Names within a crate or module that are refused though the crate itself is not.
    refused_items: &'static [(&'static str, &'static str)],
}

const LAYERS: &[Layer] = &[
    Layer {
        name: "domain",
        // A package of its own, which sees no other of ours but the vocabulary.
        folders: &["workers/domain/src"],
        allowed_crates: &[],
        upper_modules: &[],
        refused_items: &[],
    },
    Layer {
        name: "contract suites",
        folders: &["workers/src/ports/contract"],
        // They wait for answers, and a suite is named like the port that it tests.
        allowed_crates: &["async_trait", "object_store", "tokio"],
        upper_modules: &["adapters", "command", "http", "runtime", "up", "view"],
        refused_items: &[],
    },
    Layer {
        name: "ports",
        folders: &["workers/src/ports"],
        allowed_crates: &["async_trait"],
        upper_modules: &["adapters", "command", "http", "runtime", "up", "view"],
        refused_items: &[],
    },
    Layer {
        name: "topology",
        folders: &["crds/src/topology", "crds/src/worker_config"],
        allowed_crates: &[],
        upper_modules: &[],
        refused_items: &[],
    },
    Layer {
        name: "decisions of the operator",
        folders: &[
            "operator/src/architecture",
            "operator/src/drift",
            "operator/src/lifecycle",
            "operator/src/live",
            "operator/src/plan",
            "operator/src/redis/decide",
            "operator/src/redis/election",
            "operator/src/redis/password",
            "operator/src/redis/roll",
            "operator/src/removal",
            "operator/src/rollout",
            "operator/src/stats_job/backlog",
            "operator/src/stats_job/retry",
            "operator/src/stats_job/runs",
            "operator/src/stats_job/schedule",
            "operator/src/stats_job/status",
            "operator/src/stats_job/step",
            "operator/src/status",
            "operator/src/validate",
        ],
        // What is planned of a managed Redis is a module of that name; what the crate connects with is refused.
        allowed_crates: &["redis"],
        upper_modules: &["apply", "controller", "observe"],
        refused_items: &[
            ("kube", "Api"),
            ("kube", "Client"),
            ("kube", "client"),
            ("kube", "runtime"),
            ("api", "Api"),
            ("redis", "AsyncCommands"),
            ("redis", "Client"),
            ("redis", "Cmd"),
            ("redis", "aio"),
            ("redis", "cmd"),
        ],
    },
];

pub(crate) fn is_io_crate(name: &str) -> bool {
    let name = name.replace('-', "_");
    IO_CRATES.contains(&name.as_str()) || IO_CRATE_FAMILIES.iter().any(|family| name.starts_with(family))
}

/// A name in the code, with what stands around it.
struct Name<'a> {
    text: &'a str,
    before: &'a str,
    after: &'a str,
}

impl Name<'_> {
    /// `text` begins a path: `text::…`, `::text::…`, `use text;`, but not `other::text::…`.
    fn is_path_root(&self) -> bool {
        let before = self.before.trim_end();
        let opens = match before.strip_suffix("::") {
            Some(outer) => !outer.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '>'),
            None => true,
        };
        let imported = before.ends_with("use") || before.ends_with("extern crate");
        opens && (self.after.trim_start().starts_with("::") || imported)
    }

    /// `root::text`, alone or in a group `root::{…, text, …}`.
    fn is_inside(&self, root: &str) -> bool {
        let before = self.before.trim_end();
        let outer = if before.ends_with("::") { Some(before) } else { before_open_group(before) };
        let owner = outer.and_then(|outer| outer.trim_end().strip_suffix("::"));
        owner.is_some_and(|owner| owner.trim_end().ends_with(root))
    }
}

/// What stands before the brace that is open at the end, if a list entry can begin there.
fn before_open_group(before: &str) -> Option<&str> {
    if !before.ends_with(['{', ',']) {
        return None;
    }
    let mut closed = 0_usize;
    for (at, character) in before.char_indices().rev() {
        match character {
            '}' => closed += 1,
            '{' if closed == 0 => return before.get(..at),
            '{' => closed -= 1,
            ';' => return None,
            _ => {}
        }
    }
    None
}

fn names(code: &str) -> impl Iterator<Item = Name<'_>> {
    let part_of_name = |c: char| c.is_alphanumeric() || c == '_';
    let mut position = 0;
    std::iter::from_fn(move || {
        let start = position + code.get(position..)?.find(part_of_name)?;
        let rest = code.get(start..)?;
        let end = start + rest.find(|c| !part_of_name(c)).unwrap_or(rest.len());
        position = end;
        Some(Name { text: code.get(start..end)?, before: code.get(..start)?, after: code.get(end..)? })
    })
}

fn violations(file: &SourceFile) -> Vec<String> {
    let belongs = |layer: &&Layer| layer.folders.iter().any(|folder| file.path.starts_with(folder));
    let Some(layer) = LAYERS.iter().find(belongs) else {
        return Vec::new();
    };
    let uncommented = file.code_before_tests().map(|line| line.split("//").next().unwrap_or_default());
    let code = uncommented.collect::<Vec<_>>().join("\n");
    let refused = |name: &Name<'_>| {
        let crate_named = is_io_crate(name.text) || name.text == "async_trait";
        (crate_named && name.is_path_root() && !layer.allowed_crates.contains(&name.text))
            || CLOCKS.contains(&name.text)
            || (IO_MODULES.contains(&name.text) && name.is_inside("std"))
            || (layer.upper_modules.contains(&name.text) && name.is_inside("crate"))
            || layer.refused_items.iter().any(|(root, item)| *item == name.text && name.is_inside(root))
    };
    names(&code)
        .filter(refused)
        .map(|name| format!("{}: the {} must not name `{}`", file.path, layer.name, name.text))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assert_none;

    fn found_in(path: &str, code: &str) -> usize {
        violations(&SourceFile { path: path.to_owned(), text: code.to_owned() }).len()
    }

    #[test]
    fn each_layer_names_only_what_it_may() {
        let files = repository_files().unwrap();
        assert_none(&files.iter().flat_map(violations).collect::<Vec<_>>());
    }

    #[test]
    fn every_way_to_name_io_in_the_domain_is_found() {
        let planted = [
            "use tokio::sync::mpsc;",
            "use ::tokio::sync::mpsc;",
            "use {tokio::sync, a::b};",
            "fn f() { ::fjall::open(); }",
            "use redis;",
            "use aws_sdk_s3::Client;",
            "fn f() { std::fs::read(p); }",
            "use std::{collections::BTreeMap, fs};",
            "use std::{fs::File, fmt};",
            "use std::{collections::{BTreeMap, BTreeSet}, fs};",
            "use std::time::Instant;",
            "use std::time::{Duration, SystemTime};",
            "use async_trait::async_trait;",
        ];
        for code in planted {
            assert_eq!(found_in("workers/domain/src/track/mod.rs", code), 1, "{code}");
        }
    }

    #[test]
    fn pure_code_with_similar_names_is_not_refused() {
        let fine = [
            "pub mod object_store;\npub use self::object_store::ObjectStore;",
            "struct Stores { redis: String, fs: u8 }",
            "use crate::domain::fs::x;",
            "// tokio::spawn is refused here",
            "use std::time::Duration;",
            "#[cfg(test)]\nmod tests { use std::fs; }",
        ];
        for code in fine {
            assert_eq!(found_in("workers/domain/src/track/mod.rs", code), 0, "{code}");
        }
    }

    #[test]
    fn ports_may_be_async_but_know_no_product() {
        assert_eq!(found_in("workers/src/ports/event_log.rs", "use async_trait::async_trait;"), 0);
        assert_eq!(found_in("workers/src/ports/event_log.rs", "use rdkafka::Message;"), 1);
        assert_eq!(found_in("workers/src/ports/event_log.rs", "use crate::adapters::embedded;"), 1);
        assert_eq!(found_in("workers/src/ports/clock.rs", "use crate::{domain::track, runtime::stage};"), 1);
        assert_eq!(found_in("workers/src/adapters/embedded/log.rs", "use fjall::Keyspace;"), 0);
    }

    #[test]
    fn the_operator_decides_without_a_client_or_a_clock() {
        let refused = [
            "use kube::Client;",
            "use kube::{Api, ResourceExt};",
            "use kube::api::{Api, ObjectMeta};",
            "use kube::client::Client;",
            "use kube::runtime::watcher;",
            "fn f(client: &kube::Client) {}",
            "use redis::aio::MultiplexedConnection;",
            "fn f(client: &::redis::Client) {}",
            "use tokio::time::sleep;",
            "use std::time::Instant;",
            "use crate::apply::Applied;",
        ];
        let folders = ["plan/pod.rs", "validate/offline.rs", "status.rs", "architecture/mod.rs"];
        for (code, folder) in refused.into_iter().flat_map(|code| folders.map(|folder| (code, folder))) {
            assert_eq!(found_in(&format!("operator/src/{folder}"), code), 1, "{code}");
        }
        let fine = [
            "use kube::{ResourceExt, api::ObjectMeta, core::DynamicObject};",
            "use crate::{foreign::keda::PAUSED_REPLICAS, plan::Plan};",
            "let jiff = jiff::Timestamp::UNIX_EPOCH;",
        ];
        for code in fine {
            assert_eq!(found_in("operator/src/plan/pod.rs", code), 0, "{code}");
        }
        assert_eq!(found_in("operator/src/apply.rs", "use kube::Client;"), 0);
    }

    #[test]
    fn the_topology_and_the_worker_file_are_pure() {
        assert_eq!(found_in("crds/src/topology.rs", "use reqwest::Url;"), 1);
        assert_eq!(found_in("crds/src/topology/stream.rs", "use std::net::IpAddr;"), 1);
        assert_eq!(found_in("crds/src/worker_config.rs", "use std::fs;"), 1);
    }
}

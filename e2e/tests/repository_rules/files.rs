//! Rules for single files: size before tests, names, leftover markers, hosts.

use std::{fs, io, process::Command};

use parking_e2e::locate::repository;

const MOST_LINES_BEFORE_TESTS: usize = 400;

/// A file of the repository, tracked or about to be.
pub(crate) struct SourceFile {
    /// Relative to the root, with slashes.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl SourceFile {
    fn has_extension(&self, extensions: &[&str]) -> bool {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        let extension = name.rsplit_once('.').map_or(name, |(_, extension)| extension);
        extensions.contains(&extension)
    }

    fn is_rust(&self) -> bool {
        self.has_extension(&["rs"])
    }

    /// What people write here, as against data and lock files.
    fn is_written_by_hand(&self) -> bool {
        let written =
            ["rs", "toml", "md", "yaml", "yml", "sh", "py", "sql", "Makefile", "run", "install", "timed"];
        self.has_extension(&written) && !self.path.contains("/generated/")
    }

    fn is_test(&self) -> bool {
        self.path.contains("/tests/") || self.path.ends_with("tests.rs")
    }

    /// The code that ships: everything up to the first test module.
    pub(crate) fn code_before_tests(&self) -> impl Iterator<Item = &str> {
        let is_gate = |line: &str| line.starts_with("#[cfg(test)]") || line.starts_with("#[cfg(all(test");
        let mut rest = self.text.lines().peekable();
        std::iter::from_fn(move || {
            let line = rest.next()?;
            let gates_a_module = is_gate(line)
                && rest.peek().is_some_and(|next| next.starts_with("mod ") || next.starts_with("#["));
            (!gates_a_module).then_some(line)
        })
    }
}

/// All files that git tracks or would add.
pub(crate) fn repository_files() -> io::Result<Vec<SourceFile>> {
    let listing = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(repository())
        .output()?;
    if !listing.status.success() {
        return Err(io::Error::other(String::from_utf8_lossy(&listing.stderr).into_owned()));
    }
    let names = String::from_utf8_lossy(&listing.stdout).into_owned();
    let readable = names.split('\0').filter(|path| !path.is_empty()).filter_map(|path| {
        // A file that was just deleted is still listed, and binary data has no rules.
        let text = fs::read_to_string(repository().join(path)).ok()?;
        Some(SourceFile { path: path.to_owned(), text })
    });
    Ok(readable.collect())
}

fn too_long(file: &SourceFile) -> Option<String> {
    let lines = file.code_before_tests().count();
    let refused = file.is_rust() && !file.is_test() && lines > MOST_LINES_BEFORE_TESTS;
    refused
        .then(|| format!("{}: {lines} lines before its tests, at most {MOST_LINES_BEFORE_TESTS}", file.path))
}

fn vaguely_named(file: &SourceFile) -> Option<String> {
    let vague = ["util", "utils", "common", "helper", "helpers", "manager", "misc", "stuff"];
    let parts = file.path.split('/').map(|part| part.split_once('.').map_or(part, |(stem, _)| stem));
    let found = parts.into_iter().find(|part| vague.contains(part))?;
    Some(format!("{}: `{found}` says nothing, name what it does", file.path))
}

fn leftover_markers(file: &SourceFile) -> Vec<String> {
    let markers = ["TODO", "FIXME", "XXX", "HACK"];
    if !file.is_written_by_hand() || file.path.starts_with("e2e/tests/repository_rules/") {
        return Vec::new();
    }
    let words = |line: &str| -> Vec<String> {
        line.split(|c: char| !c.is_alphanumeric()).map(ToOwned::to_owned).collect()
    };
    let numbered = (1..).zip(file.text.lines());
    numbered
        .filter(|(_, line)| words(line).iter().any(|word| markers.contains(&word.as_str())))
        .map(|(number, line)| format!("{}:{number}: finish it or file an issue: {}", file.path, line.trim()))
        .collect()
}

/// Hosts that text may link to: sources of data, standards and documentation, reserved example names.
const LINKED_HOSTS: &[&str] = &[
    "archive.ics.uci.edu",
    "creativecommons.org",
    "data.melbourne.vic.gov.au",
    "json-schema.org",
    "keepachangelog.com",
    "kubernetes.io",
    "openmobilityfoundation.org",
    "parking.tinyx.io",
    "rustup.rs",
    "semver.org",
    "spec.openapis.org",
    "strimzi.io",
    "www.apache.org",
    "www.nationalarchives.gov.uk",
];

fn is_local_or_reserved(host: &str) -> bool {
    let reserved =
        [".example", "example.com", "example.org", "example.net", ".test", ".invalid", ".svc", ".local"];
    // A single word is a service inside a cluster, or a placeholder.
    !host.contains('.')
        || host.starts_with("127.")
        || host.starts_with("10.")
        || host == "0.0.0.0"
        || reserved.iter().any(|end| host.ends_with(end))
        || host.rsplit('.').next().is_some_and(|last| last == host.split('.').next().unwrap_or_default())
}

fn foreign_hosts(file: &SourceFile) -> Vec<String> {
    if !file.is_written_by_hand() {
        return Vec::new();
    }
    let after_scheme = file.text.split("://").skip(1);
    let hosts = after_scheme.map(|rest| {
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '.' || c == '-'));
        rest.get(..end.unwrap_or(rest.len())).unwrap_or_default().trim_end_matches('.')
    });
    hosts
        .filter(|host| !is_local_or_reserved(host) && !LINKED_HOSTS.contains(host))
        .map(|host| {
            format!("{}: names the host {host}: add it to LINKED_HOSTS if readers need it", file.path)
        })
        .collect()
}

fn package_sources(file: &SourceFile) -> Vec<String> {
    let settings =
        ["--index-url", "--extra-index-url", "[source.", "[registries", "--registry", "replace-with"];
    if !file.is_written_by_hand() || file.path.starts_with("e2e/tests/repository_rules/") {
        return Vec::new();
    }
    let found = settings.iter().filter(|setting| file.text.contains(*setting));
    found
        .map(|setting| format!("{}: `{setting}`: where packages come from is the user's setting", file.path))
        .collect()
}

/// The one file that calls C itself.
const UNSAFE: &str = "workers/src/adapters/kafka/topic_id.rs";

fn unsafe_code(file: &SourceFile) -> Option<String> {
    let may_name_it = file.path == UNSAFE || file.path.starts_with("e2e/tests/repository_rules/");
    let refused = file.is_rust() && !may_name_it && file.text.contains("unsafe_code");
    refused.then(|| format!("{}: unsafe code stands in {UNSAFE} alone", file.path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assert_none;

    #[track_caller]
    fn assert_every_file<V: IntoIterator<Item = String>>(rule: impl Fn(&SourceFile) -> V) {
        let files = repository_files().unwrap();
        assert!(files.iter().any(|file| file.path == "Cargo.toml"), "the listing misses known files");
        assert_none(&files.iter().flat_map(rule).collect::<Vec<_>>());
    }

    fn planted(path: &str, text: &str) -> SourceFile {
        SourceFile { path: path.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn every_file_is_short_enough_to_read() {
        assert_every_file(too_long);
    }

    #[test]
    fn a_file_of_401_lines_before_its_tests_is_found() {
        let code = "let a = 1;\n".repeat(400);
        let tests = format!("{code}#[cfg(test)]\nmod tests {{\n{code}}}\n");
        assert_eq!(too_long(&planted("crds/src/a.rs", &tests)), None);
        let longer = format!("\n{tests}");
        assert!(too_long(&planted("crds/src/a.rs", &longer)).unwrap().contains("401 lines"));
    }

    #[test]
    fn a_test_only_import_does_not_end_the_count() {
        let text = format!("#[cfg(test)]\nuse a::b;\n{}", "let a = 1;\n".repeat(400));
        assert!(too_long(&planted("crds/src/a.rs", &text)).is_some());
    }

    #[test]
    fn every_file_says_what_it_is() {
        assert_every_file(vaguely_named);
    }

    #[test]
    fn a_vague_name_is_found_as_file_and_as_folder() {
        assert!(vaguely_named(&planted("workers/src/utils.rs", "")).is_some());
        assert!(vaguely_named(&planted("workers/src/common/mod.rs", "")).is_some());
        assert_eq!(vaguely_named(&planted("workers/src/runtime/common_prefix.rs", "")), None);
    }

    #[test]
    fn nothing_is_left_unfinished() {
        assert_every_file(leftover_markers);
    }

    #[test]
    fn a_leftover_marker_is_found_with_its_line() {
        let found = leftover_markers(&planted("workers/src/a.rs", "fn a() {}\n// TODO: later\n"));
        assert_eq!(found, ["workers/src/a.rs:2: finish it or file an issue: // TODO: later"]);
        assert!(leftover_markers(&planted("workers/src/a.rs", "// TODOS are a kind of list\n")).is_empty());
    }

    #[test]
    fn text_links_only_to_known_hosts() {
        assert_every_file(foreign_hosts);
    }

    #[test]
    fn an_unknown_host_is_found_and_local_ones_are_not() {
        let text =
            "http://minio.minio:9000 http://127.0.0.1:80 https://hooks.example.com/a redis://cache:6379";
        assert!(foreign_hosts(&planted("README.md", text)).is_empty());
        // In two parts, so that this file keeps its own rule.
        let unknown = concat!("see https:", "//packages.somewhere.dev/simple.");
        let found = foreign_hosts(&planted("README.md", unknown));
        assert!(found.concat().contains("packages.somewhere.dev"), "{found:?}");
    }

    #[test]
    fn unsafe_code_stands_in_one_file() {
        assert_every_file(unsafe_code);
    }

    #[test]
    fn a_lint_that_is_lifted_elsewhere_is_found() {
        let text = "#![expect(unsafe_code, reason = \"fast\")]";
        assert!(unsafe_code(&planted("workers/src/a.rs", text)).is_some());
        assert_eq!(unsafe_code(&planted(UNSAFE, text)), None);
    }

    #[test]
    fn packages_come_from_where_the_user_says() {
        assert_every_file(package_sources);
    }

    #[test]
    fn a_setting_of_the_package_source_is_found() {
        assert_eq!(package_sources(&planted("Makefile", "pip install --index-url x y")).len(), 1);
        assert_eq!(
            package_sources(&planted(".cargo/config.toml", "[source.mirror]\nreplace-with = 'm'")).len(),
            2
        );
    }
}

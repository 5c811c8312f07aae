//! Which packages are used: licences, sources, bans, one major of what must agree, direction of dependencies.

use std::{
    collections::{BTreeMap, BTreeSet},
    env::{self, consts},
    io,
    process::Command,
};

use parking_e2e::locate::repository;
use serde_json::Value;

use crate::{layers::is_io_crate, licences};

/// Types of these cross our interfaces: two versions in one build do not fit together.
const ONE_VERSION: &[&str] = &[
    "arrow",
    "arrow-array",
    "arrow-schema",
    "datafusion",
    "deltalake",
    "jiff",
    "k8s-openapi",
    "kube",
    "object_store",
    "parquet",
    "schemars",
    "tokio",
];

const BANNED: &[(&str, &str)] = &[
    ("native-tls", "TLS is rustls everywhere"),
    ("openssl", "TLS is rustls everywhere; librdkafka alone, which is C, links the system's OpenSSL"),
    ("serde_yaml", "unmaintained: serde-saphyr reads YAML"),
];

/// Our packages, and which of ours each may use.
const DIRECTIONS: &[(&str, &[&str])] = &[
    ("parking-crds", &[]),
    ("parking-operator", &["parking-crds"]),
    ("parking-domain", &["parking-crds"]),
    ("parking-workers", &["parking-crds", "parking-domain"]),
    ("parking-e2e", &["parking-crds"]),
];

/// What decides, and nothing else: no I/O crate, and nothing that takes a C compiler.
const PURE: &[&str] = &["parking-crds", "parking-domain"];

/// What builds C, or makes Rust of its headers.
const C_BUILDERS: &[&str] = &["bindgen", "cc", "cmake"];

/// What the tests of a package may use besides: they start servers with what the black-box tests start them with,
/// which links no package under test.
const DIRECTIONS_OF_TESTS: &[(&str, &[&str])] = &[("parking-workers", &["parking-e2e"])];

#[derive(Debug, Clone, PartialEq, Eq)]
struct Package {
    name: String,
    version: String,
    licence: Option<String>,
    source: Option<String>,
    dependencies: Vec<Dependency>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Dependency {
    name: String,
    requirement: String,
    from_registry: bool,
    for_tests: bool,
}

impl Package {
    fn is_ours(&self) -> bool {
        self.source.is_none()
    }

    fn from(value: &Value) -> Self {
        let dependencies = value.get("dependencies").and_then(Value::as_array);
        Self {
            name: text(value, "name").unwrap_or_default(),
            version: text(value, "version").unwrap_or_default(),
            licence: text(value, "license"),
            source: text(value, "source"),
            dependencies: dependencies.into_iter().flatten().map(Dependency::from).collect(),
        }
    }
}

impl Dependency {
    fn from(value: &Value) -> Self {
        Self {
            name: text(value, "name").unwrap_or_default(),
            requirement: text(value, "req").unwrap_or_default(),
            from_registry: text(value, "source").is_some(),
            for_tests: text(value, "kind").as_deref() == Some("dev"),
        }
    }
}

fn text(value: &Value, key: &str) -> Option<String> {
    value.get(key)?.as_str().map(ToOwned::to_owned)
}

fn cargo(arguments: &[&str]) -> io::Result<String> {
    let answer = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(arguments)
        .current_dir(repository())
        .output()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if answer.status.success() {
        Ok(text(&answer.stdout))
    } else {
        Err(io::Error::other(text(&answer.stderr)))
    }
}

/// The packages that a build for this kind of machine uses, as locked.
fn packages() -> io::Result<Vec<Package>> {
    let platform = format!("{}-unknown-linux-gnu", consts::ARCH);
    let answer = cargo(&["metadata", "--format-version", "1", "--locked", "--filter-platform", &platform])?;
    let metadata: Value = serde_json::from_str(&answer)?;
    let listed = metadata.get("packages").and_then(Value::as_array);
    Ok(listed.into_iter().flatten().map(Package::from).collect())
}

/// What this package alone is built from that takes a C compiler.
fn c_builders(package: &str) -> io::Result<Vec<String>> {
    let listed = cargo(&["tree", "--locked", "-p", package, "-e", "normal,build", "--prefix", "none"])?;
    let names = listed.lines().filter_map(|line| line.split(' ').next());
    let found: BTreeSet<_> = names.filter(|name| C_BUILDERS.contains(name)).collect();
    Ok(found
        .into_iter()
        .map(|name| format!("{package} builds without a C compiler, but uses {name}"))
        .collect())
}

fn refused_licences(packages: &[Package]) -> Vec<String> {
    packages
        .iter()
        .filter_map(|package| licences::refused(&package.name, package.licence.as_deref()))
        .collect()
}

fn foreign_sources(packages: &[Package]) -> Vec<String> {
    let foreign = packages
        .iter()
        .filter(|package| package.source.as_ref().is_some_and(|source| !source.starts_with("registry+")));
    foreign.map(|package| format!("{}: comes from a repository, not from a registry", package.name)).collect()
}

fn open_requirements(packages: &[Package]) -> Vec<String> {
    let ours = packages.iter().filter(|package| package.is_ours());
    let all = ours.flat_map(|package| package.dependencies.iter().map(move |needed| (package, needed)));
    all.filter(|(_, needed)| needed.from_registry && needed.requirement.contains('*'))
        .map(|(package, needed)| format!("{}: takes any version of {}", package.name, needed.name))
        .collect()
}

fn banned(packages: &[Package]) -> Vec<String> {
    let found = packages.iter().filter_map(|package| BANNED.iter().find(|(name, _)| *name == package.name));
    found.map(|(name, reason)| format!("{name} is banned: {reason}")).collect()
}

fn split_versions(packages: &[Package]) -> Vec<String> {
    let mut versions = BTreeMap::<&str, BTreeSet<&str>>::new();
    for package in packages.iter().filter(|package| ONE_VERSION.contains(&package.name.as_str())) {
        versions.entry(&package.name).or_default().insert(&package.version);
    }
    let split = versions.into_iter().filter(|(_, found)| found.len() > 1);
    split
        .map(|(name, found)| format!("{name} is there in versions {found:?}: their types do not fit"))
        .collect()
}

fn wrong_directions(packages: &[Package]) -> Vec<String> {
    let ours: BTreeSet<&str> = packages.iter().filter(|p| p.is_ours()).map(|p| p.name.as_str()).collect();
    let mut found = Vec::new();
    for package in packages.iter().filter(|package| package.is_ours()) {
        let Some((_, may_use)) = DIRECTIONS.iter().find(|(name, _)| *name == package.name) else {
            found.push(format!("{}: say in DIRECTIONS which of our packages it may use", package.name));
            continue;
        };
        let for_tests = DIRECTIONS_OF_TESTS.iter().find(|(name, _)| *name == package.name);
        for needed in &package.dependencies {
            let name = needed.name.as_str();
            let in_tests = needed.for_tests && for_tests.is_some_and(|(_, may_use)| may_use.contains(&name));
            if ours.contains(name) && !may_use.contains(&name) && !in_tests {
                found.push(format!("{} must not use {name}", package.name));
            }
            if PURE.contains(&package.name.as_str()) && !needed.for_tests && is_io_crate(name) {
                found.push(format!("{} is pure and must not use {name}", package.name));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assert_none;

    fn used(name: &str, version: &str) -> Package {
        Package {
            name: name.to_owned(),
            version: version.to_owned(),
            licence: Some("MIT".to_owned()),
            source: Some("registry+index".to_owned()),
            dependencies: Vec::new(),
        }
    }

    fn ours(name: &str, needed: &[(&str, &str)]) -> Package {
        let dependencies = needed.iter().map(|(name, requirement)| Dependency {
            name: (*name).to_owned(),
            requirement: (*requirement).to_owned(),
            from_registry: !name.starts_with("parking-"),
            for_tests: false,
        });
        Package { source: None, dependencies: dependencies.collect(), ..used(name, "0.1.0") }
    }

    #[test]
    fn the_build_keeps_every_rule_for_packages() {
        let packages = packages().unwrap();
        assert!(packages.len() > 100 && packages.iter().filter(|p| p.is_ours()).count() >= DIRECTIONS.len());
        let rules =
            [refused_licences, foreign_sources, open_requirements, banned, split_versions, wrong_directions];
        assert_none(&rules.iter().flat_map(|rule| rule(&packages)).collect::<Vec<_>>());
    }

    #[test]
    fn what_decides_builds_without_a_c_compiler() {
        assert_none(&PURE.iter().flat_map(|package| c_builders(package).unwrap()).collect::<Vec<_>>());
        assert!(!c_builders("parking-workers").unwrap().is_empty(), "what is there is found");
    }

    #[test]
    fn a_package_with_a_refused_licence_is_found() {
        let viral = Package { licence: Some("GPL-3.0-only".to_owned()), ..used("viral", "1.0.0") };
        assert_eq!(refused_licences(&[used("kind", "1.0.0"), viral]).len(), 1);
    }

    #[test]
    fn a_package_from_a_repository_is_found() {
        let git = Package { source: Some("git+https://host.example/x".to_owned()), ..used("x", "1.0.0") };
        assert_eq!(foreign_sources(&[git, used("y", "1.0.0")]).len(), 1);
    }

    #[test]
    fn an_open_requirement_is_found() {
        let open = ours("parking-crds", &[("serde", "*"), ("uuid", "1.*"), ("jiff", "^0.2")]);
        assert_eq!(open_requirements(&[open]).len(), 2);
    }

    #[test]
    fn a_banned_package_is_found_with_its_reason() {
        let found = banned(&[used("native-tls", "0.2.0"), used("rustls", "0.23.0")]);
        assert_eq!(found, ["native-tls is banned: TLS is rustls everywhere"]);
    }

    #[test]
    fn two_versions_of_one_interface_are_found() {
        let found = split_versions(&[used("arrow", "58.0.0"), used("arrow", "59.3.2"), used("syn", "2.0.0")]);
        assert_eq!(found.len(), 1);
        assert!(split_versions(&[used("syn", "2.0.0"), used("syn", "3.0.0")]).is_empty());
    }

    #[test]
    fn a_dependency_against_the_direction_is_found() {
        let crds = ours("parking-crds", &[("parking-workers", "^0.1"), ("tokio", "^1"), ("serde", "^1")]);
        let e2e = ours("parking-e2e", &[("parking-workers", "^0.1"), ("parking-crds", "^0.1")]);
        let found = wrong_directions(&[crds, e2e, ours("parking-workers", &[]), ours("parking-new", &[])]);
        assert_eq!(found.len(), 4, "{found:?}");
    }

    #[test]
    fn servers_of_tests_are_used_by_tests_alone_and_only_where_it_is_said() {
        let used_by = |name: &str, for_tests: bool| {
            let mut package = ours(name, &[("parking-e2e", "^0.1")]);
            package.dependencies[0].for_tests = for_tests;
            wrong_directions(&[package, ours("parking-e2e", &[])])
        };
        assert_none(&used_by("parking-workers", true));
        assert_eq!(used_by("parking-workers", false), ["parking-workers must not use parking-e2e"]);
        assert_eq!(used_by("parking-operator", true), ["parking-operator must not use parking-e2e"]);
    }
}

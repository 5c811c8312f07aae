//! Where the repository and the binaries under test are.

use std::{
    env, io,
    path::{Path, PathBuf},
    sync::LazyLock,
};

/// The root of the repository that cargo tests, which need not be the one that it compiled: checkouts share builds.
#[must_use]
pub fn repository() -> &'static Path {
    static PACKAGE: LazyLock<PathBuf> = LazyLock::new(|| {
        env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from)
    });
    PACKAGE.parent().unwrap_or(&PACKAGE)
}

/// The binary `parking`: the file that `PARKING_BIN` names, else the one built beside this test.
///
/// # Errors
/// When there is no such file; the message says how to build it.
pub fn parking() -> io::Result<PathBuf> {
    built("parking", "PARKING_BIN")
}

/// The binary `parking-operator`: the file that `PARKING_OPERATOR_BIN` names, else the one built beside this test.
///
/// # Errors
/// When there is no such file; the message says how to build it.
pub fn operator() -> io::Result<PathBuf> {
    built("parking-operator", "PARKING_OPERATOR_BIN")
}

/// The plug-in `kubectl-parking`: the file that `KUBECTL_PARKING_BIN` names, else the one built beside this test.
///
/// # Errors
/// When there is no such file; the message says how to build it.
pub fn kubectl_plugin() -> io::Result<PathBuf> {
    built("kubectl-parking", "KUBECTL_PARKING_BIN")
}

/// A program that `.ci/install all` builds or takes from outside, such as `parking-servers`, `kubectl`, `helm`.
///
/// # Errors
/// When it is missing; the message says how to get it.
pub fn tool(name: &str) -> io::Result<PathBuf> {
    existing(tools().join("servers/bin").join(name), "run `.ci/install all`, which builds it")
}

/// The folder of Kafka's jars, which `.ci/install programs` fetches.
///
/// # Errors
/// When it is missing; the message says how to get it.
pub fn kafka_jars() -> io::Result<PathBuf> {
    let folder = tools().join("kafka");
    existing(folder.join("installed.xml"), "run `.ci/install programs`, which fetches Kafka")?;
    Ok(folder.join("libs"))
}

fn tools() -> PathBuf {
    let usual = || Some(PathBuf::from(env::var_os("HOME")?).join(".cache/parking/tools"));
    env::var_os("PARKING_TOOLS").map(PathBuf::from).or_else(usual).unwrap_or_default()
}

fn built(name: &str, variable: &str) -> io::Result<PathBuf> {
    let cure = format!("build it with `cargo build --workspace --bin {name}`, or name it in {variable}");
    if let Some(named) = env::var_os(variable) {
        return existing(PathBuf::from(named), &cure);
    }
    // A test executable is TARGET/PROFILE/deps/NAME-HASH; cargo puts binaries into TARGET/PROFILE.
    let test = env::current_exe()?;
    let profile = test
        .ancestors()
        .nth(2)
        .ok_or_else(|| io::Error::other(format!("{} lies in no target folder", test.display())))?;
    existing(profile.join(name), &cure)
}

fn existing(program: PathBuf, cure: &str) -> io::Result<PathBuf> {
    if program.is_file() {
        return Ok(program);
    }
    Err(io::Error::new(io::ErrorKind::NotFound, format!("{} is missing: {cure}", program.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_holds_the_workspace_manifest() {
        assert!(repository().join("Cargo.lock").is_file());
    }

    #[test]
    fn a_missing_binary_is_named_with_the_way_to_build_it() {
        let error = existing(PathBuf::from("/nowhere/parking"), "build it").unwrap_err().to_string();
        assert_eq!(error, "/nowhere/parking is missing: build it");
    }
}

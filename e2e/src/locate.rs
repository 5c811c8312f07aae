//! Where the repository and the binaries under test are.

use std::{
    env, io,
    path::{Path, PathBuf},
};

/// The root of the repository.
#[must_use]
pub fn repository() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package)
}

/// The binary `parking`: the file that `PARKING_BIN` names, else the one built beside this test.
///
/// # Errors
/// When there is no such file; the message says how to build it.
pub fn parking() -> io::Result<PathBuf> {
    if let Some(named) = env::var_os("PARKING_BIN") {
        return existing(PathBuf::from(named));
    }
    // A test executable is TARGET/PROFILE/deps/NAME-HASH; cargo puts binaries into TARGET/PROFILE.
    let test = env::current_exe()?;
    let profile = test
        .ancestors()
        .nth(2)
        .ok_or_else(|| io::Error::other(format!("{} lies in no target folder", test.display())))?;
    existing(profile.join("parking"))
}

fn existing(binary: PathBuf) -> io::Result<PathBuf> {
    if binary.is_file() {
        return Ok(binary);
    }
    Err(io::Error::new(
        io::ErrorKind::NotFound,
        format!(
            "{} is missing: build it with `cargo build --workspace --bin parking`, or name it in PARKING_BIN",
            binary.display()
        ),
    ))
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
        let error = existing(PathBuf::from("/nowhere/parking")).unwrap_err().to_string();
        assert!(error.starts_with("/nowhere/parking is missing: build it"), "{error}");
    }
}

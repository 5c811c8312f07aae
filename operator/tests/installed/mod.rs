//! Programs that tests run and that `.ci/install all` builds.

use std::{env, path::PathBuf};

/// The program of that name; fails with the way to get it.
#[track_caller]
pub(crate) fn program(name: &str) -> PathBuf {
    let usual = || PathBuf::from(env::var_os("HOME").unwrap_or_default()).join(".cache/parking/tools");
    let tools = env::var_os("PARKING_TOOLS").map_or_else(usual, PathBuf::from);
    let program = tools.join("servers/bin").join(name);
    assert!(program.is_file(), "{} is missing: run `.ci/install all`, which builds it", program.display());
    program
}

//! Rules that no compiler checks: size and names of files, what may be named where, licences, bans.
//!
//! Each rule is a function from text to violations and is itself tested with a planted violation.

mod files;
mod layers;
mod licences;
mod packages;

/// Fails with all violations at once, one a line.
#[track_caller]
fn assert_none(violations: &[String]) {
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

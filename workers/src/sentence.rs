//! An error and all its causes as one plain sentence.
//!
//! Invariant: nothing is said twice, since an error may quote the cause that it also names.

use std::error::Error;

/// The sentence; several lines only where the error itself lists several problems.
pub fn sentence(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let told = error.to_string();
        if !text.contains(&told) {
            text = format!("{text}: {told}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::ports::{ErrorKind, PortError};

    #[derive(Debug, thiserror::Error)]
    #[error("in short: {0}")]
    struct Quoting(#[source] PortError);

    #[test]
    fn causes_are_told_once() {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        let error = PortError::caused(ErrorKind::Full, "writing to the data folder", full);
        assert_eq!(sentence(&error), "writing to the data folder failed: no storage space");
        let told = sentence(&Quoting(error));
        assert_eq!(told, "in short: writing to the data folder failed: no storage space");
    }
}

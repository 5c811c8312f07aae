//! Where a bucket is and how it is talked to.

use std::fmt;

use parking_crds::{
    duration::Duration,
    names::{BucketName, KeyPrefix},
};

/// A bucket, or the part of it below a prefix.
#[derive(Clone, Debug)]
pub struct S3Settings {
    /// URL of the service; absent means AWS.
    pub endpoint: Option<String>,
    /// Region of the bucket.
    pub region: String,
    /// Name of the bucket.
    pub bucket: BucketName,
    /// First part of every key; ends with `/`.
    pub prefix: KeyPrefix,
    /// Whether the bucket stands in the path instead of the host name.
    pub path_style: bool,
    /// Keys; absent means those of the environment (web identity, container or instance).
    pub credentials: Option<S3Credentials>,
    /// Certificate authorities in PEM, trusted beside the system's.
    pub ca: Option<String>,
    /// How long calls may take.
    pub limits: S3Limits,
}

/// An access key. Its secret is never printed.
#[derive(Clone)]
pub struct S3Credentials {
    /// Id of the key.
    pub access_key: String,
    /// Its secret.
    pub secret_key: String,
}

impl fmt::Debug for S3Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Credentials").field("access_key", &self.access_key).finish_non_exhaustive()
    }
}

/// How long calls may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct S3Limits {
    /// To be connected.
    pub connect: Duration,
    /// One request, with its answer.
    pub request: Duration,
    /// A call of a port, with all of its requests, retries and pauses.
    pub call: Duration,
}

impl Default for S3Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            request: Duration::from_secs(20),
            call: Duration::from_secs(60),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_of_a_key_is_not_printed() {
        let keys = S3Credentials { access_key: "AK".to_owned(), secret_key: "hidden".to_owned() };
        let printed = format!("{keys:?}");
        assert!(printed.contains("AK") && !printed.contains("hidden"), "{printed}");
    }
}

//! Certificates for servers of a test.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

/// Files of certificates, in PEM.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// Of each server and sentinel.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Who signed it.
    pub ca: PathBuf,
}

impl TlsFiles {
    /// Makes them for 127.0.0.1, for one day, in a folder.
    ///
    /// # Errors
    /// When `openssl` is missing or refuses.
    pub fn make(folder: &Path) -> io::Result<Self> {
        let files = Self {
            certificate: folder.join("tls.pem"),
            key: folder.join("tls.key"),
            ca: folder.join("ca.pem"),
        };
        fs::write(folder.join("extensions"), "subjectAltName = IP:127.0.0.1\nbasicConstraints = CA:FALSE\n")?;
        let steps = [
            "req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=test-authority -keyout ca.key -out ca.pem",
            "req -newkey rsa:2048 -nodes -subj /CN=redis -keyout tls.key -out request",
            "x509 -req -in request -CA ca.pem -CAkey ca.key -CAcreateserial -days 1 -extfile extensions -out tls.pem",
        ];
        for step in steps {
            let done = Command::new("openssl").args(step.split(' ')).current_dir(folder).output()?;
            if !done.status.success() {
                return Err(io::Error::other(String::from_utf8_lossy(&done.stderr).into_owned()));
            }
        }
        Ok(files)
    }
}

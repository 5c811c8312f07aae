//! The Secrets of ingest, followed while it runs: API keys, plate keys, certificate.
//!
//! Must not print what they hold. Invariants: what cannot be used at the start stops the start; later, it is
//! told and counted, and what was read before goes on; an API key that is taken away lets nobody in any more.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_crds::{duration::Duration, names::ObjectName, worker_config::IngestSettings};
use tokio::sync::watch;
use tokio_rustls::rustls::ServerConfig;

use super::{
    grant::Limits,
    intake::Door,
    keyring::{KeyDefaults, Keyring},
    meter::Meter,
    plate::{PlateKeyError, PlateKeys},
    secret_folder::{Entries, Watched},
    tls::{self, TlsError},
};
use crate::ports::clock::Clock;

/// Pause between two looks: how late a changed Secret is used, beyond the time of its mount.
const LOOK: Duration = Duration::from_millis(5_000);

/// Why a Secret cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The folder cannot be read.
    #[error("the Secret {secret} cannot be read from {}: {error}", folder.display())]
    Unreadable {
        /// Its name.
        secret: ObjectName,
        /// Where it should be mounted.
        folder: PathBuf,
        /// The system's reason.
        error: io::Error,
    },
    /// It holds no plate keys.
    #[error("the Secret {secret}: {error}")]
    Plates {
        /// Its name.
        secret: ObjectName,
        /// What is wrong with it.
        error: PlateKeyError,
    },
    /// It holds no certificate with its key.
    #[error("the Secret {secret}: {error}")]
    Tls {
        /// Its name.
        secret: ObjectName,
        /// What is wrong with it.
        error: TlsError,
    },
}

/// What is made of a Secret.
enum Content {
    Keys(watch::Sender<Arc<Keyring>>, KeyDefaults),
    Plates(watch::Sender<Arc<PlateKeys>>),
    Tls(watch::Sender<Option<Arc<ServerConfig>>>),
}

struct Followed {
    secret: ObjectName,
    folder: PathBuf,
    watched: Watched,
    content: Content,
    failing: bool,
}

/// What the Secrets hold now, for those who use it.
pub(super) struct Opened {
    /// Who is let in.
    pub(super) door: Door,
    /// How plates are replaced.
    pub(super) plates: watch::Receiver<Arc<PlateKeys>>,
    /// How to serve; `None` inside: without TLS.
    pub(super) tls: watch::Receiver<Option<Arc<ServerConfig>>>,
    /// Keeps them up to date.
    pub(super) following: Following,
}

/// See the module.
pub(super) struct Following {
    secrets: Vec<Followed>,
}

/// Reads all Secrets that the settings name.
pub(super) fn open(
    settings: &IngestSettings,
    folder: &Path,
    pipeline: &str,
    meter: &Meter,
) -> Result<Opened, SecretError> {
    let limits = settings.limits.and_then(|limits| limits.events_per_second);
    let limits = Limits { records_per_second: limits, bytes_per_second: None };
    let (plates_sender, plates) = watch::channel(Arc::default());
    let (tls_sender, tls) = watch::channel(None);
    let (keys_sender, keys) = watch::channel(Arc::default());
    let defaults = KeyDefaults { tenant: pipeline.to_owned(), limits };
    let door = if settings.api_keys.is_some() { Door::Keys(keys) } else { Door::Open(limits) };
    let named = [
        (&settings.api_keys, Content::Keys(keys_sender, defaults)),
        (&settings.plate_keys, Content::Plates(plates_sender)),
        (&settings.tls, Content::Tls(tls_sender)),
    ];
    let named = named.into_iter().filter_map(|(secret, content)| Some((secret.clone()?, content)));
    let mut secrets: Vec<_> = named
        .map(|(secret, content)| {
            let folder = folder.join(secret.as_str());
            Followed { secret, folder, watched: Watched::default(), content, failing: false }
        })
        .collect();
    for followed in &mut secrets {
        followed.look(meter)?;
    }
    Ok(Opened { door, plates, tls, following: Following { secrets } })
}

impl Following {
    /// Looks again and again; ends with its task.
    pub(super) async fn run(mut self, clock: &dyn Clock, meter: &Meter) {
        loop {
            clock.pause(LOOK).await;
            for followed in &mut self.secrets {
                let failed = followed.look(meter).err();
                if let Some(error) = &failed
                    && !followed.failing
                {
                    tracing::error!("{error}; what was read before goes on");
                    meter.bad_secret(followed.secret.as_str());
                }
                followed.failing = failed.is_some();
            }
        }
    }
}

impl Followed {
    fn look(&mut self, meter: &Meter) -> Result<(), SecretError> {
        let secret = || self.secret.clone();
        let unreadable =
            |error| SecretError::Unreadable { secret: secret(), folder: self.folder.clone(), error };
        // What could not be used is looked at again, so that it is told as long as it is so.
        let mut watched = self.watched;
        let Some(entries) = watched.changed(&self.folder).map_err(unreadable)? else { return Ok(()) };
        match &self.content {
            Content::Keys(keys, defaults) => {
                self.use_keys(keys, &entries, defaults, meter);
            }
            Content::Plates(plates) => {
                let read = PlateKeys::read(&entries);
                let read = read.map_err(|error| SecretError::Plates { secret: secret(), error })?;
                plates.send_replace(Arc::new(read));
            }
            Content::Tls(tls) => {
                let read = tls::server_config(&entries);
                let read = read.map_err(|error| SecretError::Tls { secret: secret(), error })?;
                tls.send_replace(Some(Arc::new(read)));
            }
        }
        self.watched = watched;
        Ok(())
    }

    fn use_keys(
        &self,
        keys: &watch::Sender<Arc<Keyring>>,
        entries: &Entries,
        defaults: &KeyDefaults,
        meter: &Meter,
    ) {
        let (read, errors) = Keyring::read(entries, defaults);
        for error in &errors {
            tracing::error!(secret = self.secret.as_str(), "{error}");
            meter.bad_secret(self.secret.as_str());
        }
        tracing::info!(secret = self.secret.as_str(), keys = read.len(), "API keys were read");
        keys.send_replace(Arc::new(read));
    }
}

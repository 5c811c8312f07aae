//! Certificate and key of a Secret of type `kubernetes.io/tls`, as a TLS server uses them.
//!
//! Must not print the key.

use std::sync::Arc;

use tokio_rustls::rustls::{
    self, ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use super::secret_folder::Entries;

/// Why entries are no certificate with its key.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// An entry is absent.
    #[error("the entry `{0}` is missing")]
    Missing(&'static str),
    /// An entry is not PEM of what it should be.
    #[error("the entry `{0}` is not in PEM")]
    NotPem(&'static str),
    /// They do not fit each other, or are of a kind that is not supported.
    #[error("certificate and key cannot be used: {0}")]
    Unusable(#[from] rustls::Error),
}

/// How to serve with them: HTTP/2 for those who can, HTTP/1.1 else.
pub(super) fn server_config(entries: &Entries) -> Result<ServerConfig, TlsError> {
    const CERTIFICATE: &str = "tls.crt";
    const KEY: &str = "tls.key";
    let entry = |name| entries.get(name).ok_or(TlsError::Missing(name));
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(entry(CERTIFICATE)?)
        .collect::<Result<_, _>>()
        .map_err(|_| TlsError::NotPem(CERTIFICATE))?;
    if certificates.is_empty() {
        return Err(TlsError::NotPem(CERTIFICATE));
    }
    let key = PrivateKeyDer::from_pem_slice(entry(KEY)?).map_err(|_| TlsError::NotPem(KEY))?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(certificates, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

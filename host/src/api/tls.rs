//! TLS of the API: a certificate chain and its key, in PEM. It refuses anything below TLS 1.2, and to start with a key that does
//! not fit.

use crate::error::{ErrorKind, UserError};
use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::Path;
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

/// What takes connections.
#[derive(Clone)]
pub struct Tls(TlsAcceptor);

impl Tls {
    /// Reads both files; a renewed certificate counts after a restart.
    ///
    /// # Errors
    /// When a file cannot be read, holds no PEM, or the key does not belong to the certificate.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, UserError> {
        let chain: Vec<CertificateDer<'static>> =
            CertificateDer::pem_slice_iter(&read(certificate)?)
                .collect::<Result<_, _>>()
                .map_err(|error| wrong(certificate, &error))?;
        if chain.is_empty() {
            return Err(wrong(certificate, &"it holds no certificate"));
        }
        let private = PrivateKeyDer::from_pem_slice(&read(key)?);
        let private = private.map_err(|error| wrong(key, &error))?;
        let versions = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| UserError::new(ErrorKind::Bug, error))?;
        let config = versions
            .with_no_client_auth()
            .with_single_cert(chain, private)
            .map_err(|error| wrong(key, &error))?;
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }

    pub(super) fn acceptor(&self) -> &TlsAcceptor {
        &self.0
    }
}

fn read(path: &Path) -> Result<Vec<u8>, UserError> {
    std::fs::read(path).map_err(|error| wrong(path, &error))
}

fn wrong(path: &Path, error: &dyn std::fmt::Display) -> UserError {
    let message = format!("TLS cannot be set up with {}: {error}", path.display());
    UserError::new(ErrorKind::Usage, message).hint(
        "--tls-cert names a PEM file with the certificate and those that signed it, --tls-key one with its private key",
    )
}

//! Brings a component and its signature here. Every transfer has a limit and a time; a digest is computed from the bytes that
//! came and never taken from anybody's word.

use super::signature::Signature;
use super::source::Source;
use super::{FETCH_BYTES_MAX, RegistryError, SIGNATURE_BYTES_MAX, oci, refused};
use crate::store::Digest;
use reqwest::{Client, StatusCode, redirect};
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Duration;
use url::Url;

/// To reach a server, and between two pieces of what it sends.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// Redirects that are followed.
const REDIRECTS_MAX: usize = 5;

/// A component as it came.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// Its bytes; nobody has looked at them.
    pub bytes: Vec<u8>,
    /// Their SHA-256.
    pub digest: Digest,
    /// The signature that lay beside it.
    pub signature: Option<Signature>,
    /// Where exactly these bytes are for ever, if the source has such a name.
    pub resolved: Option<Source>,
}

impl Fetched {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self {
            digest: Digest(Sha256::digest(&bytes).into()),
            bytes,
            signature: None,
            resolved: None,
        }
    }
}

/// Fetches a component. Blocks; call it where no runtime is.
pub fn fetch(source: &Source) -> Result<Fetched, RegistryError> {
    match source {
        Source::File(path) => from_file(path),
        Source::Url(url) => wait(from_url(url))?,
        Source::Oci(reference) => wait(oci::pull(reference))?,
    }
}

/// Waits for a transfer on a runtime of its own.
pub(super) fn wait<T>(work: impl Future<Output = T>) -> Result<T, RegistryError> {
    // Installed once a process; an error says that it is there already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(refused("start a runtime for", Path::new("the transfer")))?;
    Ok(runtime.block_on(work))
}

fn from_file(path: &Path) -> Result<Fetched, RegistryError> {
    let bytes = read(path, FETCH_BYTES_MAX)?;
    let bytes = bytes.ok_or_else(|| RegistryError::NotFound(path.display().to_string()))?;
    let beside = Signature::path_beside(path);
    let signature = read(&beside, SIGNATURE_BYTES_MAX)?
        .map(|text| Signature::parse(&text))
        .transpose()?;
    Ok(Fetched {
        signature,
        ..Fetched::new(bytes)
    })
}

/// A whole file of at most `limit` bytes, or none where there is none.
pub(super) fn read(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, RegistryError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(refused("read", path)(error)),
    };
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(refused("read", path))?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > limit {
        return Err(RegistryError::TooLarge(path.display().to_string()));
    }
    Ok(Some(bytes))
}

async fn from_url(url: &Url) -> Result<Fetched, RegistryError> {
    let local = url.scheme() == "http";
    let client = Client::builder()
        .connect_timeout(PATIENCE)
        .read_timeout(PATIENCE)
        // From this machine nobody is sent elsewhere, and over TLS nobody is sent away from it.
        .redirect(if local {
            redirect::Policy::none()
        } else {
            redirect::Policy::limited(REDIRECTS_MAX)
        })
        .https_only(!local)
        .build()
        .map_err(|error| server(url, &error))?;
    let bytes = get(&client, url, FETCH_BYTES_MAX)
        .await?
        .ok_or_else(|| RegistryError::NotFound(url.to_string()))?;
    let mut beside = url.clone();
    beside.set_path(&Signature::name_beside(url.path()));
    let signature = get(&client, &beside, SIGNATURE_BYTES_MAX)
        .await?
        .map(|text| Signature::parse(&text))
        .transpose()?;
    Ok(Fetched {
        signature,
        ..Fetched::new(bytes)
    })
}

async fn get(client: &Client, url: &Url, limit: u64) -> Result<Option<Vec<u8>>, RegistryError> {
    let mut response = client
        .get(url.clone())
        .send()
        .await
        .map_err(|error| server(url, &error))?;
    match response.status() {
        StatusCode::NOT_FOUND | StatusCode::GONE => return Ok(None),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            return Err(RegistryError::Unauthorized(url.to_string()));
        }
        status if !status.is_success() => return Err(server(url, &format!("status {status}"))),
        _ => {}
    }
    let mut bytes = Vec::new();
    while let Some(piece) = response
        .chunk()
        .await
        .map_err(|error| server(url, &error))?
    {
        bytes.extend_from_slice(&piece);
        if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > limit {
            return Err(RegistryError::TooLarge(url.to_string()));
        }
    }
    Ok(Some(bytes))
}

fn server(from: &Url, error: &dyn std::fmt::Display) -> RegistryError {
    RegistryError::Server {
        from: from.to_string(),
        reason: error.to_string(),
    }
}

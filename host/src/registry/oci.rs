//! OCI registries: a component is an artifact of one layer, `application/wasm`, with the config that the CNCF's Wasm working
//! group names. Tools that follow it read what is pushed here, and the other way round.

use super::credentials::credentials;
use super::fetch::{Fetched, PATIENCE, wait};
use super::signature::Signature;
use super::source::{OciRef, Source};
use super::{FETCH_BYTES_MAX, RegistryError};
use crate::store::Digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oci_client::Client;
use oci_client::client::{ClientConfig, ClientProtocol, Config, ImageLayer};
use oci_client::errors::{OciDistributionError, OciErrorCode};
use oci_client::manifest::{OciDescriptor, OciImageManifest};
use serde_json::json;
use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::AsyncWrite;

/// What a component's layer is.
const LAYER_TYPE: &str = "application/wasm";
/// What older tools call it.
const OLD_LAYER_TYPE: &str = "application/vnd.wasm.content.layer.v1+wasm";
/// What its config is.
const CONFIG_TYPE: &str = "application/vnd.wasm.config.v0+json";
/// The annotation of the manifest that holds a minisign signature of the component, in base64: the client's canonical JSON writes
/// line breaks as they are, and registries refuse them.
const SIGNATURE: &str = "airlock.signature.minisign";

fn client(reference: &OciRef) -> Client {
    let protocol = if reference.is_local() {
        ClientProtocol::Http
    } else {
        ClientProtocol::Https
    };
    Client::new(ClientConfig {
        protocol,
        // A list of images has no component for "this platform".
        platform_resolver: None,
        connect_timeout: Some(PATIENCE),
        read_timeout: Some(PATIENCE),
        ..ClientConfig::default()
    })
}

/// Fetches the artifact and computes its digests.
pub(super) async fn pull(reference: &OciRef) -> Result<Fetched, RegistryError> {
    let from = Source::Oci(reference.clone()).to_string();
    let client = client(reference);
    let auth = credentials(reference.registry());
    let failed = |error| failed(&from, error);
    // The client checks the manifest's bytes against the digest in the reference, where there is one.
    let (manifest, manifest_digest) = client
        .pull_image_manifest(&reference.0, &auth)
        .await
        .map_err(failed)?;
    let layer = only_layer(&from, &manifest)?;
    let mut bytes = Bounded::default();
    let pulled = client.pull_blob(&reference.0, layer, &mut bytes).await;
    if bytes.over {
        return Err(RegistryError::TooLarge(from));
    }
    pulled.map_err(failed)?;
    let fetched = Fetched::new(bytes.bytes);
    let said = layer.digest.strip_prefix("sha256:").and_then(Digest::parse);
    if said != Some(fetched.digest) {
        return Err(RegistryError::WrongDigest {
            at: from,
            expected: layer.digest.clone(),
            found: format!("sha256:{}", fetched.digest),
        });
    }
    let signature = manifest
        .annotations
        .as_ref()
        .and_then(|notes| notes.get(SIGNATURE))
        .map(|text| Signature::parse(&STANDARD.decode(text.trim()).unwrap_or_default()))
        .transpose()?;
    Ok(Fetched {
        signature,
        resolved: Some(Source::Oci(reference.pinned(&manifest_digest))),
        ..fetched
    })
}

fn only_layer<'a>(
    from: &str,
    manifest: &'a OciImageManifest,
) -> Result<&'a OciDescriptor, RegistryError> {
    let no = |reason: String| RegistryError::NotAnArtifact {
        from: from.to_owned(),
        reason,
    };
    match &manifest.layers[..] {
        [layer] if layer.media_type == LAYER_TYPE || layer.media_type == OLD_LAYER_TYPE => {
            Ok(layer)
        }
        [layer] => Err(no(format!(
            "its layer is {:?}; a component's is {LAYER_TYPE:?}",
            layer.media_type
        ))),
        layers => Err(no(format!(
            "it has {} layers, as a container image has; a component has one",
            layers.len()
        ))),
    }
}

/// Puts a component and its signature into a registry, and yields the artifact by its digest. Blocks.
pub fn push(
    reference: &OciRef,
    bytes: &[u8],
    signature: Option<&Signature>,
    imports: &[String],
) -> Result<Source, RegistryError> {
    wait(push_now(reference, bytes, signature, imports))?
}

async fn push_now(
    reference: &OciRef,
    bytes: &[u8],
    signature: Option<&Signature>,
    imports: &[String],
) -> Result<Source, RegistryError> {
    let from = Source::Oci(reference.clone()).to_string();
    let layer = ImageLayer::new(bytes.to_vec(), LAYER_TYPE.to_owned(), None);
    let config = json!({
        // The same component is the same artifact, whenever it is pushed.
        "created": "1970-01-01T00:00:00Z",
        "architecture": "wasm",
        "os": "wasip2",
        "layerDigests": [layer.sha256_digest()],
        "component": {"exports": ["airlock:operator/guest"], "imports": imports, "target": null},
    });
    let config = Config::new(
        config.to_string().into_bytes(),
        CONFIG_TYPE.to_owned(),
        None,
    );
    let notes = signature.map(|signature| {
        BTreeMap::from([(SIGNATURE.to_owned(), STANDARD.encode(signature.text()))])
    });
    let layers = [layer];
    let mut manifest = OciImageManifest::build(&layers, &config, notes);
    manifest.media_type = Some(oci_client::manifest::OCI_IMAGE_MEDIA_TYPE.to_owned());
    manifest.artifact_type = Some(LAYER_TYPE.to_owned());
    let client = client(reference);
    let auth = credentials(reference.registry());
    client
        .push(&reference.0, &layers, config, &auth, Some(manifest))
        .await
        .map_err(|error| failed(&from, error))?;
    let digest = client
        .fetch_manifest_digest(&reference.0, &auth)
        .await
        .map_err(|error| failed(&from, error))?;
    Ok(Source::Oci(reference.pinned(&digest)))
}

fn failed(from: &str, error: OciDistributionError) -> RegistryError {
    let from = from.to_owned();
    let unknown = [
        OciErrorCode::ManifestUnknown,
        OciErrorCode::NameUnknown,
        OciErrorCode::NotFound,
    ];
    match error {
        OciDistributionError::RegistryError { envelope, .. }
            if envelope
                .errors
                .iter()
                .any(|error| unknown.contains(&error.code)) =>
        {
            RegistryError::NotFound(from)
        }
        OciDistributionError::ServerError { code: 404, .. }
        | OciDistributionError::ImageManifestNotFoundError(_) => RegistryError::NotFound(from),
        OciDistributionError::UnauthorizedError { .. }
        | OciDistributionError::AuthenticationFailure(_) => RegistryError::Unauthorized(from),
        OciDistributionError::ImageIndexParsingNoPlatformResolverError => {
            let reason = "it is a list of images for several platforms".to_owned();
            RegistryError::NotAnArtifact { from, reason }
        }
        error => RegistryError::Server {
            from,
            reason: error.to_string(),
        },
    }
}

/// Takes bytes up to the limit of a component, and refuses the rest.
#[derive(Default)]
struct Bounded {
    bytes: Vec<u8>,
    over: bool,
}

impl AsyncWrite for Bounded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        piece: &[u8],
    ) -> Poll<io::Result<usize>> {
        let length = self.bytes.len().saturating_add(piece.len());
        if u64::try_from(length).unwrap_or(u64::MAX) > FETCH_BYTES_MAX {
            self.over = true;
            return Poll::Ready(Err(io::Error::other("over the limit")));
        }
        self.bytes.extend_from_slice(piece);
        Poll::Ready(Ok(piece.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

//! How a person names where a plugin is. It refuses what could mean two things.

use oci_client::Reference;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use url::Url;

/// A source that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} names no plugin: {reason}")]
pub struct SourceError {
    /// As written.
    pub text: String,
    /// What is wrong, and what to write.
    pub reason: String,
}

/// An artifact in an OCI registry: `REGISTRY/NAME:TAG`, `REGISTRY/NAME@sha256:...`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OciRef(pub(super) Reference);

impl OciRef {
    /// Host and port of the registry.
    pub fn registry(&self) -> &str {
        self.0.registry()
    }

    /// Whether it names exactly one artifact, for ever.
    pub fn is_pinned(&self) -> bool {
        self.0.digest().is_some()
    }

    /// The same artifact by the digest of its manifest.
    #[must_use]
    pub fn pinned(&self, manifest: &str) -> Self {
        Self(Reference::with_digest(
            self.0.registry().to_owned(),
            self.0.repository().to_owned(),
            manifest.to_owned(),
        ))
    }

    /// A registry on this machine is spoken to without TLS, every other one with it.
    pub(super) fn is_local(&self) -> bool {
        let registry = self.registry();
        let host = match registry.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => host,
            _ => registry,
        };
        is_loopback(host)
    }
}

/// Where a plugin is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file.
    File(PathBuf),
    /// An OCI registry.
    Oci(OciRef),
    /// A web server.
    Url(Url),
}

impl Source {
    /// Reads `oci://...`, `https://...`, `http://` of this machine, or a path.
    pub fn parse(text: &str) -> Result<Self, SourceError> {
        let wrong = |reason: String| SourceError {
            text: text.to_owned(),
            reason,
        };
        if let Some(reference) = text.strip_prefix("oci://") {
            return oci(reference).map(Self::Oci).map_err(wrong);
        }
        if text.starts_with("https://") || text.starts_with("http://") {
            return web(text).map(Self::Url).map_err(wrong);
        }
        if let Some((scheme, _)) = text.split_once("://") {
            return Err(wrong(format!(
                "{scheme}:// is not known here; write a file's path, oci://REGISTRY/NAME:TAG or https://..."
            )));
        }
        if text.is_empty() {
            return Err(wrong(
                "write a file's path, oci://REGISTRY/NAME:TAG or https://...".to_owned(),
            ));
        }
        Ok(Self::File(PathBuf::from(text)))
    }

    /// The same, with a relative path made absolute.
    #[must_use]
    pub fn in_folder(self, folder: &Path) -> Self {
        match self {
            Self::File(path) => Self::File(folder.join(path)),
            other => other,
        }
    }

    /// The same, as a lock file in `folder` says it: a file below is told from there, so that the folder may move.
    #[must_use]
    pub fn seen_from(&self, folder: &Path) -> Self {
        match self {
            Self::File(path) => Self::File(path.strip_prefix(folder).unwrap_or(path).to_owned()),
            other => other.clone(),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(out),
            Self::Oci(reference) => write!(out, "oci://{}", reference.0.whole()),
            Self::Url(url) => url.fmt(out),
        }
    }
}

fn oci(text: &str) -> Result<OciRef, String> {
    let (registry, rest) = text.split_once('/').unwrap_or((text, ""));
    let names_host = registry == "localhost" || registry.contains(['.', ':']);
    if !names_host || rest.is_empty() {
        return Err(
            "name the registry too: oci://REGISTRY/NAME:TAG or oci://REGISTRY/NAME@sha256:..."
                .to_owned(),
        );
    }
    let reference: Reference = text.parse().map_err(|error| format!("{error}"))?;
    Ok(OciRef(reference))
}

fn web(text: &str) -> Result<Url, String> {
    let url: Url = text.parse().map_err(|error| format!("{error}"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(
            "a name and a password in a URL end up in lock files; leave them out".to_owned(),
        );
    }
    if url.scheme() == "http" && !url.host_str().is_some_and(is_loopback) {
        return Err("over http:// anybody on the way can change it; use https://".to_owned());
    }
    Ok(url)
}

fn is_loopback(host: &str) -> bool {
    let inside = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || host.parse::<Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
        || inside.parse::<Ipv6Addr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(text: &str) -> String {
        Source::parse(text).unwrap_err().reason
    }

    #[test]
    fn each_kind_of_source_is_told_apart_and_written_back() {
        let digest = "ab".repeat(32);
        for text in [
            "plugins/churn.wasm",
            "oci://registry.example/team/churn:1.2",
            "oci://127.0.0.1:5000/churn:latest",
            &format!("oci://localhost:5000/churn@sha256:{digest}"),
            "https://example.com/churn.wasm",
            "http://127.0.0.1:8000/churn.wasm",
        ] {
            let source = Source::parse(text).unwrap();
            assert_eq!(source.to_string(), text);
        }
    }

    #[test]
    fn what_could_mean_two_things_or_is_unsafe_is_refused() {
        assert!(reason("oci://churn:1").contains("name the registry"));
        assert!(reason("oci://team/churn:1").contains("name the registry"));
        assert!(reason("ftp://example.com/x").contains("ftp:// is not known"));
        assert!(reason("http://example.com/x.wasm").contains("use https://"));
        assert!(reason("http://127.0.0.1.example.com/x.wasm").contains("use https://"));
        assert!(reason("https://me:pw@example.com/x.wasm").contains("leave them out"));
        assert!(reason("").contains("write a file's path"));
        assert!(Source::parse("oci://registry.example/UPPER:1").is_err());
    }

    #[test]
    fn only_this_machine_is_spoken_to_without_tls() {
        let local = |text: &str| match Source::parse(text).unwrap() {
            Source::Oci(reference) => reference.is_local(),
            _ => false,
        };
        assert!(local("oci://127.0.0.1:5000/x:1"));
        assert!(local("oci://localhost:5000/x:1"));
        assert!(!local("oci://registry.example:5000/x:1"));
        assert!(!local("oci://10.0.0.1:5000/x:1"));
    }
}

//! `wasi:http/outgoing-handler`: one request at a time to a granted host. The URL is parsed once, the name is resolved once, and the
//! connection goes to the very addresses that were checked, so a name that resolves elsewhere a moment later changes nothing.
//! It follows no redirect, uses no proxy and sends no secret to a host that the secret's grant does not name.

use super::granted::Granted;
use super::handles::lock;
use super::vault::{Site, Vault};
use crate::sandbox::ports::{HTTP_BODY_BYTES_MAX, HttpError, HttpPort, HttpRequest, HttpResponse};
use airlock_core::grant::Capability;
use async_trait::async_trait;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use url::{Host, Url};

/// The longest time one request may take, whatever the guest asks for.
pub const HTTP_TIMEOUT_MAX: Duration = Duration::from_mins(10);
/// The longest URL, bytes.
pub const HTTP_URL_BYTES_MAX: usize = 8 << 10;
/// The most headers of a request, and the most bytes of all their names and values.
pub const HTTP_HEADERS_MAX: usize = 100;
/// See `HTTP_HEADERS_MAX`.
pub const HTTP_HEADER_BYTES_MAX: usize = 64 << 10;
/// The most requests that one attempt may have under way.
pub const HTTP_CONCURRENT_MAX: usize = 8;

/// The most targets whose client an attempt keeps.
const HTTP_CLIENTS_MAX: usize = 16;
/// Headers that belong to the connection, which is the host's.
const FORBIDDEN_HEADERS: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "expect",
];

/// W3C's header that says which trace a request is a part of.
const TRACE_PARENT: &str = "traceparent";

/// Finds the addresses of a name.
#[async_trait]
pub trait Resolver: Send + Sync {
    /// All addresses; asked once a request. The error says why there are none.
    async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, String>;
}

/// The resolver of the operating system.
pub struct SystemResolver;

#[async_trait]
impl Resolver for SystemResolver {
    async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, String> {
        let found = tokio::net::lookup_host((host, 0)).await;
        let found = found.map_err(|error| error.to_string())?;
        Ok(found.map(|address| address.ip()).collect())
    }
}

/// Outgoing HTTP for one attempt.
pub(super) struct Http {
    grants: Arc<Granted>,
    vault: Vault,
    resolver: Arc<dyn Resolver>,
    slots: tokio::sync::Semaphore,
    /// What a request says about its trace that says nothing itself.
    trace_parent: Option<HeaderValue>,
    /// By exactly what they can reach, the newest last.
    clients: Mutex<Vec<(Target, Client)>>,
}

/// Where a request goes, after it was allowed.
#[derive(Clone, PartialEq, Eq)]
struct Target {
    tls: bool,
    host: String,
    port: u16,
    addresses: Vec<SocketAddr>,
}

impl Http {
    pub(super) fn new(grants: Arc<Granted>, vault: Vault, resolver: Arc<dyn Resolver>) -> Self {
        Self {
            grants,
            vault,
            resolver,
            slots: tokio::sync::Semaphore::new(HTTP_CONCURRENT_MAX),
            trace_parent: None,
            clients: Mutex::new(Vec::new()),
        }
    }

    /// Its requests are parts of this trace, unless the guest says another.
    pub(super) fn traced(self, trace_parent: Option<String>) -> Self {
        let trace_parent = trace_parent.and_then(|text| HeaderValue::try_from(text).ok());
        Self {
            trace_parent,
            ..self
        }
    }

    async fn exchange(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let url = parse_url(&request.url)?;
        let target = self.admit(&url).await?;
        let url = self.fill_url(&url, &target)?;
        let method = Method::from_bytes(request.method.as_bytes())
            .map_err(|_| HttpError::Invalid("the method is no token".to_owned()))?;
        let headers = self.headers(&request.headers, &url, &target)?;
        let site = body_site(&headers);
        let body = self.fill(&request.body, &target, site)?;
        let response = self
            .client(&target)?
            .request(method, url)
            .headers(headers)
            .body(body)
            .send()
            .await
            .map_err(|error| self.failed(error))?;
        self.receive(response).await
    }

    /// The client for exactly this target, made where it is not there.
    fn client(&self, target: &Target) -> Result<Client, HttpError> {
        if let Some((_, known)) = lock(&self.clients).iter().find(|(key, _)| key == target) {
            return Ok(known.clone());
        }
        let made = client(target)?;
        let mut clients = lock(&self.clients);
        if clients.len() >= HTTP_CLIENTS_MAX {
            clients.remove(0);
        }
        clients.push((target.clone(), made.clone()));
        Ok(made)
    }

    /// Checks host, port and every address against the grant.
    async fn admit(&self, url: &Url) -> Result<Target, HttpError> {
        let invalid = || HttpError::Invalid("the URL has no host".to_owned());
        let host = url.host_str().ok_or_else(invalid)?.to_owned();
        let port = url.port_or_known_default().ok_or_else(invalid)?;
        if !self.grants.allows_http(&host, port) {
            return Err(HttpError::Denied(format!(
                "no grant covers {host}:{port}; it needs `http` with \"{host}:{port}\""
            )));
        }
        let mut addresses =
            match url.host() {
                Some(Host::Ipv4(v4)) => vec![IpAddr::V4(v4)],
                Some(Host::Ipv6(v6)) => vec![IpAddr::V6(v6)],
                _ => self.resolver.resolve(&host).await.map_err(|reason| {
                    HttpError::Failed(format!("cannot resolve {host}: {reason}"))
                })?,
            };
        if addresses.is_empty() {
            return Err(HttpError::Failed(format!("{host} has no address")));
        }
        // One private address among public ones is a rebinding name: none of them is used.
        for address in &addresses {
            if !self.grants.allows_address(*address, port) {
                return Err(HttpError::Denied(format!(
                    "{host} is at an address that is not public; `http` must name that address and port literally"
                )));
            }
        }
        self.grants
            .used(Capability::Http, &format!("{host}:{port}"));
        let with_port = |address| SocketAddr::new(address, port);
        addresses.sort_unstable();
        Ok(Target {
            tls: url.scheme() == "https",
            host,
            port,
            addresses: addresses.into_iter().map(with_port).collect(),
        })
    }

    fn fill(&self, bytes: &[u8], target: &Target, site: Site) -> Result<Vec<u8>, HttpError> {
        let filled = self.vault.fill(bytes, &target.host, target.port, site);
        for name in self.vault.named_in(bytes) {
            let what = format!("{name}={}:{}", target.host, target.port);
            self.grants.used(Capability::Secrets, &what);
        }
        filled.map_err(|refused| {
            HttpError::Denied(format!(
                "secret {:?} may not go to {}:{}; its grant in `secrets` names other hosts",
                refused.name, target.host, target.port
            ))
        })
    }

    /// Puts secrets into path and query. Host and port are what was admitted.
    fn fill_url(&self, url: &Url, target: &Target) -> Result<Url, HttpError> {
        let text = |bytes: Vec<u8>| {
            String::from_utf8(bytes)
                .map_err(|_| HttpError::Invalid("the URL is no text".to_owned()))
        };
        let mut filled = url.clone();
        filled.set_fragment(None);
        filled.set_path(&text(self.fill(
            url.path().as_bytes(),
            target,
            Site::Url,
        )?)?);
        if let Some(query) = url.query() {
            filled.set_query(Some(&text(self.fill(
                query.as_bytes(),
                target,
                Site::Url,
            )?)?));
        }
        Ok(filled)
    }

    fn headers(
        &self,
        given: &[(String, Vec<u8>)],
        url: &Url,
        target: &Target,
    ) -> Result<HeaderMap, HttpError> {
        let bytes: usize = given
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum();
        if given.len() > HTTP_HEADERS_MAX || bytes > HTTP_HEADER_BYTES_MAX {
            return Err(HttpError::Invalid(format!(
                "over {HTTP_HEADERS_MAX} headers or {HTTP_HEADER_BYTES_MAX} bytes of them"
            )));
        }
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            let name = HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| HttpError::Invalid("a header's name is no token".to_owned()))?;
            let refuse = |why: &str| HttpError::Invalid(format!("header {name}: {why}"));
            if FORBIDDEN_HEADERS.contains(&name.as_str()) {
                return Err(refuse("it belongs to the connection, which the host keeps"));
            }
            if name == "host" && !names_host(value, url) {
                return Err(refuse("it names another host than the URL"));
            }
            // Both follow from the URL and the body.
            if name == "host" || name == "content-length" {
                continue;
            }
            let mut value = HeaderValue::from_bytes(&self.fill(value, target, Site::Raw)?)
                .map_err(|_| refuse("its value holds a byte that no header may hold"))?;
            value.set_sensitive(true);
            headers.append(name, value);
        }
        if let Some(trace_parent) = &self.trace_parent
            && !headers.contains_key(TRACE_PARENT)
        {
            headers.insert(TRACE_PARENT, trace_parent.clone());
        }
        Ok(headers)
    }

    async fn receive(&self, mut response: reqwest::Response) -> Result<HttpResponse, HttpError> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.failed(error))? {
            if (body.len() + chunk.len()) as u64 > HTTP_BODY_BYTES_MAX {
                return Err(HttpError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        let headers = response
            .headers()
            .iter()
            .map(|(name, value)| {
                let value = self.vault.hide(value.as_bytes().to_vec());
                (name.as_str().to_owned(), value)
            })
            .collect();
        Ok(HttpResponse {
            status: response.status().as_u16(),
            headers,
            body: self.vault.hide(body),
        })
    }

    /// An answer from a failure, without its URL, which may hold a secret.
    fn failed(&self, error: reqwest::Error) -> HttpError {
        if error.is_timeout() {
            return HttpError::TimedOut;
        }
        let mut text = error.without_url().to_string();
        text = self.vault.redact(&text);
        HttpError::Failed(text)
    }
}

#[async_trait]
impl HttpPort for Http {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        if request.body.len() as u64 > HTTP_BODY_BYTES_MAX {
            return Err(HttpError::TooLarge);
        }
        let _slot = self
            .slots
            .acquire()
            .await
            .map_err(|_| HttpError::Failed("the attempt has ended".to_owned()))?;
        // One clock for name resolution, connection and exchange together.
        let limit = request.timeout.min(HTTP_TIMEOUT_MAX);
        tokio::time::timeout(limit, self.exchange(request))
            .await
            .unwrap_or(Err(HttpError::TimedOut))
    }
}

/// A client that can reach the checked addresses and nothing else. It keeps no connection and asks for no second resolution, so
/// nothing can lead it elsewhere.
fn client(target: &Target) -> Result<Client, HttpError> {
    super::client::builder(target.tls)
        .pool_max_idle_per_host(0)
        .resolve_to_addrs(&target.host, &target.addresses)
        .build()
        .map_err(|error| HttpError::Failed(format!("cannot set up TLS: {error}")))
}

fn parse_url(text: &str) -> Result<Url, HttpError> {
    let invalid = |why: &str| HttpError::Invalid(format!("the URL {why}"));
    if text.len() > HTTP_URL_BYTES_MAX {
        return Err(invalid("is over 8192 bytes"));
    }
    let url = Url::parse(text).map_err(|error| invalid(&format!("cannot be read: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(invalid("is neither http nor https"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(invalid(
            "holds a user name or password; use a header with a secret",
        ));
    }
    Ok(url)
}

fn names_host(value: &[u8], url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let with_port = format!("{host}:{}", url.port_or_known_default().unwrap_or_default());
    value.eq_ignore_ascii_case(with_port.as_bytes())
        || (url.port().is_none() && value.eq_ignore_ascii_case(host.as_bytes()))
}

/// How a secret is written into a body of this type.
fn body_site(headers: &HeaderMap) -> Site {
    let kind = headers
        .get("content-type")
        .and_then(|value| value.to_str().ok())
        .map(|value| {
            value
                .split(';')
                .next()
                .unwrap_or_default()
                .trim()
                .to_ascii_lowercase()
        });
    match kind.as_deref() {
        Some("application/x-www-form-urlencoded") => Site::Url,
        Some(kind) if kind == "application/json" || kind.ends_with("+json") => Site::Json,
        _ => Site::Raw,
    }
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;

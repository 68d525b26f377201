//! The HTTP client that every outgoing request of the host shares in kind: it goes where it is sent and nowhere else. It refuses
//! redirects, proxies and retries of its own.

use reqwest::{Client, ClientBuilder, redirect};

/// A client to be completed. `tls` loads the system's certificates.
pub(super) fn builder(tls: bool) -> ClientBuilder {
    // Installed once a process; an error says that it is there already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = Client::builder();
    if !tls {
        // Without TLS no certificates are loaded, which would take most of the request's time.
        let roots = rustls::RootCertStore::empty();
        let none = rustls::ClientConfig::builder().with_root_certificates(roots);
        builder = builder.tls_backend_preconfigured(none.with_no_client_auth());
    }
    builder
        .no_proxy()
        .redirect(redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
}

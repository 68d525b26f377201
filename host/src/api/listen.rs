//! Where the API listens, and by which names it may be called. It refuses an address that other machines can reach unless a
//! person says so or there is TLS; and names of others, so that no web page can reach it by pointing its own name here.

use crate::error::{ErrorKind, UserError};
use axum::http::uri::Authority;
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

/// Where the API listens when nothing else is said.
pub const LISTEN_DEFAULT: &str = "127.0.0.1:8793";
/// The file in the data folder that holds the URL of a service that listens.
pub const ADDRESS_FILE: &str = "api.url";

/// Where the API listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    address: SocketAddr,
    names: BTreeSet<String>,
}

impl Listen {
    /// From a setting; none for `off`. An address that is not loopback needs `public`: TLS, or a person's word. `names` are what the service is called
    /// besides its address and `localhost`.
    pub fn parse(text: &str, public: bool, names: &[String]) -> Result<Option<Self>, UserError> {
        if text == "off" {
            return Ok(None);
        }
        let address: SocketAddr = text.parse().map_err(|_| {
            UserError::new(
                ErrorKind::Usage,
                format!("{text:?} is no address to listen at"),
            )
            .hint("an IP address and a port, for example 127.0.0.1:8793 or [::1]:8793; port 0 takes a free one; `off` listens nowhere")
        })?;
        if !address.ip().is_loopback() && !public {
            let message = format!(
                "{address} can be reached from other machines, and there is no TLS: tokens would cross the network in the clear"
            );
            return Err(UserError::new(ErrorKind::Denied, message).hint(
                "--tls-cert and --tls-key give it TLS; or listen at 127.0.0.1 behind a proxy; --listen-public listens here all the same",
            ));
        }
        let names = names.iter().map(|name| name.to_ascii_lowercase()).collect();
        Ok(Some(Self { address, names }))
    }

    /// The address to bind.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether a request that says this in its Host header is meant for this service. The port may be a proxy's.
    pub(super) fn is_called(&self, host: &str) -> bool {
        let Ok(authority) = host.parse::<Authority>() else {
            return false;
        };
        if host.contains('@') {
            return false;
        }
        let name = authority.host().to_ascii_lowercase();
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        match bare.parse::<IpAddr>() {
            // An address cannot be pointed elsewhere as a name can, but only these are ours.
            Ok(ip) => ip.is_loopback() || ip == self.address.ip() || self.names.contains(bare),
            Err(_) => name == "localhost" || self.names.contains(&name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn listen(text: &str, names: &[&str]) -> Listen {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        Listen::parse(text, true, &names).unwrap().unwrap()
    }

    #[test]
    fn only_loopback_is_listened_at_without_a_word() {
        for text in ["127.0.0.1:0", "127.0.0.9:80", "[::1]:8793", LISTEN_DEFAULT] {
            assert!(Listen::parse(text, false, &[]).unwrap().is_some());
        }
        for text in [
            "0.0.0.0:80",
            "[::]:80",
            "192.168.1.2:80",
            "[::ffff:127.0.0.1]:80",
        ] {
            let error = Listen::parse(text, false, &[]).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Denied, "{text}");
            assert!(Listen::parse(text, true, &[]).unwrap().is_some());
        }
        assert_eq!(Listen::parse("off", false, &[]).unwrap(), None);
        for text in [
            "",
            "localhost:80",
            "127.0.0.1",
            ":80",
            "http://127.0.0.1:80",
        ] {
            let error = Listen::parse(text, true, &[]).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Usage, "{text}");
        }
    }

    #[test]
    fn names_of_others_are_not_ours() {
        let service = listen("10.0.0.5:80", &["Airlock.example"]);
        for host in [
            "localhost",
            "LOCALHOST:8793",
            "127.0.0.1:1",
            "[::1]:8793",
            "10.0.0.5",
            "airlock.example:443",
        ] {
            assert!(service.is_called(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "localhost.evil.example",
            "10.0.0.6",
            "localhost:80@evil.example",
            "localhost@evil.example",
            "127.0.0.1.evil.example",
            "localhost/",
            "a b",
            "airlock.example.",
        ] {
            assert!(!service.is_called(host), "{host}");
        }
    }

    proptest! {
        #[test]
        fn no_name_but_ours_is_called_ours(host in "[a-z0-9.]{1,20}\\.[a-z]{2,6}") {
            prop_assert!(!listen(LISTEN_DEFAULT, &[]).is_called(&host));
        }
    }
}

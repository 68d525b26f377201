//! Mails: the settings of the mail server, the text, and handing it over by SMTP. It knows plain data alone and refuses to decide
//! who is told what. Addresses are parsed and headers are written by the mail library, so nothing in a text can become a header.

mod text;

pub use text::{Report, SUBJECT_CHARS_MAX};

use lettre::address::AddressError;
use lettre::message::{Mailbox, header::ContentType};
use lettre::transport::smtp::Error as SmtpError;
use lettre::{Message, SmtpTransport, Transport};
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;
use url::Url;

/// How long one step of the talk with the mail server may take.
const STEP_MAX: Duration = Duration::from_secs(20);

/// Where mails are handed in.
#[derive(Clone)]
pub struct SmtpSettings {
    /// `smtp://user:pass@host:port`, `smtps://...`; `?tls=required` asks for STARTTLS.
    pub url: String,
    /// From whom mails are; any address of the server's where absent.
    pub from: Option<String>,
}

impl fmt::Debug for SmtpSettings {
    /// The URL may hold a password.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("SmtpSettings")
            .field("url", &"***")
            .field("from", &self.from)
            .finish()
    }
}

/// Why a mail was not handed in. No message holds the server's password.
#[derive(Debug, thiserror::Error)]
pub enum EmailError {
    /// The settings are wrong.
    #[error(
        "the mail server's URL is not valid: {0}; write smtp://user:password@host:587?tls=required, or smtps://"
    )]
    Url(String),
    /// No mailbox.
    #[error("{text:?} is no mail address: {source}; write name@host")]
    Address {
        /// As given.
        text: String,
        /// What is wrong.
        source: AddressError,
    },
    /// The mail cannot be written down.
    #[error("the mail cannot be written: {0}")]
    Text(#[from] lettre::error::Error),
    /// The server cannot be reached or does not take it.
    #[error("mail server {server}: {source}")]
    Smtp {
        /// Its host and port.
        server: String,
        /// What it said.
        source: SmtpError,
    },
}

impl EmailError {
    /// Whether it may go well later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Smtp { source, .. } if !source.is_permanent())
    }
}

/// A mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Email {
    /// Whom it goes to.
    pub to: Vec<String>,
    /// Its subject.
    pub subject: String,
    /// Its text.
    pub body: String,
}

/// Hands mails to one server.
pub struct Mailer {
    transport: SmtpTransport,
    /// For people: without user and password.
    server: String,
    from: Mailbox,
}

impl Mailer {
    /// Checks the settings; asks nobody yet.
    ///
    /// # Errors
    /// When the URL or the sender's address is not valid.
    pub fn new(settings: &SmtpSettings) -> Result<Self, EmailError> {
        let invalid = |error: &dyn fmt::Display| EmailError::Url(error.to_string());
        let mut url = Url::parse(&settings.url).map_err(|error| invalid(&error))?;
        let host = url.host_str().unwrap_or_default().to_owned();
        if host.is_empty() || !matches!(url.scheme(), "smtp" | "smtps") {
            return Err(invalid(
                &"it must begin with smtp:// or smtps:// and a host",
            ));
        }
        let says_tls = url.query_pairs().any(|(name, _)| name == "tls");
        let has_password = url.password().is_some();
        if url.scheme() == "smtp" && has_password && !says_tls && !is_loopback(&host) {
            // A password never goes over a network in the clear.
            url.query_pairs_mut().append_pair("tls", "required");
        }
        let transport = SmtpTransport::from_url(url.as_str()).map_err(|error| invalid(&error))?;
        let server = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.clone(),
        };
        let from = match &settings.from {
            Some(from) => mailbox(from)?,
            None => mailbox(&format!("airlock@{}", sender_host(&host)))?,
        };
        Ok(Self {
            transport: transport.timeout(Some(STEP_MAX)).build(),
            server,
            from,
        })
    }

    /// Hands a mail in; blocks until the server took it.
    ///
    /// # Errors
    /// When an address is none, or the server does not take it.
    pub fn send(&self, email: &Email) -> Result<(), EmailError> {
        let mut message = Message::builder()
            .from(self.from.clone())
            .subject(text::one_line(&email.subject))
            .header(ContentType::TEXT_PLAIN);
        for address in &email.to {
            message = message.to(mailbox(address)?);
        }
        let message = message.body(email.body.clone())?;
        let sent = self.transport.send(&message);
        sent.map(drop).map_err(|source| EmailError::Smtp {
            server: self.server.clone(),
            source,
        })
    }
}

fn mailbox(text: &str) -> Result<Mailbox, EmailError> {
    text.parse().map_err(|source| EmailError::Address {
        text: text.to_owned(),
        source,
    })
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// An address in a URL is no domain of a sender.
fn sender_host(host: &str) -> &str {
    let is_address = host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    if is_address { "localhost" } else { host }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mailer(url: &str) -> Result<Mailer, EmailError> {
        Mailer::new(&SmtpSettings {
            url: url.to_owned(),
            from: None,
        })
    }

    #[test]
    fn a_url_that_is_none_is_refused_without_telling_its_password() {
        for url in [
            "http://u:hush@h",
            "smtp://",
            "u:hush@h",
            "smtp://u:hush@h?tls=maybe",
        ] {
            let error = mailer(url).err().map(|error| error.to_string());
            let error = error.unwrap_or_default();
            assert!(
                error.contains("smtps://") && !error.contains("hush"),
                "{url}: {error}"
            );
        }
        let settings = SmtpSettings {
            url: "smtp://u:hush@h".to_owned(),
            from: None,
        };
        assert!(!format!("{settings:?}").contains("hush"));
    }

    #[test]
    fn every_kind_of_url_is_taken() {
        for url in [
            "smtp://localhost:2525",
            "smtps://u:p%40x@mail.example.com",
            "smtp://u:p@mail.example.com?tls=required",
            "smtp://[::1]:25",
        ] {
            assert!(mailer(url).is_ok(), "{url}");
        }
    }

    #[test]
    fn a_sender_that_is_no_address_is_refused() {
        let from = Some("a@b\r\nBcc: c@d".to_owned());
        let url = "smtp://localhost".to_owned();
        let error = Mailer::new(&SmtpSettings { url, from }).err();
        assert!(matches!(error, Some(EmailError::Address { .. })));
    }
}

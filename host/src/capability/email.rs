//! `airlock:operator/email`: mails through the host's mail server, to granted addresses. It refuses everything but bare addresses, and
//! it puts no secret into a mail: a placeholder stays one.

use super::granted::Granted;
use super::{Answer, blocking};
use crate::email::{Email as Mail, EmailError, Mailer};
use crate::sandbox::bindings::airlock::operator::email::Message;
use crate::sandbox::bindings::airlock::operator::types::CapabilityError;
use crate::sandbox::ports::EmailPort;
use airlock_core::grant::{Capability, Request};
use async_trait::async_trait;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// The most addresses of one mail.
pub const EMAIL_ADDRESSES_MAX: usize = 50;
/// The longest text of a mail, bytes.
pub const EMAIL_BYTES_MAX: usize = 256 << 10;
/// The most mails that one attempt hands in.
pub const EMAILS_MAX: u32 = 100;

/// The attempt's way to the mail server.
pub(super) struct Email {
    grants: Arc<Granted>,
    /// None: the host has no mail server.
    mailer: Option<Arc<Mailer>>,
    /// Mails that were handed in, also those that the server did not take.
    count: AtomicU32,
}

#[async_trait]
impl EmailPort for Email {
    async fn send(&self, message: Message) -> Answer<()> {
        self.check(&message)?;
        let Some(mailer) = self.mailer.clone() else {
            return Err(CapabilityError::NotFound(
                "this host has no mail server; set AIRLOCK_SMTP_URL for it, or smtp_url in airlock.toml"
                    .to_owned(),
            ));
        };
        if self.count.fetch_add(1, Ordering::Relaxed) >= EMAILS_MAX {
            return Err(CapabilityError::TooLarge(u64::from(EMAILS_MAX)));
        }
        let Message { to, subject, body } = message;
        let mail = Mail { to, subject, body };
        blocking(move || mailer.send(&mail).map_err(|error| refusal(&error))).await
    }
}

impl Email {
    pub(super) fn new(grants: Arc<Granted>, mailer: Option<Arc<Mailer>>) -> Self {
        Self {
            grants,
            mailer,
            count: AtomicU32::new(0),
        }
    }

    fn check(&self, message: &Message) -> Answer<()> {
        if message.to.is_empty() {
            return Err(CapabilityError::Invalid(
                "the mail goes to nobody: `to` is empty".to_owned(),
            ));
        }
        if message.to.len() > EMAIL_ADDRESSES_MAX {
            return Err(CapabilityError::TooLarge(EMAIL_ADDRESSES_MAX as u64));
        }
        if message.body.len() > EMAIL_BYTES_MAX || message.subject.len() > EMAIL_BYTES_MAX {
            return Err(CapabilityError::TooLarge(EMAIL_BYTES_MAX as u64));
        }
        for address in &message.to {
            self.grants
                .check(Request::Email(address))
                .map_err(|denied| CapabilityError::Denied(denied.to_string()))?;
            self.grants.used(Capability::Email, address);
        }
        Ok(())
    }
}

fn refusal(error: &EmailError) -> CapabilityError {
    if error.is_transient() {
        CapabilityError::Unavailable(error.to_string())
    } else {
        CapabilityError::Invalid(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use airlock_core::grant::Grants;

    fn port() -> Email {
        let email = ["ml@example.com", "*@ops.example.com"].map(str::to_owned);
        let grants = Grants {
            email: email.into(),
            ..Grants::default()
        };
        Email::new(Arc::new(grants.into()), None)
    }

    fn message(to: &[&str]) -> Message {
        Message {
            to: to.iter().map(ToString::to_string).collect(),
            subject: "s".to_owned(),
            body: "b".to_owned(),
        }
    }

    #[tokio::test]
    async fn every_address_must_be_granted() {
        for to in [
            &["other@example.com"][..],
            &["ml@example.com", "ml@example.org"],
            &["ML <ml@example.com>"],
            &["ml@example.com, x@example.org"],
        ] {
            let refused = port().send(message(to)).await;
            assert!(
                matches!(&refused, Err(CapabilityError::Denied(text)) if text.contains("email: [")),
                "{to:?} {refused:?}"
            );
        }
    }

    #[tokio::test]
    async fn a_host_without_a_mail_server_says_what_to_set() {
        let refused = port()
            .send(message(&["ml@example.com", "a@ops.example.com"]))
            .await;
        assert!(
            matches!(&refused, Err(CapabilityError::NotFound(text)) if text.contains("AIRLOCK_SMTP_URL"))
        );
    }

    #[tokio::test]
    async fn a_mail_to_nobody_to_too_many_or_too_long_is_refused() {
        let nobody = port().send(message(&[])).await;
        assert!(matches!(nobody, Err(CapabilityError::Invalid(_))));
        let many = port()
            .send(message(&["ml@example.com"; EMAIL_ADDRESSES_MAX + 1]))
            .await;
        assert_eq!(
            many,
            Err(CapabilityError::TooLarge(EMAIL_ADDRESSES_MAX as u64))
        );
        let long = Message {
            body: "x".repeat(EMAIL_BYTES_MAX + 1),
            ..message(&["ml@example.com"])
        };
        let long = port().send(long).await;
        assert_eq!(long, Err(CapabilityError::TooLarge(EMAIL_BYTES_MAX as u64)));
    }
}

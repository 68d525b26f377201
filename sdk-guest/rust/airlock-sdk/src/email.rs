//! Mails through the host's mail server. Needs the grant `email`, which names the addresses.

use crate::TaskError;
use crate::sys::email as host;

pub use crate::bindings::airlock::operator::email::Message;

/// Hands a mail in; returns when the server has taken it.
///
/// # Errors
/// Transient where the server may take it later; permanent where an address is not granted or the host has no mail server.
pub fn send(message: &Message) -> Result<(), TaskError> {
    Ok(host::send(message)?)
}

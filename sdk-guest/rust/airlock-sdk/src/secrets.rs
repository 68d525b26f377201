//! Secrets as placeholders: the value never enters the guest.

/// A text that stands for the secret in this attempt. The host puts the value into an outgoing request's headers, path or
/// body, and only for the hosts that the grant names.
pub use crate::sys::secrets::placeholder;

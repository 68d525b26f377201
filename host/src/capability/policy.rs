//! Which granted folder an object lies in: what the ports of objects ask beside the questions that `Grants` answers itself.
//! It refuses to resolve names or open files.

use super::Answer;
use super::granted::Granted;
use crate::sandbox::bindings::airlock::operator::types::CapabilityError;
use airlock_core::grant::{Capability, Grants};

/// The outermost granted prefix that covers a URI. The outermost, so that everything below it is opened without leaving it.
pub(super) fn allows_storage<'a>(grants: &'a Grants, uri: &str, write: bool) -> Option<&'a str> {
    let readable = if write { &[][..] } else { &grants.storage_read };
    grants
        .storage
        .iter()
        .chain(readable)
        .map(String::as_str)
        .filter(|prefix| prefix.ends_with('/') && uri.starts_with(prefix))
        .min_by_key(|prefix| prefix.len())
}

/// The same, with the grant that would help as the error.
pub(super) fn storage_prefix<'a>(grants: &'a Granted, uri: &str, write: bool) -> Answer<&'a str> {
    let allowed = allows_storage(grants, uri, write);
    if let Some(prefix) = allowed {
        let capability = if write {
            Capability::Storage
        } else {
            Capability::StorageRead
        };
        grants.used(capability, prefix);
    }
    allowed.ok_or_else(|| {
        let kind = if write {
            "`storage`"
        } else {
            "`storage` or `storage_read`"
        };
        CapabilityError::Denied(format!(
            "no grant covers {uri}; it needs {kind} with a prefix of it that ends in '/'"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn storage_prefixes_are_folders_and_the_outermost_is_opened() {
        let some = Grants {
            storage: vec!["file://./data/deep/".into(), "file://./data/".into()],
            storage_read: vec!["file:///srv/in/".into(), "file://./no-slash".into()],
            ..Grants::default()
        };
        let found = allows_storage(&some, "file://./data/deep/x", true);
        assert_eq!(found, Some("file://./data/"));
        assert!(allows_storage(&some, "file:///srv/in/x", false).is_some());
        assert!(allows_storage(&some, "file:///srv/in/x", true).is_none());
        assert!(allows_storage(&some, "file://./no-slash-x", false).is_none());
        assert!(allows_storage(&some, "file://./database/x", false).is_none());
    }
}

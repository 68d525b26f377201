//! One bucket as one attempt may use it: questions of one request each. It refuses to read or write bodies, which are `reader`'s
//! and `writer`'s, and to know grants.

use super::refusal::refusal;
use super::wait::Wait;
use crate::capability::Answer;
use crate::capability::files::LIST_MAX;
use crate::capability::uri;
use crate::sandbox::bindings::airlock::operator::storage::ObjectInfo;
use crate::sandbox::bindings::airlock::operator::types::CapabilityError;
use object_store::list::{PaginatedListOptions, PaginatedListStore};
use object_store::path::Path;
use object_store::{GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt as _};
use std::sync::Arc;

/// What a server of objects can do.
pub(super) trait Server: ObjectStore + PaginatedListStore {}
impl<T: ObjectStore + PaginatedListStore> Server for T {}

/// A bucket, and with whose credentials it is asked.
#[derive(Clone)]
pub(super) struct Bucket {
    pub(super) server: Arc<dyn Server>,
    /// For messages, like `connection "aws_default"`.
    pub(super) with: Arc<str>,
    /// `scheme://bucket/`.
    pub(super) root: Arc<str>,
    pub(super) wait: Wait,
}

impl Bucket {
    /// Carries out a request on a thread that may block.
    pub(super) fn ask<T>(
        &self,
        action: &str,
        uri: &str,
        request: impl Future<Output = object_store::Result<T>>,
    ) -> Answer<T> {
        let answer = self.wait.for_end_of(request)?;
        self.told(action, uri, answer)
    }

    /// A server's answer in the guest's words.
    pub(super) fn told<T>(
        &self,
        action: &str,
        uri: &str,
        answer: object_store::Result<T>,
    ) -> Answer<T> {
        answer.map_err(|error| refusal(action, uri, &self.with, &error))
    }

    /// The path of a URI that was checked.
    pub(super) fn path(uri: &str) -> Answer<Path> {
        let key = uri::remote(uri).map(|remote| remote.key);
        key.and_then(|key| Path::parse(key).ok())
            .ok_or_else(|| CapabilityError::Invalid(format!("{uri} names no object")))
    }

    /// Size and state of an object.
    pub(super) fn head(&self, uri: &str) -> Answer<ObjectMeta> {
        let path = Self::path(uri)?;
        let options = GetOptions {
            head: true,
            ..GetOptions::default()
        };
        let answer = self.ask("read", uri, self.server.get_opts(&path, options))?;
        Ok(answer.meta)
    }

    /// Removes an object; nothing there is no error.
    pub(super) fn delete(&self, uri: &str) -> Answer<()> {
        let path = Self::path(uri)?;
        match self.ask("delete", uri, self.server.delete(&path)) {
            Err(CapabilityError::NotFound(_)) => Ok(()),
            other => other,
        }
    }

    /// Objects whose URI begins with `prefix` and is greater than `after`, in order, at most `LIST_MAX`. An object whose name makes
    /// no URI is passed over.
    pub(super) fn list(&self, prefix: &str, after: Option<&str>) -> Answer<Vec<ObjectInfo>> {
        let after = after.unwrap_or_default();
        let offset = after.strip_prefix(self.root.as_ref());
        // What lies beyond this bucket comes after everything in it.
        if offset.is_none() && after > prefix {
            return Ok(Vec::new());
        }
        if after.len() > uri::URI_BYTES_MAX {
            return Err(CapabilityError::TooLarge(uri::URI_BYTES_MAX as u64));
        }
        let key = uri::remote(prefix).map_or("", |remote| remote.key);
        let mut page_token = None;
        let mut found = Vec::new();
        loop {
            let options = PaginatedListOptions {
                offset: offset.filter(|key| !key.is_empty()).map(str::to_owned),
                max_keys: Some(LIST_MAX),
                page_token,
                ..PaginatedListOptions::default()
            };
            let page = self.server.list_paginated(Some(key), options);
            let page = self.ask("list", prefix, page)?;
            found.extend(page.result.objects.into_iter().filter_map(|object| {
                let uri = format!("{}{}", self.root, object.location);
                let wanted = uri.starts_with(prefix) && uri.as_str() > after;
                (wanted && uri::check(&uri, false).is_ok()).then_some(ObjectInfo {
                    uri,
                    size: object.size,
                })
            }));
            page_token = page.page_token;
            if found.len() >= LIST_MAX || page_token.is_none() {
                found.truncate(LIST_MAX);
                return Ok(found);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// What a grant was asked about is what the server is asked for: nothing is decoded, joined or cut on the way.
        #[test]
        fn an_accepted_uri_is_asked_for_as_it_is(
            key in "([a-c./%\\\\?#= ä~\n]|\\.\\.|//){1,12}",
            bucket in "[a-z.A-Z_-]{2,6}",
        ) {
            let uri = format!("s3://{bucket}/{key}");
            if uri::check(&uri, false).is_ok() {
                let path = Bucket::path(&uri).unwrap();
                prop_assert_eq!(format!("s3://{bucket}/{path}"), uri);
            }
        }
    }
}

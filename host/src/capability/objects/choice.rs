//! Which credentials reach which bucket. They come from a connection, as in Airflow: `aws_default` for `s3://`,
//! `google_cloud_default` for `gs://`, `wasb_default` for `az://`, unless `airlock.toml` names another for a prefix:
//!
//! ```toml
//! [storage."s3://data/"]
//! connection = "aws_lake"
//!
//! [storage."s3://scratch/"]
//! environment = true      # the credentials of the process and its machine, as the cloud's own tools find them
//! ```
//!
//! The longest prefix that covers a URI decides. It refuses to look at the process environment without such a setting.

use crate::capability::uri::{self, Scheme};

/// The most prefixes with a setting.
pub const STORAGE_PREFIXES_MAX: usize = 1_000;

/// Whose credentials reach a prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StorageCredentials {
    /// Those of the connection with this `conn_id`.
    Connection(String),
    /// Those that the environment of the process, or the machine it runs on, has.
    Environment,
}

/// The settings, by prefix.
#[derive(Debug, Clone, Default)]
pub struct StorageConnections {
    /// Longest prefix first.
    by_prefix: Vec<(String, StorageCredentials)>,
}

impl StorageConnections {
    /// Each prefix is of a bucket, like `s3://data/`, and ends in `/`; the error says which is not.
    pub fn new(entries: Vec<(String, StorageCredentials)>) -> Result<Self, String> {
        if entries.len() > STORAGE_PREFIXES_MAX {
            return Err(format!("over {STORAGE_PREFIXES_MAX} prefixes"));
        }
        for (prefix, _) in &entries {
            let scheme = uri::check(prefix, true).map_err(crate::capability::text_of)?;
            if scheme == Scheme::File || !prefix.ends_with('/') {
                return Err(format!(
                    "{prefix:?} is no prefix of a bucket that ends in '/', like s3://data/"
                ));
            }
        }
        let mut by_prefix = entries;
        by_prefix.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        Ok(Self { by_prefix })
    }

    /// Whose credentials reach a URI.
    pub(super) fn of(&self, uri: &str, scheme: Scheme) -> StorageCredentials {
        let mut settings = self.by_prefix.iter();
        let found = settings.find(|(prefix, _)| uri.starts_with(prefix));
        found.map_or_else(|| default_of(scheme), |(_, choice)| choice.clone())
    }
}

/// Airflow's default `conn_id` of each kind of storage.
fn default_of(scheme: Scheme) -> StorageCredentials {
    let conn_id = match scheme {
        Scheme::S3 | Scheme::File => "aws_default",
        Scheme::Gs => "google_cloud_default",
        Scheme::Az => "wasb_default",
    };
    StorageCredentials::Connection(conn_id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(conn_id: &str) -> StorageCredentials {
        StorageCredentials::Connection(conn_id.to_owned())
    }

    #[test]
    fn the_longest_prefix_decides_and_airflows_defaults_are_the_rest() {
        let settings = StorageConnections::new(vec![
            ("s3://data/".to_owned(), connection("lake")),
            ("s3://data/raw/".to_owned(), StorageCredentials::Environment),
        ])
        .unwrap();
        let of = |uri| settings.of(uri, uri::check(uri, false).unwrap());
        assert_eq!(of("s3://data/x"), connection("lake"));
        assert_eq!(of("s3://data/raw/x"), StorageCredentials::Environment);
        assert_eq!(of("s3://data/rawer"), connection("lake"));
        assert_eq!(of("s3://database/x"), connection("aws_default"));
        assert_eq!(of("gs://data/x"), connection("google_cloud_default"));
        assert_eq!(of("az://data/x"), connection("wasb_default"));
    }

    #[test]
    fn a_prefix_names_a_bucket() {
        for bad in [
            "s3://data",
            "s3://data/x",
            "file://./data/",
            "data/",
            "s3://../",
        ] {
            let entries = vec![(bad.to_owned(), StorageCredentials::Environment)];
            assert!(StorageConnections::new(entries).is_err(), "{bad:?}");
        }
    }
}

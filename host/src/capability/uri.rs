//! URIs of objects: `file:///absolute/path`, `file://./path` from the base folder, `s3://bucket/key`, `gs://bucket/key` and
//! `az://container/key`. Parsed once, strictly: what could be read in two ways (`..`, `%2e`, `//`, backslashes, a query) is refused
//! and never repaired. It refuses to touch disk and network.

use super::Answer;
use crate::sandbox::bindings::airlock::operator::types::CapabilityError;

/// The longest URI, bytes.
pub(super) const URI_BYTES_MAX: usize = 1_024;
/// Files that are being written; no `file://` URI may name one.
pub(super) const TEMPORARY_PREFIX: &str = ".airlock-tmp-";

/// Who keeps an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Scheme {
    /// The local disk.
    File,
    /// Amazon S3, and what speaks as it does.
    S3,
    /// Google Cloud Storage.
    Gs,
    /// Azure Blob Storage.
    Az,
}

/// An object, or a prefix of objects, in a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Remote<'a> {
    /// Never `File`.
    pub(super) scheme: Scheme,
    /// Bucket, or container.
    pub(super) bucket: &'a str,
    /// Empty for the whole bucket.
    pub(super) key: &'a str,
}

/// Checks a URI and tells who keeps it. `folder` also allows it to end in `/` (a prefix or a grant).
pub(super) fn check(uri: &str, folder: bool) -> Answer<Scheme> {
    if uri.len() > URI_BYTES_MAX {
        return Err(CapabilityError::TooLarge(URI_BYTES_MAX as u64));
    }
    checked(uri, folder).map_err(|reason| {
        let shown: String = uri.chars().take(200).collect();
        CapabilityError::Invalid(format!("URI {shown:?}: {reason}"))
    })
}

/// The parts of a URI that was checked; none where it is of the local disk.
pub(super) fn remote(uri: &str) -> Option<Remote<'_>> {
    let (scheme, rest) = split(uri).ok()?;
    let (bucket, key) = rest.split_once('/')?;
    (scheme != Scheme::File).then_some(Remote {
        scheme,
        bucket,
        key,
    })
}

fn split(uri: &str) -> Result<(Scheme, &str), &'static str> {
    const NO_SCHEME: &str =
        "it has no scheme; write file://./path, file:///path or s3://bucket/key";
    let (scheme, rest) = uri.split_once("://").ok_or(NO_SCHEME)?;
    let scheme = match scheme {
        "file" => Scheme::File,
        "s3" => Scheme::S3,
        "gs" => Scheme::Gs,
        "az" => Scheme::Az,
        _ => return Err("the scheme is file, s3, gs or az"),
    };
    Ok((scheme, rest))
}

fn checked(uri: &str, folder: bool) -> Result<Scheme, &'static str> {
    let (scheme, rest) = split(uri)?;
    if scheme == Scheme::File {
        let path = rest.strip_prefix("./").or_else(|| rest.strip_prefix('/'));
        let path = path.ok_or("after file:// comes ./ (from the base folder) or / (absolute)")?;
        check_path(path, folder)?;
        let mut segments = path.split('/');
        if segments.any(|segment| segment.starts_with(TEMPORARY_PREFIX)) {
            return Err("it names a file that is being written");
        }
    } else {
        let (bucket, key) = rest
            .split_once('/')
            .ok_or("after the bucket comes / and a key")?;
        check_bucket(scheme, bucket)?;
        check_path(key, folder)?;
        if key.contains(['?', '#']) {
            return Err("'?' and '#' are not allowed: others read a query or a fragment there");
        }
    }
    Ok(scheme)
}

fn check_path(path: &str, folder: bool) -> Result<(), &'static str> {
    if path.contains(['%', '\\']) || path.chars().any(char::is_control) {
        return Err("'%', '\\' and control characters are not allowed");
    }
    let path = match path.strip_suffix('/') {
        Some(inside) if folder => inside,
        _ if folder && path.is_empty() => return Ok(()),
        _ => path,
    };
    for segment in path.split('/') {
        match segment {
            "" => return Err("it has an empty segment or ends in '/'"),
            "." | ".." => return Err("'.' and '..' are not allowed as segments"),
            _ => {}
        }
    }
    Ok(())
}

/// A name that every server of the kind takes, and that stays one label or more of a host name.
fn check_bucket(scheme: Scheme, name: &str) -> Result<(), &'static str> {
    let inside = |byte: u8| match scheme {
        Scheme::File | Scheme::S3 => b"-.".contains(&byte),
        Scheme::Gs => b"-_.".contains(&byte),
        Scheme::Az => byte == b'-',
    };
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    if !(3..=63).contains(&name.len()) {
        return Err("a bucket's name has 3 to 63 characters");
    }
    if !name.bytes().all(|byte| plain(byte) || inside(byte)) {
        return Err(
            "a bucket's name has lower-case letters, digits and '-' (s3 and gs also '.', gs also '_')",
        );
    }
    let ends = [name.bytes().next(), name.bytes().last()];
    if !ends.into_iter().flatten().all(plain) {
        return Err("a bucket's name begins and ends with a letter or a digit");
    }
    if name.contains("..") || (scheme == Scheme::Az && name.contains("--")) {
        return Err("a bucket's name has no two dots (az: dashes) together");
    }
    if name.parse::<std::net::Ipv4Addr>().is_ok() {
        return Err("a bucket's name is no IP address");
    }
    let reserved = ["xn--", "sthree-", "amzn-s3-demo-"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
        || ["-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"]
            .iter()
            .any(|suffix| name.ends_with(suffix));
    if scheme == Scheme::S3 && reserved {
        return Err("S3 keeps bucket names with this beginning or end for itself");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        for bad in [
            "data/x",
            "file://host/x",
            "file://../x",
            "file://./a/../b",
            "file://./a/./b",
            "file://./%2e%2e/x",
            "file://./a//b",
            "file://./a\\b",
            "file://./a\0b",
            "file://./a/",
            "file:///",
            "file://./",
            "file://~/x",
            "file://./.airlock-tmp-1",
            "FILE://./x",
            "http://host/x",
            "s3://data",
            "s3://data/",
            "s3://data//x",
            "s3://data/a//x",
            "s3://data/a/",
            "s3://data/../x",
            "s3://data/a/.",
            "s3://data/%61",
            "s3://data/a\\b",
            "s3://data/a\nb",
            "s3://data/a?versionId=1",
            "s3://data/a#b",
            "s3:///x",
            "S3://data/x",
            "az:///x",
        ] {
            assert!(check(bad, false).is_err(), "{bad:?}");
        }
        for (good, scheme) in [
            ("file://./x", Scheme::File),
            ("file:///a/b.parquet", Scheme::File),
            ("file://./a/..b", Scheme::File),
            ("file://./ä/b c", Scheme::File),
            ("s3://data/x", Scheme::S3),
            ("s3://my.data-1/y=2026/ä b+c.parquet", Scheme::S3),
            ("gs://my_data/x", Scheme::Gs),
            ("az://data/.airlock-tmp-1", Scheme::Az),
        ] {
            assert_eq!(check(good, false), Ok(scheme), "{good:?}");
        }
        for folder in ["file://./data/", "file:///", "s3://data/", "s3://data/a/"] {
            assert!(check(folder, true).is_ok(), "{folder:?}");
        }
        for bad in ["s3://data", "s3://", "s3://data//", "s3://data/a//"] {
            assert!(check(bad, true).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn buckets_have_the_names_that_their_servers_take() {
        let long = "a".repeat(64);
        for bad in [
            "ab",
            "Data",
            "my_data",
            "-data",
            "data-",
            ".data",
            "da..ta",
            "192.168.0.1",
            "xn--data",
            "data--x-s3",
            "user@data",
            "data:9000",
            "dät",
            long.as_str(),
        ] {
            assert!(check(&format!("s3://{bad}/x"), false).is_err(), "{bad:?}");
        }
        for bad in ["my_data", "my.data", "da--ta"] {
            assert!(check(&format!("az://{bad}/x"), false).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_remote_uri_has_a_bucket_and_a_key() {
        let found = remote("gs://data/a/b").unwrap();
        let expected = (Scheme::Gs, "data", "a/b");
        assert_eq!((found.scheme, found.bucket, found.key), expected);
        assert_eq!(remote("s3://data/").unwrap().key, "");
        assert_eq!(remote("file:///data/x"), None);
    }
}

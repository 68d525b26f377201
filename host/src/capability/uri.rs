//! `file://` URIs: `file:///absolute/path` and `file://./path` from the base folder. Parsed once, strictly: what could be read in
//! two ways (`..`, `%2e`, `//`, backslashes) is refused and never repaired. It refuses to touch the disk.

use super::Answer;
use crate::sandbox::bindings::airlock::operator::types::CapabilityError;

/// The longest URI, bytes.
pub(super) const URI_BYTES_MAX: usize = 1_024;
/// Files that are being written; no URI may name one.
pub(super) const TEMPORARY_PREFIX: &str = ".airlock-tmp-";

/// Checks a URI. `folder` also allows it to end in `/` (a prefix or a grant).
pub(super) fn check(uri: &str, folder: bool) -> Answer<()> {
    let refuse = |reason: &str| {
        let shown: String = uri.chars().take(200).collect();
        Err(CapabilityError::Invalid(format!("URI {shown:?}: {reason}")))
    };
    if uri.len() > URI_BYTES_MAX {
        return Err(CapabilityError::TooLarge(URI_BYTES_MAX as u64));
    }
    let Some(path) = uri.strip_prefix("file://") else {
        return match uri.split_once("://") {
            Some((scheme, _)) => Err(CapabilityError::Unavailable(format!(
                "scheme {scheme:?} is not built into this Airlock; built in is: file"
            ))),
            None => refuse("it has no scheme; write file://./path or file:///path"),
        };
    };
    let Some(path) = path.strip_prefix("./").or_else(|| path.strip_prefix('/')) else {
        return refuse("after file:// comes ./ (from the base folder) or / (absolute)");
    };
    if path.contains(['%', '\\']) || path.chars().any(char::is_control) {
        return refuse("'%', '\\' and control characters are not allowed");
    }
    let mut segments: Vec<&str> = path.split('/').collect();
    if folder && segments.last() == Some(&"") {
        segments.pop();
    }
    for segment in segments {
        match segment {
            "" => return refuse("it has an empty segment or ends in '/'"),
            "." | ".." => return refuse("'.' and '..' are not allowed as segments"),
            _ if segment.starts_with(TEMPORARY_PREFIX) => {
                return refuse("it names a file that is being written");
            }
            _ => {}
        }
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
        ] {
            assert!(check(bad, false).is_err(), "{bad:?}");
        }
        for good in [
            "file://./x",
            "file:///a/b.parquet",
            "file://./a/..b",
            "file://./ä/b c",
        ] {
            assert_eq!(check(good, false), Ok(()), "{good:?}");
        }
        assert_eq!(check("file://./data/", true), Ok(()));
        assert_eq!(check("file:///", true), Ok(()));
    }

    #[test]
    fn other_schemes_say_what_is_built_in() {
        let Err(CapabilityError::Unavailable(text)) = check("s3://data/x", false) else {
            panic!("an unknown scheme is unavailable");
        };
        assert!(text.contains("built in is: file"), "{text}");
    }
}

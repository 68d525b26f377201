//! Storage URIs as text: one normal form, compared by whole path segments.
//! It refuses to open anything; `file://./x` stays relative to the DAG's folder, which it does not know.

/// The longest storage URI, in bytes.
pub const URI_BYTES_MAX: usize = 1024;

/// A storage URI that is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("storage URI {text:?} is not accepted: {reason}")]
pub struct UriError {
    /// As written, cut to 200 characters.
    pub text: String,
    /// What is wrong, and what to write.
    pub reason: &'static str,
}

/// `text` in its normal form: scheme in lower case, everything else as it is; the path may not climb or hide anything.
pub fn normalise_uri(text: &str) -> Result<String, UriError> {
    let invalid = |reason| UriError {
        text: text.chars().take(200).collect(),
        reason,
    };
    if text.len() > URI_BYTES_MAX {
        return Err(invalid("it is longer than 1024 bytes"));
    }
    let (scheme, rest) = text
        .split_once("://")
        .ok_or(invalid("write scheme://place/path, like s3://bucket/path"))?;
    let scheme = scheme.to_ascii_lowercase();
    let path = match scheme.as_str() {
        "file" => rest
            .strip_prefix("./")
            .or_else(|| rest.strip_prefix('/'))
            .ok_or(invalid(
                "write file://./path (beside the DAG) or file:///path",
            ))?,
        "s3" | "gs" | "az" => {
            let (bucket, path) = rest.split_once('/').unwrap_or((rest, ""));
            let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            if bucket.is_empty() || !bucket.bytes().all(known) || bucket.starts_with('.') {
                return Err(invalid(
                    "the bucket has letters, digits, '-', '_' and '.', no user and no port",
                ));
            }
            path
        }
        _ => return Err(invalid("the scheme is s3, gs, az or file")),
    };
    check_path(path).map_err(invalid)?;
    Ok(format!("{scheme}://{rest}"))
}

/// A prefix in its normal form; it ends in `/`, so that `s3://data/` does not cover `s3://data2/x`.
pub fn normalise_prefix(text: &str) -> Result<String, UriError> {
    let uri = normalise_uri(text)?;
    if uri.ends_with('/') {
        Ok(uri)
    } else {
        Err(UriError {
            text: uri,
            reason: "a granted prefix ends in '/'",
        })
    }
}

fn check_path(path: &str) -> Result<(), &'static str> {
    let mut segments = path.split('/').peekable();
    while let Some(segment) = segments.next() {
        if segment == ".." || segment == "." {
            return Err("'.' and '..' are refused in a path");
        }
        if segment.is_empty() && segments.peek().is_some() {
            return Err("'//' is refused in a path");
        }
    }
    if path.chars().any(|c| c.is_control() || "\\?#".contains(c)) {
        return Err("control characters, '\\', '?' and '#' are refused in a path");
    }
    let lower = path.to_ascii_lowercase();
    if ["%2e", "%2f", "%5c", "%25", "%00"]
        .iter()
        .any(|hidden| lower.contains(hidden))
    {
        return Err("an encoded '.', '/', '\\', '%' or zero byte is refused in a path");
    }
    Ok(())
}

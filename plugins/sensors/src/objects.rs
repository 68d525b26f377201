//! Waits for objects by URI: by name, by wildcard, by regular expression, and by size.

use crate::fnmatch::matches;
use airlock_sdk::prelude::*;
use airlock_sdk::storage;
use regex_lite::Regex;

/// How many objects a wildcard or a regular expression looks through.
const OBJECTS_MAX: usize = 100_000;

/// What to wait for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ObjectKey {
    /// One URI or several; all must be there.
    #[serde(default)]
    key: Option<Keys>,
    /// The same under Airflow's name; with `bucket_name` a key, or several, of that bucket.
    #[serde(default)]
    bucket_key: Option<Keys>,
    /// An S3 bucket, for keys that are no whole URIs.
    #[serde(default)]
    bucket_name: Option<String>,
    /// Whether `*`, `?` and `[...]` in a key match any text, one character and one of a set.
    #[serde(default)]
    wildcard_match: bool,
    /// Whether a key is a regular expression, matched from the start of the URI. Folders before its first special character
    /// (dots aside) are taken as they are.
    #[serde(default)]
    use_regex: bool,
    /// What an object must be besides.
    #[serde(default)]
    check: Check,
}

/// What to wait for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    /// One `file://` URI or several; all must be there.
    filepath: Keys,
    /// Whether `*`, `?` and `[...]` match.
    #[serde(default)]
    wildcard_match: bool,
    /// Whether it is a regular expression; see `object_key`.
    #[serde(default)]
    use_regex: bool,
    /// What a file must be besides.
    #[serde(default)]
    check: Check,
}

/// An object that does not hold it counts as not there.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Check {
    /// Bytes.
    #[serde(default)]
    min_size: u64,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Keys {
    One(String),
    Many(Vec<String>),
}

/// How a key names objects.
#[derive(Debug, Clone, Copy)]
enum Naming {
    Exact,
    Wildcard,
    Regex,
}

/// Waits until all the objects exist.
#[operator(sensor)]
pub(crate) fn object_key(config: ObjectKey) -> Result<Outcome, TaskError> {
    let naming = naming(config.wildcard_match, config.use_regex)?;
    let bucket = config.bucket_name;
    match (config.key, config.bucket_key) {
        (Some(keys), None) if bucket.is_none() => poke("key", keys.listed(), naming, &config.check),
        (None, Some(keys)) => {
            let keys = in_bucket(bucket.as_deref(), keys.listed())?;
            poke("bucket_key", keys, naming, &config.check)
        }
        _ => Err(TaskError::invalid(
            "key",
            "give key, or bucket_key with bucket_name or with whole URIs",
        )),
    }
}

/// Whole URIs, as Airflow's `S3KeySensor` reads its two arguments.
fn in_bucket(bucket: Option<&str>, keys: Vec<String>) -> Result<Vec<String>, TaskError> {
    let whole = |key: String| match (bucket, key.contains("://")) {
        (None, true) => Ok(key),
        (Some(bucket), false) => Ok(format!("s3://{bucket}/{key}")),
        (None, false) => Err(TaskError::invalid(
            "bucket_key",
            "without bucket_name a key is a whole URI, like s3://bucket/key",
        )),
        (Some(_), true) => Err(TaskError::invalid(
            "bucket_name",
            "bucket_key is a whole URI already; leave bucket_name out",
        )),
    };
    keys.into_iter().map(whole).collect()
}

/// Waits until all the files exist.
#[operator(sensor)]
pub(crate) fn file(config: File) -> Result<Outcome, TaskError> {
    let naming = naming(config.wildcard_match, config.use_regex)?;
    poke("filepath", config.filepath.listed(), naming, &config.check)
}

fn naming(wildcard_match: bool, use_regex: bool) -> Result<Naming, TaskError> {
    match (wildcard_match, use_regex) {
        (true, true) => Err(TaskError::invalid(
            "use_regex",
            "give either wildcard_match or use_regex",
        )),
        (true, false) => Ok(Naming::Wildcard),
        (false, true) => Ok(Naming::Regex),
        (false, false) => Ok(Naming::Exact),
    }
}

impl Keys {
    fn listed(self) -> Vec<String> {
        match self {
            Self::One(key) => vec![key],
            Self::Many(keys) => keys,
        }
    }
}

fn poke(
    field: &str,
    keys: Vec<String>,
    naming: Naming,
    check: &Check,
) -> Result<Outcome, TaskError> {
    if keys.is_empty() {
        return Err(TaskError::invalid(field, "an empty list waits for nothing"));
    }
    for key in &keys {
        if !exists(field, key, naming, check)? {
            info!("Not there yet: {key}");
            return Ok(Outcome::NotYet);
        }
    }
    Ok(Outcome::Success(Value::Null))
}

fn exists(field: &str, key: &str, naming: Naming, check: &Check) -> Result<bool, TaskError> {
    let large_enough = |size: u64| size >= check.min_size;
    match naming {
        Naming::Wildcard if key.contains(['*', '?', '[']) => {
            let found = storage::list(beginning(key), OBJECTS_MAX)?;
            let mut objects = found.iter();
            Ok(objects.any(|object| large_enough(object.size) && matches(key, &object.uri)))
        }
        Naming::Exact | Naming::Wildcard => {
            Ok(storage::head(key)?.is_some_and(|object| large_enough(object.size)))
        }
        Naming::Regex => {
            let folder = folder(key, &REGEX_SPECIAL);
            let rest = key.get(folder.len()..).unwrap_or_default();
            let regex = Regex::new(&format!("^(?:{rest})"))
                .map_err(|error| TaskError::invalid(field, error.to_string()))?;
            let found = storage::list(folder, OBJECTS_MAX)?;
            Ok(found.iter().any(|object| {
                let name = object.uri.strip_prefix(folder);
                large_enough(object.size) && name.is_some_and(|name| regex.is_match(name))
            }))
        }
    }
}

const REGEX_SPECIAL: [char; 12] = ['\\', '*', '+', '?', '(', ')', '[', ']', '{', '}', '|', '^'];

/// What is before the first wildcard, so that no more is listed than must be; a URI that ends in a segment of dots is none.
fn beginning(key: &str) -> &str {
    let end = key.find(['*', '?', '[']).unwrap_or(key.len());
    let prefix = key.get(..end).unwrap_or(key);
    match prefix.rsplit('/').next() {
        Some("." | "..") => folder(key, &['*', '?', '[']),
        _ => prefix,
    }
}

/// The folders before the first special character.
fn folder<'a>(key: &'a str, special: &[char]) -> &'a str {
    let end = key.find(special).unwrap_or(key.len());
    let prefix = key.get(..end).unwrap_or(key);
    let slash = prefix.rfind('/').and_then(|slash| prefix.get(..=slash));
    slash.unwrap_or(prefix)
}

#[cfg(test)]
mod tests {
    use super::*;
    use airlock_sdk::testing::Host;

    const DONE: Result<Outcome, TaskError> = Ok(Outcome::Success(Value::Null));

    #[test]
    fn d7_all_keys_must_exist() {
        let host = Host::new();
        host.put_object("file://d/a", b"");
        let one = json!({"key": "file://d/a"});
        let two = json!({"key": ["file://d/a", "file://d/b"]});
        assert_eq!(host.run::<object_key>(one), DONE);
        assert_eq!(host.run::<object_key>(two.clone()), Ok(Outcome::NotYet));
        host.put_object("file://d/b", b"");
        assert_eq!(host.run::<object_key>(two), DONE);
        assert!(host.run::<object_key>(json!({"key": []})).is_err());
    }

    #[test]
    fn d7_keys_are_uris_or_keys_of_a_bucket() {
        let host = Host::new();
        host.put_object("s3://lake/a/b", b"");
        for there in [
            json!({"bucket_key": "s3://lake/a/b"}),
            json!({"bucket_name": "lake", "bucket_key": "a/b"}),
            json!({"bucket_name": "lake", "bucket_key": ["a/b", "a/?"], "wildcard_match": true}),
            json!({"bucket_name": "lake", "bucket_key": "a/.*", "use_regex": true}),
        ] {
            assert_eq!(host.run::<object_key>(there.clone()), DONE, "{there}");
        }
        let later = json!({"bucket_name": "lake", "bucket_key": ["a/b", "c"]});
        assert_eq!(host.run::<object_key>(later), Ok(Outcome::NotYet));
        for wrong in [
            json!({}),
            json!({"bucket_name": "lake"}),
            json!({"bucket_key": "a/b"}),
            json!({"bucket_name": "lake", "bucket_key": "s3://lake/a/b"}),
            json!({"key": "s3://lake/a/b", "bucket_key": "s3://lake/a/b"}),
            json!({"key": "a/b", "bucket_name": "lake"}),
        ] {
            let refused = host.run::<object_key>(wrong.clone());
            let invalid = matches!(refused, Err(TaskError::InvalidInput { .. }));
            assert!(invalid, "{wrong}: {refused:?}");
        }
    }

    #[test]
    fn d7_wildcards_look_through_every_page() {
        let host = Host::new();
        for name in ["a", "b", "c", "d", "part-7.parquet"] {
            host.put_object(&format!("file://d/{name}"), b"x");
        }
        let run = |pattern: &str, wildcard: bool| {
            host.run::<file>(json!({"filepath": pattern, "wildcard_match": wildcard}))
        };
        assert_eq!(run("file://d/part-*.parquet", true), DONE);
        assert_eq!(run("file://d/part-*.csv", true), Ok(Outcome::NotYet));
        assert_eq!(run("file://d/part-*.parquet", false), Ok(Outcome::NotYet));
    }

    #[test]
    fn d7_a_regular_expression_is_matched_below_its_plain_folders() {
        let host = Host::new();
        host.put_object("file://./data/year=2026/part-07.csv", b"x");
        let run =
            |pattern: &str| host.run::<object_key>(json!({"key": pattern, "use_regex": true}));
        assert_eq!(run(r"file://./data/year=\d{4}/part-\d+\.csv$"), DONE);
        assert_eq!(
            run(r"file://./data/year=\d{4}/part-\d\.csv$"),
            Ok(Outcome::NotYet)
        );
        assert!(matches!(
            run("file://./data/("),
            Err(TaskError::InvalidInput { .. })
        ));
    }

    #[test]
    fn d7_an_object_that_is_too_small_is_not_there() {
        let host = Host::new();
        host.put_object("file://d/a", b"12345");
        let run = |key: &str, min_size: u64| {
            let check = json!({"min_size": min_size});
            host.run::<object_key>(json!({"key": key, "wildcard_match": true, "check": check}))
        };
        for key in ["file://d/a", "file://d/*"] {
            assert_eq!(run(key, 5), DONE);
            assert_eq!(run(key, 6), Ok(Outcome::NotYet));
        }
    }
}

//! Waits for objects by URI; a wildcard needs one match.

use airlock_sdk::prelude::*;
use airlock_sdk::storage;

/// How many objects a wildcard looks through.
const WILDCARD_OBJECTS_MAX: usize = 100_000;

/// What to wait for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ObjectKey {
    /// One URI or several; all must be there.
    key: Keys,
    /// Whether `*`, `?` and `[...]` in a key match any text, one character and one of a set.
    #[serde(default)]
    wildcard_match: bool,
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
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Keys {
    One(String),
    Many(Vec<String>),
}

/// Waits until all the objects exist.
#[operator(sensor)]
pub(crate) fn object_key(config: ObjectKey) -> Result<Outcome, TaskError> {
    poke("key", config.key, config.wildcard_match)
}

/// Waits until all the files exist.
#[operator(sensor)]
pub(crate) fn file(config: File) -> Result<Outcome, TaskError> {
    poke("filepath", config.filepath, config.wildcard_match)
}

fn poke(field: &str, keys: Keys, wildcard: bool) -> Result<Outcome, TaskError> {
    let keys = match keys {
        Keys::One(key) => vec![key],
        Keys::Many(keys) if keys.is_empty() => {
            return Err(TaskError::invalid(field, "an empty list waits for nothing"));
        }
        Keys::Many(keys) => keys,
    };
    for key in &keys {
        if !exists(key, wildcard)? {
            info!("Not there yet: {key}");
            return Ok(Outcome::NotYet);
        }
    }
    Ok(Outcome::Success(Value::Null))
}

fn exists(key: &str, wildcard: bool) -> Result<bool, TaskError> {
    match key.find(['*', '?', '[']) {
        Some(end) if wildcard => {
            let prefix = key.get(..end).unwrap_or(key);
            // Storage lists whole folders.
            let folder = prefix.rfind('/').and_then(|slash| prefix.get(..=slash));
            let found = storage::list(folder.unwrap_or(prefix), WILDCARD_OBJECTS_MAX)?;
            let pattern: Vec<char> = key.chars().collect();
            Ok(found.iter().any(|object| {
                let uri: Vec<char> = object.uri.chars().collect();
                matches(&pattern, &uri)
            }))
        }
        _ => Ok(storage::head(key)?.is_some()),
    }
}

/// Python's `fnmatch`, in time `pattern × text`: `*` remembers one place to come back to.
fn matches(pattern: &[char], text: &[char]) -> bool {
    let (mut at_pattern, mut at_text) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(&character) = text.get(at_text) {
        let step = match pattern.get(at_pattern) {
            Some('*') => {
                star = Some((at_pattern + 1, at_text));
                at_pattern += 1;
                continue;
            }
            Some('?') => Some(1),
            Some('[') => in_set(pattern.get(at_pattern + 1..).unwrap_or_default(), character),
            Some(&wanted) => (wanted == character).then_some(1),
            None => None,
        };
        match (step, star) {
            (Some(length), _) => {
                at_pattern += length;
                at_text += 1;
            }
            (None, Some((after_star, from))) => {
                at_pattern = after_star;
                at_text = from + 1;
                star = Some((after_star, from + 1));
            }
            (None, None) => return false,
        }
    }
    let rest = pattern.get(at_pattern..).unwrap_or_default();
    rest.iter().all(|&character| character == '*')
}

/// Whether the set that follows a `[` holds `character`: the pattern's length from the `[` on, or none. A `[` that is never
/// closed stands for itself.
fn in_set(after: &[char], character: char) -> Option<usize> {
    let negated = after.first() == Some(&'!');
    let start = usize::from(negated);
    // A `]` right after the opening belongs to the set.
    let Some(length) = after
        .get(start + 1..)
        .and_then(|rest| rest.iter().position(|&c| c == ']'))
    else {
        return (character == '[').then_some(1);
    };
    let end = start + 1 + length;
    let set = after.get(start..end).unwrap_or_default();
    let mut held = false;
    let mut place = 0;
    while let Some(&low) = set.get(place) {
        if let (Some('-'), Some(&high)) = (set.get(place + 1), set.get(place + 2)) {
            held |= (low..=high).contains(&character);
            place += 3;
        } else {
            held |= low == character;
            place += 1;
        }
    }
    (held != negated).then_some(end + 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use airlock_sdk::testing::Host;

    const DONE: Result<Outcome, TaskError> = Ok(Outcome::Success(Value::Null));

    #[test]
    fn all_keys_must_exist() {
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
    fn wildcards_look_through_every_page() {
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
    fn fnmatch() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("a*c", "abbbc", true),
            ("a*c", "abbbd", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[!a-c]x", "dx", true),
            ("[]]", "]", true),
            ("[x", "[x", true),
            ("*a*b", "xxaxxab", true),
            ("", "a", false),
        ] {
            let chars = |text: &str| text.chars().collect::<Vec<char>>();
            assert_eq!(
                matches(&chars(pattern), &chars(text)),
                expected,
                "{pattern} {text}"
            );
        }
    }
}

//! What a person reads when a template fails: where it stands, what it says, which name is unknown, what is near.

use super::growth;
use minijinja::{ErrorKind, Value};
use std::collections::HashSet;
use std::fmt::{self, Write as _};

/// How much of a template an error shows, in characters.
const SHOWN_MAX: usize = 120;
/// Names that are at most so many edits away count as near.
const NEAR_EDITS_MAX: usize = 3;

/// A template that could not be rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// It is not Jinja.
    #[error("{place}: template {template:?} is not valid: {reason}")]
    Syntax {
        /// Path in the config, like `config.params[2].uri`.
        place: String,
        /// The template, shortened.
        template: String,
        /// What the parser says.
        reason: String,
    },
    /// It names something that does not exist.
    #[error("{place}: template {template:?} uses {name:?}{at}, which is not defined here{hint}")]
    Undefined {
        /// Path in the config.
        place: String,
        /// The template, shortened.
        template: String,
        /// The unknown name with its path, like `params.lr`.
        name: String,
        /// Its line and column in the template, where it stands there as it is.
        at: String,
        /// Near names, or what exists; may be empty.
        hint: String,
    },
    /// It failed while it ran.
    #[error("{place}: template {template:?} failed: {reason}")]
    Failed {
        /// Path in the config.
        place: String,
        /// The template, shortened.
        template: String,
        /// What the engine says.
        reason: String,
    },
    /// It took too many steps.
    #[error(
        "{place}: template {template:?} takes more than {} steps; do the work in a task",
        super::FUEL
    )]
    OutOfFuel {
        /// Path in the config.
        place: String,
        /// The template, shortened.
        template: String,
    },
    /// Its text is too large.
    #[error(
        "{place}: template {template:?} renders to more than {} bytes; pass a storage URI instead",
        super::OUTPUT_BYTES_MAX
    )]
    TooLarge {
        /// Path in the config.
        place: String,
        /// The template, shortened.
        template: String,
    },
    /// It builds too much on its way.
    #[error(
        "{place}: template {template:?} builds more than {} bytes of texts and lists on its way; do the work in a task",
        super::GROWTH_BYTES_MAX
    )]
    Growth {
        /// Path in the config.
        place: String,
        /// The template, shortened.
        template: String,
    },
    /// Its value is not JSON or is too large.
    #[error("{place}: the value of template {template:?} {reason}")]
    Value {
        /// Path in the config.
        place: String,
        /// The template, shortened.
        template: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The template itself is too long.
    #[error(
        "{place}: the template is longer than {} bytes",
        super::TEMPLATE_BYTES_MAX
    )]
    TooLong {
        /// Path in the config.
        place: String,
    },
    /// The config is nested too deep.
    #[error(
        "{place}: the config is nested more than {} levels deep",
        super::DEPTH_MAX
    )]
    TooDeep {
        /// Path in the config.
        place: String,
    },
}

/// Where in a config a template stands.
pub(super) struct Place(String);

impl Place {
    pub(super) fn root(name: &str) -> Self {
        Self(name.to_owned())
    }

    /// Returns the mark to truncate to.
    pub(super) fn push_index(&mut self, index: usize) -> usize {
        let mark = self.0.len();
        let _ = write!(self.0, "[{index}]");
        mark
    }

    pub(super) fn push_key(&mut self, key: &str) -> usize {
        let mark = self.0.len();
        self.0.push('.');
        self.0.extend(key.chars().take(SHOWN_MAX));
        mark
    }

    pub(super) fn truncate(&mut self, mark: usize) {
        self.0.truncate(mark);
    }
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

pub(super) fn shorten(template: &str) -> String {
    if template.chars().count() <= SHOWN_MAX {
        return template.to_owned();
    }
    let mut short: String = template.chars().take(SHOWN_MAX).collect();
    short.push('…');
    short
}

/// Turns the engine's error into ours. `names` are the dotted names that the template reads from outside.
pub(super) fn explain(
    error: &minijinja::Error,
    template: &str,
    place: &Place,
    root: &Value,
    names: HashSet<String>,
) -> TemplateError {
    let place = place.to_string();
    let reason = error
        .detail()
        .map_or_else(|| error.kind().to_string(), str::to_owned);
    if reason == growth::SPENT {
        let template = shorten(template);
        return TemplateError::Growth { place, template };
    }
    let short = shorten(template);
    match error.kind() {
        ErrorKind::SyntaxError => TemplateError::Syntax {
            place,
            template: short,
            reason,
        },
        ErrorKind::OutOfFuel => TemplateError::OutOfFuel {
            place,
            template: short,
        },
        ErrorKind::UndefinedError | ErrorKind::UnknownFunction | ErrorKind::UnknownMethod => {
            // Operators are calls of functions that nobody wrote.
            let written = names.into_iter().filter(|name| !name.starts_with("__"));
            let mut names: Vec<String> = written.collect();
            names.sort();
            match names.iter().find_map(|name| unknown(root, name)) {
                Some((name, hint)) => TemplateError::Undefined {
                    place,
                    template: short,
                    at: position(template, &name),
                    name,
                    hint,
                },
                None => TemplateError::Failed {
                    place,
                    template: short,
                    reason,
                },
            }
        }
        _ => TemplateError::Failed {
            place,
            template: short,
            reason,
        },
    }
}

/// Where a name stands in a template: a whole word, the first one. Lines and columns count from 1, columns in characters.
fn position(template: &str, name: &str) -> String {
    let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
    let whole = |at: &usize| {
        let before = template.get(..*at).unwrap_or_default();
        let after = template.get(at + name.len()..).unwrap_or_default();
        let goes_on = |c: char| c.is_alphanumeric() || c == '_';
        !before.ends_with(is_word) && !after.starts_with(goes_on)
    };
    let found = template.match_indices(name).map(|(at, _)| at).find(whole);
    let Some(before) = found.and_then(|at| template.get(..at)) else {
        return String::new();
    };
    let line = before.matches('\n').count() + 1;
    let column = before
        .rsplit('\n')
        .next()
        .unwrap_or_default()
        .chars()
        .count()
        + 1;
    format!(" (line {line}, column {column})")
}

/// The shortest part of a dotted name that does not exist, with a hint.
fn unknown(root: &Value, name: &str) -> Option<(String, String)> {
    let mut value = root.clone();
    let mut path = String::new();
    for part in name.split('.') {
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(part);
        let next = value.get_attr(part).unwrap_or(Value::UNDEFINED);
        if next.is_undefined() {
            // A method of a text or a date is no attribute; only objects have known names.
            return keys(&value).map(|keys| (path, hint(part, keys)));
        }
        value = next;
    }
    None
}

fn keys(value: &Value) -> Option<Vec<String>> {
    if value.kind() != minijinja::value::ValueKind::Map {
        return None;
    }
    let keys = value.try_iter().ok()?.take(1000);
    Some(keys.map(|key| key.to_string()).collect())
}

fn hint(name: &str, mut keys: Vec<String>) -> String {
    keys.sort_by_key(|key| distance(name, key));
    match keys.first() {
        Some(nearest) if distance(name, nearest) <= NEAR_EDITS_MAX.min(name.len() / 2 + 1) => {
            format!("; did you mean {nearest:?}?")
        }
        Some(_) => {
            keys.truncate(8);
            keys.sort();
            format!("; known names are {}", keys.join(", "))
        }
        None => "; nothing is defined there".to_owned(),
    }
}

/// Levenshtein's distance over the first 64 bytes of each.
fn distance(one: &str, two: &str) -> usize {
    let two: Vec<u8> = two.bytes().take(64).collect();
    let mut row: Vec<usize> = (0..=two.len()).collect();
    for (i, a) in one.bytes().take(64).enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (cell, b) in row.iter_mut().skip(1).zip(&two) {
            let cost = diagonal + usize::from(a != *b);
            diagonal = *cell;
            left = cost.min(left + 1).min(*cell + 1);
            *cell = left;
        }
    }
    row.last().copied().unwrap_or(0)
}

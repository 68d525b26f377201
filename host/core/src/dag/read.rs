//! Typed readers of YAML values: each takes a node and gives a value, or records what was found and what was expected.
//! It refuses coercion: a text is no number, `yes` is no boolean.

use super::diagnostic::{Sink, Span, quoted};
use super::quantity;
use super::suggest;
use super::yaml::{Entry, Kind, Node};
use crate::ids::{DagId, InvalidId, OperatorName, PoolName, TaskId};
use jiff::SignedDuration;

/// A type that a YAML value can hold. `None` comes with an error in the sink.
pub(super) trait FromNode: Sized {
    fn from_node(node: &Node<'_>, what: &str, sink: &mut Sink) -> Option<Self>;
}

/// Records that `what` should be `expected` and is not.
pub(super) fn wrong_type(node: &Node<'_>, what: &str, expected: &str, sink: &mut Sink) {
    let hint = match (&node.kind, expected) {
        (Kind::String(text), "true or false") => match text.to_ascii_lowercase().as_str() {
            "yes" | "on" | "y" => Some("write true".to_owned()),
            "no" | "off" | "n" => Some("write false".to_owned()),
            _ => None,
        },
        (Kind::String(text), _)
            if text.trim().parse::<f64>().is_ok() && expected.contains("number") =>
        {
            Some("remove the quotes".to_owned())
        }
        (Kind::String(_), _) if expected.starts_with("a whole number") => {
            Some("write digits, for example 2".to_owned())
        }
        _ if expected.starts_with("a duration") => Some("write for example 10m".to_owned()),
        _ => None,
    };
    let message = format!("`{what}` must be {expected}; found {}", node.found());
    sink.error_hint(node.span, "wrong-type", message, hint);
}

/// The members of a task, a group or the DAG, and the defaults behind them.
#[derive(Clone, Copy)]
pub(super) struct Fields<'n, 't> {
    pub(super) own: &'n [Entry<'t>],
    /// The first of a name counts.
    pub(super) defaults: &'n [&'n Entry<'t>],
}

impl<'n, 't> Fields<'n, 't> {
    /// The value as written; the entry's own `null` hides a default.
    pub(super) fn node(&self, key: &str) -> Option<&'n Node<'t>> {
        self.entry(key).map(|entry| &entry.value)
    }

    pub(super) fn entry(&self, key: &str) -> Option<&'n Entry<'t>> {
        let own = self.own_entry(key);
        let entry = own.or_else(|| self.defaults.iter().copied().find(|entry| entry.key == key))?;
        (!entry.value.is_null()).then_some(entry)
    }

    /// What the mapping itself holds, also if it is null.
    pub(super) fn own_entry(&self, key: &str) -> Option<&'n Entry<'t>> {
        self.own.iter().find(|entry| entry.key == key)
    }

    pub(super) fn get<T: FromNode>(&self, key: &str, sink: &mut Sink) -> Option<T> {
        T::from_node(self.node(key)?, key, sink)
    }

    pub(super) fn or<T: FromNode>(&self, key: &str, default: T, sink: &mut Sink) -> T {
        self.get(key, sink).unwrap_or(default)
    }

    /// A duration over zero.
    pub(super) fn positive(&self, key: &str, sink: &mut Sink) -> Option<SignedDuration> {
        let node = self.node(key)?;
        let value = SignedDuration::from_node(node, key, sink)?;
        if value.is_zero() {
            sink.error_hint(
                node.span,
                "out-of-range",
                format!("`{key}` must be longer than zero"),
                "leave it out to have no limit".to_owned(),
            );
            return None;
        }
        Some(value)
    }

    /// A number of at least 1.
    pub(super) fn at_least_one(&self, key: &str, sink: &mut Sink) -> Option<u32> {
        let node = self.node(key)?;
        let value = u32::from_node(node, key, sink)?;
        if value == 0 {
            sink.error_hint(
                node.span,
                "out-of-range",
                format!("`{key}` must be at least 1; found 0"),
                "leave it out to take the default".to_owned(),
            );
            return None;
        }
        Some(value)
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(
        &self,
        key: &str,
        words: &[(&str, T)],
        default: T,
        sink: &mut Sink,
    ) -> T {
        let node = self.node(key);
        node.and_then(|node| choice(node, key, words, sink))
            .unwrap_or(default)
    }
}

/// The value of the word that `node` holds, in any case of letters.
pub(super) fn choice<T: Copy>(
    node: &Node<'_>,
    what: &str,
    words: &[(&str, T)],
    sink: &mut Sink,
) -> Option<T> {
    let Some(text) = node.as_str() else {
        let all = list_words(words);
        wrong_type(node, what, &format!("one of {all}"), sink);
        return None;
    };
    let lower = text.to_ascii_lowercase();
    let found = words.iter().find(|(word, _)| *word == lower);
    if found.is_none() {
        let hint = suggest::hint(text, words.iter().map(|(word, _)| *word), || {
            Some(format!("one of {}", list_words(words)))
        });
        let message = format!("{} is not a `{what}`", quoted(text));
        sink.error_hint(node.span, "unknown-word", message, hint);
    }
    found.map(|(_, value)| *value)
}

fn list_words<T>(words: &[(&str, T)]) -> String {
    let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    names.join(", ")
}

/// A mapping's members; its keys are checked against `known`.
pub(super) fn members<'n, 't>(
    node: &'n Node<'t>,
    what: &str,
    known: &[&str],
    sink: &mut Sink,
) -> Option<Fields<'n, 't>> {
    let Some(own) = node.as_mapping() else {
        let expected = format!("a mapping with {}", known.join(", "));
        wrong_type(node, what, &expected, sink);
        return None;
    };
    for entry in own {
        if !known.contains(&&*entry.key) {
            let hint = suggest::hint(&entry.key, known.iter().copied(), || {
                Some(format!("`{what}` has {}", known.join(", ")))
            });
            unknown_key(&entry.key, entry.key_span, what, hint, sink);
        }
    }
    Some(Fields { own, defaults: &[] })
}

pub(super) fn unknown_key(
    key: &str,
    span: Span,
    owner: &str,
    hint: Option<String>,
    sink: &mut Sink,
) {
    let message = format!("unknown key {} in `{owner}`", quoted(key));
    sink.error_hint(span, "unknown-key", message, hint);
}

impl FromNode for bool {
    fn from_node(node: &Node<'_>, what: &str, sink: &mut Sink) -> Option<Self> {
        if let Kind::Bool(value) = node.kind {
            return Some(value);
        }
        wrong_type(node, what, "true or false", sink);
        None
    }
}

impl FromNode for u32 {
    fn from_node(node: &Node<'_>, what: &str, sink: &mut Sink) -> Option<Self> {
        let number = match &node.kind {
            Kind::Number(number) => number.as_u64(),
            _ => None,
        };
        let value = number.and_then(|number| Self::try_from(number).ok());
        if value.is_none() {
            wrong_type(node, what, "a whole number from 0 to 4294967295", sink);
        }
        value
    }
}

impl FromNode for i32 {
    fn from_node(node: &Node<'_>, what: &str, sink: &mut Sink) -> Option<Self> {
        let number = match &node.kind {
            Kind::Number(number) => number.as_i64(),
            _ => None,
        };
        let value = number.and_then(|number| Self::try_from(number).ok());
        if value.is_none() {
            wrong_type(node, what, "a whole number of 32 bits", sink);
        }
        value
    }
}

impl FromNode for String {
    fn from_node(node: &Node<'_>, what: &str, sink: &mut Sink) -> Option<Self> {
        if let Kind::String(text) = &node.kind {
            return Some(text.clone().into_owned());
        }
        wrong_type(node, what, "a text", sink);
        None
    }
}

impl FromNode for SignedDuration {
    fn from_node(node: &Node<'_>, what: &str, sink: &mut Sink) -> Option<Self> {
        let value = match &node.kind {
            Kind::String(text) => quantity::duration(text),
            Kind::Number(number) => quantity::seconds(number),
            _ => None,
        };
        if value.is_none() {
            wrong_type(node, what, quantity::DURATION_FORM, sink);
        }
        value
    }
}

/// A list of texts; a text alone is a list of one.
pub(super) struct Texts(pub(super) Vec<String>);

impl FromNode for Texts {
    fn from_node(node: &Node<'_>, what: &str, sink: &mut Sink) -> Option<Self> {
        texts_with_spans(node, what, sink)
            .map(|list| Self(list.into_iter().map(|(text, _)| text).collect()))
    }
}

/// As `Texts`, with the place of each.
pub(super) fn texts_with_spans(
    node: &Node<'_>,
    what: &str,
    sink: &mut Sink,
) -> Option<Vec<(String, Span)>> {
    match &node.kind {
        Kind::String(text) => Some(vec![(text.clone().into_owned(), node.span)]),
        Kind::Sequence(items) => {
            let mut list = Vec::with_capacity(items.len());
            for item in items {
                match item.as_str() {
                    Some(text) => list.push((text.to_owned(), item.span)),
                    None => wrong_type(item, what, "a list of texts", sink),
                }
            }
            Some(list)
        }
        _ => {
            wrong_type(node, what, "a text or a list of texts", sink);
            None
        }
    }
}

/// A text that `parse` takes as an id.
pub(super) fn id<T>(
    node: &Node<'_>,
    what: &str,
    parse: fn(&str) -> Result<T, InvalidId>,
    sink: &mut Sink,
) -> Option<T> {
    let Some(text) = node.as_str() else {
        wrong_type(node, what, "a text", sink);
        return None;
    };
    match parse(text) {
        Ok(id) => Some(id),
        Err(error) => {
            let message = format!("{} is not a valid {what}: {}", quoted(text), error.reason);
            let hint = tidy(text).map(|tidy| format!("write for example `{tidy}`"));
            sink.error_hint(node.span, "invalid-id", message, hint);
            None
        }
    }
}

/// The nearest text that would be an id.
fn tidy(text: &str) -> Option<String> {
    let keep = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    let tidy: String = text
        .trim()
        .chars()
        .take(60)
        .map(|c| if keep(c) { c } else { '_' })
        .collect();
    tidy.contains(|c: char| c.is_ascii_alphanumeric())
        .then_some(tidy)
}

macro_rules! id_from_node {
    ($($name:ident),*) => {$(
        impl FromNode for $name {
            fn from_node(node: &Node<'_>, what: &str, sink: &mut Sink) -> Option<Self> {
                id(node, what, $name::parse, sink)
            }
        }
    )*};
}
id_from_node!(DagId, TaskId, OperatorName, PoolName);

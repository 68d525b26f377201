//! Elements of mapped tasks: how many there are and what each one adds to the config. A cross product is never
//! written out: an element is computed from its index.
//! It refuses to evaluate templates; that is [`ExpandEvaluator`]'s work.

use super::event::Json;
use super::state::RunState;
use crate::dag::spec::{Expand, ExpandSource};
use serde_json::{Map, Value};

/// The most instances one task may have in one run (Airflow's `max_map_length` is 1,024).
pub const MAP_LENGTH_MAX: usize = 100_000;

/// Evaluates the template of an `expand` against the XCom values, params and dates of a run.
pub trait ExpandEvaluator {
    /// The value of the whole template; an error is a sentence for the author of the DAG.
    fn evaluate(&self, template: &str, state: &RunState) -> Result<Value, String>;
}

/// The lists of a mapped task, one per source of its `expand`, as the run evaluated them.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Elements {
    /// `None` for a literal: the DAG holds it. An element is kept as text, which is a fraction of a parsed value.
    lists: Vec<Option<Vec<Box<str>>>>,
    /// How many instances; at most `MAP_LENGTH_MAX`.
    pub(super) length: usize,
}

/// Why a task cannot be expanded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ExpandFailure {
    /// A template gave nothing at all: what it reads was not pushed.
    Nothing(String),
    /// A sentence for the author of the DAG.
    Error(String),
}

pub(super) fn sources(expand: &Expand) -> Vec<(&str, &ExpandSource)> {
    match expand {
        Expand::Product(keys) => keys
            .iter()
            .map(|(key, source)| (key.as_str(), source))
            .collect(),
        Expand::Kwargs(source) => vec![("expand_kwargs", source)],
    }
}

/// The length of a task that only expands over literals, if it is one that can run.
pub(super) fn literal_elements(expand: &Expand) -> Option<Elements> {
    let sources = sources(expand);
    let literal = |(_, source): &(&str, &ExpandSource)| matches!(source, ExpandSource::Literal(_));
    if !sources.iter().all(literal) {
        return None;
    }
    let lists = sources.iter().map(|_| None).collect();
    Elements::new(expand, lists).ok()
}

/// Evaluates every template of `expand`: the JSON that `Event::TaskExpanded` carries.
pub(super) fn evaluate(
    expand: &Expand,
    state: &RunState,
    evaluator: &dyn ExpandEvaluator,
) -> Result<(Json, Elements), ExpandFailure> {
    let mut lists = Vec::new();
    for (key, source) in sources(expand) {
        lists.push(match source {
            ExpandSource::Literal(_) => Value::Null,
            ExpandSource::Template(template) => {
                let value = evaluator.evaluate(template, state).map_err(|error| {
                    ExpandFailure::Error(format!(
                        "expand key {key:?}: the template failed: {error}"
                    ))
                })?;
                Value::Array(as_list(key, value)?)
            }
        });
    }
    let json = Value::Array(lists).to_string();
    let elements = parse(expand, &json).map_err(ExpandFailure::Error)?;
    Ok((json, elements))
}

fn as_list(key: &str, value: Value) -> Result<Vec<Value>, ExpandFailure> {
    let found = match value {
        Value::Array(list) => return Ok(list),
        Value::Object(members) => {
            let pair = |(name, member)| Value::Array(vec![Value::String(name), member]);
            return Ok(members.into_iter().map(pair).collect());
        }
        Value::Null => {
            return Err(ExpandFailure::Nothing(format!(
                "expand key {key:?}: the template gave null, not a list: was the XCom that it reads pushed?"
            )));
        }
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
    };
    Err(ExpandFailure::Error(format!(
        "expand key {key:?}: the template gave {found}; it must give a list or an object"
    )))
}

/// Reads the JSON of `Event::TaskExpanded`; an error says what is wrong with it.
pub(super) fn parse(expand: &Expand, json: &str) -> Result<Elements, String> {
    let lists: Vec<Option<Vec<Value>>> =
        serde_json::from_str(json).map_err(|error| format!("no list of lists: {error}"))?;
    let text = |value: Value| value.to_string().into_boxed_str();
    let lists = lists
        .into_iter()
        .map(|list| list.map(|values| values.into_iter().map(text).collect()))
        .collect();
    Elements::new(expand, lists)
}

impl Elements {
    fn new(expand: &Expand, lists: Vec<Option<Vec<Box<str>>>>) -> Result<Self, String> {
        let sources = sources(expand);
        if sources.len() != lists.len() {
            return Err("as many lists as `expand` has sources are needed".to_owned());
        }
        let mut length: usize = 1;
        for ((key, source), list) in sources.iter().zip(&lists) {
            length = length.saturating_mul(match (list, source) {
                (Some(list), _) => list.len(),
                (None, ExpandSource::Literal(values)) => values.len(),
                (None, ExpandSource::Template(_)) => {
                    return Err(format!("the list of expand key {key:?} is missing"));
                }
            });
        }
        if length > MAP_LENGTH_MAX {
            return Err(format!(
                "expand gives {length} elements, more than the {MAP_LENGTH_MAX} allowed; give each instance a slice of the work"
            ));
        }
        let elements = Self { lists, length };
        match expand {
            Expand::Kwargs(_) => elements.check_objects(expand)?,
            Expand::Product(_) => {}
        }
        Ok(elements)
    }

    /// The JSON that `Event::TaskExpanded` and `Event::GroupExpanded` carry.
    pub(super) fn to_json(&self) -> Json {
        let list = |list: &Option<Vec<Box<str>>>| match list {
            Some(values) => format!("[{}]", values.join(",")),
            None => "null".to_owned(),
        };
        let lists: Vec<_> = self.lists.iter().map(list).collect();
        format!("[{}]", lists.join(","))
    }

    fn check_objects(&self, expand: &Expand) -> Result<(), String> {
        let is_object =
            |place: &usize| matches!(self.value(expand, 0, *place), Some(Value::Object(_)));
        match (0..self.length).find(|place| !is_object(place)) {
            None => Ok(()),
            Some(place) => Err(format!(
                "expand_kwargs: element {place} is not an object; each element must map config keys to values"
            )),
        }
    }

    fn value(&self, expand: &Expand, source: usize, place: usize) -> Option<Value> {
        if let Some(list) = self.lists.get(source)? {
            return serde_json::from_str(list.get(place)?).ok();
        }
        match sources(expand).get(source)? {
            (_, ExpandSource::Literal(values)) => values.get(place).cloned(),
            (_, ExpandSource::Template(_)) => None,
        }
    }

    fn list_length(&self, expand: &Expand, source: usize) -> Option<usize> {
        if let Some(list) = self.lists.get(source)? {
            return Some(list.len());
        }
        match sources(expand).get(source)? {
            (_, ExpandSource::Literal(values)) => Some(values.len()),
            (_, ExpandSource::Template(_)) => None,
        }
    }

    /// What element `index` adds to the config: the last key of a product varies fastest.
    pub(super) fn get(&self, expand: &Expand, index: usize) -> Option<Map<String, Value>> {
        if index >= self.length {
            return None;
        }
        let keys = match expand {
            Expand::Kwargs(_) => match self.value(expand, 0, index)? {
                Value::Object(members) => return Some(members),
                _ => return None,
            },
            Expand::Product(keys) => keys,
        };
        let mut rest = index;
        let mut values = Vec::with_capacity(keys.len());
        for (source, (key, _)) in keys.iter().enumerate().rev() {
            let length = self.list_length(expand, source)?;
            values.push((key.clone(), self.value(expand, source, rest % length)?));
            rest /= length;
        }
        Some(values.into_iter().rev().collect())
    }
}

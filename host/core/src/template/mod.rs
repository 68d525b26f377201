//! Templates: Jinja as Airflow uses it, over values that were handed in. What an expression may see is in `context`.
//! It refuses to load files, to include other templates, and to run or grow without bound.

mod context;
mod datetime;
mod error;
mod fields;
mod growth;
#[cfg(test)]
mod growth_tests;
mod history;
mod json;
mod lookup;
mod python;
mod rewrite;
#[cfg(test)]
mod tests;

pub use context::{Context, DagValues, RunValues, TaskValues, XComSource};
pub use error::TemplateError;
pub use fields::{FIELD_CHARS_MAX, FIELDS_BYTES_MAX, rendered_fields};
pub use growth::GROWTH_BYTES_MAX;
pub use history::{NoHistory, PreviousRun, RunHistory};
pub use lookup::{Connection, Lookup, NoLookup};

use error::Place;
use minijinja::{Environment, State, UndefinedBehavior};
use serde_json::Value;
use std::io::{self, Write};
use std::sync::LazyLock;

/// Steps that one template may take (about 3 ms).
pub const FUEL: u64 = 50_000;
/// Bytes that one template may render to, and about as many that its value may hold.
pub const OUTPUT_BYTES_MAX: usize = 1 << 20;
/// The longest template, in bytes.
pub const TEMPLATE_BYTES_MAX: usize = 64 << 10;
/// How deep lists and objects may be nested in a config or a rendered value.
pub const DEPTH_MAX: usize = 64;
/// How deep an expression or a loop may nest.
const RECURSION_MAX: usize = 100;

static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut env = Environment::new();
    env.set_undefined_behavior(UndefinedBehavior::Strict);
    env.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    env.set_fuel(Some(FUEL));
    env.set_recursion_limit(RECURSION_MAX);
    env.set_debug(false);
    env.set_formatter(python::format);
    // Filters that can grow a text far beyond the output limit in one step: bounded ones instead, or none.
    for name in ["indent", "format", "pprint"] {
        env.remove_filter(name);
    }
    growth::install(&mut env);
    env.add_filter(
        "replace",
        |state: &mut State, text: &str, from: &str, to: &str| {
            growth::kept(state, python::replace(text, from, to)?)
        },
    );
    env.add_filter(
        "join",
        |state: &mut State, items: &minijinja::Value, separator: Option<&str>| {
            let joined = python::join(items, separator.unwrap_or_default())?;
            growth::kept(state, joined)
        },
    );
    env.set_unknown_method_callback(python::method);
    for name in datetime::FILTERS {
        env.add_filter(name, move |value: minijinja::Value| {
            datetime::filter(name, &value)
        });
    }
    env
});

/// Renders every template in `value`: strings in lists and objects at any depth, not the keys.
/// A string that is one `{{ expression }}` becomes the expression's value with its JSON type.
pub fn render(value: &Value, context: &Context) -> Result<Value, TemplateError> {
    render_at(value, context, &mut Place::root("config"), 0)
}

/// The value of one template: of its expression if it is one `{{ expression }}`, otherwise its text.
pub fn evaluate(template: &str, context: &Context) -> Result<Value, TemplateError> {
    text(template, context, &Place::root("template"))
}

/// Whether rendering `value` would change nothing: it holds no template.
pub fn is_plain(value: &Value) -> bool {
    match value {
        Value::String(text) => !is_template(text),
        Value::Array(items) => items.iter().all(is_plain),
        Value::Object(members) => members.values().all(is_plain),
        _ => true,
    }
}

fn is_template(text: &str) -> bool {
    text.as_bytes()
        .windows(2)
        .any(|pair| matches!(pair, b"{{" | b"{%" | b"{#"))
}

fn render_at(
    value: &Value,
    context: &Context,
    place: &mut Place,
    depth: usize,
) -> Result<Value, TemplateError> {
    if depth > DEPTH_MAX {
        return Err(TemplateError::TooDeep {
            place: place.to_string(),
        });
    }
    match value {
        Value::String(template) if is_template(template) => text(template, context, place),
        Value::Array(items) => {
            let mut rendered = Vec::with_capacity(items.len());
            for (index, item) in items.iter().enumerate() {
                let mark = place.push_index(index);
                rendered.push(render_at(item, context, place, depth + 1)?);
                place.truncate(mark);
            }
            Ok(Value::Array(rendered))
        }
        Value::Object(members) => {
            let mut rendered = serde_json::Map::with_capacity(members.len());
            for (key, member) in members {
                let mark = place.push_key(key);
                rendered.insert(key.clone(), render_at(member, context, place, depth + 1)?);
                place.truncate(mark);
            }
            Ok(Value::Object(rendered))
        }
        plain => Ok(plain.clone()),
    }
}

fn text(template: &str, context: &Context, place: &Place) -> Result<Value, TemplateError> {
    if !is_template(template) {
        return Ok(Value::from(template));
    }
    if template.len() > TEMPLATE_BYTES_MAX {
        return Err(TemplateError::TooLong {
            place: place.to_string(),
        });
    }
    let root = context.root();
    let failed =
        |error: &minijinja::Error, names| error::explain(error, template, place, &root, names);
    let refused = |refusal| refuse(&refusal, template, place);
    if let Some(rewritten) = whole_expression(template).map(rewrite::expression)
        && rewritten != Err(rewrite::Refusal::Syntax)
    {
        let compiled = ENVIRONMENT
            .compile_expression_owned(rewritten.map_err(refused)?)
            .map_err(|error| failed(&error, std::collections::HashSet::new()))?;
        let names = || compiled.undeclared_variables(true);
        let value = compiled
            .eval(root.clone())
            .map_err(|error| failed(&error, names()))?;
        if value.is_undefined() {
            let error = minijinja::Error::from(minijinja::ErrorKind::UndefinedError);
            return Err(failed(&error, names()));
        }
        return json::from_value(&value).map_err(|reason| TemplateError::Value {
            place: place.to_string(),
            template: error::shorten(template),
            reason,
        });
    }
    let rewritten = match rewrite::template(template) {
        // What is wrong with it is told when it is compiled.
        Err(rewrite::Refusal::Syntax) => template.to_owned(),
        rewritten => rewritten.map_err(refused)?,
    };
    let compiled = ENVIRONMENT
        .template_from_named_str("template", &rewritten)
        .map_err(|error| failed(&error, std::collections::HashSet::new()))?;
    let mut output = Limited(Vec::new());
    match compiled.render_captured_to(root.clone(), &mut output) {
        Ok(_) => Ok(Value::from(String::from_utf8_lossy(&output.0).into_owned())),
        Err(error) if error.kind() == minijinja::ErrorKind::WriteFailure => {
            Err(TemplateError::TooLarge {
                place: place.to_string(),
                template: error::shorten(template),
            })
        }
        Err(error) => Err(failed(&error, compiled.undeclared_variables(true))),
    }
}

fn refuse(refusal: &rewrite::Refusal, template: &str, place: &Place) -> TemplateError {
    let (place, template) = (place.to_string(), error::shorten(template));
    let reason = match refusal {
        rewrite::Refusal::Capturing => format!(
            "a template with `macro`, `call`, `filter` or `set` blocks has at most {} bytes; do the work in a task",
            rewrite::CAPTURING_BYTES_MAX
        ),
        rewrite::Refusal::Lost | rewrite::Refusal::Syntax => {
            "an operator stands where it cannot be read; put its sides into variables with `set`"
                .to_owned()
        }
    };
    TemplateError::Failed {
        place,
        template,
        reason,
    }
}

/// The inside of `{{ ... }}` if the text starts and ends so. Two expressions side by side have `}}` inside and
/// do not compile as one, so the caller's compiler decides.
fn whole_expression(text: &str) -> Option<&str> {
    let inner = text.trim().strip_prefix("{{")?.strip_suffix("}}")?;
    let inner = inner.strip_prefix(['-', '+']).unwrap_or(inner);
    Some(inner.strip_suffix(['-', '+']).unwrap_or(inner))
}

/// Keeps at most [`OUTPUT_BYTES_MAX`] bytes and then refuses, which ends the rendering.
struct Limited(Vec<u8>);

impl Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len().saturating_add(bytes.len()) > OUTPUT_BYTES_MAX {
            return Err(io::Error::other("the output limit is reached"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

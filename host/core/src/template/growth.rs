//! How much one rendering may build on its way: every text and list that an operator, a filter or a method makes is charged for,
//! so that a template cannot take a service's memory before its output is too large. It refuses to know what is output at the end:
//! that has a limit of its own.

use super::{OUTPUT_BYTES_MAX, datetime, json, rewrite};
use minijinja::value::{Rest, ValueKind, ValueOrKwargs};
use minijinja::{Environment, Error, ErrorKind, Expression, State, Value, filters};
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::LazyLock;

/// Bytes of texts and lists that one template may build on its way.
pub const GROWTH_BYTES_MAX: usize = 8 << 20;
/// About what a value takes beside its text.
const VALUE_BYTES: usize = 24;
/// What the engine's error says when the budget is spent; the caller's own error takes its place.
pub(super) const SPENT: &str = "too much is built on the way";

/// What is left of [`GROWTH_BYTES_MAX`] in one rendering.
struct Budget(usize);

fn spent() -> Error {
    Error::new(ErrorKind::InvalidOperation, SPENT)
}

pub(super) fn charge(state: &mut State, bytes: usize) -> Result<(), Error> {
    let budget = state.get_or_insert_extension(Budget(GROWTH_BYTES_MAX));
    budget.0 = budget.0.checked_sub(bytes).ok_or_else(spent)?;
    Ok(())
}

/// Charges for all that a value holds, and yields it.
pub(super) fn kept(state: &mut State, value: Value) -> Result<Value, Error> {
    let mut left = GROWTH_BYTES_MAX;
    spend(&value, &mut left)?;
    charge(state, GROWTH_BYTES_MAX - left)?;
    Ok(value)
}

/// Stops where nothing is left, so that a list of lists of lists costs no more than the limit.
fn spend(value: &Value, left: &mut usize) -> Result<(), Error> {
    let own = value.as_str().map_or(VALUE_BYTES, str::len);
    *left = left.checked_sub(own).ok_or_else(spent)?;
    match value.kind() {
        ValueKind::Seq | ValueKind::Iterable => {
            for item in value.try_iter()? {
                spend(&item, left)?;
            }
        }
        // Other maps are Airflow's objects, whose members are made when they are asked for.
        ValueKind::Map => {
            if let Some(members) = value.downcast_object_ref::<BTreeMap<String, Value>>() {
                members
                    .values()
                    .try_for_each(|member| spend(member, left))?;
            } else if let Some(members) = value.downcast_object_ref::<BTreeMap<Value, Value>>() {
                members
                    .values()
                    .try_for_each(|member| spend(member, left))?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// A text that takes no more than an output may have.
#[derive(Default)]
struct Bounded(String);

impl fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.0.len() + text.len() > OUTPUT_BYTES_MAX {
            return Err(fmt::Error);
        }
        self.0.push_str(text);
        Ok(())
    }
}

/// Values one after the other, as the engine prints them.
pub(super) fn text_of(values: &[&Value]) -> Result<String, Error> {
    let mut text = Bounded::default();
    for value in values {
        if value.is_undefined() {
            return Err(Error::from(ErrorKind::UndefinedError));
        }
        write!(text, "{value}").map_err(|_| spent())?;
    }
    Ok(text.0)
}

/// The engine's own operators, for everything that does not grow.
struct Native {
    add: Expression<'static, 'static>,
    subtract: Expression<'static, 'static>,
    multiply: Expression<'static, 'static>,
}

static NATIVE: LazyLock<Option<Native>> = LazyLock::new(|| {
    static PLAIN: LazyLock<Environment<'static>> = LazyLock::new(Environment::new);
    Some(Native {
        add: PLAIN.compile_expression("a + b").ok()?,
        subtract: PLAIN.compile_expression("a - b").ok()?,
        multiply: PLAIN.compile_expression("a * b").ok()?,
    })
});

fn native(
    operator: fn(&Native) -> &Expression<'static, 'static>,
    a: &Value,
    b: &Value,
) -> Result<Value, Error> {
    if a.is_undefined() || b.is_undefined() {
        return Err(Error::from(ErrorKind::UndefinedError));
    }
    let native = NATIVE.as_ref().ok_or_else(spent)?;
    operator(native).eval(BTreeMap::from([("a", a.clone()), ("b", b.clone())]))
}

fn add(state: &mut State, a: &Value, b: &Value) -> Result<Value, Error> {
    if let Some(moved) = datetime::add(a, b) {
        return moved;
    }
    let value = native(|native| &native.add, a, b)?;
    if value.is_number() {
        return Ok(value);
    }
    kept(state, value)
}

fn subtract(_: &mut State, a: &Value, b: &Value) -> Result<Value, Error> {
    match datetime::subtract(a, b) {
        Some(difference) => difference,
        None => native(|native| &native.subtract, a, b),
    }
}

/// A text or a list that is repeated is charged for before it is made.
fn multiply(state: &mut State, a: &Value, b: &Value) -> Result<Value, Error> {
    for (one, times) in [(a, b), (b, a)] {
        if let Some(times) = times.as_usize().filter(|_| !one.is_number()) {
            let mut left = GROWTH_BYTES_MAX;
            spend(one, &mut left)?;
            charge(state, times.saturating_mul(GROWTH_BYTES_MAX - left))?;
        }
    }
    native(|native| &native.multiply, a, b)
}

fn concat(state: &mut State, a: &Value, b: &Value) -> Result<Value, Error> {
    let text = text_of(&[a, b])?;
    charge(state, text.len())?;
    Ok(Value::from(text))
}

/// A filter of the engine over a text: what is no text becomes one first, so it must not be too long for that.
fn text_filter(state: &mut State, original: &str, args: &[Value]) -> Result<Value, Error> {
    match args.first() {
        Some(value) if value.as_str().is_none() && !value.is_undefined() => {
            text_of(&[value])?;
        }
        _ => {}
    }
    list_filter(state, original, args)
}

fn list_filter(state: &mut State, original: &str, args: &[Value]) -> Result<Value, Error> {
    let value = state.apply_filter(original, args)?;
    kept(state, value)
}

macro_rules! charged {
    ($env:ident, $charged:ident: $($name:literal => $filter:path),* $(,)?) => {$(
        // A name that no template can write.
        $env.add_filter(concat!("engine:", $name), $filter);
        $env.add_filter($name, |state: &mut State, args: Rest<ValueOrKwargs>| {
            $charged(state, concat!("engine:", $name), &args.into_values())
        });
    )*};
}

/// Puts what is charged for in the place of what is not.
pub(super) fn install(env: &mut Environment<'static>) {
    env.remove_global("debug");
    env.add_function(rewrite::ADD, add);
    env.add_function(rewrite::SUBTRACT, subtract);
    env.add_function(rewrite::MULTIPLY, multiply);
    env.add_function(rewrite::CONCAT, concat);
    env.add_function(rewrite::KEPT, kept);
    charged!(env, text_filter:
        "lower" => filters::lower, "upper" => filters::upper, "title" => filters::title,
        "capitalize" => filters::capitalize, "trim" => filters::trim, "split" => filters::split,
        "lines" => filters::lines, "string" => filters::string, "escape" => filters::escape,
        "e" => filters::escape, "safe" => filters::safe,
    );
    charged!(env, list_filter:
        "list" => filters::list, "batch" => filters::batch, "slice" => filters::slice,
        "sort" => filters::sort, "unique" => filters::unique, "items" => filters::items,
        "dictsort" => filters::dictsort, "reverse" => filters::reverse, "groupby" => filters::groupby,
        "map" => filters::map, "select" => filters::select, "reject" => filters::reject,
        "selectattr" => filters::selectattr, "rejectattr" => filters::rejectattr,
        "zip" => filters::zip, "chain" => filters::chain,
    );
    env.add_filter("engine:tojson", filters::tojson);
    env.add_filter("tojson", |state: &mut State, args: Rest<ValueOrKwargs>| {
        let args = args.into_values();
        match args.first().map(json::from_value) {
            Some(Err(json::TOO_LARGE)) => Err(spent()),
            _ => list_filter(state, "engine:tojson", &args),
        }
    });
}

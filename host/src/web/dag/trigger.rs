//! Triggering a run: a form made from the params' JSON schemas. What does not fit is said beside what was filled in.

use super::Looked;
use crate::app::TriggerRequest;
use crate::web::answer::{Answer, Refusal};
use crate::web::visit::Visit;
use crate::web::{form, link, show};
use airlock_core::dag::spec::Param;
use airlock_core::ids::RunId;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use maud::{Markup, html};
use serde_json::{Map, Value, json};

/// The longest note, characters.
const NOTE_CHARS_MAX: usize = 1_000;

pub(in crate::web) fn page(visit: &Visit) -> Result<Answer, Refusal> {
    let looked = Looked::at(visit)?;
    Ok(looked.page(visit, "", &body(visit, &looked, None)).into())
}

pub(in crate::web) fn submit(visit: &Visit) -> Result<Answer, Refusal> {
    let looked = Looked::at(visit)?;
    match trigger(visit, &looked) {
        Ok(run_id) => Ok(Answer::See(link::run(&looked.dag_id, &run_id))),
        Err(refusal) => {
            let page = looked.page(visit, "", &body(visit, &looked, Some(&refusal)));
            Ok(Answer::of(page, Some(&refusal)))
        }
    }
}

fn trigger(visit: &Visit, looked: &Looked) -> Result<RunId, Refusal> {
    let form = &visit.form;
    let note: String = form.get("note").chars().take(NOTE_CHARS_MAX).collect();
    let run_id = match form.get("run_id").trim() {
        "" => None,
        text => Some(RunId::parse(text).map_err(|error| {
            Refusal::usage(error.to_string(), "leave it empty: Airlock makes one")
        })?),
    };
    let conf = conf(visit, looked)?;
    let request = TriggerRequest {
        logical_date: date(form.get("logical_date"))?,
        run_id,
        conf: conf.clone(),
        note,
        triggered_by: format!("{} in the pages", visit.by()),
    };
    let run_id = visit.wait(visit.app.trigger(&looked.registered, request))?;
    let subject = format!("{}/{run_id}", looked.dag_id);
    visit.app.note_change(
        visit.by(),
        "dag_run.trigger",
        subject,
        json!({"conf": conf}),
    )?;
    Ok(run_id)
}

/// A time as the field of a browser gives it, or as people write it; in UTC.
fn date(text: &str) -> Result<Option<Timestamp>, Refusal> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let civil = || {
        text.parse::<DateTime>()
            .ok()?
            .to_zoned(TimeZone::UTC)
            .ok()
            .map(|zoned| zoned.timestamp())
    };
    let wrong = || {
        Refusal::usage(
            format!("{text:?} is no point in time"),
            "write 2026-01-05T02:00 (UTC)",
        )
    };
    text.parse().ok().or_else(civil).map(Some).ok_or_else(wrong)
}

/// What was filled in, by the types that the params' schemas name; what is as the default stays unsaid.
fn conf(visit: &Visit, looked: &Looked) -> Result<Map<String, Value>, Refusal> {
    let mut conf = match visit.form.get("conf").trim() {
        "" => Map::new(),
        text => serde_json::from_str(text).map_err(|error| {
            Refusal::usage(
                format!("the further conf is no JSON object: {error}"),
                r#"for example {"rows": 1000}"#,
            )
        })?,
    };
    for (name, param) in &looked.registered.dag.params {
        let field = format!("param.{name}");
        if !visit.form.has(&field) && kind(param) != "boolean" {
            continue;
        }
        if let Some(value) = value(name, param, visit.form.get(&field))?
            && param.default.as_ref() != Some(&value)
        {
            conf.insert(name.clone(), value);
        }
    }
    Ok(conf)
}

fn value(name: &str, param: &Param, text: &str) -> Result<Option<Value>, Refusal> {
    let wrong = |what: &str| {
        Refusal::usage(
            format!("the param {name} must be {what}, not {text:?}"),
            "correct it and send the form again",
        )
    };
    let is_absent = text.is_empty() && param.default.is_none();
    Ok(match kind(param) {
        "boolean" => Some(Value::Bool(text == "true")),
        "integer" | "number" if text.is_empty() => None,
        "integer" => Some(Value::from(
            text.trim()
                .parse::<i64>()
                .map_err(|_| wrong("a whole number"))?,
        )),
        "number" => Some(serde_json::from_str(text.trim()).map_err(|_| wrong("a number"))?),
        "string" if is_absent => None,
        "string" => Some(Value::String(text.to_owned())),
        _ if text.trim().is_empty() => None,
        // A choice among values of any type, or a value of any type.
        _ => Some(serde_json::from_str(text).map_err(|error| wrong(&format!("JSON ({error})")))?),
    })
}

/// What a param's field is: one type, or `json` for anything else. With no schema the default says it.
fn kind(param: &Param) -> &str {
    let default = match &param.default {
        Some(Value::Bool(_)) => "boolean",
        Some(Value::String(_)) => "string",
        Some(Value::Number(number)) if number.is_i64() => "integer",
        Some(Value::Number(_)) => "number",
        _ => "json",
    };
    match param.schema.get("type").and_then(Value::as_str) {
        Some(named @ ("boolean" | "integer" | "number" | "string")) => named,
        None if param.schema.get("enum").is_none()
            && param.schema.as_object().is_some_and(Map::is_empty) =>
        {
            if default == "integer" {
                "json"
            } else {
                default
            }
        }
        _ => "json",
    }
}

fn body(visit: &Visit, looked: &Looked, refusal: Option<&Refusal>) -> Markup {
    let dag = &looked.registered.dag;
    let sent = |name: &str| visit.form.get(name).to_owned();
    let fields = html! {
        @for (name, param) in &dag.params { (field(visit, name, param)) }
        details open[refusal.is_some()] {
            summary { "More" }
            div.field {
                label for="logical_date" { "Logical date (UTC)" }
                input id="logical_date" name="logical_date" type="text" placeholder="none: a run about no date" value=(sent("logical_date"));
            }
            div.field {
                label for="run_id" { "Run id" }
                input id="run_id" name="run_id" type="text" placeholder="made by Airlock" value=(sent("run_id")) spellcheck="false";
            }
            div.field {
                label for="note" { "Note" }
                input id="note" name="note" type="text" maxlength=(NOTE_CHARS_MAX) value=(sent("note"));
            }
            div.field {
                label for="conf" { "Further conf, a JSON object" }
                textarea id="conf" name="conf" rows="3" spellcheck="false" { (sent("conf")) }
            }
        }
        div.actions {
            button.primary type="submit" { "Trigger" }
            a.button href=(link::dag(&looked.dag_id)) { "Back" }
        }
    };
    html! {
        section.card.narrow {
            h2 { "Trigger a run" }
            @if looked.is_paused { p.hint { "The DAG is paused: the run is recorded, and starts when the DAG is unpaused." } }
            @if let Some(refusal) = refusal { (refusal.notice()) }
            @if dag.params.is_empty() { p.faint { "This DAG has no params." } }
            (form::post(visit, &link::dag_view(&looked.dag_id, "trigger"), "stack", &fields))
        }
    }
}

fn field(visit: &Visit, name: &str, param: &Param) -> Markup {
    let field = format!("param.{name}");
    let sent = visit
        .form
        .has(&field)
        .then(|| visit.form.get(&field).to_owned());
    let text = |word: &str| {
        param
            .schema
            .get(word)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let title = text("title");
    html! {
        div.field {
            label for=(field) { @if title.is_empty() { (name) } @else { (title) " " span.faint { (name) } } }
            (input(&field, param, sent, !visit.form.has("csrf")))
            @if !text("description").is_empty() { p.hint { (text("description")) } }
            @if !limits(param).is_empty() { p.hint { (limits(param)) } }
        }
    }
}

fn input(field: &str, param: &Param, sent: Option<String>, is_new: bool) -> Markup {
    let kind = kind(param);
    let default = match &param.default {
        Some(Value::String(text)) if kind == "string" => text.clone(),
        Some(value) => value.to_string(),
        None => String::new(),
    };
    let value = sent.unwrap_or_else(|| {
        if is_new || kind != "boolean" {
            default
        } else {
            String::new()
        }
    });
    let options = param.schema.get("enum").and_then(Value::as_array);
    html! {
        @if let Some(options) = options {
            select id=(field) name=(field) {
                @for option in options {
                    @let text = match option { Value::String(text) if kind == "string" => text.clone(), other => other.to_string() };
                    option value=(text) selected[text == value] { (text) }
                }
            }
        } @else if kind == "boolean" {
            input id=(field) name=(field) type="checkbox" value="true" checked[value == "true"];
        } @else if kind == "integer" || kind == "number" {
            input id=(field) name=(field) type="text" inputmode="decimal" value=(value);
        } @else if kind == "string" {
            input id=(field) name=(field) type="text" value=(value);
        } @else {
            textarea id=(field) name=(field) rows="3" spellcheck="false" { (value) }
        }
    }
}

/// The bounds that a schema names, in words.
fn limits(param: &Param) -> String {
    let words = [
        ("minimum", "at least"),
        ("maximum", "at most"),
        ("minLength", "at least so many characters:"),
        ("maxLength", "at most so many characters:"),
        ("pattern", "of the form"),
    ];
    let named = words
        .iter()
        .filter_map(|(key, word)| Some(format!("{word} {}", param.schema.get(*key)?)));
    show::short(&named.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn param(default: Option<Value>, schema: Value) -> Param {
        Param { default, schema }
    }

    #[test]
    fn a_field_has_the_type_that_the_schema_or_the_default_names() {
        assert_eq!(kind(&param(None, json!({"type": "number"}))), "number");
        assert_eq!(kind(&param(Some(json!(true)), json!({}))), "boolean");
        assert_eq!(kind(&param(Some(json!(1)), json!({}))), "json");
        assert_eq!(kind(&param(Some(json!([1])), json!({}))), "json");
        assert_eq!(
            kind(&param(None, json!({"type": ["string", "null"]}))),
            "json"
        );
        assert_eq!(
            kind(&param(Some(json!("a")), json!({"enum": ["a", 1]}))),
            "json"
        );
    }

    #[test]
    fn what_was_filled_in_becomes_a_value_of_that_type() {
        let number = param(None, json!({"type": "number"}));
        assert_eq!(value("x", &number, "0.5").unwrap(), Some(json!(0.5)));
        assert_eq!(value("x", &number, "").unwrap(), None);
        assert!(value("x", &number, "much").is_err());
        let text = param(Some(json!("a")), json!({"type": "string"}));
        assert_eq!(value("x", &text, "").unwrap(), Some(json!("")));
        assert_eq!(
            value("x", &param(None, json!({"type": "boolean"})), "").unwrap(),
            Some(json!(false))
        );
        assert_eq!(
            value("x", &param(None, json!({})), "[1, 2]").unwrap(),
            Some(json!([1, 2]))
        );
    }

    #[test]
    fn dates_are_read_as_browsers_and_people_write_them() {
        let expected: Timestamp = "2026-01-05T02:00:00Z".parse().unwrap();
        for text in [
            "2026-01-05T02:00",
            "2026-01-05T02:00:00Z",
            "2026-01-05T03:00:00+01:00",
        ] {
            assert_eq!(date(text).unwrap(), Some(expected), "{text}");
        }
        assert_eq!(date(" ").unwrap(), None);
        assert!(date("tomorrow").is_err());
    }
}

//! Templates in a DAG file: their syntax, and the tasks whose values they pull.
//! It refuses to render anything: values exist only in a run.

use super::diagnostic::{Sink, Span};
use super::yaml::{Kind, Node};
use minijinja::Environment;
use serde_json::Value;

/// The longest single template, in bytes.
pub const TEMPLATE_BYTES_MAX: usize = 64 << 10;

/// A literal task id inside `xcom_pull(...)`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pull {
    pub(super) task_id: String,
    pub(super) span: Span,
}

/// Compiles templates and finds their places in the file.
pub(super) struct Templates<'t> {
    environment: Environment<'static>,
    lines: Vec<&'t str>,
}

impl<'t> Templates<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        let mut environment = Environment::new();
        environment.set_debug(true);
        Self {
            environment,
            lines: text.lines().collect(),
        }
    }

    /// Checks every text under `node` and adds what it pulls to `pulls`. Recursion is bounded by the depth limit.
    pub(super) fn check(&self, node: &Node<'_>, pulls: &mut Vec<Pull>, sink: &mut Sink) {
        match &node.kind {
            Kind::String(text) if text.contains("{{") || text.contains("{%") => {
                self.check_text(text, node.span, pulls, sink);
            }
            Kind::Sequence(items) => items.iter().for_each(|item| self.check(item, pulls, sink)),
            Kind::Mapping(entries) => {
                for entry in entries {
                    self.check(&entry.value, pulls, sink);
                }
            }
            _ => {}
        }
    }

    fn check_text(&self, text: &str, span: Span, pulls: &mut Vec<Pull>, sink: &mut Sink) {
        if text.len() > TEMPLATE_BYTES_MAX {
            let message = format!(
                "the template has {} bytes; at most {TEMPLATE_BYTES_MAX} are compiled",
                text.len()
            );
            sink.error_hint(
                span,
                "template-too-long",
                message,
                "put the text into storage".to_owned(),
            );
            return;
        }
        if let Err(error) = self.environment.template_from_str(text) {
            let line = error.line().filter(|_| text.contains('\n'));
            let place = line.map_or_else(String::new, |line| format!(" (its line {line})"));
            let reason = error
                .detail()
                .map_or_else(|| error.kind().to_string(), str::to_owned);
            let at = error.range().and_then(|range| text.get(range.start..));
            let span = at.map_or(span, |rest| {
                self.locate(text, text.len() - rest.len(), 1, span)
            });
            let hint = "every {{ needs its }}, every {% its %}; a literal {{ is written {{ '{{' }}"
                .to_owned();
            sink.error_hint(
                span,
                "template-syntax",
                format!("template{place}: {reason}"),
                hint,
            );
            return;
        }
        for (offset, task_id) in pulled(text) {
            let chars = u32::try_from(task_id.chars().count()).unwrap_or(u32::MAX);
            let span = self.locate(text, offset, chars, span);
            pulls.push(Pull {
                task_id: task_id.to_owned(),
                span,
            });
        }
    }

    /// The place in the file of byte `offset` of `text`: exact where the text stands on one line as it is,
    /// else the place of the whole value.
    fn locate(&self, text: &str, offset: usize, len: u32, whole: Span) -> Span {
        let exact = || {
            let line = self.lines.get((whole.line as usize).checked_sub(1)?)?;
            let column = (whole.column as usize).checked_sub(1)?;
            let (start, _) = line.char_indices().nth(column)?;
            let rest = line.get(start..)?;
            let quote = usize::from(rest.starts_with(['"', '\'']));
            rest.get(quote..)?.starts_with(text).then_some(())?;
            let before = text.get(..offset)?.chars().count() + quote;
            let column = whole.column.checked_add(u32::try_from(before).ok()?)?;
            Some(Span {
                column,
                len,
                ..whole
            })
        };
        exact().unwrap_or(whole)
    }
}

/// The literal task ids that a template pulls.
pub(crate) fn pulled_task_ids(text: &str) -> impl Iterator<Item = &str> {
    pulled(text).into_iter().map(|(_, task_id)| task_id)
}

/// Every text under `value` with the ids that it pulls replaced by what `full` makes of them.
/// Recursion is bounded by the depth limit.
pub(super) fn qualify(value: &mut Value, full: &dyn Fn(&str) -> Option<String>) {
    match value {
        Value::String(text) => qualify_text(text, full),
        Value::Array(items) => items.iter_mut().for_each(|item| qualify(item, full)),
        Value::Object(members) => members
            .values_mut()
            .for_each(|member| qualify(member, full)),
        _ => {}
    }
}

/// As `qualify`, for one text.
pub(super) fn qualify_text(text: &mut String, full: &dyn Fn(&str) -> Option<String>) {
    let new = |(offset, id): (usize, &str)| Some((offset..offset + id.len(), full(id)?));
    let edits: Vec<_> = pulled(text).into_iter().filter_map(new).collect();
    // From the end on, so that the places before it stay.
    for (place, id) in edits.into_iter().rev() {
        text.replace_range(place, &id);
    }
}

/// The literal task ids that `text` pulls, with their byte offsets. A small tokeniser: it knows comments and quotes.
fn pulled(text: &str) -> Vec<(usize, &str)> {
    let mut out = Vec::new();
    let mut at = 0;
    while let Some((begin, end)) = block(text, at) {
        at = end;
        if let Some(code) = text.get(begin..end) {
            calls(code, begin, &mut out);
        }
    }
    out
}

/// The next `{{ }}` or `{% %}` from `from` on, without its braces; comments are stepped over.
fn block(text: &str, mut from: usize) -> Option<(usize, usize)> {
    loop {
        let open = from + text.get(from..)?.find('{')?;
        let close = match text.as_bytes().get(open + 1)? {
            b'{' => "}}",
            b'%' => "%}",
            b'#' => {
                from = open + 2 + text.get(open + 2..)?.find("#}")?;
                continue;
            }
            _ => {
                from = open + 1;
                continue;
            }
        };
        let begin = open + 2;
        return Some((begin, close_of(text, begin, close)));
    }
}

/// Where `close` stands outside quotes; the end of the text if it does not.
fn close_of(text: &str, begin: usize, close: &str) -> usize {
    let mut quote = None;
    let mut bytes = text.bytes().enumerate().skip(begin);
    while let Some((place, byte)) = bytes.next() {
        match (quote, byte) {
            (Some(_), b'\\') => drop(bytes.next()),
            (Some(open), byte) if open == byte => quote = None,
            (None, b'"' | b'\'') => quote = Some(byte),
            (None, _)
                if text
                    .get(place..)
                    .is_some_and(|rest| rest.starts_with(close)) =>
            {
                return place;
            }
            _ => {}
        }
    }
    text.len()
}

fn calls<'t>(code: &'t str, base: usize, out: &mut Vec<(usize, &'t str)>) {
    for (place, name) in code.match_indices("xcom_pull") {
        let Some(rest) = code.get(place + name.len()..) else {
            continue;
        };
        let Some(mut arguments) = rest.trim_start().strip_prefix('(').map(str::trim_start) else {
            continue;
        };
        if let Some(after) = arguments.strip_prefix("task_ids") {
            let Some(value) = after.trim_start().strip_prefix('=') else {
                continue;
            };
            arguments = value.trim_start();
        }
        let list = arguments.strip_prefix(['[', '(']);
        let mut rest = list.unwrap_or(arguments).trim_start();
        while let Some((literal, after)) = literal(rest) {
            let offset = base + code.len() - after.len() - 1 - literal.len();
            out.push((offset, literal));
            let next = after
                .trim_start()
                .strip_prefix(',')
                .filter(|_| list.is_some());
            rest = next.map_or("", str::trim_start);
        }
    }
}

/// A quoted text without escapes (ids have none), and what follows it.
fn literal(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let (literal, after) = text.get(1..)?.split_once(quote)?;
    (!literal.contains('\\')).then_some((literal, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literal_ids_are_found_and_nothing_else() {
        let ids = |text| {
            pulled(text)
                .into_iter()
                .map(|(_, id)| id)
                .collect::<Vec<_>>()
        };
        assert_eq!(ids("{{ xcom_pull('a', key='k') }}"), ["a"]);
        assert_eq!(ids("{{ ti.xcom_pull(task_ids=[\"a\", 'b']) }}"), ["a", "b"]);
        assert_eq!(
            ids("{% if xcom_pull( 'a' ) %}x{{ xcom_pull(name) }}{% endif %}"),
            ["a"]
        );
        assert_eq!(
            ids("xcom_pull('a') {# {{ xcom_pull('b') }} #} {{ '}}' }}"),
            Vec::<&str>::new()
        );
        assert_eq!(pulled("{{ xcom_pull('a') }}"), [(14, "a")]);
    }

    #[test]
    fn only_pulled_ids_are_replaced() {
        let mut value = serde_json::json!({"x": ["{{ xcom_pull('a') + ti.xcom_pull(task_ids=['b', 'a']) }}", "a", 1]});
        qualify(&mut value, &|id| (id == "a").then(|| "g.a".to_owned()));
        let expected = serde_json::json!({"x": ["{{ xcom_pull('g.a') + ti.xcom_pull(task_ids=['b', 'g.a']) }}", "a", 1]});
        assert_eq!(value, expected);
    }
}

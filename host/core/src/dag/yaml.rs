//! YAML text into a tree whose keys and values know their places, under named limits.
//! It refuses bombs (aliases count as what they expand to), custom tags, keys that repeat and more than one document.

use super::diagnostic::{Sink, Span, quoted};
use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span as Extent, Tag};
use serde_json::{Map, Number, Value};
use std::borrow::Cow;
use std::collections::HashMap;

/// The longest DAG file, in bytes: 1 MiB.
pub const TEXT_BYTES_MAX: usize = 1 << 20;
/// How deep lists and mappings may nest.
pub const DEPTH_MAX: usize = 64;
/// The most values in a file; an alias counts as all that it stands for.
pub const NODES_MAX: usize = 100_000;

/// A value and its place.
#[derive(Debug, Clone)]
pub(super) struct Node<'t> {
    pub(super) span: Span,
    pub(super) kind: Kind<'t>,
}

#[derive(Debug, Clone)]
pub(super) enum Kind<'t> {
    Null,
    Bool(bool),
    Number(Number),
    String(Cow<'t, str>),
    Sequence(Vec<Node<'t>>),
    Mapping(Vec<Entry<'t>>),
}

/// A member of a mapping.
#[derive(Debug, Clone)]
pub(super) struct Entry<'t> {
    pub(super) key: Cow<'t, str>,
    pub(super) key_span: Span,
    pub(super) value: Node<'t>,
}

impl<'t> Node<'t> {
    /// What was found, for a message: `the number 5`, `a list`.
    pub(super) fn found(&self) -> String {
        match &self.kind {
            Kind::Null => "nothing".to_owned(),
            Kind::Bool(value) => format!("the boolean {value}"),
            Kind::Number(value) => format!("the number {value}"),
            Kind::String(text) => format!("the text {}", quoted(text)),
            Kind::Sequence(_) => "a list".to_owned(),
            Kind::Mapping(_) => "a mapping".to_owned(),
        }
    }

    pub(super) fn as_str(&self) -> Option<&str> {
        match &self.kind {
            Kind::String(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn as_mapping(&self) -> Option<&[Entry<'t>]> {
        match &self.kind {
            Kind::Mapping(entries) => Some(entries),
            _ => None,
        }
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(self.kind, Kind::Null)
    }

    /// The same as JSON. Recursion is bounded by `DEPTH_MAX`.
    pub(super) fn to_json(&self) -> Value {
        match &self.kind {
            Kind::Null => Value::Null,
            Kind::Bool(value) => Value::Bool(*value),
            Kind::Number(value) => Value::Number(value.clone()),
            Kind::String(text) => Value::String(text.clone().into_owned()),
            Kind::Sequence(items) => items.iter().map(Node::to_json).collect(),
            Kind::Mapping(entries) => Value::Object(to_map(entries)),
        }
    }
}

/// A mapping as a JSON object.
pub(super) fn to_map(entries: &[Entry<'_>]) -> Map<String, Value> {
    let member = |entry: &Entry<'_>| (entry.key.clone().into_owned(), entry.value.to_json());
    entries.iter().map(member).collect()
}

/// A list or mapping that is not closed yet.
struct Frame<'t> {
    start: Marker,
    anchor: usize,
    key: Option<(Cow<'t, str>, Span)>,
    kind: Kind<'t>,
    nodes_before: usize,
}

struct Loader<'t, 's> {
    stack: Vec<Frame<'t>>,
    anchors: HashMap<usize, (Node<'t>, usize)>,
    nodes: usize,
    line_lens: Vec<u32>,
    root: Option<Node<'t>>,
    /// The line of a mistake in the writing; none where a limit ended the reading.
    mistake: Option<u32>,
    sink: &'s mut Sink,
}

/// What could be read.
pub(super) enum Loaded<'t> {
    /// The only document of the file.
    Whole(Node<'t>),
    /// What stands before a mistake, with everything open closed; and the mistake's line. An error is in the sink.
    Part(Node<'t>, u32),
    /// No tree; an error is in the sink.
    Nothing,
}

/// The tree of `text`'s only document.
pub(super) fn load<'t>(text: &'t str, sink: &mut Sink) -> Loaded<'t> {
    if text.len() > TEXT_BYTES_MAX {
        sink.error_hint(
            Span::START,
            "file-too-large",
            format!(
                "the file has {} bytes; at most {TEXT_BYTES_MAX} are read",
                text.len()
            ),
            "split it into several DAGs, or let a task expand over a list that is made at run time"
                .to_owned(),
        );
        return Loaded::Nothing;
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let length = |line: &str| u32::try_from(line.trim_end().chars().count()).unwrap_or(u32::MAX);
    let mut loader = Loader {
        stack: Vec::new(),
        anchors: HashMap::new(),
        nodes: 0,
        line_lens: text.lines().map(length).collect(),
        root: None,
        mistake: None,
        sink,
    };
    let mut documents = 0;
    for event in Parser::new_from_str(text) {
        let (event, extent) = match event {
            Ok(event) => event,
            Err(error) => {
                loader.syntax_error(error.marker(), error.info());
                return loader.part();
            }
        };
        if matches!(event, Event::DocumentStart(_)) {
            documents += 1;
            if documents > 1 {
                let span = loader.span(extent);
                loader.sink.error_hint(
                    span,
                    "second-document",
                    "the file holds a second YAML document".to_owned(),
                    "write one DAG in one file".to_owned(),
                );
                return Loaded::Nothing;
            }
        }
        if loader.event(event, extent).is_none() {
            return loader.part();
        }
    }
    if let Some(root) = loader.root {
        return Loaded::Whole(root);
    }
    sink.error_hint(
        Span::START,
        "empty-file",
        "the file holds no DAG".to_owned(),
        "it needs at least `dag_id` and `tasks`".to_owned(),
    );
    Loaded::Nothing
}

impl<'t> Loader<'t, '_> {
    /// `None`: a limit was passed; the error is recorded and reading stops.
    fn event(&mut self, event: Event<'t>, extent: Extent) -> Option<()> {
        match event {
            Event::SequenceStart(anchor, tag) => {
                self.check_tag(tag.as_deref(), extent);
                self.open(Kind::Sequence(Vec::new()), anchor, extent)
            }
            Event::MappingStart(anchor, tag) => {
                self.check_tag(tag.as_deref(), extent);
                self.open(Kind::Mapping(Vec::new()), anchor, extent)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(extent),
            Event::Scalar(text, style, anchor, tag) => {
                self.check_tag(tag.as_deref(), extent);
                self.scalar(text, style, anchor, tag.as_deref(), extent)
            }
            Event::Alias(anchor) => self.alias(anchor, extent),
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Some(()),
        }
    }

    fn span(&self, extent: Extent) -> Span {
        let start = extent.start;
        let len = if extent.end.line() == start.line() {
            narrow(extent.end.col().saturating_sub(start.col()))
        } else {
            let line = self.line_lens.get(start.line().saturating_sub(1));
            line.copied()
                .unwrap_or(0)
                .saturating_sub(narrow(start.col()))
        };
        Span {
            line: narrow(start.line().max(1)),
            column: narrow(start.col()).saturating_add(1),
            len: len.max(1),
        }
    }

    /// What was read before a mistake. What a limit refused is not looked at.
    fn part(mut self) -> Loaded<'t> {
        let Some(line) = self.mistake else {
            return Loaded::Nothing;
        };
        while let Some(frame) = self.stack.pop() {
            let span = self.span(Extent::empty(frame.start));
            let kind = frame.kind;
            if self.place(Node { span, kind }).is_none() {
                return Loaded::Nothing;
            }
        }
        self.root
            .map_or(Loaded::Nothing, |root| Loaded::Part(root, line))
    }

    fn syntax_error(&mut self, marker: &Marker, info: &str) {
        let span = self.span(Extent::empty(*marker));
        self.mistake = Some(span.line);
        let hint = if info.contains("tab") {
            "indent with spaces, not tabs"
        } else {
            "check the indentation, and quote texts that hold `: `, ` #` or start with `{`, `[`, `*`, `&`, `@` or `%`"
        };
        self.sink.error_hint(
            span,
            "yaml-syntax",
            format!("this is not YAML: {info}"),
            hint.to_owned(),
        );
    }

    fn check_tag(&mut self, tag: Option<&Tag>, extent: Extent) {
        if let Some(tag) = tag
            && !tag.is_yaml_core_schema()
        {
            let span = self.span(extent);
            self.sink.error_hint(
                span,
                "yaml-tag",
                format!("the tag {} has no meaning here", quoted(&tag.to_string())),
                "remove it".to_owned(),
            );
        }
    }

    fn count(&mut self, nodes: usize, extent: Extent) -> Option<()> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes <= NODES_MAX {
            return Some(());
        }
        let span = self.span(extent);
        self.sink.error_hint(
            span,
            "too-many-values",
            format!("the file has more than {NODES_MAX} values, aliases expanded"),
            "split it into several DAGs, or let a task expand over a list that is made at run time"
                .to_owned(),
        );
        None
    }

    fn open(&mut self, kind: Kind<'t>, anchor: usize, extent: Extent) -> Option<()> {
        if self.stack.len() >= DEPTH_MAX {
            let span = self.span(extent);
            self.sink.error_hint(
                span,
                "too-deep",
                format!("lists and mappings nest deeper than {DEPTH_MAX}"),
                "flatten the value".to_owned(),
            );
            return None;
        }
        let nodes_before = self.nodes;
        self.count(1, extent)?;
        self.stack.push(Frame {
            start: extent.start,
            anchor,
            key: None,
            kind,
            nodes_before,
        });
        Some(())
    }

    fn close(&mut self, extent: Extent) -> Option<()> {
        let frame = self.stack.pop()?;
        let mut whole = Extent::new(frame.start, extent.end);
        if extent.end.line() != frame.start.line() {
            whole.end = extent.end;
        }
        let span = self.span(whole);
        if let Kind::Mapping(entries) = &frame.kind {
            self.check_repeats(entries);
        }
        let node = Node {
            span,
            kind: frame.kind,
        };
        if frame.anchor > 0 {
            let size = self.nodes - frame.nodes_before;
            self.anchors.insert(frame.anchor, (node.clone(), size));
            // The copy is paid for like an alias, so that nested anchors cannot make it quadratic.
            self.count(size, extent)?;
        }
        self.place(node)
    }

    fn check_repeats(&mut self, entries: &[Entry<'t>]) {
        let mut first: HashMap<&str, Span> = HashMap::with_capacity(entries.len());
        for entry in entries {
            if let Some(earlier) = first.insert(&entry.key, entry.key_span) {
                first.insert(&entry.key, earlier);
                self.sink.error_hint(
                    entry.key_span,
                    "duplicate-key",
                    format!("the key {} is written twice", quoted(&entry.key)),
                    format!("it is already at line {}; keep one of them", earlier.line),
                );
            }
        }
    }

    fn scalar(
        &mut self,
        text: Cow<'t, str>,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&Tag>,
        extent: Extent,
    ) -> Option<()> {
        let span = self.span(extent);
        if let Some(Frame {
            key: key @ None,
            kind: Kind::Mapping(_),
            ..
        }) = self.stack.last_mut()
        {
            *key = Some((text, span));
            return Some(());
        }
        self.count(1, extent)?;
        let is_text = tag.is_some_and(|tag| tag.is_yaml_core_schema() && tag.suffix == "str");
        let kind = if style == ScalarStyle::Plain && !is_text {
            self.resolve(text, span)
        } else {
            Kind::String(text)
        };
        let node = Node { span, kind };
        if anchor > 0 {
            self.anchors.insert(anchor, (node.clone(), 1));
        }
        self.place(node)
    }

    /// YAML 1.2's core schema; `yes` and `on` are texts in it.
    fn resolve(&mut self, text: Cow<'t, str>, span: Span) -> Kind<'t> {
        match &*text {
            "" | "~" | "null" | "Null" | "NULL" => return Kind::Null,
            "true" | "True" | "TRUE" => return Kind::Bool(true),
            "false" | "False" | "FALSE" => return Kind::Bool(false),
            ".inf" | "-.inf" | "+.inf" | ".nan" | ".Inf" | "-.Inf" | ".NaN" | ".INF" | ".NAN" => {
                self.sink.error_hint(
                    span,
                    "not-json",
                    format!("{} has no JSON form", quoted(&text)),
                    "write a finite number, or quote it to make it a text".to_owned(),
                );
                return Kind::Null;
            }
            _ => {}
        }
        match number(&text) {
            Some(number) => Kind::Number(number),
            None => Kind::String(text),
        }
    }

    fn alias(&mut self, anchor: usize, extent: Extent) -> Option<()> {
        let Some(&(_, size)) = self.anchors.get(&anchor) else {
            let span = self.span(extent);
            self.sink.error_hint(
                span,
                "alias-in-itself",
                "the alias stands inside the value that it names".to_owned(),
                "write the value out".to_owned(),
            );
            return None;
        };
        self.count(size, extent)?;
        let node = self.anchors.get(&anchor).map(|(node, _)| node.clone())?;
        if self.stack.len() + depth(&node) > DEPTH_MAX {
            let span = self.span(extent);
            self.sink.error_hint(
                span,
                "too-deep",
                format!("lists and mappings nest deeper than {DEPTH_MAX}, aliases expanded"),
                "flatten the value".to_owned(),
            );
            return None;
        }
        self.place(node)
    }

    fn place(&mut self, node: Node<'t>) -> Option<()> {
        let Some(frame) = self.stack.last_mut() else {
            self.root = Some(node);
            return Some(());
        };
        match (&mut frame.kind, frame.key.take()) {
            (Kind::Sequence(items), _) => items.push(node),
            (Kind::Mapping(entries), Some((key, key_span))) => entries.push(Entry {
                key,
                key_span,
                value: node,
            }),
            _ => {
                // A list, mapping or alias where a key belongs; the value that follows would become the next key.
                let span = node.span;
                self.mistake = Some(span.line);
                self.sink.error_hint(
                    span,
                    "key-not-text",
                    "a key must be a text".to_owned(),
                    "if this is a template, quote it: \"{{ ... }}\"".to_owned(),
                );
                return None;
            }
        }
        Some(())
    }
}

fn depth(node: &Node<'_>) -> usize {
    match &node.kind {
        Kind::Sequence(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Kind::Mapping(entries) => {
            1 + entries
                .iter()
                .map(|one| depth(&one.value))
                .max()
                .unwrap_or(0)
        }
        _ => 0,
    }
}

fn narrow(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

fn number(text: &str) -> Option<Number> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if let Some(hex) = text.strip_prefix("0x") {
        return u64::from_str_radix(hex, 16).ok().map(Number::from);
    }
    if let Some(octal) = text.strip_prefix("0o") {
        return u64::from_str_radix(octal, 8).ok().map(Number::from);
    }
    if !digits.starts_with(|first: char| first.is_ascii_digit() || first == '.') {
        return None;
    }
    let known = |byte: u8| byte.is_ascii_digit() || b".eE+-".contains(&byte);
    if !digits.bytes().all(known) || !digits.bytes().any(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let plain = text.strip_prefix('+').unwrap_or(text);
    if let Ok(value) = plain.parse::<i64>() {
        return Some(Number::from(value));
    }
    if let Ok(value) = plain.parse::<u64>() {
        return Some(Number::from(value));
    }
    plain.parse::<f64>().ok().and_then(Number::from_f64)
}

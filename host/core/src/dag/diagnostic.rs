//! What is wrong with a DAG file and where, and how it is shown.
//! It refuses to print control characters that the file holds: a diagnostic is safe on a terminal.

use serde::Serialize;
use std::collections::HashSet;
use std::fmt::Write as _;

/// More diagnostics than this are counted, not kept.
pub const DIAGNOSTICS_MAX: usize = 500;
/// After so many diagnostics none searches all tasks for its hint: the cost would be tasks times mistakes.
const SEARCHES_MAX: usize = 50;
/// Characters of a source line that are shown; the rest is cut on both sides of the place.
const LINE_SHOWN_MAX: usize = 160;
/// Characters of the file's own text that a message quotes.
const QUOTE_MAX: usize = 80;

/// Whether a diagnostic keeps the DAG from being used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The DAG is refused.
    Error,
    /// The DAG is accepted, but probably does not do what was meant.
    Warning,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
    /// In characters, on that line; at least 1.
    pub span_len: u32,
    /// What happened.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// A stable name of this kind of diagnostic, for example `unknown-key`.
    pub code: &'static str,
}

impl Diagnostic {
    /// Whether it refuses the DAG.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// A place in the text: line and column from 1, length in characters on that line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Span {
    pub(super) line: u32,
    pub(super) column: u32,
    pub(super) len: u32,
}

impl Span {
    pub(super) const START: Self = Self {
        line: 1,
        column: 1,
        len: 1,
    };
}

/// Collects diagnostics; the same one at the same place counts once (a default is read for every task).
pub(super) struct Sink {
    list: Vec<Diagnostic>,
    seen: HashSet<(Span, &'static str, String)>,
    errors: usize,
    dropped: usize,
}

impl Sink {
    pub(super) fn new() -> Self {
        Self {
            list: Vec::new(),
            seen: HashSet::new(),
            errors: 0,
            dropped: 0,
        }
    }

    pub(super) fn error_hint(
        &mut self,
        span: Span,
        code: &'static str,
        message: String,
        hint: impl Into<Option<String>>,
    ) {
        self.push(Severity::Error, span, code, message, hint.into());
    }

    pub(super) fn warning(
        &mut self,
        span: Span,
        code: &'static str,
        message: String,
        hint: impl Into<Option<String>>,
    ) {
        self.push(Severity::Warning, span, code, message, hint.into());
    }

    fn push(
        &mut self,
        severity: Severity,
        span: Span,
        code: &'static str,
        message: String,
        hint: Option<String>,
    ) {
        if severity == Severity::Error {
            self.errors += 1;
        }
        if self.list.len() >= DIAGNOSTICS_MAX {
            self.dropped += 1;
            return;
        }
        if !self.seen.insert((span, code, message.clone())) {
            return;
        }
        self.list.push(Diagnostic {
            severity,
            line: span.line,
            column: span.column,
            span_len: span.len.max(1),
            message,
            hint,
            code,
        });
    }

    /// Adds the errors of `part` that lie before the line `until` and whose code is not in `without`.
    pub(super) fn take_errors_before(&mut self, part: Self, until: u32, without: &[&str]) {
        let kept =
            |one: &Diagnostic| one.is_error() && one.line < until && !without.contains(&one.code);
        for one in part.list.into_iter().filter(kept) {
            let span = Span {
                line: one.line,
                column: one.column,
                len: one.span_len,
            };
            self.push(one.severity, span, one.code, one.message, one.hint);
        }
    }

    /// Whether a hint may still cost a search through all tasks.
    pub(super) fn wants_searches(&self) -> bool {
        self.list.len() < SEARCHES_MAX
    }

    pub(super) fn has_errors(&self) -> bool {
        self.errors > 0
    }

    pub(super) fn finish(mut self) -> Vec<Diagnostic> {
        self.list.sort_by_key(|one| (one.line, one.column));
        if self.dropped > 0 {
            let place = self
                .list
                .last()
                .map_or((1, 1), |one| (one.line, one.column));
            self.list.push(Diagnostic {
                severity: Severity::Error,
                line: place.0,
                column: place.1,
                span_len: 1,
                message: format!("{} further problems are not shown", self.dropped),
                hint: Some("repair the ones above first".to_owned()),
                code: "too-many-problems",
            });
        }
        self.list
    }
}

/// The file's own text inside a message: in backticks, cut, without control characters.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::from("`");
    out.extend(text.chars().take(QUOTE_MAX).map(printable));
    if text.chars().nth(QUOTE_MAX).is_some() {
        out.push('…');
    }
    out.push('`');
    out
}

/// A tab is one space, so that carets stand under what they mean; other control and direction characters
/// could rewrite the terminal.
fn printable(character: char) -> char {
    match character {
        '\t' => ' ',
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        other if other.is_control() => '\u{fffd}',
        other => other,
    }
}

/// Shows `diagnostics` of the file called `path` with the contents `text`, in rustc's form; `color` adds ANSI colours.
pub fn render(diagnostics: &[Diagnostic], path: &str, text: &str, color: bool) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let path: String = path.chars().map(printable).collect();
    let mut out = String::new();
    for one in diagnostics {
        render_one(&mut out, one, &path, &lines, color);
    }
    let errors = count(diagnostics, Severity::Error);
    let warnings = count(diagnostics, Severity::Warning);
    if errors + warnings > 0 {
        let _ = writeln!(
            out,
            "{path}: {}, {}",
            plural(errors, "error"),
            plural(warnings, "warning")
        );
    }
    out
}

fn count(diagnostics: &[Diagnostic], severity: Severity) -> usize {
    let same = |one: &&Diagnostic| one.severity == severity;
    diagnostics.iter().filter(same).count()
}

/// `1 error`, `2 errors`.
pub(super) fn plural(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

fn render_one(out: &mut String, one: &Diagnostic, path: &str, lines: &[&str], color: bool) {
    let (word, paint) = match one.severity {
        Severity::Error => ("error", "\u{1b}[1;31m"),
        Severity::Warning => ("warning", "\u{1b}[1;33m"),
    };
    let (paint, bold, blue, reset) = if color {
        (paint, "\u{1b}[1m", "\u{1b}[1;34m", "\u{1b}[0m")
    } else {
        ("", "", "", "")
    };
    let message: String = one.message.chars().map(printable).collect();
    let number = one.line.to_string();
    let pad = " ".repeat(number.len());
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "{paint}{word}[{}]{reset}{bold}: {message}{reset}",
        one.code
    );
    let _ = writeln!(
        out,
        "{pad}{blue}-->{reset} {path}:{}:{}",
        one.line, one.column
    );
    let place = (one.line as usize).saturating_sub(1);
    if let Some(line) = lines.get(place) {
        let (shown, before, carets) = window(line, one.column, one.span_len);
        let carets = "^".repeat(carets);
        let before = " ".repeat(before);
        let _ = writeln!(out, "{pad} {blue}|{reset}");
        let _ = writeln!(out, "{blue}{number} |{reset} {shown}");
        let _ = writeln!(out, "{pad} {blue}|{reset} {before}{paint}{carets}{reset}");
    }
    if let Some(hint) = &one.hint {
        let hint: String = hint.chars().map(printable).collect();
        let _ = writeln!(out, "{pad} {blue}={reset} {bold}help{reset}: {hint}");
    }
    out.push('\n');
}

/// The part of `line` that is shown, the characters before the carets, and how many carets.
fn window(line: &str, column: u32, len: u32) -> (String, usize, usize) {
    let column = (column as usize).saturating_sub(1);
    let first = if column + 40 > LINE_SHOWN_MAX {
        column.saturating_sub(40)
    } else {
        0
    };
    let mut shown: String = if first > 0 {
        "…".into()
    } else {
        String::new()
    };
    shown.extend(line.chars().skip(first).take(LINE_SHOWN_MAX).map(printable));
    if line.chars().nth(first + LINE_SHOWN_MAX).is_some() {
        shown.push('…');
    }
    let before = column - first + usize::from(first > 0);
    let room = shown.chars().count().saturating_sub(before).max(1);
    (shown, before, (len as usize).clamp(1, room))
}

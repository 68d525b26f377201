//! The log of a task instance: a part of one attempt's, the last one first, whatever its size; a search goes through all of it, and
//! what it finds leads to the part around it. What a guest wrote is text and nothing else: escape sequences are taken out. It refuses
//! to put more than one part, or a bounded number of found lines, into a page.

use super::instance::Instance;
use crate::app::{LogFile, LogFound, LogPart};
use crate::web::answer::{Answer, Refusal};
use crate::web::visit::Visit;
use crate::web::{ansi, layout, link, show};
use maud::{Markup, html};

/// Lines that a search shows.
const FOUND_MAX: usize = 2_000;

/// The file that is looked at, with its place in the list.
fn chosen<'a>(
    visit: &Visit,
    files: &'a [LogFile],
) -> Result<Option<(usize, &'a LogFile)>, Refusal> {
    let number: u32 = visit.number("try", 0)?;
    let place: usize = visit.number("file", usize::MAX)?;
    if place != usize::MAX {
        return Ok(files.get(place).map(|file| (place, file)));
    }
    let fits = |file: &LogFile| number == 0 || file.try_number == number;
    Ok(files.iter().enumerate().rev().find(|(_, file)| fits(file)))
}

/// Where to read: nothing in the address is the end.
fn begin(visit: &Visit) -> Result<Option<u64>, Refusal> {
    match visit.option("from") {
        "" => Ok(None),
        _ => Ok(Some(visit.number("from", 0)?)),
    }
}

pub(in crate::web) fn page(visit: &Visit) -> Result<Answer, Refusal> {
    let instance = Instance::at(visit)?;
    let files = visit.app.log_files(&instance.stream())?;
    let body = match chosen(visit, &files)? {
        None => layout::empty("Nothing was logged.", "A log is made with its first line."),
        Some((place, file)) => {
            let part = visit
                .app
                .log_part(&instance.stream(), file, begin(visit)?)?;
            html! {
                (choice(visit, &files, place))
                (controls(visit, &instance, place, &part))
                @if is_search(visit) {
                    (found(visit, place, &search(visit, &instance, file)?, part.bytes))
                } @else {
                    (lines(&part))
                }
            }
        }
    };
    let detail = instance.detail(visit)?;
    Ok(instance.page(visit, &detail, "Log", &body).into())
}

/// The same part as plain text, for programs and for saving.
pub(in crate::web) fn text(visit: &Visit) -> Result<Answer, Refusal> {
    let instance = Instance::at(visit)?;
    let files = visit.app.log_files(&instance.stream())?;
    let Some((_, file)) = chosen(visit, &files)? else {
        return Ok(Answer::Text(String::new()));
    };
    let part = visit
        .app
        .log_part(&instance.stream(), file, begin(visit)?)?;
    Ok(Answer::Text(ansi::plain(&part.text).into_owned()))
}

fn choice(visit: &Visit, files: &[LogFile], current: usize) -> Markup {
    html! {
        nav.choices aria-label="Attempts" {
            @for (place, file) in files.iter().enumerate() {
                a href=(visit.with("file", &place.to_string())) aria-current=[(place == current).then_some("true")] {
                    "try " (file.try_number) @if file.part != "1" { " · " (file.part) } " "
                    span.faint { (show::bytes(file.bytes)) }
                }
            }
        }
    }
}

fn controls(visit: &Visit, instance: &Instance, place: usize, part: &LogPart) -> Markup {
    let step = crate::app::LOG_PART_BYTES_MAX;
    let before = part.from.saturating_sub(step).to_string();
    let index = if instance.map_index < 0 {
        String::new()
    } else {
        instance.map_index.to_string()
    };
    let text = link::query(
        &format!("{}/log.txt", visit.path.trim_end_matches("/log")),
        &[
            ("map_index", &index),
            ("file", &place.to_string()),
            // A part begins behind the end of a line, so it is asked for from that end on.
            ("from", &part.from.saturating_sub(1).to_string()),
        ],
    );
    html! {
        div.bar {
            form.filters method="get" action=(visit.path) role="search" {
                input type="hidden" name="map_index" value=(index);
                input type="hidden" name="file" value=(place);
                input type="search" name="q" value=(visit.option("q")) placeholder="Search the log" aria-label="Search the log" data-search;
                select name="level" aria-label="Level" data-submit {
                    @for (level, name) in [("", "Every line"), ("WARN", "Warnings and errors"), ("ERROR", "Errors")] {
                        option value=(level) selected[visit.option("level") == level] { (name) }
                    }
                }
                button type="submit" { "Search" }
            }
            span.choices {
                @if is_search(visit) {
                    a href=(around(visit, place, "")) { "Without the search" }
                } @else {
                    @if part.from > 0 {
                        a href=(visit.with("from", "0")) { "Beginning" }
                        a href=(visit.with("from", &before)) { "Earlier" }
                    }
                    @if part.to < part.bytes {
                        a href=(visit.with("from", &(part.to.saturating_sub(1)).to_string())) { "Later" }
                        a href=(visit.with("from", "")) { "End" }
                    }
                    a href=(text) { "As text" }
                }
            }
            @if !is_search(visit) { span.faint { "bytes " (part.from) " to " (part.to) " of " (part.bytes) } }
        }
    }
}

fn is_search(visit: &Visit) -> bool {
    !visit.option("q").is_empty() || !visit.option("level").is_empty()
}

/// The part that begins at a place of this log, without a search.
fn around(visit: &Visit, place: usize, from: &str) -> String {
    let pairs = [
        ("map_index", visit.option("map_index")),
        ("file", &place.to_string()),
        ("from", from),
    ];
    link::query(&visit.path, &pairs)
}

fn search(visit: &Visit, instance: &Instance, file: &LogFile) -> Result<LogFound, Refusal> {
    let (wanted, level) = (visit.option("q").to_lowercase(), visit.option("level"));
    let fits = |line: &str| {
        let own = class(line);
        let has_level = match level {
            "WARN" => matches!(own, "warn" | "error"),
            "ERROR" => own == "error",
            _ => true,
        };
        has_level && (wanted.is_empty() || ansi::plain(line).to_lowercase().contains(&wanted))
    };
    let from = begin(visit)?.unwrap_or_default();
    Ok(visit
        .app
        .log_search(&instance.stream(), file, from, FOUND_MAX, &fits)?)
}

fn found(visit: &Visit, place: usize, found: &LogFound, bytes: u64) -> Markup {
    let before = |begin: u64| begin.saturating_sub(1).to_string();
    html! {
        p.count {
            (show::count(found.count, "line")) " found"
            @if found.count > FOUND_MAX { ", the first " (FOUND_MAX) " are shown" }
            @if found.to < bytes {
                " in the part up to byte " (found.to) ". " a href=(visit.with("from", &before(found.to))) { "Search on from there" }
            }
        }
        pre.log tabindex="0" role="log" aria-label="Lines found" {
            @for (begin, line) in &found.lines {
                span class={"l l-" (class(line))} { a.go href=(around(visit, place, &before(*begin))) aria-label={"Show the log from byte " (begin) " on"} { "↳" } " " (ansi::plain(line)) "\n" }
            }
        }
    }
}

fn lines(part: &LogPart) -> Markup {
    let text = ansi::plain(&part.text);
    html! {
        pre.log tabindex="0" role="log" aria-label="Log" data-tail=[(part.to == part.bytes).then_some("1")] {
            @for line in text.lines() { span class={"l l-" (class(line))} { (line) "\n" } }
        }
    }
}

/// The level of a line, as the executor writes it behind the time.
fn class(line: &str) -> &'static str {
    match line.split_whitespace().nth(1) {
        Some("ERROR") => "error",
        Some("WARN") => "warn",
        Some("DEBUG") => "debug",
        _ => "info",
    }
}

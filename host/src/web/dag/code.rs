//! The text of a DAG and the components of its plugins: every version that the newest runs took, and what differs between two.

use super::Looked;
use crate::app::VersionRow;
use crate::web::answer::{Answer, Refusal};
use crate::web::visit::Visit;
use crate::web::{ansi, link, show};
use airlock_core::dag::spec::{Dag, Pin};
use maud::{Markup, html};
use std::collections::BTreeSet;

/// Lines of each text that are compared; longer ones are shown without.
const DIFF_LINES_MAX: usize = 3_000;
/// Characters of a version's name.
const NAME: usize = 12;

pub(in crate::web) fn page(visit: &Visit) -> Result<Answer, Refusal> {
    let looked = Looked::at(visit)?;
    let versions = visit.app.dag_versions(&looked.dag_id)?;
    let chosen = match visit.option("version") {
        "" => versions
            .first()
            .map_or("", |version| version.dag_version.as_str()),
        text => text,
    };
    let shown = visit.app.dag_version(&looked.dag_id, chosen)?;
    let against = visit.option("against");
    let old = match against {
        "" => None,
        text => Some(visit.app.dag_version(&looked.dag_id, text)?),
    };
    let body = html! {
        p { "File " span.id { (looked.registered.fileloc) } }
        (list(visit, &versions, chosen, against))
        (pins(&shown.dag, old.as_ref().map(|old| &*old.dag)))
        @match old {
            Some(old) => (difference(&old.source, &shown.source)),
            None => (text(&shown.source)),
        }
    };
    Ok(looked.page(visit, "Code", &body).into())
}

fn name(version: &str) -> String {
    version.chars().take(NAME).collect()
}

fn list(visit: &Visit, versions: &[VersionRow], chosen: &str, against: &str) -> Markup {
    html! {
        div.scroll tabindex="0" role="group" aria-label="Versions" {
            table.list {
                thead { tr { th { "Version" } th { "First of the newest runs" } th.num { "Runs" } th { "Compare" } } }
                tbody {
                    @for version in versions {
                        tr aria-current=[(version.dag_version == chosen).then_some("true")] {
                            td { a.id href=(visit.with("version", &version.dag_version)) { (name(&version.dag_version)) } @if version.is_current { " current" } }
                            td { (show::maybe_time(version.first_run_at)) }
                            td.num { (version.runs) }
                            td {
                                @if version.dag_version == against { "compared with this · " a href=(visit.with("against", "")) { "do not compare" } }
                                @else if version.dag_version != chosen { a href=(visit.with("against", &version.dag_version)) { "what changed since" } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The components that runs of this version take, and where it is compared, those of the other one.
fn pins(shown: &Dag, old: Option<&Dag>) -> Markup {
    let before = old.map(|old| &old.pins);
    let mut names: BTreeSet<&String> = shown.pins.keys().collect();
    names.extend(before.into_iter().flat_map(|pins| pins.keys()));
    let component = |pin: Option<&Pin>| match pin {
        Some(pin) => {
            html! { span.id title=(pin.sha256) { (name(&pin.sha256)) } @if pin.is_bundled { span.faint { " of this program" } } }
        }
        None => show::nothing(),
    };
    html! {
        @if !names.is_empty() {
            table.list {
                thead { tr { th { "Plugin" } th { "Component" } @if old.is_some() { th { "Before" } } } }
                tbody {
                    @for plugin in names {
                        @let (pin, was) = (shown.pins.get(plugin), before.and_then(|pins| pins.get(plugin)));
                        tr {
                            td { a href=(link::plugin(plugin)) { (plugin) } }
                            td { (component(pin)) }
                            @if old.is_some() { td { @if pin == was { "the same" } @else { (component(was)) } } }
                        }
                    }
                }
            }
        }
    }
}

fn text(source: &str) -> Markup {
    html! {
        ol.source tabindex="0" aria-label="Text of the DAG" { @for line in source.lines() { li { code { (ansi::plain(line)) } } } }
    }
}

/// A line of two texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line<'a> {
    Same(&'a str),
    Gone(&'a str),
    New(&'a str),
}

fn difference(old: &str, new: &str) -> Markup {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    if old.len().max(new.len()) > DIFF_LINES_MAX {
        return html! { p.faint { "The texts are too long to be compared here." } };
    }
    let lines = compare(&old, &new);
    let changes = lines
        .iter()
        .filter(|line| !matches!(line, Line::Same(_)))
        .count();
    html! {
        p.count { (show::count(changes, "changed line")) }
        ol.source.diff tabindex="0" aria-label="What changed" {
            @for line in &lines {
                @match line {
                    Line::Same(text) => li { code { "  " (ansi::plain(text)) } },
                    Line::Gone(text) => li.gone { del { code { "- " (ansi::plain(text)) } } },
                    Line::New(text) => li.new { ins { code { "+ " (ansi::plain(text)) } } },
                }
            }
        }
    }
}

/// The longest common lines, after what is the same at both ends.
fn compare<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<Line<'a>> {
    let front = old
        .iter()
        .zip(new)
        .take_while(|(one, other)| one == other)
        .count();
    let (old_rest, new_rest) = (
        old.get(front..).unwrap_or_default(),
        new.get(front..).unwrap_or_default(),
    );
    let back = old_rest
        .iter()
        .rev()
        .zip(new_rest.iter().rev())
        .take_while(|(one, other)| one == other)
        .count();
    let middle = |lines: &[&'a str]| lines.get(..lines.len() - back).unwrap_or_default().to_vec();
    let (gone, come) = (middle(old_rest), middle(new_rest));
    let mut lines: Vec<Line<'a>> = old
        .iter()
        .take(front)
        .map(|line| Line::Same(line))
        .collect();
    lines.extend(common(&gone, &come));
    lines.extend(
        old.iter()
            .skip(old.len() - back)
            .map(|line| Line::Same(line)),
    );
    lines
}

/// Lengths of longest common subsequences, then the way through them.
fn common<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<Line<'a>> {
    let width = new.len() + 1;
    let mut lengths = vec![0_u16; (old.len() + 1) * width];
    let at = |lengths: &[u16], row: usize, column: usize| {
        lengths.get(row * width + column).copied().unwrap_or(0)
    };
    for (row, one) in old.iter().enumerate().rev() {
        for (column, other) in new.iter().enumerate().rev() {
            let length = if one == other {
                at(&lengths, row + 1, column + 1) + 1
            } else {
                at(&lengths, row + 1, column).max(at(&lengths, row, column + 1))
            };
            if let Some(place) = lengths.get_mut(row * width + column) {
                *place = length;
            }
        }
    }
    let (mut row, mut column) = (0, 0);
    let mut lines = Vec::with_capacity(old.len() + new.len());
    loop {
        match (old.get(row), new.get(column)) {
            (Some(one), Some(other)) if one == other => {
                lines.push(Line::Same(one));
                (row, column) = (row + 1, column + 1);
            }
            (Some(one), other)
                if other.is_none()
                    || at(&lengths, row + 1, column) >= at(&lengths, row, column + 1) =>
            {
                lines.push(Line::Gone(one));
                row += 1;
            }
            (_, Some(other)) => {
                lines.push(Line::New(other));
                column += 1;
            }
            _ => return lines,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_what_changed_is_marked() {
        let lines = compare(&["a", "b", "c", "d"], &["a", "x", "c", "y", "d"]);
        let expected = [
            Line::Same("a"),
            Line::Gone("b"),
            Line::New("x"),
            Line::Same("c"),
            Line::New("y"),
            Line::Same("d"),
        ];
        assert_eq!(lines, expected);
    }

    proptest! {
        #[test]
        fn both_texts_can_be_read_from_the_difference(old in proptest::collection::vec("[ab]", 0..12), new in proptest::collection::vec("[ab]", 0..12)) {
            let (old, new): (Vec<&str>, Vec<&str>) = (old.iter().map(String::as_str).collect(), new.iter().map(String::as_str).collect());
            let lines = compare(&old, &new);
            let side = |is_old: bool| lines.iter().filter_map(|line| match line {
                Line::Same(text) => Some(*text),
                Line::Gone(text) => is_old.then_some(*text),
                Line::New(text) => (!is_old).then_some(*text),
            }).collect::<Vec<_>>();
            prop_assert_eq!(side(true), old);
            prop_assert_eq!(side(false), new);
        }
    }
}

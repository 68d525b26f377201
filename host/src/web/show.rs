//! How values look: states by colour, shape and word; times; durations. It owns no data.

use airlock_core::dag::spec::{AssetExpression, Schedule};
use airlock_core::task_instance::state::{DagRunState, TaskInstanceState};
use jiff::Timestamp;
use maud::{Markup, html};
use std::collections::BTreeMap;

/// The longest text that a list shows of a value, characters.
const SHORT_CHARS_MAX: usize = 120;

/// A state as a chip: its word and its shape.
pub(super) fn state(word: &str) -> Markup {
    html! {
        span class={"st st-" (word)} {
            (icon(word))
            span { (word.replace('_', " ")) }
        }
    }
}

/// A run's state.
pub(super) fn run_state(state_now: DagRunState) -> Markup {
    state(state_now.as_str())
}

/// A task instance's state.
pub(super) fn ti_state(state_now: TaskInstanceState) -> Markup {
    state(state_now.as_str())
}

/// The shape of a state alone; whoever uses it says the word too.
pub(super) fn icon(word: &str) -> Markup {
    html! {
        svg class={"ic ic-" (word)} width="12" height="12" aria-hidden="true" focusable="false" {
            use href={"#i-" (word)} {}
        }
    }
}

/// A point in time, to the minute in UTC; to the millisecond where it is pointed at.
pub(super) fn time(at: Timestamp) -> Markup {
    html! {
        time datetime=(at.to_string()) title=(format!("{at:.3}")) { (at.strftime("%Y-%m-%d %H:%M").to_string()) }
    }
}

/// The same in milliseconds since the epoch.
pub(super) fn time_ms(at_ms: i64) -> Markup {
    if let Ok(at) = Timestamp::from_millisecond(at_ms) {
        time(at)
    } else {
        html! { (at_ms) " ms" }
    }
}

/// A point in time that may be absent.
pub(super) fn maybe_time(at: Option<Timestamp>) -> Markup {
    match at {
        Some(at) => time(at),
        None => nothing(),
    }
}

/// What is not there.
pub(super) fn nothing() -> Markup {
    html! { span.faint { "–" } }
}

/// A duration in milliseconds as people say it.
pub(super) fn duration(ms: i64) -> String {
    let seconds = ms / 1_000;
    match seconds {
        _ if ms < 1_000 => format!("{ms} ms"),
        0..60 => format!("{seconds}.{} s", ms % 1_000 / 100),
        60..3_600 => format!("{} m {:02} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {:02} m", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} d {:02} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

/// How long something took or has been going on.
pub(super) fn took(start: Option<Timestamp>, end: Option<Timestamp>, now: Timestamp) -> Markup {
    let Some(start) = start else { return nothing() };
    let ms = end.unwrap_or(now).as_millisecond() - start.as_millisecond();
    html! { span.num { (duration(ms.max(0))) @if end.is_none() { "…" } } }
}

/// Bytes as people say them.
pub(super) fn bytes(count: u64) -> String {
    match count {
        0..1_024 => format!("{count} bytes"),
        1_024..1_048_576 => format!("{} KiB", count.div_ceil(1_024)),
        _ => format!("{}.{} MiB", count >> 20, ((count & 0xf_ffff) * 10) >> 20),
    }
}

/// A number of a metric.
pub(super) fn number(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 || (1e-4..1e7).contains(&size) {
        let text = format!("{value:.6}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        format!("{value:.4e}")
    }
}

/// A text that may be long, cut.
pub(super) fn short(text: &str) -> String {
    if text.chars().count() <= SHORT_CHARS_MAX {
        return text.to_owned();
    }
    let kept: String = text.chars().take(SHORT_CHARS_MAX).collect();
    format!("{kept}…")
}

/// How many instances have each state, in words.
pub(super) fn counts(counts: &BTreeMap<TaskInstanceState, u32>) -> String {
    let parts = counts
        .iter()
        .map(|(state, count)| format!("{count} {}", state.as_str().replace('_', " ")));
    parts.collect::<Vec<_>>().join(", ")
}

/// `1 task`, `2 tasks`.
pub(super) fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// What makes a DAG's runs, in a few words.
pub(super) fn schedule(schedule: &Schedule) -> String {
    match schedule {
        Schedule::None => "on request".to_owned(),
        Schedule::Once => "once".to_owned(),
        Schedule::Continuous => "continuous".to_owned(),
        Schedule::Cron(text) => text.clone(),
        Schedule::Every(every) => format!(
            "every {}",
            duration(i64::try_from(every.as_millis()).unwrap_or(i64::MAX))
        ),
        Schedule::Assets(assets) => format!("when updated: {}", expression(assets)),
        Schedule::AssetsOrTime(assets, time) => {
            format!(
                "{}, or when updated: {}",
                self::schedule(time),
                expression(assets)
            )
        }
    }
}

fn expression(assets: &AssetExpression) -> String {
    let joined = |parts: &[AssetExpression], word: &str| {
        let parts: Vec<String> = parts.iter().map(expression).collect();
        format!("({})", parts.join(word))
    };
    match assets {
        AssetExpression::Asset(uri) => uri.clone(),
        AssetExpression::All(parts) => joined(parts, " and "),
        AssetExpression::Any(parts) => joined(parts, " or "),
    }
}

/// A task instance as people name it.
pub(super) fn instance_name(task_id: &str, map_index: i32) -> String {
    if map_index < 0 {
        task_id.to_owned()
    } else {
        format!("{task_id}[{map_index}]")
    }
}

/// A JSON value, indented.
pub(super) fn json(value: &serde_json::Value) -> Markup {
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    html! { pre.json tabindex="0" { (text) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_two_places_at_most() {
        let shown = [7, 1_234, 61_000, 3_600_000 + 120_000, 90_000_000].map(duration);
        assert_eq!(shown, ["7 ms", "1.2 s", "1 m 01 s", "1 h 02 m", "1 d 01 h"]);
    }

    #[test]
    fn numbers_and_bytes_are_short() {
        assert_eq!(
            [0.869_1, 1e-9, 12.0, 0.0].map(number),
            ["0.8691", "1.0000e-9", "12", "0"]
        );
        assert_eq!(
            [12, 2_000, 3 << 20].map(bytes),
            ["12 bytes", "2 KiB", "3.0 MiB"]
        );
    }

    #[test]
    fn a_state_has_its_word_and_its_shape_and_nothing_of_it_is_markup() {
        let shown = state("up_for_retry").into_string();
        assert!(shown.contains("up for retry") && shown.contains("#i-up_for_retry"));
        assert!(!state("<b>").into_string().contains("<b>"));
    }
}

//! `gpu`: what a task must have of the machine's GPUs before it starts.
//! It refuses a wish that no card could ever meet.

use super::diagnostic::Sink;
use super::read::{Fields, members, wrong_type};
use super::read_grants::size;
use super::yaml::{Kind, Node};
use crate::gpu::{COUNT_MAX, GpuWish, WHOLE_CARD};

const KEYS: [&str; 5] = ["name", "min_memory", "min_compute", "count", "share"];

/// The wish; none where the task has no `gpu`.
pub(super) fn read(fields: Fields<'_, '_>, sink: &mut Sink) -> Option<GpuWish> {
    let node = fields.node("gpu")?;
    match &node.kind {
        Kind::Bool(true) => return Some(GpuWish::default()),
        Kind::Bool(false) | Kind::Null => return None,
        _ => {}
    }
    let fields = members(node, "gpu", &KEYS, sink)?;
    let count: u32 = fields.at_least_one("count", sink).unwrap_or(1);
    let count = u8::try_from(count).ok().filter(|count| *count <= COUNT_MAX);
    if count.is_none() {
        let node = fields.node("count").unwrap_or(node);
        let message = format!("`count` is over {COUNT_MAX}, the most GPUs of one task instance");
        let hint = "several task instances may share the work: `expand`".to_owned();
        sink.error_hint(node.span, "gpu-count", message, hint);
    }
    Some(GpuWish {
        name: fields.get("name", sink),
        min_memory: size(&fields, "min_memory", sink),
        min_compute: fields
            .node("min_compute")
            .and_then(|node| compute(node, sink)),
        count: count.unwrap_or(1),
        share: fields
            .node("share")
            .map_or(WHOLE_CARD, |node| share(node, sink)),
    })
}

/// `8.0` as text or number, or `8`.
fn compute(node: &Node<'_>, sink: &mut Sink) -> Option<(u8, u8)> {
    let text = match &node.kind {
        Kind::String(text) => text.to_string(),
        Kind::Number(number) => number.to_string(),
        _ => String::new(),
    };
    let (major, minor) = text.split_once('.').unwrap_or((&text, "0"));
    let found = major.parse().ok().zip(minor.parse().ok());
    if found.is_none() {
        let expected = "a compute capability such as \"8.0\"";
        wrong_type(node, "min_compute", expected, sink);
    }
    found
}

/// Over 0 and at most 1, to a thousandth.
fn share(node: &Node<'_>, sink: &mut Sink) -> u16 {
    let number = match &node.kind {
        Kind::Number(number) => number.as_f64(),
        _ => None,
    };
    let number = number.filter(|number| *number > 0.0 && *number <= 1.0);
    let Some(number) = number else {
        let expected = "a number over 0 and at most 1: the part of each card";
        wrong_type(node, "share", expected, sink);
        return WHOLE_CARD;
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "at most 1000, and rounded"
    )]
    let share = (number * f64::from(WHOLE_CARD)).ceil() as u16;
    share
}

#[cfg(test)]
mod tests {
    use crate::dag::parse;
    use crate::gpu::GpuWish;

    fn dag(gpu: &str) -> String {
        format!("dag_id: d\ntasks:\n  - {{task_id: t, operator: probe, pool: gpu, gpu: {gpu}}}\n")
    }

    fn wish(gpu: &str) -> Option<GpuWish> {
        let parsed = parse(&dag(gpu));
        assert!(parsed.dag.is_some(), "{:?}", parsed.diagnostics);
        parsed.dag.unwrap().tasks[0].gpu.clone()
    }

    #[test]
    fn a_wish_has_a_name_memory_compute_capability_count_and_share() {
        let all = GpuWish {
            name: Some("H100".to_owned()),
            min_memory: Some(40 << 30),
            min_compute: Some((8, 6)),
            count: 2,
            share: 250,
        };
        let text = "{name: H100, min_memory: 40GiB, min_compute: 8.6, count: 2, share: 0.25}";
        assert_eq!(wish(text), Some(all));
        assert_eq!(wish("true"), Some(GpuWish::default()));
        assert_eq!(wish("{}"), Some(GpuWish::default()));
        assert_eq!(wish("false"), None);
    }

    #[test]
    fn a_wish_that_nothing_could_meet_is_an_error_where_it_stands() {
        for bad in [
            "{count: 65}",
            "{count: 0}",
            "{share: 0}",
            "{share: 1.5}",
            "{min_compute: new}",
            "{min_memory: 40Gi}",
            "{cards: 1}",
            "2",
        ] {
            let parsed = parse(&dag(bad));
            assert!(parsed.dag.is_none(), "{bad}");
        }
    }
}

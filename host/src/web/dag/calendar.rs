//! The days on which a DAG ran: a square a day, by what its runs came to.

use super::Looked;
use crate::app::RunRow;
use crate::web::answer::{Answer, Refusal};
use crate::web::visit::Visit;
use crate::web::{layout, link, show};
use airlock_core::task_instance::state::DagRunState;
use jiff::civil::Date;
use jiff::{Timestamp, ToSpan as _};
use maud::{Markup, html};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Weeks that are shown, up to this one.
const WEEKS: i64 = 26;
const PITCH: i64 = 18;
const SIDE: i64 = 15;
const LEFT: i64 = 34;

/// What runs of a day came to.
#[derive(Default)]
struct Day {
    runs: usize,
    failed: usize,
    live: usize,
    last: Option<Arc<RunRow>>,
}

pub(in crate::web) fn page(visit: &Visit) -> Result<Answer, Refusal> {
    let looked = Looked::at(visit)?;
    let mut days: BTreeMap<Date, Day> = BTreeMap::new();
    for run in visit.app.recent_runs(&looked.dag_id, usize::MAX)? {
        let at = run.logical_date.unwrap_or(run.run_after);
        let day = days.entry(date(at)).or_default();
        day.runs += 1;
        day.failed += usize::from(run.state == DagRunState::Failed);
        day.live += usize::from(!run.state.is_finished());
        day.last.get_or_insert(run);
    }
    let body = html! {
        p.faint { "By logical date, in UTC; the newest " (crate::app::RUNS_KEPT_MAX) " runs." }
        @if days.is_empty() {
            (layout::empty("This DAG has not run yet.", "Trigger it, or wait for its timetable."))
        } @else { (picture(&days)) }
    };
    Ok(looked.page(visit, "Calendar", &body).into())
}

fn date(at: Timestamp) -> Date {
    at.to_zoned(jiff::tz::TimeZone::UTC).date()
}

fn picture(days: &BTreeMap<Date, Day>) -> Markup {
    let newest = days
        .keys()
        .next_back()
        .copied()
        .unwrap_or_else(|| date(Timestamp::now()));
    let last = newest.max(date(Timestamp::now()).min(newest));
    let weekday = i64::from(last.weekday().to_monday_zero_offset());
    let first = last
        .checked_sub((7 * (WEEKS - 1) + weekday).days())
        .unwrap_or(last);
    let width = LEFT + WEEKS * PITCH;
    html! {
        div.scroll tabindex="0" role="group" aria-label="Calendar of runs" {
            svg.calendar width=(width) height=(7 * PITCH + 20) {
                @for (row, name) in ["Mon", "", "Wed", "", "Fri", "", "Sun"].iter().enumerate() {
                    text.tick x="0" y=(20 + row * 18 + 12) { (name) }
                }
                @for week in 0..WEEKS {
                    @for weekday in 0..7 {
                        @if let Ok(day) = first.checked_add((week * 7 + weekday).days()) {
                            @if weekday == 0 && day.day() <= 7 {
                                text.tick x=(LEFT + week * PITCH) y="12" { (day.strftime("%b").to_string()) }
                            }
                            (square(day, days.get(&day), LEFT + week * PITCH, 20 + weekday * PITCH))
                        }
                    }
                }
            }
        }
    }
}

fn square(date: Date, day: Option<&Day>, x: i64, y: i64) -> Markup {
    let Some((day, last)) = day.and_then(|day| Some((day, day.last.as_ref()?))) else {
        return html! { rect.noday x=(x) y=(y) width=(SIDE) height=(SIDE) rx="2" { title { (date) ": no run" } } };
    };
    let word = match (day.failed, day.live) {
        (0, 0) => "success",
        (0, _) => "running",
        _ => "failed",
    };
    let says = format!(
        "{date}: {}, {} failed",
        show::count(day.runs, "run"),
        day.failed
    );
    html! {
        a href=(link::run(&last.dag_id, &last.run_id)) aria-label=(says) {
            rect class={"p-" (word)} x=(x) y=(y) width=(SIDE) height=(SIDE) rx="2" { title { (says) } }
            @if day.failed > 0 { path.cross d={"M" (x + 4) " " (y + 4) "l7 7m0 -7l-7 7"} {} }
        }
    }
}

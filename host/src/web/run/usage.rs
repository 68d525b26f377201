//! What an attempt used of its limits and of what it was granted, and what it was denied. It refuses to guess: an attempt of which
//! nothing is known shows nothing.

use crate::app::{AttemptUse, Attempts, OfLimit};
use crate::web::{ansi, show};
use maud::{Markup, html};

/// Parts of a limit that a bar is drawn in.
const PARTS: u64 = 100;

/// The card about the last attempt that said what it used.
pub(super) fn card(attempts: &Attempts) -> Markup {
    let said = attempts.rows.iter().rev();
    let mut said = said.filter_map(|attempt| Some((attempt, attempt.used.as_ref()?)));
    let Some((attempt, used)) = said.next() else {
        return html! {};
    };
    html! {
        section.card {
            h2 { "Limits and what was used" }
            p.hint { "Try " (attempt.try_number) ", attempt " (attempt.attempt) "." }
            (limits(used))
            h3 { "Grants used" }
            @if used.uses.is_empty() { p.faint { "Nothing that needs a grant." } }
            @else { ul { @for one in &used.uses { li { (one.capability.name()) " " span.id { (ansi::plain(&one.what)) } } } } }
            @if !used.denied.is_empty() {
                h3 { "Denied" }
                ul { @for denial in &used.denied { li.reason { (ansi::plain(denial)) } } }
            }
        }
    }
}

fn limits(used: &AttemptUse) -> Markup {
    let rows = [
        ("Memory at its peak", used.memory),
        ("Log", used.log),
        ("Returned value", used.output),
    ];
    html! {
        div.scroll tabindex="0" role="group" aria-label="Limits" { table.list {
            thead { tr { th { "Limit" } th.num { "Used" } th.num { "Of" } th { "Share" } } }
            tbody {
                @for (name, of) in rows {
                    tr {
                        td { (name) }
                        td.num { (show::bytes(of.used)) }
                        td.num { (show::bytes(of.limit)) }
                        td { (share(name, of)) }
                    }
                }
                tr { td { "CPU" } td.num { (micros(used.cpu_us)) } td.num { (show::nothing()) } td { "of " (micros(used.wall_us)) " from start to end" } }
            }
        } }
    }
}

fn share(name: &str, of: OfLimit) -> Markup {
    if of.limit == 0 {
        return show::nothing();
    }
    let parts = (of.used.saturating_mul(PARTS) / of.limit).min(PARTS);
    html! { meter min="0" max=(PARTS) high=(PARTS * 8 / 10) value=(parts) aria-label=(format!("{name}, percent of the limit")) {} " " (parts) " %" }
}

fn micros(us: u64) -> String {
    if us < 10_000 {
        return format!("{}.{:02} ms", us / 1_000, us % 1_000 / 10);
    }
    show::duration(i64::try_from(us / 1_000).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_times_are_shown_to_a_hundredth_of_a_millisecond() {
        assert_eq!(micros(84), "0.08 ms");
        assert_eq!(micros(9_999), "9.99 ms");
        assert_eq!(micros(10_000), "10 ms");
        assert_eq!(micros(61_000_000), "1 m 01 s");
    }

    #[test]
    fn a_share_is_never_more_than_the_whole() {
        let of = OfLimit {
            used: 30,
            limit: 20,
        };
        assert!(share("Log", of).into_string().ends_with(" 100 %"));
        let of = OfLimit { used: 1, limit: 0 };
        assert_eq!(
            share("Log", of).into_string(),
            show::nothing().into_string()
        );
    }
}

//! The audit log: who changed what, the newest first.

use crate::web::answer::{Answer, Page, Refusal};
use crate::web::visit::Visit;
use crate::web::{layout, show};
use maud::html;

/// Events of one page.
const PAGE: usize = 100;

pub(in crate::web) fn page(visit: &Visit) -> Result<Answer, Refusal> {
    let before: u64 = visit.number("before", u64::MAX)?;
    let events = visit.app.audit_before(Some(before), PAGE)?;
    let oldest = events.last().map_or(0, |(number, _)| *number);
    let value = |value: &serde_json::Value| {
        if value.is_null() {
            String::new()
        } else {
            show::short(&value.to_string())
        }
    };
    let page = Page {
        title: "Audit log".to_owned(),
        section: "/audit",
        live: if before == u64::MAX {
            vec!["audit".to_owned()]
        } else {
            Vec::new()
        },
        crumbs: Vec::new(),
        body: html! {
            h1.sr { "Audit log" }
            @if events.is_empty() { (layout::empty("Nobody has changed anything yet.", "Triggers, clears, marks, promotions, tokens and settings are written down here.")) }
            @else {
                div.scroll tabindex="0" role="group" aria-label="Audit log" {
                    table.list.wide data-rows {
                        thead { tr { th.num { "No." } th { "When" } th { "Who" } th { "What" } th { "On" } th { "Before" } th { "After" } } }
                        tbody {
                            @for (number, event) in &events {
                                tr {
                                    td.num { (number) }
                                    td { (show::time_ms(event.at_ms)) }
                                    td { (show::short(&event.actor.id)) }
                                    td { (event.action) }
                                    td.id { (show::short(&event.subject)) }
                                    td.id { (value(&event.from)) }
                                    td.id { (value(&event.to)) }
                                }
                            }
                        }
                    }
                }
                nav.pages aria-label="Pages" { @if oldest > 0 { a href=(visit.with("before", &oldest.to_string())) { "Older" } } }
            }
        },
    };
    Ok(page.into())
}

//! DAG files that cannot be read: every mistake where it is.

use crate::web::answer::{Answer, Page, Refusal};
use crate::web::visit::Visit;
use crate::web::{ansi, layout, show};
use maud::html;

pub(in crate::web) fn page(visit: &Visit) -> Result<Answer, Refusal> {
    let errors = visit.app.import_errors()?;
    let page = Page {
        title: "Import errors".to_owned(),
        section: "/import-errors",
        live: vec!["import_errors".to_owned()],
        crumbs: Vec::new(),
        body: html! {
            h1 { "Import errors" }
            @if errors.is_empty() {
                (layout::empty("Every DAG file could be read.", "A file that cannot be read is listed here when it is saved."))
            } @else {
                p { "These files cannot be read as DAGs. Their DAGs keep the last good version; correct a file and save it." }
                @for error in &errors {
                    section.card {
                        h2.id { (error.fileloc) }
                        p.faint { "since " (show::time(error.at)) }
                        pre.code tabindex="0" { (ansi::plain(&error.message)) }
                    }
                }
            }
        },
    };
    Ok(page.into())
}

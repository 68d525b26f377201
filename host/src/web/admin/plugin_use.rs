//! What a plugin used lately, and the form that takes back the rest. It refuses to change what is not in `airlock.lock`.

use crate::app::{DAYS_KEPT, Role, Tightening, Used};
use crate::web::answer::{Answer, Refusal};
use crate::web::visit::Visit;
use crate::web::{ansi, form, link, show};
use maud::{Markup, html};
use serde_json::json;

/// Different uses that the page shows.
const USES_SHOWN_MAX: usize = 200;

pub(super) fn card(visit: &Visit, name: &str) -> Result<Markup, Refusal> {
    let used = visit.app.plugin_use(name)?;
    let tightening = visit.app.tightening(name).ok();
    Ok(html! {
        section.card {
            h2 { "What it used in the last " (DAYS_KEPT) " days" }
            @if used.attempts == 0 { p.faint { "It did not run." } } @else { (uses(&used)) }
            @if let Some(tightening) = tightening { (tighter(visit, name, &tightening)) }
        }
    })
}

fn uses(used: &Used) -> Markup {
    html! {
        p {
            (show::count(usize::try_from(used.attempts).unwrap_or(usize::MAX), "attempt")) ", "
            (show::duration(i64::try_from(used.cpu_us / 1_000).unwrap_or(i64::MAX))) " of CPU, "
            (show::count(usize::try_from(used.denied).unwrap_or(usize::MAX), "denial")) "."
        }
        @if used.uses.is_empty() { p.faint { "Nothing that needs a grant." } }
        ul { @for one in used.uses.iter().take(USES_SHOWN_MAX) { li { (one.capability.name()) " " span.id { (ansi::plain(&one.what)) } } } }
        @if used.is_cut || used.uses.len() > USES_SHOWN_MAX { p.hint { "There is more than is shown." } }
    }
}

/// What tightening would take, and the button for those who may press it.
fn tighter(visit: &Visit, name: &str, tightening: &Tightening) -> Markup {
    let (gone, left) = tightening.sentences();
    html! {
        h3 { "Tighten" }
        @if tightening.is_tighter() {
            p { "airlock.lock lets it do more than it used. Tightened, it" }
            ul {
                @for sentence in &gone { li { del { (sentence) } } }
                @for sentence in &left { li { (sentence) } }
            }
            @if visit.may(Role::Admin) {
                (form::post(visit, "/plugin/tighten", "inline", &html! {
                    input type="hidden" name="name" value=(name);
                    button type="submit" { "Tighten" }
                }))
            } @else { p.hint { "An admin may do this, or " code { "airlock plugins tighten " (name) } "." } }
        } @else { p.faint { "airlock.lock lets it do what it used, and no more." } }
    }
}

pub(in crate::web) fn tighten(visit: &Visit) -> Result<Answer, Refusal> {
    let name = visit.form.get("name");
    let tightening = visit.app.tighten(name)?;
    let (gone, _) = tightening.sentences();
    let subject = format!("plugin/{name}");
    visit.app.note_change(
        visit.by(),
        "plugin.tighten",
        subject,
        json!({"taken_back": gone}),
    )?;
    Ok(Answer::See(link::plugin(name)))
}

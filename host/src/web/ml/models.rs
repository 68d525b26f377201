//! Registered models: versions, stages, aliases, history; promote and roll back.

use crate::app::{ModelDetail, Role, VersionDetail};
use crate::tracking::{Stage, VersionLife};
use crate::web::answer::{Answer, Page, Refusal};
use crate::web::visit::Visit;
use crate::web::{form, layout, link, show};
use maud::{Markup, html};

/// Lines of a history that are shown, the newest ones.
const HISTORY_MAX: usize = 200;

pub(in crate::web) fn list(visit: &Visit) -> Result<Answer, Refusal> {
    let models = visit.app.models()?;
    let page = Page {
        title: "Models".to_owned(),
        section: "/models",
        live: vec!["models".to_owned()],
        crumbs: Vec::new(),
        body: html! {
            h1.sr { "Models" }
            @if models.is_empty() { (layout::empty("No model is registered.", "The operator deploy, or an MLflow client, registers one.")) }
            @else {
                div.scroll tabindex="0" role="group" aria-label="Models" { table.list data-rows {
                    thead { tr { th { "Model" } th.num { "Versions" } th { "In production" } th { "Aliases" } th { "Changed" } } }
                    tbody {
                        @for model in &models {
                            tr {
                                td { a.strong href=(link::model(&model.name)) { (model.name) } @if !model.description.is_empty() { div.faint { (show::short(&model.description)) } } }
                                td.num { (model.latest_version) }
                                td { @match model.promotions.last() { Some(promotion) => { "version " (promotion.version) " since " (show::time_ms(promotion.at_ms)) }, None => (show::nothing()) } }
                                td { (model.aliases.iter().map(|(alias, version)| format!("{alias} → {version}")).collect::<Vec<_>>().join(", ")) }
                                td { (show::time_ms(model.updated_ms.unwrap_or(model.created_ms))) }
                            }
                        }
                    }
                } }
            }
        },
    };
    Ok(page.into())
}

pub(in crate::web) fn page(visit: &Visit) -> Result<Answer, Refusal> {
    let detail = visit.app.model(visit.option("name"))?;
    let page = Page {
        title: detail.model.name.clone(),
        section: "/models",
        live: vec!["models".to_owned()],
        crumbs: vec![("/models".to_owned(), "Models".to_owned())],
        body: html! {
            div.headline {
                div { h1 { (detail.model.name) } @if !detail.model.description.is_empty() { p { (detail.model.description) } } }
                @if visit.may(Role::Author) && detail.model.promotions.len() > 1 { div.actions { (rollback_form(visit, &detail)) } }
            }
            section.card { h2 { "Versions" } (versions(visit, &detail)) }
            section.card { h2 { "History" } (history(&detail.history)) }
        },
    };
    Ok(page.into())
}

fn versions(visit: &Visit, detail: &ModelDetail) -> Markup {
    html! {
        div.scroll tabindex="0" role="group" aria-label="Versions" {
            table.list.wide {
                thead { tr { th { "Version" } th { "Stage" } th { "Aliases" } th { "Registered" } th { "From" } th { "Artifact" } @if visit.may(Role::Author) { th { "Move to" } } } }
                tbody { @for version in detail.versions.iter().rev() { (version_row(visit, version)) } }
            }
        }
    }
}

fn version_row(visit: &Visit, detail: &VersionDetail) -> Markup {
    let version = &detail.version;
    let artifact: String = version.artifact.chars().take(12).collect();
    html! {
        tr {
            td.num { (version.version) }
            td { span class={"stage stage-" (version.stage.as_str().to_lowercase())} { (version.stage) } }
            td { (version.aliases.join(", ")) }
            td { (show::time_ms(version.created_ms)) " by " (version.user_id) }
            td { @match &detail.run { Some(run) => a href=(link::tracking_run(&run.run_id)) { (run.name) }, None => span.id { (version.run_id) } } }
            td.id title=(version.artifact) { (artifact) }
            @if visit.may(Role::Author) { td { (promote_form(visit, &version.name, version.version, version.stage)) } }
        }
    }
}

fn promote_form(visit: &Visit, name: &str, version: u32, stage: Stage) -> Markup {
    let fields = html! {
        input type="hidden" name="name" value=(name);
        input type="hidden" name="version" value=(version);
        select name="stage" aria-label={"stage for version " (version)} {
            @for other in Stage::ALL.into_iter().filter(|other| *other != stage) { option value=(other.as_str()) selected[other == Stage::Production] { (other) } }
        }
        input type="text" name="reason" placeholder="why" aria-label={"why version " (version) " moves"};
        button type="submit" { "Move" }
    };
    form::post(visit, "/model/promote", "inline", &fields)
}

fn rollback_form(visit: &Visit, detail: &ModelDetail) -> Markup {
    let fields = html! {
        input type="hidden" name="name" value=(detail.model.name);
        input type="text" name="reason" placeholder="why" aria-label="why it is rolled back";
        button type="submit" { "Roll back" }
    };
    form::post(visit, "/model/rollback", "inline", &fields)
}

fn history(history: &[VersionLife]) -> Markup {
    html! {
        div.scroll tabindex="0" role="group" aria-label="History" { table.list {
            thead { tr { th { "When" } th { "Version" } th { "What" } th { "By" } th { "Why" } } }
            tbody {
                @for life in history.iter().rev().take(HISTORY_MAX) {
                    tr {
                        td { (show::time_ms(life.at_ms)) }
                        td.num { @match life.version { Some(version) => (version), None => (show::nothing()) } }
                        td { (life.change) }
                        td { (life.actor.id) }
                        td { (life.reason.as_deref().unwrap_or_default()) }
                    }
                }
            }
        } }
    }
}

fn reason(visit: &Visit) -> Option<&str> {
    Some(visit.form.get("reason").trim()).filter(|text| !text.is_empty())
}

pub(in crate::web) fn promote(visit: &Visit) -> Result<Answer, Refusal> {
    let name = visit.form.get("name");
    let wrong = |what: &str| {
        Refusal::usage(
            format!("the form names no {what}"),
            "load the model's page again",
        )
    };
    let version: u32 = visit
        .form
        .get("version")
        .parse()
        .map_err(|_| wrong("version"))?;
    let stage = Stage::parse(visit.form.get("stage")).ok_or_else(|| wrong("stage"))?;
    visit
        .app
        .promote(visit.by(), name, version, stage, reason(visit))?;
    Ok(Answer::See(link::model(name)))
}

pub(in crate::web) fn rollback(visit: &Visit) -> Result<Answer, Refusal> {
    let name = visit.form.get("name");
    visit.app.rollback(visit.by(), name, reason(visit))?;
    Ok(Answer::See(link::model(name)))
}

//! What every page has: head, navigation, the way here, the shapes of states. It owns the frame; pages own what is in it.

use super::answer::Page;
use super::assets::{ICON, SCRIPT, STYLE};
use super::visit::{Theme, Visit};
use maud::{DOCTYPE, Markup, PreEscaped, html};

/// The parts of the navigation: path and name.
const SECTIONS: [(&str, &str); 11] = [
    ("/", "Home"),
    ("/dags", "DAGs"),
    ("/experiments", "Experiments"),
    ("/models", "Models"),
    ("/questions", "Questions"),
    ("/plugins", "Plugins"),
    ("/pools", "Pools"),
    ("/variables", "Variables"),
    ("/connections", "Connections"),
    ("/import-errors", "Import errors"),
    ("/audit", "Audit log"),
];

/// The shapes of states, drawn once a page.
const SHAPES: &str = include_str!("static/shapes.svg");

/// A page for somebody who is logged in.
pub(super) fn page(visit: &Visit, page: &Page) -> Markup {
    let cursor = visit.app.feed().cursor().to_string();
    let live = page.live.join(" ");
    html! {
        (DOCTYPE)
        html lang="en" data-theme=(visit.theme.as_str()) {
            (head(&page.title))
            body data-live=(live) data-cursor=(cursor) data-csrf=(visit.csrf) {
                (shapes())
                a.skip href="#main" { "Skip to content" }
                (side(visit, page.section))
                div.frame {
                    (top(visit, page))
                    main id="main" tabindex="-1" { (page.body) }
                }
                (help())
            }
        }
    }
}

/// A page for anybody: the log-in, and errors.
pub(super) fn bare(theme: Theme, page: &Page) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" data-theme=(theme.as_str()) {
            (head(&page.title))
            body.bare {
                (shapes())
                main id="main" { (page.body) }
            }
        }
    }
}

fn head(title: &str) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="color-scheme" content="light dark";
            title { (title) " · Airlock" }
            link rel="icon" href=(ICON.path()) type="image/svg+xml";
            link rel="stylesheet" href=(STYLE.path());
            script type="module" src=(SCRIPT.path()) {}
        }
    }
}

fn shapes() -> Markup {
    PreEscaped(SHAPES.to_owned())
}

fn side(visit: &Visit, section: &str) -> Markup {
    html! {
        header.side {
            a.brand href="/" aria-label="Airlock" {
                img src=(ICON.path()) width="22" height="22" alt="";
                span { "Airlock" }
            }
            nav aria-label="Main" {
                @for (path, name) in SECTIONS {
                    a href=(path) aria-current=[(path == section).then_some("page")] { (name) }
                }
            }
            div.account {
                span.who title={"role " (visit.caller.role)} { (visit.by()) }
                @if !visit.csrf.is_empty() {
                    (super::form::button(visit, "/logout", "Log out", &[]))
                }
            }
        }
    }
}

fn top(visit: &Visit, page: &Page) -> Markup {
    html! {
        div.top {
            nav.crumbs aria-label="Breadcrumb" {
                @for (path, name) in &page.crumbs {
                    a href=(path) { (name) } span.sep aria-hidden="true" { "/" }
                }
                span aria-current="page" { (page.title) }
            }
            div.tools {
                span.live id="live" data-keep hidden { "live" }
                span.themes role="group" aria-label="Theme" {
                    @for (theme, name) in [(Theme::System, "Auto"), (Theme::Light, "Light"), (Theme::Dark, "Dark")] {
                        a href=(visit.with("theme", theme.as_str())) aria-current=[(visit.theme == theme).then_some("true")] { (name) }
                    }
                }
            }
        }
    }
}

/// What the keys do; the module opens it.
fn help() -> Markup {
    let keys = [
        ("/", "search"),
        ("g h", "home"),
        ("g d", "DAGs"),
        ("g e", "experiments"),
        ("g m", "models"),
        ("g q", "questions"),
        ("j k", "next and last row"),
        ("Enter", "open the row"),
        ("?", "these keys"),
    ];
    html! {
        dialog id="keys" aria-label="Keys" {
            h2 { "Keys" }
            dl { @for (key, what) in keys { dt { kbd { (key) } } dd { (what) } } }
            form method="dialog" { button type="submit" { "Close" } }
        }
    }
}

/// Tabs: views of one thing, as links.
pub(super) fn tabs(label: &str, current: &str, tabs: &[(&str, String)]) -> Markup {
    html! {
        nav.tabs aria-label=(label) {
            @for (name, path) in tabs {
                a href=(path) aria-current=[(*name == current).then_some("page")] { (name) }
            }
        }
    }
}

/// A short list of names and values.
pub(super) fn facts(rows: &[(&str, Markup)]) -> Markup {
    html! {
        dl.facts {
            @for (name, value) in rows { div { dt { (name) } dd { (value) } } }
        }
    }
}

/// Where there is nothing yet: why, and what to do.
pub(super) fn empty(what: &str, hint: &str) -> Markup {
    html! { div.empty { p { (what) } @if !hint.is_empty() { p.hint { (hint) } } } }
}

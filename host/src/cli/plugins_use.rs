//! `airlock plugins tighten`: shows what a plugin used, and takes back what it did not use.

use super::args::Global;
use super::args_plugins::TightenArgs;
use super::output::{print, print_json, say};
use super::settings::{Need, open};
use crate::app::{DAYS_KEPT, Tightening};
use crate::error::UserError;
use serde_json::json;

/// A service that holds the data folder carries this out: it knows what was used, and its attempts are bounded from now on.
pub(super) fn tighten(global: &Global, args: &TightenArgs) -> Result<(), UserError> {
    let app = open(global, Need::State)?;
    let name = &args.plugin;
    let tightening = if args.dry_run {
        app.tightening(name)?
    } else {
        app.tighten(name)?
    };
    if global.json {
        let (gone, left) = tightening.sentences();
        let uses = &tightening.used.uses;
        return print_json(&json!({
            "name": name, "attempts": tightening.used.attempts, "denied": tightening.used.denied,
            "uses": uses, "taken_back": gone, "may": left, "is_changed": !args.dry_run && tightening.is_tighter(),
        }));
    }
    if args.dry_run {
        return print(&shown(name, &tightening));
    }
    say(&if tightening.is_tighter() {
        format!("plugin {name} may do what it used in the last {DAYS_KEPT} days, and no more")
    } else {
        format!("plugin {name} is as tight as what it used: nothing was changed")
    });
    Ok(())
}

fn shown(name: &str, tightening: &Tightening) -> String {
    let Tightening { used, .. } = tightening;
    let mut text = format!(
        "plugin {name}: {} attempts in the last {DAYS_KEPT} days, {} denials; it used\n",
        used.attempts, used.denied
    );
    if used.uses.is_empty() {
        text.push_str("  nothing that needs a grant\n");
    }
    for one in &used.uses {
        text.push_str(&format!("  {one}\n"));
    }
    let (gone, left) = tightening.sentences();
    text.push_str("it\n");
    for sentence in &gone {
        text.push_str(&format!("- {sentence}\n"));
    }
    for sentence in &left {
        text.push_str(&format!("  {sentence}\n"));
    }
    text
}

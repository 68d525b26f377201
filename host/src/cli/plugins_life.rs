//! `airlock plugins add, update, ...`: shows what a plugin asks for, asks, and tells a service that runs. What is shown is what
//! is kept: both are one offer.

use super::args::Global;
use super::args_plugins::{AddArgs, GrantArgs, PluginLife, UpdateArgs};
use super::output::{print, print_json, say, talk};
use super::settings::{Need, config, data_folder, open, plugin_sources};
use super::{control, session};
use crate::app::{App, Change, Config, Offer};
use crate::error::{ErrorKind, UserError};
use crate::registry::{self, RegistryError, Signature, Source, Verdict};
use airlock_core::grant::{Asks, Capability, Policy};
use serde_json::json;
use std::io::IsTerminal;
use std::path::Path;

pub(super) fn run(global: &Global, command: PluginLife) -> Result<(), UserError> {
    match command {
        PluginLife::Sign { file, key } => sign(&file, &key),
        PluginLife::Keygen { name } => keygen(&name),
        PluginLife::Reload { lock } => reload(global, &lock),
        PluginLife::Push { file, target } => push(global, &file, &target),
        PluginLife::Add(args) => add(global, &args),
        PluginLife::Update(args) => update(global, &args),
        PluginLife::Remove { plugin } => {
            app(global)?.remove_plugin(&plugin)?;
            say(&format!("plugin {plugin} is removed"));
            tell_service(global)
        }
        PluginLife::Install => install(global),
        PluginLife::Grant(args) => change(global, &args, true),
        PluginLife::Revoke(args) => change(global, &args, false),
        PluginLife::Tighten(args) => super::plugins_use::tighten(global, &args),
        PluginLife::Verify { plugins } => verify(global, plugins),
    }
}

/// An application that keeps nothing, over the real lock file and the real data folder's components.
pub(super) fn app(global: &Global) -> Result<App, UserError> {
    let throwaway = Global {
        data: None,
        ..global.clone()
    };
    App::open(Config {
        plugins: plugin_sources(global)?,
        ..config(&throwaway, Need::Test)?
    })
}

fn source(text: &str) -> Result<Source, UserError> {
    let here = std::env::current_dir().unwrap_or_default();
    let parsed = Source::parse(text).map_err(RegistryError::from)?;
    Ok(parsed.in_folder(&here))
}

fn add(global: &Global, args: &AddArgs) -> Result<(), UserError> {
    let app = app(global)?;
    let offer = app.offer(source(&args.source)?, args.name.as_deref())?;
    match offer.change() {
        Change::New => {}
        // Adding twice is adding once; what is missing on this machine is put there.
        Change::Same => {
            app.accept(&offer)?;
            say(&format!("plugin {} is there already", offer.name));
            return told(global, &offer);
        }
        _ => {
            let message = format!("there is another plugin {:?} already", offer.name);
            return Err(UserError::new(ErrorKind::Conflict, message).hint(format!(
                "`airlock plugins update {} --from {}` shows what changes; `--as NAME` adds it beside",
                offer.name, args.source
            )));
        }
    }
    talk(&introduction(&offer));
    confirm("Add it?", args.yes, "whether the plugin is to be added")?;
    app.accept(&offer)?;
    say(&format!("plugin {} is added", offer.name));
    told(global, &offer)
}

fn update(global: &Global, args: &UpdateArgs) -> Result<(), UserError> {
    let app = app(global)?;
    let names = match (&args.from, &args.plugins[..]) {
        (Some(_), [_]) | (None, [_, ..]) => args.plugins.clone(),
        (None, []) => app.locked_names()?,
        (Some(_), _) => {
            let message = "--from is a source of one plugin";
            return Err(UserError::new(ErrorKind::Usage, message).hint("name that plugin"));
        }
    };
    for name in names {
        let from = args.from.as_deref().map(source).transpose()?;
        let offer = app.offer_update(&name, from)?;
        match offer.change() {
            Change::New | Change::Same => {
                app.accept(&offer)?;
                say(&format!(
                    "plugin {name} {} is as it was",
                    offer.plugin.version()
                ));
                continue;
            }
            Change::Bytes => {
                talk(&difference(&offer));
                confirm(
                    "Update it?",
                    args.yes,
                    "whether the plugin is to be updated",
                )?;
            }
            Change::Wider(more) => {
                talk(&difference(&offer));
                confirm_wider(&name, &more, args.yes)?;
            }
        }
        app.accept(&offer)?;
        say(&format!("plugin {name} is updated"));
    }
    tell_service(global)
}

/// More than was agreed to: nobody there to say yes is a denial, not a mistake in the command.
fn confirm_wider(name: &str, more: &Asks, yes: bool) -> Result<(), UserError> {
    let in_ci = std::env::var("CI").is_ok_and(|text| text == "true");
    if !yes && (in_ci || !can_ask()) {
        let new: Vec<&str> = more.iter().map(Capability::name).collect();
        let message = format!(
            "plugin {name:?} asks for more than was agreed to: {}",
            new.join(", ")
        );
        return Err(UserError::new(ErrorKind::Denied, message).hint(format!(
            "somebody looks at `airlock plugins update {name}` at a terminal and commits airlock.lock, or adds --yes"
        )));
    }
    confirm("Update it?", yes, "whether the plugin may do more")
}

fn can_ask() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

fn confirm(question: &str, yes: bool, whether: &str) -> Result<(), UserError> {
    if yes {
        return Ok(());
    }
    if !can_ask() {
        let message = format!("nobody can be asked {whether}");
        return Err(
            UserError::new(ErrorKind::Usage, message).hint("look at what is above, and add --yes")
        );
    }
    talk(&format!("{question} [y/N] "));
    let mut line = String::new();
    let read = std::io::stdin().read_line(&mut line);
    if read.is_err() || !matches!(line.trim(), "y" | "Y" | "yes") {
        return Err(UserError::new(ErrorKind::Cancelled, "nothing was changed"));
    }
    Ok(())
}

fn introduction(offer: &Offer) -> String {
    let operators: Vec<&str> = offer
        .plugin
        .operators()
        .iter()
        .map(|operator| operator.name.as_str())
        .collect();
    let mut text = format!(
        "plugin {} {} from {}\n  sha256 {}\n  {}\n  operators: {}\n",
        offer.name,
        offer.plugin.version(),
        offer.source,
        offer.digest(),
        verdict(&offer.verdict),
        operators.join(", "),
    );
    text.push_str(&permissions(&offer.grants, &offer.asks));
    text
}

/// What a plugin may do, one sentence a line.
pub(super) fn permissions(grants: &Policy, asks: &Asks) -> String {
    let mut text = String::from("it\n");
    if asks.is_empty() {
        text.push_str("  asks for nothing: it sees its own run, writes to its log, and no more\n");
    }
    for sentence in grants.sentences(asks) {
        text.push_str(&format!("  {sentence}\n"));
    }
    text
}

fn verdict(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Unsigned => "not signed".to_owned(),
        Verdict::Trusted(name, _) => format!("signed by {name}"),
        Verdict::Unknown => "signed by nobody that `trusted_keys` names".to_owned(),
    }
}

fn difference(offer: &Offer) -> String {
    let Some(before) = &offer.before else {
        return introduction(offer);
    };
    let mut text = format!(
        "plugin {} {} -> {} from {}\n- sha256 {}\n+ sha256 {}\n  {}\n",
        offer.name,
        before.version,
        offer.plugin.version(),
        offer.source,
        before.digest,
        offer.digest(),
        verdict(&offer.verdict),
    );
    let old = before.grants.sentences(&before.asks);
    let new = offer.grants.sentences(&offer.asks);
    text.push_str("it\n");
    for gone in old.iter().filter(|sentence| !new.contains(sentence)) {
        text.push_str(&format!("- {gone}\n"));
    }
    for sentence in &new {
        let mark = if old.contains(sentence) { ' ' } else { '+' };
        text.push_str(&format!("{mark} {sentence}\n"));
    }
    text
}

/// The end of adding: the service knows, and a program is told what is agreed to.
fn told(global: &Global, offer: &Offer) -> Result<(), UserError> {
    tell_service(global)?;
    if !global.json {
        return Ok(());
    }
    let asks: Vec<&str> = offer.asks.iter().map(Capability::name).collect();
    print_json(&json!({
        "name": offer.name, "version": offer.plugin.version(), "digest": offer.digest().to_string(),
        "source": offer.source.to_string(), "asks": asks,
    }))
}

fn install(global: &Global) -> Result<(), UserError> {
    let app = app(global)?;
    for name in app.locked_names()? {
        let what = if app.install_plugin(&name)? {
            "is fetched"
        } else {
            "is here"
        };
        say(&format!("plugin {name} {what}"));
    }
    tell_service(global)
}

fn change(global: &Global, args: &GrantArgs, grant: bool) -> Result<(), UserError> {
    let app = app(global)?;
    let locked = app.change_grants(&args.plugin, args.capability, |policy| {
        if grant {
            policy.grant(args.capability, &args.patterns)
        } else {
            policy.revoke(args.capability, &args.patterns)
        }
    })?;
    say(&format!(
        "plugin {}: {}",
        args.plugin,
        permissions(&locked.grants, &locked.asks).trim_end()
    ));
    match tell_service(global) {
        // A plugin that lost what it imports is refused from now on: that was asked for.
        Err(_) if !grant => Ok(()),
        other => other,
    }
}

fn verify(global: &Global, names: Vec<String>) -> Result<(), UserError> {
    let app = app(global)?;
    let names = if names.is_empty() {
        app.locked_names()?
    } else {
        names
    };
    let mut first = None;
    let mut values = Vec::new();
    for name in names {
        let found = app.verify_plugin(&name)?;
        let by = found.signer.as_ref().map_or_else(
            || "not signed".to_owned(),
            |signer| format!("signed by {signer}"),
        );
        let problem = found
            .problem
            .as_ref()
            .map(|problem| problem.message.clone());
        values.push(json!({
            "name": name, "digest": found.digest.to_string(), "signer": found.signer, "problem": problem,
        }));
        if !global.json {
            let what = problem.unwrap_or_else(|| format!("good, {by}"));
            print(&format!("{name}: {what}\n"))?;
        }
        first = first.or(found.problem);
    }
    if global.json {
        print_json(&values)?;
    }
    first.map_or(Ok(()), Err)
}

fn sign(file: &Path, key: &Path) -> Result<(), UserError> {
    let read = std::fs::read(file).map_err(|error| cannot("read", file, &error))?;
    let (signature, public) = registry::sign(&read, key)?;
    let beside = Signature::path_beside(file);
    std::fs::write(&beside, signature.text()).map_err(|error| cannot("write", &beside, &error))?;
    say(&format!(
        "{} is signed in {}; the public key is {public}",
        file.display(),
        beside.display()
    ));
    Ok(())
}

fn keygen(name: &Path) -> Result<(), UserError> {
    let public = registry::keygen(name)?;
    say(&format!(
        "{0}.key signs: keep it to yourself, it has no password. {0}.pub is for others:",
        name.display()
    ));
    print(&format!("{public}\n"))
}

fn push(global: &Global, file: &Path, target: &str) -> Result<(), UserError> {
    let Source::Oci(reference) = source(target)? else {
        let message = format!("{target} is no place in an OCI registry");
        return Err(UserError::new(ErrorKind::Usage, message).hint("write oci://REGISTRY/NAME:TAG"));
    };
    // What no host would run is not worth publishing.
    let plugin = app(global)?.plugins().load_file(file)?;
    let fetched = registry::fetch(&Source::File(file.to_owned()))?;
    let pushed = registry::push(
        &reference,
        &fetched.bytes,
        fetched.signature.as_ref(),
        plugin.imports(),
    )?;
    say("pushed; this names it for ever:");
    print(&format!("{pushed}\n"))
}

fn cannot(what: &str, path: &Path, error: &std::io::Error) -> UserError {
    UserError::new(
        ErrorKind::Usage,
        format!("cannot {what} {}: {error}", path.display()),
    )
}

/// Has the service that holds the data folder, if one does, take up what the lock file says now.
fn tell_service(global: &Global) -> Result<(), UserError> {
    let Some(service) = control::find(&data_folder(global)) else {
        return Ok(());
    };
    let lock = plugin_sources(global)?.lock.path().display().to_string();
    let request = control::Request {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        arguments: vec!["plugins".to_owned(), "reload".to_owned(), lock],
        folder: std::env::current_dir().unwrap_or_default(),
        stdin: String::new(),
        user: session::user(),
    };
    if control::forward(service, &request)? == 0 {
        return Ok(());
    }
    let message = "airlock.lock is written, but the service goes on as it was";
    Err(UserError::new(ErrorKind::Conflict, message)
        .hint("what the service said is above; a restart reads the lock file too"))
}

fn reload(global: &Global, lock: &Path) -> Result<(), UserError> {
    if session::current().is_none() {
        // No service holds the folder: the next command reads the lock file by itself.
        return Ok(());
    }
    let app = open(global, Need::State)?;
    let own = app.plugins().sources().lock.path().to_owned();
    if own != lock {
        let message = format!(
            "the service reads {}, not {}",
            own.display(),
            lock.display()
        );
        return Err(UserError::new(ErrorKind::Conflict, message).hint(
            "work in the folder that the service was started in, or with a data folder of your own",
        ));
    }
    let changed = app.plugins().reload()?;
    if !changed.is_empty() {
        say(&format!("the service took up: {}", changed.join(", ")));
        // What was agreed to is in the lock file; that it holds here from now on is in the audit trail.
        let to = json!({"plugins": changed});
        app.note_change(
            &super::audited::who(),
            "plugins.reload",
            own.display().to_string(),
            to,
        )?;
        let renewed = app.renew_dags()?;
        if renewed > 0 {
            say(&format!(
                "DAGs with a new version: {renewed}; runs that began keep the old one"
            ));
        }
    }
    Ok(())
}

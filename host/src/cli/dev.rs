//! `airlock dev`: a service to try things out with, on this machine alone: an example where there is no DAG yet, and a link that
//! logs in once. It refuses to be reached from elsewhere, and leaves no token behind.

use super::args::{Global, Serve};
use super::args_web::Dev;
use super::output::{print, say};
use super::serve;
use crate::api::{Api, LISTEN_DEFAULT};
use crate::app::{App, Role, TokenLimits};
use crate::error::{ErrorKind, UserError};
use std::net::TcpListener;
use std::path::Path;

/// The token of the link; each start makes a new one.
const TOKEN_NAME: &str = "airlock-dev";
/// Written where there is no DAG.
const EXAMPLE: &str = include_str!("example.yaml");
const EXAMPLE_FILE: &str = "hello.yaml";

pub(super) fn run(global: &Global, command: Dev) -> Result<(), UserError> {
    let Dev { dags, mut api } = command;
    if api.listen_public {
        let message = "`airlock dev` is for this machine alone";
        return Err(UserError::new(ErrorKind::Usage, message)
            .hint("`airlock serve --listen-public` can be reached from others"));
    }
    prepare(&dags)?;
    if api.listen.is_none() && global.listen.is_none() && is_taken(LISTEN_DEFAULT) {
        api.listen = Some("127.0.0.1:0".to_owned());
    }
    let serve = Serve {
        dags: vec![dags],
        queues: Vec::new(),
        api,
    };
    serve::start(global, serve, &introduce, &|app| {
        forget_token(app);
        Ok(())
    })
}

fn is_taken(address: &str) -> bool {
    TcpListener::bind(address).is_err()
}

/// A folder with at least one DAG in it.
fn prepare(folder: &Path) -> Result<(), UserError> {
    let failed = |error: std::io::Error| {
        let message = format!("the folder {} cannot be used: {error}", folder.display());
        UserError::new(ErrorKind::Usage, message).hint("name another: `airlock dev DIR`")
    };
    std::fs::create_dir_all(folder).map_err(failed)?;
    let is_empty = std::fs::read_dir(folder).map_err(failed)?.next().is_none();
    if is_empty {
        let file = folder.join(EXAMPLE_FILE);
        std::fs::write(&file, EXAMPLE).map_err(failed)?;
        say(&format!("wrote an example: {}", file.display()));
    }
    Ok(())
}

/// A token that an earlier start left is nobody's any more.
fn forget_token(app: &App) {
    // There may be none.
    let _ = app.revoke_token(TOKEN_NAME, TOKEN_NAME);
}

fn introduce(app: &App, api: &Api) -> Result<(), UserError> {
    forget_token(app);
    let limits = TokenLimits::default();
    let token = app
        .create_token(TOKEN_NAME, TOKEN_NAME, Role::Admin, limits)?
        .token;
    let url = api
        .login_url(token)
        .ok_or_else(|| UserError::new(ErrorKind::Bug, "the system gives no random bytes"))?;
    say("open this link; it logs in once:");
    print(&format!("{url}\n"))
}

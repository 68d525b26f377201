//! `airlock tokens`.

use super::admin::open_new;
use super::args::Global;
use super::args_api::{RoleArg, Tokens};
use super::output::{print, print_json, say, table, time};
use super::session::user;
use super::settings::{Need, open};
use crate::api::ROUTES;
use crate::app::{Role, TokenRow};
use crate::error::UserError;
use serde_json::json;

pub(super) fn run(global: &Global, command: Tokens) -> Result<(), UserError> {
    match command {
        Tokens::Create { name, role } => {
            let made = open_new(global)?.create_token(&user(), &name, role.into())?;
            if global.json {
                return print_json(&made);
            }
            say(&format!(
                "token {name} has the role {}; it is shown this once",
                made.row.role
            ));
            print(&format!("{}\n", made.token))
        }
        Tokens::List => list(global),
        Tokens::Routes => routes(global),
        Tokens::Revoke { name } => {
            open(global, Need::State)?.revoke_token(&user(), &name)?;
            say(&format!("token {name} is revoked"));
            Ok(())
        }
    }
}

fn list(global: &Global) -> Result<(), UserError> {
    let tokens = open(global, Need::State)?.tokens()?;
    if global.json {
        return print_json(&tokens);
    }
    let row = |token: &TokenRow| {
        vec![
            token.name.clone(),
            token.role.to_string(),
            time(Some(token.created_at)),
            token.created_by.clone(),
        ]
    };
    print(&table(
        &["name", "role", "made", "by"],
        &tokens.iter().map(row).collect::<Vec<_>>(),
    ))
}

/// Of the API and of the pages; a page that does not say so here is none.
fn routes(global: &Global) -> Result<(), UserError> {
    let api = ROUTES.iter().copied().flatten();
    let api = api.map(|route| (route.method, route.path, route.role));
    let pages = crate::web::ROUTES.iter();
    let pages = pages.map(|route| (route.method, route.path, route.role));
    let routes = api.chain(pages);
    if global.json {
        let shown = |(method, path, role)| json!({"method": method, "path": path, "role": role});
        return print_json(&routes.map(shown).collect::<Vec<_>>());
    }
    let row = |(method, path, role): (&str, &str, Role)| {
        vec![method.to_owned(), path.to_owned(), role.to_string()]
    };
    let rows: Vec<Vec<String>> = routes.map(row).collect();
    print(&table(&["method", "path", "role"], &rows))
}

impl From<RoleArg> for Role {
    fn from(role: RoleArg) -> Self {
        match role {
            RoleArg::Viewer => Self::Viewer,
            RoleArg::Operator => Self::Operator,
            RoleArg::Author => Self::Author,
            RoleArg::Admin => Self::Admin,
        }
    }
}

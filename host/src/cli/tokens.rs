//! `airlock tokens`.

use super::admin::open_new;
use super::args::Global;
use super::args_api::{RoleArg, Tokens};
use super::audited::who;
use super::output::{print, print_json, say, table, time};
use super::settings::{Need, open, timestamp};
use crate::api::routes;
use crate::app::{Role, TokenLimits, TokenRow};
use crate::error::{ErrorKind, UserError};
use jiff::{Span, SpanRelativeTo, Timestamp};
use serde_json::json;

pub(super) fn run(global: &Global, command: Tokens) -> Result<(), UserError> {
    match command {
        Tokens::Create {
            name,
            role,
            dags,
            expires,
        } => {
            let limits = TokenLimits {
                dags,
                expires_at: expires.as_deref().map(moment).transpose()?,
            };
            let made = open_new(global)?.create_token(&who(), &name, role.into(), limits)?;
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
        Tokens::Routes => list_routes(global),
        Tokens::Revoke { name } => {
            open(global, Need::State)?.revoke_token(&who(), &name)?;
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
            if token.dags.is_empty() {
                "everything".to_owned()
            } else {
                token.dags.join(" ")
            },
            token
                .expires_at
                .map_or("never".to_owned(), |at| time(Some(at))),
            time(Some(token.created_at)),
            token.created_by.clone(),
        ]
    };
    print(&table(
        &["name", "role", "dags", "expires", "made", "by"],
        &tokens.iter().map(row).collect::<Vec<_>>(),
    ))
}

/// Of the API and of the pages; a page that does not say so here is none.
fn list_routes(global: &Global) -> Result<(), UserError> {
    let api = routes().map(|route| {
        (
            route.method,
            route.path,
            route.role,
            route.scope.to_string(),
        )
    });
    let pages = crate::web::ROUTES.iter();
    let pages = pages.map(|route| {
        (
            route.method,
            route.path,
            route.role,
            "everything".to_owned(),
        )
    });
    let routes = api.chain(pages);
    if global.json {
        let shown = |(method, path, role, reach)| json!({"method": method, "path": path, "role": role, "reach": reach});
        return print_json(&routes.map(shown).collect::<Vec<_>>());
    }
    let row = |(method, path, role, reach): (&str, &str, Role, String)| {
        vec![method.to_owned(), path.to_owned(), role.to_string(), reach]
    };
    let rows: Vec<Vec<String>> = routes.map(row).collect();
    print(&table(&["method", "path", "role", "reach"], &rows))
}

/// A time, or how long from now.
fn moment(text: &str) -> Result<Timestamp, UserError> {
    let span = text.parse::<Span>();
    let length = span.and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()));
    let Ok(length) = length else {
        return timestamp(text);
    };
    let end = Timestamp::now().checked_add(length);
    end.map_err(|error| UserError::new(ErrorKind::Usage, error))
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

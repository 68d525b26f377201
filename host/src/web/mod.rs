//! The pages: server-rendered HTML for people, on the listener of the API. It owns sessions, forms, the look of things, and the
//! stream by which an open page hears of changes. It refuses to know how anything is stored, to run anything that came from
//! outside in a browser (every answer forbids inline script and foreign origins), and to need JavaScript: the module that comes with
//! a page keeps it fresh and quick, and nothing else.
//!
//! # The way of a request
//! The API's guard has checked the Host and found out whose session or token it is (`Visitor`). `route` checks the role that the
//! table asks for and, for whatever changes something, the session's CSRF token; then it calls the page on a thread that may block.

mod admin;
mod ansi;
mod answer;
mod assets;
mod chart;
mod dag;
mod dags;
mod door;
mod events;
mod form;
mod graph;
mod grid;
mod home;
mod layout;
mod link;
mod login;
mod ml;
mod route;
mod run;
mod session;
mod show;
mod visit;

pub use assets::PAGE_BYTES;
pub use door::{Doors, PageAsked, Visitor, is_open, safety_headers};
pub use events::EVENT_STREAMS_MAX;
pub use route::{PageRoute, ROUTES, router};
pub use session::{
    Client, LOGINS_PER_MINUTE_MAX, SESSION_TIME_MAX, SESSIONS_MAX, Session, Sessions,
};

/// The largest form, bytes.
pub const FORM_BYTES_MAX: usize = 256 << 10;
/// Pages that are made at once; further ones wait.
pub const PAGES_MAX: usize = 16;

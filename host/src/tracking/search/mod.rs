//! MLflow's search: `metrics.auc > 0.9 AND tags."owner" = 'ann'`, orders and pages. Pure: text in, values in, an answer out. It
//! owns the grammar and what a comparison means, and refuses to know where rows come from.

mod ast;
mod eval;
mod lex;
mod page;
mod parse;
mod schema;

pub(super) use eval::{Value, holds};
pub use page::Page;
pub(super) use page::{Request, Rows, Size, search};
pub(super) use schema::{EXPERIMENTS, LOGGED_MODELS, MODEL_VERSIONS, MODELS, RUNS, Schema};

pub(super) use ast::{Comparison, Condition, Entity, Field, Filter, Literal, OrderBy};

/// The longest filter or order, bytes.
pub(super) const SEARCH_TEXT_BYTES_MAX: usize = 65_536;
/// The most conditions of a filter.
pub(super) const CONDITIONS_MAX: usize = 100;
/// The most values of one `IN`.
pub(super) const IN_VALUES_MAX: usize = 10_000;
/// The most keys to order by.
pub(super) const ORDER_KEYS_MAX: usize = 10;

/// A filter or an order that cannot be understood: what is wrong, where, and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} at character {at} of {text:?}; {allowed}")]
pub struct SearchError {
    /// What is wrong.
    pub what: String,
    /// Where, counted in characters from 1.
    pub at: usize,
    /// The whole text.
    pub text: String,
    /// What would be understood there.
    pub allowed: String,
}

#[cfg(test)]
mod tests;

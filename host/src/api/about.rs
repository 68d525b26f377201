//! What a route says about itself: what it does, which fields its query may have, the schemas of its body and its answer. The
//! OpenAPI document is made of it, and a query is held to it: a filter that a route does not know is refused, because an answer
//! without it would look filtered and hold everything.

use super::error::ApiError;
use super::fields::Fields;
use airlock_core::dag::nearest;
use schemars::{JsonSchema, Schema, SchemaGenerator};

/// The type of a field of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A text.
    Text,
    /// A text that may be there several times.
    Texts,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// True or false.
    Truth,
    /// A date and time.
    Time,
}

/// A field of a query.
pub(super) type Query = (&'static str, Kind);

type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// See the module's documentation.
#[derive(Clone, Copy)]
pub(super) struct About {
    /// One sentence.
    pub(super) summary: &'static str,
    /// What its query may hold.
    pub(super) query: &'static [&'static [Query]],
    /// What its JSON body is; none where it takes none.
    pub(super) body: Option<SchemaOf>,
    /// The status of a good answer.
    pub(super) status: u16,
    /// What its JSON answer is; none where it has none.
    pub(super) answer: Option<SchemaOf>,
}

fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

impl About {
    /// Of a route that the document leaves out.
    pub(super) const NOTHING: Self = Self::new("");

    pub(super) const fn new(summary: &'static str) -> Self {
        Self {
            summary,
            query: &[],
            body: None,
            status: 200,
            answer: None,
        }
    }

    /// The fields that its query may hold.
    pub(super) const fn query(self, query: &'static [&'static [Query]]) -> Self {
        Self { query, ..self }
    }

    /// Its body.
    pub(super) const fn takes<T: JsonSchema>(self) -> Self {
        Self {
            body: Some(schema_of::<T>),
            ..self
        }
    }

    /// Its answer, with status 200.
    pub(super) const fn answers<T: JsonSchema>(self) -> Self {
        Self {
            answer: Some(schema_of::<T>),
            ..self
        }
    }

    /// Its answer where something was made, with status 201.
    pub(super) const fn creates<T: JsonSchema>(self) -> Self {
        Self {
            status: 201,
            ..self.answers::<T>()
        }
    }

    /// It answers nothing, with status 204.
    pub(super) const fn answers_nothing(self) -> Self {
        Self {
            status: 204,
            ..self
        }
    }

    /// Every field that the query may hold.
    pub(super) fn fields(&self) -> impl Iterator<Item = Query> {
        self.query.iter().copied().flatten().copied()
    }

    /// Refuses a field of the query that the route does not know.
    pub(super) fn check_query(&self, given: &Fields) -> Result<(), ApiError> {
        let is_known = |name: &str| self.fields().any(|(known, _)| known == name);
        let Some(unknown) = given.names().find(|name| !is_known(name)) else {
            return Ok(());
        };
        let shown: String = unknown.chars().take(80).collect();
        let names: Vec<&str> = self.fields().map(|(name, _)| name).collect();
        let told = ApiError::invalid(format!("this route knows no query field {shown:?}"));
        Err(match nearest(unknown, names.iter().copied()) {
            Some(near) => told.hint(format!("did you mean `{near}`?")),
            None if names.is_empty() => told.hint("it knows none"),
            None => told.hint(format!("it knows {}", names.join(", "))),
        })
    }
}

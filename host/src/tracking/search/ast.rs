//! What a filter and an order say, and how they are written: what is written reads back as the same.

use std::fmt;

/// What a condition asks about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::tracking) enum Entity {
    /// A field of the record itself.
    Attribute,
    /// The latest value of a metric.
    Metric,
    /// A param.
    Param,
    /// A tag.
    Tag,
    /// A field of one of a run's datasets.
    Dataset,
}

/// An entity and a key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::tracking) struct Field {
    /// Of which kind.
    pub(in crate::tracking) entity: Entity,
    /// For an attribute its one name, whichever of its names was written.
    pub(in crate::tracking) key: String,
}

/// How a value is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::tracking) enum Comparison {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `LIKE`: `%` is any text, `_` any one character; upper and lower case differ.
    Like,
    /// `ILIKE`: the same without the case.
    ILike,
    /// `IN`
    In,
    /// `NOT IN`
    NotIn,
}

/// What a value is compared with.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::tracking) enum Literal {
    /// A finite number.
    Number(f64),
    /// A text.
    Text(String),
    /// Texts of an `IN`; never empty.
    List(Vec<String>),
}

/// One comparison.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::tracking) struct Condition {
    /// Of what.
    pub(in crate::tracking) field: Field,
    /// How.
    pub(in crate::tracking) comparison: Comparison,
    /// With what.
    pub(in crate::tracking) literal: Literal,
}

/// Conditions that must all hold; an empty filter holds always.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::tracking) struct Filter {
    /// Each of them.
    pub(in crate::tracking) conditions: Vec<Condition>,
}

/// One key to order by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::tracking) struct OrderBy {
    /// Of what.
    pub(in crate::tracking) field: Field,
    /// The largest first.
    pub(in crate::tracking) descending: bool,
}

impl Comparison {
    /// As it is written.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Like => "LIKE",
            Self::ILike => "ILIKE",
            Self::In => "IN",
            Self::NotIn => "NOT IN",
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entity = match self.entity {
            Entity::Attribute => "attributes",
            Entity::Metric => "metrics",
            Entity::Param => "params",
            Entity::Tag => "tags",
            Entity::Dataset => "datasets",
        };
        write!(out, "{entity}.`{}`", self.key.replace('`', "``"))
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = |text: &String| format!("'{}'", text.replace('\'', "''"));
        match self {
            Self::Number(number) => write!(out, "{number:?}"),
            Self::Text(text) => out.write_str(&quoted(text)),
            Self::List(texts) => {
                let all: Vec<String> = texts.iter().map(quoted).collect();
                write!(out, "({})", all.join(", "))
            }
        }
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, condition) in self.conditions.iter().enumerate() {
            if index > 0 {
                out.write_str(" AND ")?;
            }
            let Condition {
                field,
                comparison,
                literal,
            } = condition;
            write!(out, "{field} {} {literal}", comparison.word())?;
        }
        Ok(())
    }
}

impl fmt::Display for OrderBy {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = if self.descending { "DESC" } else { "ASC" };
        write!(out, "{} {way}", self.field)
    }
}

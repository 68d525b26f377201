//! Whether a condition holds. What a record does not have fulfils no condition, as in MLflow, but for one tag.

use super::{Comparison, Condition, Entity, Literal};

/// MLflow's clients ask for models that are no prompts by `!= 'true'`, and models do not have the tag.
const PROMPT_TAG: &str = "mlflow.prompt.is_prompt";

/// What a record has in a field.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::tracking) enum Value<'v> {
    /// Nothing.
    Absent,
    Number(f64),
    Text(&'v str),
}

/// Whether a value fulfils a condition.
pub(in crate::tracking) fn holds(condition: &Condition, value: Value<'_>) -> bool {
    match (value, &condition.literal) {
        (Value::Number(left), Literal::Number(right)) => {
            compares(condition.comparison, left, *right)
        }
        (Value::Text(text), Literal::Text(wanted)) => match condition.comparison {
            Comparison::Equal => text == wanted,
            Comparison::NotEqual => text != wanted,
            Comparison::Like => like(text, wanted),
            Comparison::ILike => like(&text.to_lowercase(), &wanted.to_lowercase()),
            _ => false,
        },
        (Value::Text(text), Literal::List(wanted)) => {
            let is_in = wanted.iter().any(|one| one == text);
            is_in == (condition.comparison == Comparison::In)
        }
        (Value::Absent, _) => {
            condition.field.entity == Entity::Tag
                && condition.field.key == PROMPT_TAG
                && condition.comparison == Comparison::NotEqual
        }
        _ => false,
    }
}

#[expect(clippy::float_cmp, reason = "a filter asks for exactly this number")]
fn compares(comparison: Comparison, left: f64, right: f64) -> bool {
    match comparison {
        Comparison::Equal => left == right,
        Comparison::NotEqual => left != right,
        Comparison::Less => left < right,
        Comparison::LessOrEqual => left <= right,
        Comparison::Greater => left > right,
        Comparison::GreaterOrEqual => left >= right,
        _ => false,
    }
}

/// SQL's LIKE, in time of at most text times pattern: after a `%` only the last one is ever gone back to.
fn like(text: &str, pattern: &str) -> bool {
    let (mut text, mut pattern) = (text.chars(), pattern.chars());
    let mut back: Option<(std::str::Chars<'_>, std::str::Chars<'_>)> = None;
    loop {
        let (at, wanted) = (text.clone().next(), pattern.clone().next());
        match (at, wanted) {
            (_, Some('%')) => {
                pattern.next();
                back = Some((text.clone(), pattern.clone()));
            }
            (None, None) => return true,
            (Some(have), Some(wanted)) if wanted == '_' || wanted == have => {
                text.next();
                pattern.next();
            }
            _ => {
                let Some((from, after)) = &mut back else {
                    return false;
                };
                if from.next().is_none() {
                    return false;
                }
                (text, pattern) = (from.clone(), after.clone());
            }
        }
    }
}

//! How far a token reaches: all of the service, or the DAGs whose ids fit its patterns and nothing else. Deny by default: what
//! belongs to no DAG is out of reach of a token with patterns.

use crate::error::{ErrorKind, UserError};
use jiff::Timestamp;

/// The most patterns of a token.
pub const PATTERNS_MAX: usize = 32;
/// The longest pattern, bytes.
const PATTERN_BYTES_MAX: usize = 250;

/// What a new token may not do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenLimits {
    /// The DAGs that it reaches; empty: everything.
    pub dags: Vec<String>,
    /// From when on nobody gets in with it.
    pub expires_at: Option<Timestamp>,
}

impl TokenLimits {
    /// A limit that no DAG and no time can meet is a mistake.
    pub(super) fn check(&self) -> Result<(), UserError> {
        let usage = |message: String| UserError::new(ErrorKind::Usage, message);
        if self.dags.len() > PATTERNS_MAX {
            return Err(usage(format!(
                "a token has at most {PATTERNS_MAX} patterns of DAGs"
            )));
        }
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.*".contains(&byte);
        let fits = |pattern: &&String| {
            !pattern.is_empty()
                && pattern.len() <= PATTERN_BYTES_MAX
                && pattern.bytes().all(is_plain)
        };
        if let Some(wrong) = self.dags.iter().find(|pattern| !fits(pattern)) {
            let shown: String = wrong.chars().take(PATTERN_BYTES_MAX).collect();
            return Err(usage(format!("{shown:?} is no pattern of a dag_id"))
                .hint("a dag_id, with `*` for any text in it, as in `churn_*`"));
        }
        if self.expires_at.is_some_and(|end| end <= Timestamp::now()) {
            return Err(usage("the token would have expired already".to_owned())
                .hint("give a time in the future, or how long from now, as in `90d`"));
        }
        Ok(())
    }
}

/// See the module's documentation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// All of the service.
    Everything,
    /// DAGs that fit one of these patterns, and what is theirs.
    Dags(Vec<String>),
}

impl Reach {
    /// No pattern is everything.
    pub fn of(patterns: Vec<String>) -> Self {
        if patterns.is_empty() {
            Self::Everything
        } else {
            Self::Dags(patterns)
        }
    }

    /// Whether it reaches what belongs to no DAG.
    pub fn is_everything(&self) -> bool {
        matches!(self, Self::Everything)
    }

    /// Whether it reaches a DAG.
    pub fn holds(&self, dag_id: &str) -> bool {
        match self {
            Self::Everything => true,
            Self::Dags(patterns) => patterns.iter().any(|pattern| fits(pattern, dag_id)),
        }
    }
}

/// Whether a text fits a pattern in which `*` stands for any text. In time linear in the text for each part of the pattern.
fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let Some(last) = parts.next_back() else {
        return rest.is_empty();
    };
    for part in parts {
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_star_stands_for_any_text_and_nothing_else_does() {
        for (pattern, text) in [
            ("churn", "churn"),
            ("churn_*", "churn_"),
            ("churn_*", "churn_weekly"),
            ("*", "anything"),
            ("*_daily", "a_daily"),
            ("a*b*c", "aXbXbXc"),
            ("a*a", "aa"),
        ] {
            assert!(fits(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("churn", "churn_weekly"),
            ("churn", "xchurn"),
            ("churn_*", "xchurn_a"),
            ("*_daily", "a_daily_x"),
            ("a*a", "a"),
            ("a.c", "abc"),
            ("CHURN", "churn"),
        ] {
            assert!(!fits(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn a_token_with_patterns_reaches_nothing_that_belongs_to_no_dag() {
        let scoped = Reach::of(vec!["*".to_owned()]);
        assert!(scoped.holds("any") && !scoped.is_everything());
        assert!(Reach::of(Vec::new()).is_everything());
    }

    #[test]
    fn limits_that_nothing_can_meet_are_refused() {
        let dags = |patterns: &[&str]| TokenLimits {
            dags: patterns.iter().map(|text| (*text).to_owned()).collect(),
            expires_at: None,
        };
        assert!(dags(&["a_*", "b"]).check().is_ok());
        for wrong in [
            &[""][..],
            &["a b"],
            &["a/b"],
            &["?"],
            &["a"; PATTERNS_MAX + 1],
        ] {
            assert!(dags(wrong).check().is_err(), "{wrong:?}");
        }
        let past = TokenLimits {
            expires_at: Some(Timestamp::UNIX_EPOCH),
            ..TokenLimits::default()
        };
        assert!(past.check().is_err());
    }

    proptest! {
        #[test]
        fn a_pattern_without_a_star_is_one_dag(id in "[a-z_]{1,10}", other in "[a-z_]{1,10}") {
            prop_assert_eq!(fits(&id, &other), id == other);
        }

        #[test]
        fn what_stands_before_and_after_a_star_must_be_there(
            before in "[a-z]{0,5}", middle in "[a-z]{0,5}", after in "[a-z]{0,5}",
        ) {
            let pattern = format!("{before}*{after}");
            let text = format!("{before}{middle}{after}");
            prop_assert!(fits(&pattern, &text));
        }
    }
}

//! `airlock:operator/human`: questions to a person. It checks questions before they are recorded and answers before they are
//! given, because neither can be taken back; who may answer is not its concern.

use super::Answer;
use super::own_run::OwnRun;
use super::vault::Vault;
use crate::sandbox::bindings::airlock::operator::types::CapabilityError;
use crate::sandbox::ports::HumanPort;
use airlock_core::dag::check_values;
use airlock_core::dag::spec::Param;
use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The largest question or answer, bytes of JSON.
pub const QUESTION_BYTES_MAX: usize = 48 << 10;
/// The most options, and the most params, of one question.
pub const QUESTION_MEMBERS_MAX: usize = 100;

/// What a person is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// One line.
    pub subject: String,
    /// Markdown.
    #[serde(default)]
    pub body: Option<String>,
    /// What can be chosen.
    #[serde(default)]
    pub options: Vec<String>,
    /// Whether several options may be chosen.
    #[serde(default)]
    pub multiple: bool,
    /// What counts as chosen when nobody answers in time.
    #[serde(default)]
    pub defaults: Option<Vec<String>>,
    /// Values to enter: a JSON Schema each, with a `default` member where there is one.
    #[serde(default)]
    pub params: Map<String, Value>,
    /// Who is asked; empty: everybody who may answer.
    #[serde(default)]
    pub assigned_users: Vec<String>,
    /// Until when an answer counts.
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
}

/// What a person answers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Response {
    /// Of the question's options.
    pub chosen_options: Vec<String>,
    /// By the names of the question's params.
    pub params_input: Map<String, Value>,
    /// Who answered.
    pub responded_by: Option<String>,
    /// When.
    pub responded_at: Option<Timestamp>,
}

impl Question {
    /// Reads and checks a question; the error says what is wrong with it.
    pub fn parse(json: &str) -> Result<Self, String> {
        let question: Self = serde_json::from_str(json)
            .map_err(|error| format!("the question is not well-formed: {error}"))?;
        question.check()?;
        Ok(question)
    }

    fn check(&self) -> Result<(), String> {
        if self.subject.trim().is_empty() {
            return Err("the question has no `subject`".to_owned());
        }
        if self.options.is_empty() && self.params.is_empty() {
            return Err(
                "the question has neither `options` nor `params`: nothing can be answered"
                    .to_owned(),
            );
        }
        let members = self.options.len().max(self.params.len());
        if members > QUESTION_MEMBERS_MAX {
            return Err(format!(
                "the question has {members} options or params; at most {QUESTION_MEMBERS_MAX} are allowed"
            ));
        }
        for (place, option) in self.options.iter().enumerate() {
            if self.options.iter().take(place).any(|other| other == option) {
                return Err(format!("the option {option:?} is there twice"));
            }
        }
        if let Some(defaults) = &self.defaults {
            self.check_choice(defaults)
                .map_err(|error| format!("`defaults`: {error}"))?;
        }
        let params = self.params();
        let entered: Map<String, Value> = params
            .iter()
            .map(|(name, param)| (name.clone(), param.default.clone().unwrap_or_default()))
            .collect();
        let with_default = params
            .into_iter()
            .filter(|(_, param)| param.default.is_some());
        check_values(&with_default.collect(), &Value::Object(entered))
            .map(|_| ())
            .map_err(|errors| errors.join("; "))
    }

    fn params(&self) -> BTreeMap<String, Param> {
        let param = |schema: &Value| {
            let mut schema = schema.as_object().cloned().unwrap_or_default();
            let default = schema.shift_remove("default");
            let schema = Value::Object(schema);
            Param { default, schema }
        };
        let params = self.params.iter();
        params
            .map(|(name, schema)| (name.clone(), param(schema)))
            .collect()
    }

    fn check_choice(&self, chosen: &[String]) -> Result<(), String> {
        let unknown = chosen.iter().find(|option| !self.options.contains(option));
        if let Some(option) = unknown {
            let options = self.options.join(", ");
            return Err(format!("{option:?} is no option; choose from: {options}"));
        }
        if chosen.len() > 1 && !self.multiple {
            return Err("only one option may be chosen".to_owned());
        }
        Ok(())
    }

    /// The answer with the defaults of params filled in, if it fits; else what is wrong with it.
    pub fn check_response(&self, mut response: Response) -> Result<Response, String> {
        self.check_choice(&response.chosen_options)?;
        if response.chosen_options.is_empty() && !self.options.is_empty() {
            return Err(format!("choose from: {}", self.options.join(", ")));
        }
        let unknown = response
            .params_input
            .keys()
            .find(|name| !self.params.contains_key(*name));
        if let Some(name) = unknown {
            return Err(format!("the question has no param {name:?}"));
        }
        let entered = Value::Object(std::mem::take(&mut response.params_input));
        response.params_input =
            check_values(&self.params(), &entered).map_err(|errors| errors.join("; "))?;
        Ok(response)
    }
}

/// The attempt's way to a person.
pub(super) struct Human {
    pub(super) own_run: Arc<dyn OwnRun>,
    pub(super) vault: Vault,
}

#[async_trait]
impl HumanPort for Human {
    async fn ask(&self, request: String) -> Answer<Option<String>> {
        if request.len() > QUESTION_BYTES_MAX {
            return Err(CapabilityError::TooLarge(QUESTION_BYTES_MAX as u64));
        }
        let question = self.vault.redact(&request);
        Question::parse(&question).map_err(CapabilityError::Invalid)?;
        let answer = self.own_run.ask(question).await;
        answer.map_err(CapabilityError::Unavailable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(question: &Value) -> Result<Question, String> {
        Question::parse(&question.to_string())
    }

    #[test]
    fn a_question_that_nobody_could_answer_is_refused() {
        for (question, reason) in [
            (json!({"options": ["a"]}), "subject"),
            (json!({"subject": " ", "options": ["a"]}), "subject"),
            (json!({"subject": "s"}), "neither"),
            (json!({"subject": "s", "options": ["a", "a"]}), "twice"),
            (
                json!({"subject": "s", "options": ["a"], "defaults": ["b"]}),
                "no option",
            ),
            (
                json!({"subject": "s", "options": ["a", "b"], "defaults": ["a", "b"]}),
                "only one",
            ),
            (
                json!({"subject": "s", "params": {"n": {"type": "integer", "default": "x"}}}),
                "n",
            ),
            (
                json!({"subject": "s", "params": {"n": {"type": "nothing", "default": 1}}}),
                "schema",
            ),
            (
                json!({"subject": "s", "options": ["a"], "colour": 1}),
                "colour",
            ),
            (json!({"subject": "s", "options": vec!["a"; 101]}), "101"),
            (json!([1]), "well-formed"),
        ] {
            let refused = parse(&question).unwrap_err();
            assert!(refused.contains(reason), "{question}: {refused}");
        }
    }

    #[test]
    fn h8_an_answer_chooses_from_the_options_and_fits_the_params() {
        let question = parse(&json!({
            "subject": "s", "options": ["a", "b"],
            "params": {"n": {"type": "integer", "minimum": 1}, "t": {"default": "x"}},
        }))
        .unwrap();
        let answer = |chosen: &[&str], params: Value| Response {
            chosen_options: chosen.iter().map(ToString::to_string).collect(),
            params_input: params.as_object().cloned().unwrap_or_default(),
            ..Response::default()
        };
        let good = question
            .check_response(answer(&["b"], json!({"n": 2})))
            .unwrap();
        assert_eq!(Value::Object(good.params_input), json!({"n": 2, "t": "x"}));
        for (chosen, params) in [
            (&[][..], json!({"n": 2})),
            (&["c"], json!({"n": 2})),
            (&["a", "b"], json!({"n": 2})),
            (&["a"], json!({})),
            (&["a"], json!({"n": 0})),
            (&["a"], json!({"n": 2, "z": 1})),
        ] {
            let refused = question.check_response(answer(chosen, params.clone()));
            assert!(refused.is_err(), "{chosen:?} {params}");
        }
    }
}

//! Questions to a person. Needs no grant.

use crate::TaskError;
use crate::sys::human as host;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What a person is asked: options to choose from, or params to enter, or both.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Question {
    /// One line.
    pub subject: String,
    /// Markdown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// What can be chosen.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// Whether several options may be chosen.
    pub multiple: bool,
    /// What counts as chosen when nobody answers in time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub defaults: Option<Vec<String>>,
    /// Values to enter: a JSON Schema each, with a `default` member where there is one.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub params: Map<String, Value>,
    /// Who is asked; empty: everybody who may answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub assigned_users: Vec<String>,
    /// Until when an answer counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// What a person answered.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Response {
    /// Of the question's options.
    pub chosen_options: Vec<String>,
    /// By the names of the question's params.
    pub params_input: Map<String, Value>,
    /// Who answered; none where the defaults were taken.
    pub responded_by: Option<String>,
    /// When.
    pub responded_at: Option<Timestamp>,
}

/// Records the question durably the first time; the answer once there is one. After none, answer `Outcome::Defer`.
pub fn ask(question: &Question) -> Result<Option<Response>, TaskError> {
    let answer = host::ask(&serde_json::to_string(question)?)?;
    let answer = answer.map(|answer| serde_json::from_str(&answer));
    Ok(answer.transpose()?)
}

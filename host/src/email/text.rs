//! What a mail says: what happened, where, the error, the log's last lines and the command that shows more.

use super::Email;
use std::fmt::Write as _;

/// A longer subject is cut.
pub const SUBJECT_CHARS_MAX: usize = 200;
/// Characters of an error that a mail tells.
const ERROR_CHARS_MAX: usize = 4_000;

/// What a mail is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// What happened, in words: `failed`, `will be tried again`.
    pub what: String,
    /// Its DAG.
    pub dag_id: String,
    /// Its run.
    pub run_id: String,
    /// Its task; none for a mail about the run.
    pub task_id: Option<String>,
    /// -1 when unmapped.
    pub map_index: i32,
    /// From 1; 0 where no try is meant.
    pub try_number: u32,
    /// When.
    pub at: String,
    /// The error, or what else there is to say.
    pub error: String,
    /// The log's last lines.
    pub log: String,
}

impl Report {
    /// The mail.
    pub fn email(&self, to: Vec<String>) -> Email {
        Email {
            to,
            subject: self.subject(),
            body: self.body(),
        }
    }

    fn task(&self) -> Option<String> {
        let task_id = self.task_id.as_ref()?;
        Some(match self.map_index {
            ..0 => task_id.clone(),
            map_index => format!("{task_id}[{map_index}]"),
        })
    }

    fn subject(&self) -> String {
        let what = &self.what;
        one_line(&match self.task() {
            Some(task) => format!("Airlock: {}.{task} {what}", self.dag_id),
            None => format!("Airlock: {} {what}", self.dag_id),
        })
    }

    fn body(&self) -> String {
        let (dag_id, run_id, what) = (&self.dag_id, &self.run_id, &self.what);
        let mut body = match self.task() {
            Some(task) => format!("Task {task} of DAG {dag_id} {what}.\n\n"),
            None => format!("A run of DAG {dag_id} {what}.\n\n"),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(body, "Run:  {run_id}");
        if self.try_number > 0 {
            let _ = writeln!(body, "Try:  {}", self.try_number);
        }
        let _ = writeln!(body, "When: {}\n", self.at);
        if !self.error.is_empty() {
            let error: String = self.error.chars().take(ERROR_CHARS_MAX).collect();
            let _ = writeln!(body, "{error}\n");
        }
        if !self.log.is_empty() {
            let _ = writeln!(body, "The log's last lines:\n\n{}\n", self.log.trim_end());
        }
        let command = match &self.task_id {
            Some(task_id) => {
                let index = match self.map_index {
                    ..0 => String::new(),
                    map_index => format!(" --map-index {map_index}"),
                };
                format!("airlock runs logs {dag_id} '{run_id}' {task_id}{index}")
            }
            None => format!("airlock runs show {dag_id} '{run_id}'"),
        };
        let _ = writeln!(body, "To look at it:\n\n    {command}");
        body
    }
}

/// Without line breaks and other control characters, and not too long.
pub(super) fn one_line(text: &str) -> String {
    let plain = text.chars().map(|character| {
        if character.is_control() {
            ' '
        } else {
            character
        }
    });
    plain.take(SUBJECT_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        Report {
            what: "failed".to_owned(),
            dag_id: "churn".to_owned(),
            run_id: "manual__2026-01-05T00:00:00+00:00".to_owned(),
            task_id: Some("train".to_owned()),
            map_index: 3,
            try_number: 2,
            at: "2026-01-05T00:00:00Z".to_owned(),
            error: "no such file".to_owned(),
            log: "one\ntwo\n".to_owned(),
        }
    }

    #[test]
    fn b7_a_mail_says_what_failed_where_why_and_how_to_look_at_it() {
        let email = report().email(vec!["a@b".to_owned()]);
        assert_eq!(email.subject, "Airlock: churn.train[3] failed");
        for told in [
            "Task train[3] of DAG churn failed.",
            "Try:  2",
            "no such file",
            "one\ntwo",
            "airlock runs logs churn 'manual__2026-01-05T00:00:00+00:00' train --map-index 3",
        ] {
            assert!(email.body.contains(told), "{told} in {}", email.body);
        }
    }

    #[test]
    fn a_subject_has_one_line() {
        let what = "failed\r\nBcc: x@y".to_owned();
        let email = Report { what, ..report() }.email(Vec::new());
        assert!(!email.subject.contains(['\r', '\n']));
    }
}

//! What the end of a command-line program means, inside the sandbox and outside of it: 0 is success, 99 skips, everything else
//! fails; a JSON object on the last line of stdout is the XCom.

use super::config::MESSAGE_BYTES_MAX;
use super::last_line::Told;
use super::text;
use airlock_core::run::event::{AttemptError, AttemptErrorKind, Outcome};

/// The exit code that skips, as Airflow's `skip_on_exit_code` has it.
pub const SKIP_EXIT_CODE: i32 = 99;

/// The outcome of a program that exited with `code`. `stderr` is the end of what it said there.
pub fn exit_outcome(
    code: i32,
    last_line: Option<&Told>,
    stderr: &str,
    output_bytes_max: u64,
) -> Outcome {
    match code {
        0 => match xcom_of(last_line, output_bytes_max) {
            Ok(value) => Outcome::Success(value),
            Err(error) => Outcome::Error(error),
        },
        SKIP_EXIT_CODE => Outcome::Skip(skip_reason(stderr)),
        code => Outcome::Error(AttemptError {
            kind: AttemptErrorKind::Transient,
            message: failure(&format!("exited with code {code}"), stderr),
        }),
    }
}

/// The message of a program that failed.
pub fn failure(how: &str, stderr: &str) -> String {
    let said = stderr.trim();
    let mut message = format!("the program {how}");
    if !said.is_empty() {
        message.push_str("\nlast words on stderr: ");
        message.push_str(said);
    }
    text::message(&message, MESSAGE_BYTES_MAX)
}

fn skip_reason(stderr: &str) -> String {
    let last = stderr.lines().rev().find(|line| !line.trim().is_empty());
    let reason = match last {
        Some(line) => format!(
            "the program exited with code {SKIP_EXIT_CODE}: {}",
            line.trim()
        ),
        None => format!("the program exited with code {SKIP_EXIT_CODE}"),
    };
    text::message(&reason, MESSAGE_BYTES_MAX)
}

fn xcom_of(last_line: Option<&Told>, max: u64) -> Result<Option<String>, AttemptError> {
    match last_line {
        Some(Told::Line(line)) if is_object(line) => {
            if line.len() as u64 > max {
                return Err(too_large(line.len() as u64, max));
            }
            Ok(Some(line.clone()))
        }
        Some(Told::TooLong { begin, bytes }) if begin.starts_with('{') => {
            Err(too_large(*bytes as u64, max))
        }
        _ => Ok(None),
    }
}

fn is_object(line: &str) -> bool {
    line.starts_with('{') && super::plugin::json(line).is_ok()
}

pub(super) fn too_large(bytes: u64, max: u64) -> AttemptError {
    AttemptError {
        kind: AttemptErrorKind::LimitExceeded,
        message: format!(
            "the program's result has {bytes} bytes, its limit is {max}; write large values to storage and return their URI"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(code: i32, line: &str) -> Outcome {
        let line = Told::Line(line.to_owned());
        exit_outcome(code, Some(&line), "first\nlast words\n\n", 20)
    }

    #[test]
    fn e7_the_last_line_is_the_xcom_if_it_is_an_object_and_99_skips() {
        let value = |text: &str| Outcome::Success(Some(text.to_owned()));
        assert_eq!(told(0, r#"{"a":1}"#), value(r#"{"a":1}"#));
        for plain in ["done", "7", "[1]", "{not json", ""] {
            assert_eq!(told(0, plain), Outcome::Success(None), "{plain}");
        }
        assert_eq!(exit_outcome(0, None, "", 20), Outcome::Success(None));
        let skipped = "the program exited with code 99: last words".to_owned();
        assert_eq!(told(99, r#"{"a":1}"#), Outcome::Skip(skipped));
        let Outcome::Error(error) = told(3, "") else {
            panic!("3 is a failure");
        };
        assert_eq!(error.kind, AttemptErrorKind::Transient);
        assert!(
            error
                .message
                .contains("code 3\nlast words on stderr: first\nlast words")
        );
    }

    #[test]
    fn a_result_over_its_limit_is_an_error_and_not_a_success_without_it() {
        let long = Told::TooLong {
            begin: "{\"a".to_owned(),
            bytes: 500,
        };
        let outcome = exit_outcome(0, Some(&long), "", 20);
        let Outcome::Error(error) = outcome else {
            panic!("{outcome:?}");
        };
        assert_eq!(error.kind, AttemptErrorKind::LimitExceeded);
        assert!(error.message.contains("500 bytes, its limit is 20"));
    }
}

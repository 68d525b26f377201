//! Printing: tables for people, one JSON value for programs. A closed pipe is not an error.

use super::session;
use crate::error::{ErrorKind, UserError};
use serde::Serialize;
use std::io::{ErrorKind as Io, Write};

/// Writes to stdout; a reader that went away (`| head`) ends the output quietly.
pub(super) fn print(text: &str) -> Result<(), UserError> {
    if let Some(session) = session::current() {
        return if session.screen.out(text) {
            Ok(())
        } else {
            Err(UserError::new(ErrorKind::Usage, "the terminal is gone"))
        };
    }
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != Io::BrokenPipe => Err(UserError::new(
            ErrorKind::Usage,
            format!("cannot write to stdout: {error}"),
        )),
        _ => Ok(()),
    }
}

/// Writes talk to stderr.
pub(super) fn say(text: &str) {
    talk(&format!("{text}\n"));
}

/// Writes talk as it is.
pub(super) fn talk(text: &str) {
    // Nobody is left to tell when the terminal or stderr is gone.
    let _ = match session::current() {
        Some(session) => {
            session.screen.err(text);
            Ok(())
        }
        None => std::io::stderr().write_all(text.as_bytes()),
    };
}

/// One JSON value and a newline.
pub(super) fn print_json<T: Serialize>(value: &T) -> Result<(), UserError> {
    let text =
        serde_json::to_string(value).map_err(|error| UserError::new(ErrorKind::Bug, error))?;
    print(&format!("{text}\n"))
}

/// Rows under a header, columns as wide as their widest cell.
pub(super) fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows
            .iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count());
        cells
            .chain(header.get(column).map(|title| title.len()))
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<String> = cells
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        format!("{}\n", padded.join("  ").trim_end())
    };
    let mut text = line(&mut header.iter().copied());
    for row in rows {
        text.push_str(&line(&mut row.iter().map(String::as_str)));
    }
    text
}

/// A time as tables show it: UTC, to the second; a dash where there is none.
pub(super) fn time(at: Option<jiff::Timestamp>) -> String {
    at.map_or_else(
        || "-".to_owned(),
        |at| at.strftime("%Y-%m-%d %H:%M:%S").to_string(),
    )
}

/// A duration as tables show it.
pub(super) fn duration(ms: Option<i64>) -> String {
    match ms {
        None => "-".to_owned(),
        Some(ms @ ..1_000) => format!("{ms} ms"),
        Some(ms @ ..60_000) => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        Some(ms) => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_pads_columns_and_leaves_no_trailing_space() {
        let rows = vec![
            vec!["a".to_owned(), "success".to_owned()],
            vec!["longer".to_owned(), "-".to_owned()],
        ];
        assert_eq!(
            table(&["task", "state"], &rows),
            "task    state\na       success\nlonger  -\n"
        );
    }

    #[test]
    fn durations_are_short() {
        assert_eq!(
            [Some(7), Some(61_500), Some(2_340), None].map(duration),
            ["7 ms", "1 min 1 s", "2.3 s", "-"]
        );
    }
}

//! Parts of logs: a log of any size is read by ranges, never as a whole; a search goes through it line by line in bounded memory. It
//! refuses names: a file is chosen by its place in the list of a task instance's logs.

use super::App;
use crate::error::{ErrorKind, UserError};
use crate::executor::LogStream;
use serde::Serialize;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read, Seek, SeekFrom};

/// The most bytes of a log that one look reads.
pub const LOG_PART_BYTES_MAX: u64 = 256 << 10;
/// The most bytes of a log that one search goes through.
pub const LOG_SEARCH_BYTES_MAX: u64 = 256 << 20;
/// A longer line is searched, and shown, in pieces of this length.
const LINE_BYTES_MAX: u64 = 64 << 10;
/// Files of one task instance that are listed, the first ones.
const FILES_MAX: usize = 1_000;

/// One attempt's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogFile {
    /// Its try.
    pub try_number: u32,
    /// What in that try it is of: a number of an attempt, or the name of a callback.
    pub part: String,
    /// How long it is.
    pub bytes: u64,
    #[serde(skip)]
    name: String,
}

/// A part of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPart {
    /// Where it begins, bytes.
    pub from: u64,
    /// Where it ends.
    pub to: u64,
    /// How long the whole log is.
    pub bytes: u64,
    /// Whole lines; what is no UTF-8 is replaced.
    pub text: String,
}

/// What a search found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogFound {
    /// How many lines fit.
    pub count: usize,
    /// The first of them, each with the byte at which it begins.
    pub lines: Vec<(u64, String)>,
    /// Up to where was searched, bytes; less than the log's length where that is over `LOG_SEARCH_BYTES_MAX`.
    pub to: u64,
}

impl App {
    /// The logs of a task instance, in the order of its attempts.
    pub fn log_files(&self, stream: &LogStream<'_>) -> Result<Vec<LogFile>, UserError> {
        let entries = match std::fs::read_dir(self.logs.path(stream)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(unreadable(&error)),
        };
        let mut files = Vec::new();
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let parts = name
                .strip_suffix(".log")
                .and_then(|stem| stem.split_once('.'));
            let Some((number, part)) = parts else {
                continue;
            };
            let Ok(try_number) = number.parse() else {
                continue;
            };
            files.push(LogFile {
                try_number,
                part: part.trim_start_matches('0').to_owned(),
                bytes: entry.metadata().map_or(0, |metadata| metadata.len()),
                name,
            });
        }
        files.sort_by(|one, other| one.name.cmp(&other.name));
        files.truncate(FILES_MAX);
        Ok(files)
    }

    /// Up to `LOG_PART_BYTES_MAX` of a log, in whole lines: from `from`, or with none the end of it.
    pub fn log_part(
        &self,
        stream: &LogStream<'_>,
        file: &LogFile,
        from: Option<u64>,
    ) -> Result<LogPart, UserError> {
        let path = self.logs.path(stream).join(&file.name);
        let mut open = File::open(path).map_err(|error| unreadable(&error))?;
        let bytes = open.metadata().map_err(|error| unreadable(&error))?.len();
        let begin = from
            .unwrap_or_else(|| bytes.saturating_sub(LOG_PART_BYTES_MAX))
            .min(bytes);
        let mut read = Vec::new();
        open.seek(SeekFrom::Start(begin))
            .and_then(|_| open.take(LOG_PART_BYTES_MAX).read_to_end(&mut read))
            .map_err(|error| unreadable(&error))?;
        Ok(whole_lines(begin, bytes, &read))
    }

    /// Searches up to `LOG_SEARCH_BYTES_MAX` of a log from `from` on. All lines that fit are counted, `shown_max` are kept.
    pub fn log_search(
        &self,
        stream: &LogStream<'_>,
        file: &LogFile,
        from: u64,
        shown_max: usize,
        fits: &dyn Fn(&str) -> bool,
    ) -> Result<LogFound, UserError> {
        let path = self.logs.path(stream).join(&file.name);
        let mut open = File::open(path).map_err(|error| unreadable(&error))?;
        open.seek(SeekFrom::Start(from))
            .and_then(|_| search(open.take(LOG_SEARCH_BYTES_MAX), from, shown_max, fits))
            .map_err(|error| unreadable(&error))
    }
}

/// Goes through lines; holds no more than one of them and what is to be shown.
fn search(
    log: impl Read,
    from: u64,
    shown_max: usize,
    fits: &dyn Fn(&str) -> bool,
) -> std::io::Result<LogFound> {
    let mut reader = BufReader::with_capacity(256 << 10, log);
    let mut found = LogFound {
        to: from,
        ..LogFound::default()
    };
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = reader
            .by_ref()
            .take(LINE_BYTES_MAX)
            .read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(found);
        }
        let begin = found.to;
        found.to += read as u64;
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end_matches('\n');
        if fits(text) {
            found.count += 1;
            if found.lines.len() < shown_max {
                found.lines.push((begin, text.to_owned()));
            }
        }
    }
}

/// Cuts what is half a line at either end, unless there is nothing else.
fn whole_lines(begin: u64, bytes: u64, read: &[u8]) -> LogPart {
    let end = begin + read.len() as u64;
    let first = if begin == 0 {
        None
    } else {
        read.iter().position(|byte| *byte == b'\n')
    };
    let skip = first.map_or(0, |place| place + 1);
    let last = read
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map(|place| place + 1);
    let stop = match last {
        Some(last) if end < bytes && last > skip => last,
        _ => read.len(),
    };
    LogPart {
        from: begin + skip as u64,
        to: begin + stop as u64,
        bytes,
        text: String::from_utf8_lossy(read.get(skip..stop).unwrap_or_default()).into_owned(),
    }
}

fn unreadable(error: &std::io::Error) -> UserError {
    UserError::new(ErrorKind::Store, format!("cannot read the log: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn half_lines_are_left_to_the_neighbouring_parts() {
        let part = whole_lines(10, 30, b"alf\nwhole\nha");
        assert_eq!(
            (part.from, part.to, part.text.as_str()),
            (14, 20, "whole\n")
        );
        let all = whole_lines(0, 5, b"a\nb\nc");
        assert_eq!(all.text, "a\nb\nc");
    }

    #[test]
    fn a_search_counts_everything_and_keeps_the_first_with_their_places() {
        let log = b"one fish\ntwo\nred fish\n\xff fish";
        let found = search(&log[..], 100, 2, &|line| line.contains("fish")).unwrap();
        assert_eq!(found.count, 3);
        assert_eq!(
            found.lines,
            [(100, "one fish".to_owned()), (113, "red fish".to_owned())]
        );
        assert_eq!(found.to, 100 + log.len() as u64);
    }

    #[test]
    fn a_line_without_an_end_is_searched_in_pieces() {
        let length = usize::try_from(LINE_BYTES_MAX).unwrap();
        let log = vec![b'x'; 2 * length + 1];
        let found = search(&log[..], 0, 10, &|line| line.len() <= length).unwrap();
        assert_eq!(found.count, 3);
    }

    proptest! {
        #[test]
        fn parts_read_one_after_another_are_the_log(lines in proptest::collection::vec("[a-z]{0,12}", 1..40), step in 16..64_usize) {
            let log = lines.join("\n").into_bytes();
            let (mut from, mut text) = (0_usize, String::new());
            while from < log.len() {
                let end = (from + step).min(log.len());
                // A part that begins where the last one ended begins at a line.
                let part = whole_lines(0, (log.len() - from) as u64, &log[from..end]);
                text.push_str(&part.text);
                prop_assert!(part.to > 0);
                from += usize::try_from(part.to).unwrap();
            }
            prop_assert_eq!(text.into_bytes(), log);
        }
    }
}

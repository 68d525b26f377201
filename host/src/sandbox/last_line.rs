//! The last line of a stream that is not blank: what a command-line program says its result with. It refuses to hold more
//! than one line and its limit.

/// Follows a stream.
#[derive(Debug, Default)]
pub(super) struct LastLine {
    max_bytes: usize,
    open: Vec<u8>,
    open_bytes: usize,
    last: Option<Told>,
}

/// What the last line was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// The whole line, without blanks round it.
    Line(String),
    /// Its first bytes, and how long it is: over the limit.
    TooLong {
        /// As far as it was kept.
        begin: String,
        /// Of the whole line.
        bytes: usize,
    },
}

impl LastLine {
    /// Keeps lines of at most `max_bytes`.
    pub(super) fn new(max_bytes: usize) -> Self {
        Self {
            max_bytes,
            ..Self::default()
        }
    }

    /// The next bytes of the stream.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let line = part.strip_suffix(b"\n").unwrap_or(part);
            let room = self.max_bytes.saturating_sub(self.open.len());
            self.open
                .extend_from_slice(line.get(..room).unwrap_or(line));
            self.open_bytes = self.open_bytes.saturating_add(line.len());
            if line.len() < part.len() {
                self.close();
            }
        }
    }

    /// The stream has ended: its last line that is not blank.
    pub(super) fn finish(&mut self) -> Option<Told> {
        self.close();
        self.last.take()
    }

    fn close(&mut self) {
        let (line, bytes) = (std::mem::take(&mut self.open), self.open_bytes);
        self.open_bytes = 0;
        let text = String::from_utf8_lossy(&line).trim().to_owned();
        let is_whole = bytes <= line.len();
        if is_whole && text.is_empty() {
            return;
        }
        self.last = Some(if is_whole {
            Told::Line(text)
        } else {
            Told::TooLong { begin: text, bytes }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last(max_bytes: usize, chunks: &[&str]) -> Option<Told> {
        let mut line = LastLine::new(max_bytes);
        for chunk in chunks {
            line.take(chunk.as_bytes());
        }
        line.finish()
    }

    #[test]
    fn it_is_the_last_line_that_is_not_blank_however_it_comes() {
        let line = |text: &str| Some(Told::Line(text.to_owned()));
        assert_eq!(last(99, &[]), None);
        assert_eq!(last(99, &["\n \n"]), None);
        assert_eq!(last(99, &["a\nb"]), line("b"));
        assert_eq!(
            last(99, &["a\n", "{\"x\"", ":1}", "\n\n  \n"]),
            line("{\"x\":1}")
        );
        assert_eq!(last(3, &["abc\n"]), line("abc"));
        let long = last(3, &["ab", "cdef\n"]);
        let begin = "abc".to_owned();
        assert_eq!(long, Some(Told::TooLong { begin, bytes: 6 }));
        let begin = "abc".to_owned();
        assert_eq!(last(3, &["abcd"]), Some(Told::TooLong { begin, bytes: 4 }));
        assert_eq!(last(3, &["abcdef\nx\n"]), line("x"));
    }
}

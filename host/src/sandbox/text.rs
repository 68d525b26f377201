//! Makes text of a guest safe to show: no terminal sequences, no control characters, bounded. It refuses to interpret it.

use std::borrow::Cow;

/// `text` without control characters: each is replaced by U+FFFD, a tab stays. An escape sequence loses its first byte and so its power.
pub(super) fn neutral(text: &str) -> Cow<'_, str> {
    if text.chars().any(is_unsafe) {
        let safe = |char| {
            if is_unsafe(char) {
                char::REPLACEMENT_CHARACTER
            } else {
                char
            }
        };
        Cow::Owned(text.chars().map(safe).collect())
    } else {
        Cow::Borrowed(text)
    }
}

/// Controls (C0, DEL, C1), and the marks that reorder text or break lines.
fn is_unsafe(char: char) -> bool {
    (char.is_control() && char != '\t')
        || matches!(char, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// At most `max` bytes of `text`, cut at a character.
pub(super) fn bounded(text: &str, max: usize) -> &str {
    text.get(..text.floor_char_boundary(max)).unwrap_or(text)
}

/// A guest's message for an outcome: lines stay lines, everything else is neutral and bounded.
pub(super) fn message(text: &str, max: usize) -> String {
    let cut = bounded(text, max);
    let mut safe = cut.lines().map(neutral).collect::<Vec<_>>().join("\n");
    if cut.len() < text.len() {
        safe.push_str(" ... (cut)");
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_sequences_lose_their_power_and_plain_text_is_not_copied() {
        assert_eq!(neutral("\x1b[31mred\x07"), "\u{fffd}[31mred\u{fffd}");
        assert_eq!(neutral("a\u{9b}b\u{202e}c"), "a\u{fffd}b\u{fffd}c");
        assert!(matches!(neutral("plain\ttext é"), Cow::Borrowed(_)));
    }

    #[test]
    fn cuts_fall_between_characters() {
        assert_eq!(bounded("aé", 2), "a");
        assert_eq!(bounded("aé", 9), "aé");
        assert_eq!(message("one\r\ntwo\x1b", 64), "one\ntwo\u{fffd}");
        assert_eq!(message("abcdef", 3), "abc ... (cut)");
    }
}

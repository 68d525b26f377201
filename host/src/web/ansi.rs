//! Text of guests made safe for people: escape sequences are taken out, control and direction characters are shown as what they
//! are. Nothing that a guest wrote moves a cursor, hides a line or turns a text round.

use std::borrow::Cow;

/// The text without escape sequences, with every other control character but tab and line feed made visible.
pub(super) fn plain(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_odd) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        match character {
            '\u{1b}' => skip_sequence(&mut rest),
            '\u{9b}' => skip_csi(&mut rest),
            '\r' if rest.peek() == Some(&'\n') => {}
            odd if is_odd(odd) => out.push_str(&format!("\u{27e8}{:x}\u{27e9}", u32::from(odd))),
            plain => out.push(plain),
        }
    }
    Cow::Owned(out)
}

/// Characters that do something instead of being seen.
fn is_odd(character: char) -> bool {
    let is_direction = matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{61c}');
    let is_kept = matches!(character, '\n' | '\t');
    (character.is_control() && !is_kept) || is_direction || character == '\u{feff}'
}

type Rest<'a> = std::iter::Peekable<std::str::Chars<'a>>;

/// What follows ESC: a control sequence, a string up to its end, or one character.
fn skip_sequence(rest: &mut Rest<'_>) {
    match rest.peek() {
        Some('[') => {
            rest.next();
            skip_csi(rest);
        }
        Some(']' | 'P' | 'X' | '^' | '_') => {
            rest.next();
            skip_string(rest);
        }
        Some('\n') | None => {}
        Some(_) => {
            rest.next();
        }
    }
}

/// Parameters up to the final byte; a sequence does not go over the end of a line.
fn skip_csi(rest: &mut Rest<'_>) {
    while let Some(&character) = rest.peek() {
        if character == '\n' || character == '\u{1b}' {
            return;
        }
        rest.next();
        if matches!(character, '@'..='~') {
            return;
        }
    }
}

fn skip_string(rest: &mut Rest<'_>) {
    while let Some(&character) = rest.peek() {
        match character {
            '\n' => return,
            '\u{7}' | '\u{9c}' => {
                rest.next();
                return;
            }
            '\u{1b}' => {
                rest.next();
                if rest.peek() == Some(&'\\') {
                    rest.next();
                }
                return;
            }
            _ => {
                rest.next();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn colours_titles_and_links_are_taken_out() {
        assert_eq!(plain("a \u{1b}[1;31mred\u{1b}[0m b"), "a red b");
        assert_eq!(plain("\u{1b}]0;title\u{7}x"), "x");
        assert_eq!(
            plain("\u{1b}]8;;http://evil/\u{1b}\\link\u{1b}]8;;\u{1b}\\"),
            "link"
        );
        assert_eq!(plain("\u{9b}2Jx"), "x");
        assert_eq!(plain("\u{1b}[31\nnext"), "\nnext");
    }

    #[test]
    fn what_moves_the_cursor_or_turns_text_is_shown() {
        assert_eq!(plain("a\rb\u{8}c"), "a⟨d⟩b⟨8⟩c");
        assert_eq!(plain("a\r\nb"), "a\nb");
        assert_eq!(plain("user\u{202e}txt"), "user⟨202e⟩txt");
        assert_eq!(plain("tab\tand\nline"), "tab\tand\nline");
    }

    proptest! {
        #[test]
        fn nothing_odd_is_left(text in "(\\PC|[\\x00-\\x1f\\x7f-\\x9f]|\u{202e}){0,60}") {
            prop_assert!(!plain(&text).chars().any(is_odd));
        }
    }
}

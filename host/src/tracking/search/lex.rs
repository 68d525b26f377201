//! Text to tokens, each with its place.

use super::{SEARCH_TEXT_BYTES_MAX, SearchError};

/// A piece of a filter.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// A bare word: names with their dots, `AND`, `LIKE`.
    Word(String),
    /// In back quotes: a name.
    Name(String),
    /// In double quotes: a name or a text.
    Double(String),
    /// In single quotes: a text.
    Text(String),
    /// A number as it is written.
    Number(String),
    /// `=`, `!=`, `<`, `<=`, `>`, `>=`, `(`, `)` or `,`.
    Sign(&'static str),
}

/// A token and where it begins, counted in characters from 1.
pub(super) type Placed = (Token, usize);

const SIGNS: [&str; 11] = ["!=", "<>", "<=", ">=", "==", "=", "<", ">", "(", ")", ","];

/// Splits a text.
pub(super) fn lex(text: &str) -> Result<Vec<Placed>, SearchError> {
    let error = |what: String, at: usize, allowed: &str| SearchError {
        what,
        at,
        text: text.chars().take(200).collect(),
        allowed: allowed.to_owned(),
    };
    if text.len() > SEARCH_TEXT_BYTES_MAX {
        let allowed = format!("at most {SEARCH_TEXT_BYTES_MAX} bytes are read");
        return Err(error("too long a text".to_owned(), 1, &allowed));
    }
    let mut tokens = Vec::new();
    let mut rest = text;
    let mut at = 1;
    loop {
        let trimmed = rest.trim_start();
        at += rest.chars().count() - trimmed.chars().count();
        rest = trimmed;
        let Some(first) = rest.chars().next() else {
            return Ok(tokens);
        };
        let (token, length) = match first {
            '\'' | '"' | '`' => quoted(rest, first).ok_or_else(|| {
                let what = format!("a {first} that is never closed");
                error(what, at, "close it; a quote inside a text is written twice")
            })?,
            _ => sign(rest).or_else(|| word(rest)).ok_or_else(|| {
                let allowed = "a filter has names, comparisons, numbers and quoted texts";
                error(format!("{first:?} means nothing"), at, allowed)
            })?,
        };
        tokens.push((token, at));
        let (taken, behind) = rest.split_at_checked(length).unwrap_or((rest, ""));
        at += taken.chars().count();
        rest = behind;
    }
}

/// A quoted piece and its length in bytes; the quote inside is written twice.
fn quoted(rest: &str, quote: char) -> Option<(Token, usize)> {
    let mut content = String::new();
    let mut chars = rest.char_indices().skip(1).peekable();
    while let Some((place, next)) = chars.next() {
        if next == quote {
            if chars.next_if(|(_, after)| *after == quote).is_none() {
                let token = match quote {
                    '\'' => Token::Text(content),
                    '"' => Token::Double(content),
                    _ => Token::Name(content),
                };
                return Some((token, place + 1));
            }
            content.push(quote);
        } else {
            content.push(next);
        }
    }
    None
}

fn sign(rest: &str) -> Option<(Token, usize)> {
    let sign = SIGNS.into_iter().find(|sign| rest.starts_with(sign))?;
    let meant = match sign {
        "<>" => "!=",
        "==" => "=",
        sign => sign,
    };
    Some((Token::Sign(meant), sign.len()))
}

/// A number or a word. Names may hold what MLflow's keys do, but spaces and quotes need quotes round them.
fn word(rest: &str) -> Option<(Token, usize)> {
    let is_part = |next: char| next.is_alphanumeric() || "_.-/:@+".contains(next);
    let length = rest.find(|next| !is_part(next)).unwrap_or(rest.len());
    let (word, _) = rest.split_at_checked(length)?;
    let first = word.chars().next()?;
    let is_number = first.is_ascii_digit() || "+-.".contains(first);
    let token = if is_number && word.parse::<f64>().is_ok_and(f64::is_finite) {
        Token::Number(word.to_owned())
    } else {
        Token::Word(word.to_owned())
    };
    Some((token, length))
}

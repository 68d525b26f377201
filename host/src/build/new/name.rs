//! Which names a plugin may have: what a DAG can write and every language can take for a package.

use crate::build::BuildError;

/// The longest name, bytes.
const NAME_BYTES_MAX: usize = 64;

/// Words that cargo takes for no package's name, and so no language here does.
const RESERVED: &[&str] = &[
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "core",
    "crate", "do", "dyn", "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if",
    "impl", "in", "let", "loop", "macro", "match", "mod", "move", "mut", "override", "priv", "pub",
    "ref", "return", "self", "static", "std", "struct", "super", "test", "trait", "true", "try",
    "type", "typeof", "unsafe", "unsized", "use", "virtual", "where", "while", "yield",
];

pub(super) fn check(name: &str) -> Result<(), BuildError> {
    let is_letter = |byte: u8| byte.is_ascii_lowercase();
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let reason = if name.is_empty() || name.len() > NAME_BYTES_MAX {
        format!("it has 1 to {NAME_BYTES_MAX} characters")
    } else if !name.bytes().next().is_some_and(is_letter) || !name.bytes().all(is_inner) {
        "it has lower-case letters, digits and underscores, and begins with a letter".to_owned()
    } else if RESERVED.contains(&name) {
        "the word has a meaning of its own in Rust, and names are the same in every language"
            .to_owned()
    } else {
        return Ok(());
    };
    Err(BuildError::BadName {
        name: name.to_owned(),
        reason,
    })
}

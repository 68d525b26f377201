//! Patterns of file names as Python's `fnmatch` has them.

/// Python's `fnmatch`, in time `pattern × text`: `*` remembers one place to come back to.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    let (mut at_pattern, mut at_text) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(&character) = text.get(at_text) {
        let step = match pattern.get(at_pattern) {
            Some('*') => {
                star = Some((at_pattern + 1, at_text));
                at_pattern += 1;
                continue;
            }
            Some('?') => Some(1),
            Some('[') => in_set(pattern.get(at_pattern + 1..).unwrap_or_default(), character),
            Some(&wanted) => (wanted == character).then_some(1),
            None => None,
        };
        match (step, star) {
            (Some(length), _) => {
                at_pattern += length;
                at_text += 1;
            }
            (None, Some((after_star, from))) => {
                at_pattern = after_star;
                at_text = from + 1;
                star = Some((after_star, from + 1));
            }
            (None, None) => return false,
        }
    }
    let rest = pattern.get(at_pattern..).unwrap_or_default();
    rest.iter().all(|&character| character == '*')
}

/// Whether the set that follows a `[` holds `character`: the pattern's length from the `[` on, or none. A `[` that is never
/// closed stands for itself.
fn in_set(after: &[char], character: char) -> Option<usize> {
    let negated = after.first() == Some(&'!');
    let start = usize::from(negated);
    // A `]` right after the opening belongs to the set.
    let Some(length) = after
        .get(start + 1..)
        .and_then(|rest| rest.iter().position(|&c| c == ']'))
    else {
        return (character == '[').then_some(1);
    };
    let end = start + 1 + length;
    let set = after.get(start..end).unwrap_or_default();
    let mut held = false;
    let mut place = 0;
    while let Some(&low) = set.get(place) {
        if let (Some('-'), Some(&high)) = (set.get(place + 1), set.get(place + 2)) {
            held |= (low..=high).contains(&character);
            place += 3;
        } else {
            held |= low == character;
            place += 1;
        }
    }
    (held != negated).then_some(end + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fnmatch() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("a*c", "abbbc", true),
            ("a*c", "abbbd", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[!a-c]x", "dx", true),
            ("[]]", "]", true),
            ("[x", "[x", true),
            ("*a*b", "xxaxxab", true),
            ("", "a", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }
}

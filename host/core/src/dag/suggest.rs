//! Did-you-mean: the nearest of the words that would have been right.
//! It refuses guesses that share too little with what was written.

/// Longer words are not compared: nobody mistypes them, and comparing costs the product of the lengths.
const WORD_MAX: usize = 100;
/// More candidates than this are not searched.
const CANDIDATES_MAX: usize = 20_000;

/// The candidate nearest to `word`, if it is near enough to be what was meant.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > WORD_MAX {
        return None;
    }
    let word = word.to_lowercase();
    let limit = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .take(CANDIDATES_MAX)
        .filter(|candidate| candidate.len().abs_diff(word.len()) <= limit)
        .map(|candidate| (distance(&word, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= limit)
        // The word breaks ties: candidates may come from a hash map.
        .min()
        .map(|(_, candidate)| candidate)
}

/// The hint for an unknown `word`, or what `otherwise` says.
pub(super) fn hint<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
    otherwise: impl FnOnce() -> Option<String>,
) -> Option<String> {
    nearest(word, candidates)
        .map(|near| format!("did you mean `{near}`?"))
        .or_else(otherwise)
}

/// Levenshtein's distance, with a swap of neighbours counted as one.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=right.len()).collect();
    let mut last = None;
    for (row, a) in left.chars().enumerate() {
        let mut current = Vec::with_capacity(above.len());
        current.push(row + 1);
        for (column, b) in right.iter().enumerate() {
            let at =
                |line: &[usize], place: usize| line.get(place).copied().unwrap_or(usize::MAX / 2);
            let mut best = (at(&above, column) + usize::from(a != *b))
                .min(at(&above, column + 1) + 1)
                .min(at(&current, column) + 1);
            let swapped = column > 0 && last == Some(*b) && right.get(column - 1) == Some(&a);
            if swapped {
                best = best.min(at(&before, column - 1) + 1);
            }
            current.push(best);
        }
        last = Some(a);
        before = std::mem::replace(&mut above, current);
    }
    above.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swaps_and_slips_are_near_and_strangers_are_not() {
        let keys = ["retries", "retry_delay", "depends_on"];
        assert_eq!(nearest("retires", keys), Some("retries"));
        assert_eq!(nearest("depend_on", keys), Some("depends_on"));
        assert_eq!(nearest("RETRIES", keys), Some("retries"));
        assert_eq!(nearest("colour", keys), None);
        assert_eq!(nearest("t3", ["t2", "t1", "t9"]), Some("t1"));
        assert_eq!(distance("abcd", "abdc"), 1);
        assert_eq!(distance("", "abc"), 3);
    }
}

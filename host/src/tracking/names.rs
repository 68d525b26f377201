//! Names and ids that nobody gave: unlike each other, and of no use for guessing anything.

use std::hash::{BuildHasher, RandomState};

const ADJECTIVES: [&str; 24] = [
    "able", "bold", "brave", "bright", "calm", "clean", "clever", "fair", "fast", "fine", "gentle",
    "glad", "grand", "keen", "kind", "light", "merry", "mild", "neat", "quiet", "rapid", "sharp",
    "smooth", "wise",
];
const NOUNS: [&str; 24] = [
    "ant", "bear", "bee", "bird", "cat", "crab", "crane", "crow", "deer", "dove", "duck", "finch",
    "fox", "frog", "goose", "hare", "hawk", "lark", "lynx", "mole", "otter", "owl", "seal", "wren",
];

/// A number that no other call got: `RandomState` is seeded by the system and never the same twice.
fn number() -> u64 {
    RandomState::new().hash_one(0_u8)
}

/// 32 hex digits.
pub(super) fn id() -> String {
    format!("{:016x}{:016x}", number(), number())
}

/// What MLflow calls a run that nobody named: an adjective, an animal and a number.
pub(super) fn run_name() -> String {
    let mut left = number();
    let mut below = |limit: usize| {
        let limit = u64::try_from(limit).unwrap_or(1).max(1);
        let chosen = left % limit;
        left /= limit;
        usize::try_from(chosen).unwrap_or(0)
    };
    let adjective = ADJECTIVES.get(below(ADJECTIVES.len())).unwrap_or(&"able");
    let noun = NOUNS.get(below(NOUNS.len())).unwrap_or(&"ant");
    format!("{adjective}-{noun}-{}", below(1_000))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn ids_differ_and_have_32_hex_digits() {
        let ids: BTreeSet<String> = (0..1_000).map(|_| id()).collect();
        assert_eq!(ids.len(), 1_000);
        assert!(ids.iter().all(|id| id.len() == 32));
        assert_eq!(run_name().split('-').count(), 3);
    }
}

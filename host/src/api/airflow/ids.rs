//! Numbers and UUIDs where Airflow's database has them and Airlock has names: made of the name's digest, so that they are the same
//! at every call and in every copy of the store.

use crate::app::{digest_of, hex};

/// A number of 52 bits, which every client reads exactly.
pub(super) fn number(name: &str) -> i64 {
    let digest = digest_of(name);
    let bytes = digest.first_chunk::<8>().copied().unwrap_or_default();
    i64::try_from(u64::from_be_bytes(bytes) >> 12).unwrap_or_default()
}

/// A UUID of version 8 (RFC 9562).
pub(super) fn uuid(name: &str) -> String {
    let digest = digest_of(name);
    let mut bytes = digest.first_chunk::<16>().copied().unwrap_or_default();
    let [_, _, _, _, _, _, version, _, variant, ..] = &mut bytes;
    *version = *version & 0x0f | 0x80;
    *variant = *variant & 0x3f | 0x80;
    let hex = hex(&bytes);
    let parts = [(0, 8), (8, 12), (12, 16), (16, 20), (20, 32)];
    let parts = parts.map(|(from, to)| hex.get(from..to).unwrap_or_default());
    parts.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_get_numbers_and_uuids_that_stay() {
        assert_eq!(number("a"), number("a"));
        assert_ne!(number("a"), number("b"));
        assert!((0..1 << 52).contains(&number("x")));
        let id = uuid("a");
        assert_eq!(id.len(), 36);
        assert_eq!(id.as_bytes()[14], b'8');
        assert!(b"89ab".contains(&id.as_bytes()[19]));
        assert_ne!(id, uuid("b"));
    }
}

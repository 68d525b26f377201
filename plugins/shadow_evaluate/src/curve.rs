//! What scores say about labels of 0 and 1. The host measures whole tables; these are over any choice of rows from several.

/// The area under the ROC curve: how often a positive row scores above a negative one, ties counting half. None where one of the
/// two is missing.
pub(crate) fn auc(rows: &[(f32, bool)]) -> Option<f64> {
    let (mut below, mut pairs) = (0_u64, 0_u64);
    for group in ties(rows) {
        // Doubled, so that half a pair is a whole number.
        pairs += group.positives * (2 * below + group.negatives);
        below += group.negatives;
    }
    let positives = rows.len() as u64 - below;
    ratio(pairs, 2 * positives * below)
}

/// The mean of the precision at each positive row, rows of one score taken at once (as scikit-learn does). None where there is no
/// positive row.
#[expect(clippy::cast_precision_loss, reason = "rows are far fewer than 2^53")]
pub(crate) fn average_precision(rows: &[(f32, bool)]) -> Option<f64> {
    let (mut found, mut seen, mut sum) = (0_u64, 0_u64, 0.0);
    for group in ties(rows).into_iter().rev() {
        found += group.positives;
        seen += group.positives + group.negatives;
        sum += group.positives as f64 * (found as f64 / seen as f64);
    }
    (found > 0).then(|| sum / found as f64)
}

#[expect(clippy::cast_precision_loss, reason = "rows are far fewer than 2^26")]
fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// How many rows of one score are positive and negative.
#[derive(Default, Clone, Copy)]
struct Ties {
    positives: u64,
    negatives: u64,
}

/// By score, lowest first.
fn ties(rows: &[(f32, bool)]) -> Vec<Ties> {
    // Adding 0 makes -0.0 and 0.0 one score.
    let order = |left: f32, right: f32| (left + 0.0).total_cmp(&(right + 0.0));
    let mut sorted = rows.to_vec();
    sorted.sort_by(|left, right| order(left.0, right.0));
    let same = |left: &(f32, bool), right: &(f32, bool)| order(left.0, right.0).is_eq();
    let count = |group: &[(f32, bool)]| {
        let positives = group.iter().filter(|(_, label)| *label).count() as u64;
        Ties {
            positives,
            negatives: group.len() as u64 - positives,
        }
    };
    sorted.chunk_by(same).map(count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cmp::Ordering;

    /// Every pair of rows, one after the other.
    fn auc_by_pairs(rows: &[(f32, bool)]) -> Option<f64> {
        let (mut won, mut pairs) = (0.0, 0.0);
        for (score, _) in rows.iter().filter(|(_, label)| *label) {
            for (other, _) in rows.iter().filter(|(_, label)| !*label) {
                pairs += 1.0;
                won += match score.partial_cmp(other) {
                    Some(Ordering::Greater) => 1.0,
                    Some(Ordering::Equal) => 0.5,
                    _ => 0.0,
                };
            }
        }
        (pairs > 0.0).then(|| won / pairs)
    }

    /// The sum over thresholds of precision times the recall that is gained there.
    #[expect(clippy::cast_precision_loss, reason = "a few rows")]
    fn average_precision_by_thresholds(rows: &[(f32, bool)]) -> Option<f64> {
        let positives = rows.iter().filter(|(_, label)| *label).count() as f64;
        let mut thresholds: Vec<f32> = rows.iter().map(|(score, _)| *score).collect();
        thresholds.sort_by(|left, right| right.total_cmp(left));
        thresholds.dedup();
        let (mut recall, mut sum) = (0.0, 0.0);
        for threshold in thresholds {
            let taken: Vec<_> = rows
                .iter()
                .filter(|(score, _)| *score >= threshold)
                .collect();
            let hits = taken.iter().filter(|(_, label)| *label).count() as f64;
            sum += (hits / positives - recall) * (hits / taken.len() as f64);
            recall = hits / positives;
        }
        (positives > 0.0).then_some(sum)
    }

    /// Rows of few different scores, so that there are ties: every small table there is.
    fn tables() -> impl Iterator<Item = Vec<(f32, bool)>> {
        (0..=6_u32).flat_map(|count| {
            (0..6_u32.pow(count)).map(move |number| {
                let digit = |place| number / 6_u32.pow(place) % 6;
                let row = |place| {
                    (
                        f32::from(u8::try_from(digit(place) / 2).unwrap()) / 4.0,
                        digit(place) % 2 == 1,
                    )
                };
                (0..count).map(row).collect()
            })
        })
    }

    fn near(left: Option<f64>, right: Option<f64>) -> bool {
        match (left, right) {
            (Some(left), Some(right)) => (left - right).abs() < 1e-12,
            (left, right) => left.is_none() && right.is_none(),
        }
    }

    #[test]
    fn both_are_what_their_definitions_say_on_every_small_table() {
        let mut played = 0;
        for rows in tables() {
            assert!(near(auc(&rows), auc_by_pairs(&rows)), "{rows:?}");
            let expected = average_precision_by_thresholds(&rows);
            assert!(near(average_precision(&rows), expected), "{rows:?}");
            played += 1;
        }
        assert_eq!(played, 55_987);
    }
}

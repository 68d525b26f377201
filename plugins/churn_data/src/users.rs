//! One user, drawn from a seed and a row number alone, so that tables can be made in parts and in any order.

/// A stream of random numbers (`SplitMix64`), one a user.
pub(crate) struct Random(u64);

impl Random {
    /// The stream of `row` under `seed`.
    pub(crate) fn new(seed: u64, row: u64) -> Self {
        let mut seeded = Self(seed);
        let start = seeded.next();
        let mut rowed = Self(start ^ row.wrapping_mul(0xd134_2543_de82_ef95));
        Self(rowed.next())
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// In [0, 1).
    #[expect(clippy::cast_precision_loss, reason = "53 bits are a float's own")]
    pub(crate) fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Exponential with mean 1.
    fn exponential(&mut self) -> f64 {
        -(1.0 - self.uniform()).ln()
    }

    /// Normal with mean 0 and deviation 1 (Box and Muller).
    fn normal(&mut self) -> f64 {
        let radius = (2.0 * self.exponential()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// An integer in [0, below).
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "callers draw small numbers"
    )]
    fn below(&mut self, below: i64) -> i64 {
        (self.uniform() * below as f64) as i64
    }

    /// How many of `trials` hit.
    fn hits(&mut self, trials: i64, probability: f64) -> i64 {
        (0..trials)
            .map(|_| i64::from(self.uniform() < probability))
            .sum()
    }
}

/// A user as the raw table shows one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct User {
    /// Microseconds between the last login and the date.
    pub(crate) since_login: i64,
    /// Minutes, oldest first.
    pub(crate) session_lengths: Vec<f64>,
    pub(crate) payment_failures: i64,
    pub(crate) payment_attempts: i64,
    /// 0 to 3.
    pub(crate) plan_tier: i64,
    pub(crate) support_tickets: i64,
    pub(crate) churned: bool,
}

const MICROS_PER_DAY: f64 = 86_400e6;
/// Log-odds of churn of the average user: about one in four.
const BASE: f64 = -1.3;

impl User {
    /// The user of `row`.
    pub(crate) fn of(seed: u64, row: u64, signal: f64, label_noise: f64) -> Self {
        Self::with_odds(seed, row, signal, label_noise).0
    }

    /// The user, and the log-odds of churn that the features imply.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "all drawn numbers are small"
    )]
    fn with_odds(seed: u64, row: u64, signal: f64, label_noise: f64) -> (Self, f64) {
        let mut random = Random::new(seed, row);
        let days = 12.0 * random.exponential();
        let length = 25.0 + 8.0 * random.normal();
        // One in ten has too few sessions for a weekly average.
        let sessions = if random.uniform() < 0.1 {
            random.below(7)
        } else {
            7 + random.below(8)
        };
        let session_lengths = (0..sessions)
            .map(|_| (length + 5.0 * random.normal()).max(1.0))
            .collect();
        let payment_attempts = 1 + random.below(5);
        let reliability = random.uniform();
        let payment_failures = random.hits(payment_attempts, 0.4 * reliability * reliability);
        let plan_tier = random.below(4);
        let trouble = random.uniform();
        let support_tickets = random.hits(8, 0.25 * trouble);

        let failure_rate = payment_failures as f64 / payment_attempts as f64;
        let odds = (days - 12.0) / 12.0 - (length - 25.0) / 8.0 + 2.5 * (failure_rate - 0.13)
            - 0.5 * (plan_tier as f64 - 1.5)
            + 0.6 * (support_tickets as f64 - 1.0);
        let probability = 1.0 / (1.0 + (-(BASE + signal * odds)).exp());
        let churned = random.uniform() < probability;
        let flipped = random.uniform() < label_noise;
        let user = Self {
            since_login: (days * MICROS_PER_DAY) as i64,
            session_lengths,
            payment_failures,
            payment_attempts,
            plan_tier,
            support_tickets,
            churned: churned != flipped,
        };
        (user, odds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The AUC that a model which knows the odds would reach: an upper bound for any model.
    #[expect(clippy::cast_precision_loss, reason = "pairs stay far below 2^53")]
    fn auc(signal: f64, label_noise: f64) -> f64 {
        let mut users: Vec<(f64, bool)> = (0..20_000)
            .map(|row| User::with_odds(11, row, signal, label_noise))
            .map(|(user, odds)| (odds, user.churned))
            .collect();
        users.sort_by(|left, right| left.0.total_cmp(&right.0));
        let (mut negatives, mut pairs) = (0_u32, 0_u64);
        for (_, churned) in &users {
            if *churned {
                pairs += u64::from(negatives);
            } else {
                negatives += 1;
            }
        }
        let positives = f64::from(20_000 - negatives);
        pairs as f64 / (positives * f64::from(negatives))
    }

    #[test]
    fn the_signal_decides_what_can_be_learned() {
        let (none, weak, strong) = (auc(0.0, 0.0), auc(0.6, 0.0), auc(1.0, 0.0));
        assert!((0.48..0.52).contains(&none), "{none}");
        assert!((0.72..0.82).contains(&weak), "{weak}");
        assert!((0.82..0.90).contains(&strong), "{strong}");
        let noisy = auc(1.0, 0.2);
        assert!(noisy < strong - 0.05, "{noisy}");
    }

    #[test]
    fn a_user_depends_on_seed_and_row_alone() {
        assert_eq!(User::of(1, 5, 1.0, 0.0), User::of(1, 5, 1.0, 0.0));
        assert_ne!(User::of(1, 5, 1.0, 0.0), User::of(1, 6, 1.0, 0.0));
        assert_ne!(User::of(1, 5, 1.0, 0.0), User::of(2, 5, 1.0, 0.0));
    }
}

//! Whether a metric has stopped improving.

use crate::config::EarlyStop;

/// Follows one metric over the rounds.
pub(crate) struct Stopping {
    rule: EarlyStop,
    best: Option<(f64, usize)>,
}

impl Stopping {
    pub(crate) fn new(rule: &EarlyStop) -> Self {
        Self {
            rule: rule.clone(),
            best: None,
        }
    }

    /// Takes the value after `round` rounds; whether as many rounds as the rule says went by without an improvement.
    pub(crate) fn is_over(&mut self, value: f64, round: usize) -> bool {
        let gain = |best: f64| {
            if self.rule.metric.higher_is_better() {
                value - best
            } else {
                best - value
            }
        };
        match self.best {
            Some((best, at)) if gain(best).is_nan() || gain(best) <= self.rule.min_delta => {
                round - at >= self.rule.rounds as usize
            }
            _ => {
                self.best = Some((value, round));
                false
            }
        }
    }

    /// Rounds of the best value so far.
    pub(crate) fn best_round(&self) -> Option<usize> {
        self.best.map(|(_, round)| round)
    }
}

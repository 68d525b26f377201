//! From figures to a decision, with its reason in one word.

use crate::rows::Figures;

/// Why a challenger passes that is the champion: a repeated run.
pub(crate) const ALREADY: &str = "already_in_production";

/// What is good enough.
pub(crate) struct Thresholds {
    pub(crate) min_auc: Option<f64>,
    pub(crate) min_average_precision: Option<f64>,
    pub(crate) margin: f64,
}

/// What was decided.
pub(crate) struct Judgement {
    pub(crate) passed: bool,
    pub(crate) reason: &'static str,
}

/// The challenger's own figures are looked at first, then those of the champion.
pub(crate) fn judge(
    own: &Figures,
    champion: Option<&Figures>,
    is_champion: bool,
    thresholds: &Thresholds,
) -> Judgement {
    let judgement = |passed, reason| Judgement { passed, reason };
    if is_champion {
        return judgement(true, ALREADY);
    }
    if thresholds.min_auc.is_some_and(|min| own.auc < min) {
        return judgement(false, "shadow_auc_below_threshold");
    }
    let min = thresholds.min_average_precision;
    if min.is_some_and(|min| own.average_precision < min) {
        return judgement(false, "shadow_average_precision_below_threshold");
    }
    match champion {
        None => judgement(true, "no_champion_exists"),
        Some(champion) if own.auc - champion.auc >= thresholds.margin => {
            judgement(true, "shadow_improvement_above_threshold")
        }
        Some(_) => judgement(false, "shadow_improvement_below_threshold"),
    }
}

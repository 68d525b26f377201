//! Faults that a test plans, so that what happens after one is proved without a broken machine. Nothing is planned unless the
//! setting [`ENV`] or a test says so.

use airlock_trainer::{Algorithm, Config, Model};
use std::fmt;
use std::str::FromStr;

/// The setting of the program that plans faults: `KIND@ROUND`, one for each worker process in the order of their starts, separated
/// by commas; `none` for a worker without. For tests of the program.
pub const ENV: &str = "AIRLOCK_TEST_TRAINER_FAULTS";

/// What breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// The device reports an error that it does not recover from.
    Fault,
    /// The process asks for more memory than it may have.
    Oom,
    /// Nothing is heard any more.
    Hang,
    /// The process ends by itself.
    Exit,
    /// The process is killed.
    Kill,
}

/// One planned fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// What breaks.
    pub kind: FaultKind,
    /// After so many rounds, or one more than it goes on from: the last checkpoint is told, and what would come after it is lost.
    pub round: u32,
}

impl FaultKind {
    const ALL: [(&'static str, Self); 5] = [
        ("fault", Self::Fault),
        ("oom", Self::Oom),
        ("hang", Self::Hang),
        ("exit", Self::Exit),
        ("kill", Self::Kill),
    ];
}

impl Fault {
    /// Lets the run that breaks end where it breaks, so that no plan depends on how fast a machine is.
    pub(super) fn cut(self, config: &mut Config) {
        let from = config.resume_from.as_deref();
        let from = from.and_then(|bytes| Model::from_bytes(bytes).ok());
        let from = from.map_or(0, |model| u32::try_from(model.rounds()).unwrap_or(0));
        if let Algorithm::Gbdt(gbdt) = &mut config.algorithm {
            gbdt.rounds = gbdt.rounds.min(self.round.max(from + 1));
        }
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("a planned fault reads `fault|oom|hang|exit|kill@ROUND`, not `{text}`");
        let (kind, round) = text.split_once('@').ok_or_else(wrong)?;
        let known = FaultKind::ALL.into_iter().find(|(name, _)| *name == kind);
        let (_, kind) = known.ok_or_else(wrong)?;
        let round = round.parse().map_err(|_| wrong())?;
        Ok(Self { kind, round })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = FaultKind::ALL
            .into_iter()
            .find(|(_, kind)| *kind == self.kind);
        let name = known.map_or("fault", |(name, _)| name);
        write!(out, "{name}@{}", self.round)
    }
}

/// What [`ENV`] plans. Unreadable entries plan nothing.
pub(super) fn from_env() -> Vec<Option<Fault>> {
    std::env::var(ENV).map_or_else(
        |_| Vec::new(),
        |plan| plan.split(',').map(|one| one.trim().parse().ok()).collect(),
    )
}

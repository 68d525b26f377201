//! The capability interfaces by name, and sets of them. It refuses to know what a grant covers inside an interface: that is
//! the ports' work.

use airlock_core::grant::Grants;

/// One importable interface of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Interface {
    /// `airlock:operator/log`.
    Log,
    /// `airlock:operator/progress`.
    Progress,
    /// `airlock:operator/xcom`.
    Xcom,
    /// `airlock:operator/storage`.
    Storage,
    /// `airlock:operator/dataset`.
    Dataset,
    /// `airlock:operator/training`.
    Training,
    /// `airlock:operator/tracking`.
    Tracking,
    /// `airlock:operator/models`.
    Models,
    /// `airlock:operator/dag-state`.
    DagState,
    /// `airlock:operator/secrets`.
    Secrets,
    /// `wasi:http/outgoing-handler`.
    Http,
    /// `airlock:operator/dag-runs`.
    DagRuns,
    /// `airlock:operator/human`.
    Human,
    /// `airlock:operator/calendar`.
    Calendar,
    /// `airlock:operator/email`.
    Email,
    /// `airlock:operator/clock`.
    Clock,
}

impl Interface {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::Log,
        Self::Progress,
        Self::Xcom,
        Self::Storage,
        Self::Dataset,
        Self::Training,
        Self::Tracking,
        Self::Models,
        Self::DagState,
        Self::Secrets,
        Self::Http,
        Self::DagRuns,
        Self::Human,
        Self::Calendar,
        Self::Email,
        Self::Clock,
    ];

    /// The component model's name, without a version.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Log => "airlock:operator/log",
            Self::Progress => "airlock:operator/progress",
            Self::Xcom => "airlock:operator/xcom",
            Self::Storage => "airlock:operator/storage",
            Self::Dataset => "airlock:operator/dataset",
            Self::Training => "airlock:operator/training",
            Self::Tracking => "airlock:operator/tracking",
            Self::Models => "airlock:operator/models",
            Self::DagState => "airlock:operator/dag-state",
            Self::Secrets => "airlock:operator/secrets",
            Self::Http => "wasi:http/outgoing-handler",
            Self::DagRuns => "airlock:operator/dag-runs",
            Self::Human => "airlock:operator/human",
            Self::Calendar => "airlock:operator/calendar",
            Self::Email => "airlock:operator/email",
            Self::Clock => "airlock:operator/clock",
        }
    }

    /// The member of `grants` in a DAG that would allow it.
    pub const fn grant(self) -> &'static str {
        match self {
            Self::Log
            | Self::Progress
            | Self::Xcom
            | Self::Human
            | Self::Calendar
            | Self::Clock => "none",
            Self::Storage | Self::Dataset => "storage",
            Self::Training => "training",
            Self::Tracking => "tracking",
            Self::Models => "models",
            Self::DagState => "dag_state",
            Self::Secrets => "secrets",
            Self::Http => "http",
            Self::DagRuns => "trigger_dags",
            Self::Email => "email",
        }
    }
}

/// A set of interfaces.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct InterfaceSet(u16);

impl InterfaceSet {
    /// Nothing at all.
    pub const NONE: Self = Self(0);

    /// What needs no grant: a guest may speak, ask a person, and see its own run and the time.
    pub fn ungranted() -> Self {
        Self::NONE
            .with(Interface::Log)
            .with(Interface::Progress)
            .with(Interface::Xcom)
            .with(Interface::Human)
            .with(Interface::Calendar)
            .with(Interface::Clock)
    }

    /// Everything.
    pub fn all() -> Self {
        Interface::ALL.into_iter().fold(Self::NONE, Self::with)
    }

    /// The interfaces that `grants` opens at all; how far is for the ports to say.
    pub fn from_grants(grants: &Grants) -> Self {
        // States of runs may be read through either interface; what may be triggered is for the port to say.
        let dag_runs = !grants.trigger_dags.is_empty() || !grants.dag_state.is_empty();
        let storage = !grants.storage.is_empty() || !grants.storage_read.is_empty();
        [
            (Interface::Storage, storage),
            (Interface::Dataset, storage),
            (Interface::Training, grants.training.is_some()),
            (Interface::Tracking, !grants.tracking.is_empty()),
            (Interface::Models, !grants.models.is_empty()),
            (Interface::DagState, !grants.dag_state.is_empty()),
            (Interface::DagRuns, dag_runs),
            (Interface::Secrets, !grants.secrets.is_empty()),
            (Interface::Http, !grants.http.is_empty()),
            (Interface::Email, !grants.email.is_empty()),
        ]
        .into_iter()
        .filter(|(_, open)| *open)
        .fold(Self::ungranted(), |set, (interface, _)| set.with(interface))
    }

    /// This set and one more.
    #[must_use]
    pub const fn with(self, interface: Interface) -> Self {
        Self(self.0 | 1 << interface as u16)
    }

    /// Whether it is in.
    pub const fn contains(self, interface: Interface) -> bool {
        self.0 & 1 << interface as u16 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_grants_open_nothing_but_what_is_the_own_run() {
        let set = InterfaceSet::from_grants(&Grants::default());
        let open: Vec<_> = Interface::ALL
            .into_iter()
            .filter(|interface| set.contains(*interface))
            .collect();
        assert_eq!(
            open,
            [
                Interface::Log,
                Interface::Progress,
                Interface::Xcom,
                Interface::Human,
                Interface::Calendar,
                Interface::Clock
            ]
        );
    }

    #[test]
    fn each_grant_opens_its_own_interface() {
        let grants = Grants {
            http: vec!["example.com".into()],
            storage_read: vec!["file://./data/".into()],
            ..Grants::default()
        };
        let set = InterfaceSet::from_grants(&grants);
        assert!(set.contains(Interface::Http));
        assert!(set.contains(Interface::Storage) && set.contains(Interface::Dataset));
        assert!(!set.contains(Interface::Secrets) && !set.contains(Interface::Training));
    }
}

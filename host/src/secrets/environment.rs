//! Variables and connections in the environment: `AIRLOCK_VAR_KEY`, `AIRLOCK_CONN_ID`, in capitals, `_` for what a shell does not
//! take in a name.

use std::collections::HashMap;

const VARIABLE: &str = "AIRLOCK_VAR_";
const CONNECTION: &str = "AIRLOCK_CONN_";

/// The environment, or what a test says is in it.
pub(super) enum Environment {
    /// The one of this process.
    Process,
    /// This one alone.
    #[cfg_attr(not(test), expect(dead_code, reason = "for tests"))]
    Fixed(HashMap<String, String>),
}

impl Environment {
    pub(super) fn of_process() -> Self {
        Self::Process
    }

    /// A variable of the environment; empty is absent.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        let value = match self {
            Self::Process => std::env::var(name).ok(),
            Self::Fixed(values) => values.get(name).cloned(),
        };
        value.filter(|value| !value.is_empty())
    }

    pub(super) fn variable(&self, key: &str) -> Option<String> {
        self.get(&named(VARIABLE, key))
    }

    pub(super) fn connection(&self, conn_id: &str) -> Option<String> {
        self.get(&connection_name(conn_id))
    }
}

/// The name that holds a connection.
pub(super) fn connection_name(conn_id: &str) -> String {
    named(CONNECTION, conn_id)
}

fn named(prefix: &str, key: &str) -> String {
    let upper = key.to_ascii_uppercase().replace(['-', '.'], "_");
    format!("{prefix}{upper}")
}

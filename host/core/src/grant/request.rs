//! Questions to a grant, their answers, and the sentences that a person reads.

use super::Grants;
use super::address::is_global;
use super::host::{HostError, HostPattern, canonical_host};
use super::mailbox::{AddressError, AddressPattern};
use super::storage::{UriError, normalise_prefix, normalise_uri};
use std::net::IpAddr;

/// Something a guest asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request<'a> {
    /// A call to a host.
    Http {
        /// As the guest wrote it.
        host: &'a str,
        /// TCP port.
        port: u16,
    },
    /// A storage URI.
    Storage {
        /// As the guest wrote it.
        uri: &'a str,
        /// Whether it is to be changed.
        write: bool,
    },
    /// An experiment to log to.
    Experiment(&'a str),
    /// A registered model to change.
    Model(&'a str),
    /// A DAG whose run states are read.
    DagState(&'a str),
    /// A DAG whose runs are triggered.
    TriggerDag(&'a str),
    /// A mail to an address.
    Email(&'a str),
    /// To train.
    Training,
    /// A secret's value in a request to a host.
    Secret {
        /// The secret's name.
        name: &'a str,
        /// Where it would go.
        host: &'a str,
    },
}

/// A request that the grants do not cover.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("denied: {what} is not granted; to allow it add to `grants`: {needed}")]
pub struct Denied {
    /// What was asked for.
    pub what: String,
    /// The grant that would allow it, as a DAG writes it.
    pub needed: String,
}

/// The most patterns in one list of a grant.
pub const PATTERNS_MAX: usize = 256;

/// A pattern in a grant that is not well-formed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// In `http` or `secrets`.
    #[error("grants.{place}: {source}")]
    Host {
        /// Which list.
        place: String,
        /// What is wrong.
        source: HostError,
    },
    /// In `email`.
    #[error("grants.email: {0}")]
    Email(#[from] AddressError),
    /// A list is too long.
    #[error(
        "grants.{place} has more than {PATTERNS_MAX} patterns; use a shorter prefix or *.domain"
    )]
    TooMany {
        /// Which list.
        place: String,
    },
    /// In `storage` or `storage_read`.
    #[error("grants.{place}: {source}")]
    Storage {
        /// Which list.
        place: &'static str,
        /// What is wrong.
        source: UriError,
    },
}

impl Request<'_> {
    /// The exact grant that would allow it, as a DAG writes it: one line of YAML under `grants`.
    pub fn needed(&self) -> String {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        match self {
            Self::Http { host, port } => {
                let host = canonical_host(host).unwrap_or_else(|_| (*host).to_owned());
                match port {
                    80 | 443 => format!("http: [{}]", quoted(&host)),
                    _ => format!("http: [{}]", quoted(&format!("{host}:{port}"))),
                }
            }
            Self::Storage { uri, write } => {
                let uri = normalise_uri(uri).unwrap_or_else(|_| (*uri).to_owned());
                let folder = uri
                    .rfind('/')
                    .map_or(uri.as_str(), |end| uri.get(..=end).unwrap_or(&uri));
                let list = if *write { "storage" } else { "storage_read" };
                format!("{list}: [{}]", quoted(folder))
            }
            Self::Experiment(name) => format!("tracking: [{}]", quoted(name)),
            Self::Model(name) => format!("models: [{}]", quoted(name)),
            Self::DagState(name) => format!("dag_state: [{}]", quoted(name)),
            Self::TriggerDag(name) => format!("trigger_dags: [{}]", quoted(name)),
            Self::Email(address) => format!("email: [{}]", quoted(address)),
            Self::Training => "training: {}".to_owned(),
            Self::Secret { name, host } => {
                format!("secrets: {{{}: [{}]}}", quoted(name), quoted(host))
            }
        }
    }

    fn what(&self) -> String {
        match self {
            Self::Http { host, port } => format!("calling {host}:{port}"),
            Self::Storage { uri, write: true } => format!("writing {uri}"),
            Self::Storage { uri, write: false } => format!("reading {uri}"),
            Self::Experiment(name) => format!("logging to experiment {name}"),
            Self::Model(name) => format!("changing model {name}"),
            Self::DagState(name) => format!("reading the run states of DAG {name}"),
            Self::TriggerDag(name) => format!("triggering runs of DAG {name}"),
            Self::Email(address) => format!("mailing {address}"),
            Self::Training => "training".to_owned(),
            Self::Secret { name, host } => format!("sending secret {name} to {host}"),
        }
    }
}

impl Grants {
    /// Whether `request` is allowed; the error holds the grant that would allow it.
    pub fn check(&self, request: Request<'_>) -> Result<(), Denied> {
        let allowed = match request {
            Request::Http { host, port } => self.allows_http(host, port),
            Request::Storage { uri, write } => self.allows_storage(uri, write),
            Request::Experiment(name) => self.allows_experiment(name),
            Request::Model(name) => self.allows_model(name),
            Request::DagState(name) => self.allows_dag_state(name),
            Request::TriggerDag(name) => self.allows_trigger(name),
            Request::Email(address) => self.allows_email(address),
            Request::Training => self.training.is_some(),
            Request::Secret { name, host } => self.allows_secret(name, host),
        };
        if allowed {
            return Ok(());
        }
        Err(Denied {
            what: request.what(),
            needed: request.needed(),
        })
    }

    /// Whether `port` of `host` may be called. The address it resolves to is a second question: [`Grants::allows_address`].
    pub fn allows_http(&self, host: &str, port: u16) -> bool {
        allows_host(&self.http, host, port)
    }

    /// Whether `ip` may be connected to, once the host was allowed. An address outside the public internet must be
    /// named literally by a grant: a name, `localhost` too, means what its resolver says today.
    pub fn allows_address(&self, ip: IpAddr, port: u16) -> bool {
        if is_global(ip) {
            return true;
        }
        let literal = match ip.to_canonical() {
            IpAddr::V4(v4) => v4.to_string(),
            IpAddr::V6(v6) => format!("[{v6}]"),
        };
        self.http
            .iter()
            .filter_map(|text| HostPattern::parse(text).ok())
            .any(|pattern| pattern.is_exactly(&literal) && pattern.matches(&literal, port))
    }

    /// Whether `uri` may be read, or written. A URI outside the normal form is never allowed.
    pub fn allows_storage(&self, uri: &str, write: bool) -> bool {
        let Ok(uri) = normalise_uri(uri) else {
            return false;
        };
        let covers = |prefix: &String| {
            normalise_prefix(prefix).is_ok_and(|prefix| uri.starts_with(prefix.as_str()))
        };
        self.storage.iter().any(covers) || (!write && self.storage_read.iter().any(covers))
    }

    /// Whether the experiment called `name` may be logged to.
    pub fn allows_experiment(&self, name: &str) -> bool {
        allows_name(&self.tracking, name)
    }

    /// Whether the registered model called `name` may be changed.
    pub fn allows_model(&self, name: &str) -> bool {
        allows_name(&self.models, name)
    }

    /// Whether the run states of the DAG called `name` may be read.
    pub fn allows_dag_state(&self, name: &str) -> bool {
        allows_name(&self.dag_state, name)
    }

    /// Whether runs of the DAG called `name` may be triggered.
    pub fn allows_trigger(&self, name: &str) -> bool {
        allows_name(&self.trigger_dags, name)
    }

    /// Whether a mail may go to `address`, a bare `name@host`.
    pub fn allows_email(&self, address: &str) -> bool {
        self.email
            .iter()
            .filter_map(|text| AddressPattern::parse(text).ok())
            .any(|pattern| pattern.matches(address))
    }

    /// The host patterns that secret `name` may be sent to; `None`: the secret is not granted.
    pub fn secret_hosts(&self, name: &str) -> Option<&[String]> {
        self.secrets.get(name).map(Vec::as_slice)
    }

    /// Whether secret `name` may be sent to `host` over HTTPS on its default port or a port that the grant names.
    pub fn allows_secret(&self, name: &str, host: &str) -> bool {
        let (host, port) = match host.rsplit_once(':') {
            Some((name, port)) if !port.ends_with(']') => (name, port.parse().unwrap_or(0)),
            _ => (host, 443),
        };
        self.secret_hosts(name)
            .is_some_and(|hosts| allows_host(hosts, host, port))
    }

    /// Whether every pattern is well-formed; one that is not would silently allow nothing.
    pub fn validate(&self) -> Result<(), GrantError> {
        let lists = self
            .secrets
            .iter()
            .map(|(name, hosts)| (format!("secrets.{name}"), hosts));
        for (place, patterns) in lists.chain([("http".to_owned(), &self.http)]) {
            check_length(&place, patterns)?;
            for text in patterns {
                HostPattern::parse(text).map_err(|source| GrantError::Host {
                    place: place.clone(),
                    source,
                })?;
            }
        }
        for text in &self.email {
            AddressPattern::parse(text)?;
        }
        for (place, names) in [
            ("email", &self.email),
            ("tracking", &self.tracking),
            ("models", &self.models),
            ("dag_state", &self.dag_state),
            ("trigger_dags", &self.trigger_dags),
        ] {
            check_length(place, names)?;
        }
        for (place, prefixes) in [
            ("storage", &self.storage),
            ("storage_read", &self.storage_read),
        ] {
            check_length(place, prefixes)?;
            for text in prefixes {
                normalise_prefix(text).map_err(|source| GrantError::Storage { place, source })?;
            }
        }
        Ok(())
    }

    /// What a person reads before saying yes, one sentence a permission, in a fixed order.
    pub fn sentences(&self) -> Vec<String> {
        let each = |list: &[String], verb: &str, all: &str| -> Vec<String> {
            let sentence = |name: &String| {
                if name == "*" {
                    all.to_owned()
                } else {
                    format!("{verb} {name}")
                }
            };
            list.iter().map(sentence).collect()
        };
        let mut all = each(&self.http, "may call", "may call any host on the internet");
        all.extend(each(&self.storage, "may read and write", ""));
        all.extend(each(&self.storage_read, "may read", ""));
        all.extend(each(
            &self.tracking,
            "may log to experiment",
            "may log to any experiment",
        ));
        all.extend(each(
            &self.models,
            "may change model",
            "may change any model",
        ));
        all.extend(self.training.iter().map(|training| {
            let mib = training.memory_bytes >> 20;
            format!(
                "may train on this host, with up to {} threads and {mib} MiB",
                training.threads
            )
        }));
        all.extend(self.scratch_bytes.iter().map(|bytes| {
            let mib = bytes.div_ceil(1 << 20);
            format!("may give a program a scratch folder of up to {mib} MiB")
        }));
        all.extend(each(
            &self.dag_state,
            "may read the run states of DAG",
            "may read the run states of any DAG",
        ));
        all.extend(each(
            &self.trigger_dags,
            "may trigger runs of DAG",
            "may trigger runs of any DAG",
        ));
        all.extend(each(&self.email, "may mail", "may mail anybody"));
        all.extend(self.secrets.iter().map(|(name, hosts)| {
            format!(
                "may send secret {name} to {} (and never sees its value)",
                hosts.join(", ")
            )
        }));
        all
    }
}

fn check_length(place: &str, patterns: &[String]) -> Result<(), GrantError> {
    if patterns.len() <= PATTERNS_MAX {
        return Ok(());
    }
    Err(GrantError::TooMany {
        place: place.to_owned(),
    })
}

/// Whether one of these host patterns covers a port of a host. What is no pattern covers nothing.
pub fn allows_host(patterns: &[String], host: &str, port: u16) -> bool {
    let Ok(host) = canonical_host(host) else {
        return false;
    };
    patterns
        .iter()
        .any(|text| HostPattern::parse(text).is_ok_and(|pattern| pattern.matches(&host, port)))
}

/// Whether a list of names covers a name; `*` is any.
pub fn allows_name(list: &[String], name: &str) -> bool {
    list.iter().any(|own| own == "*" || own == name)
}

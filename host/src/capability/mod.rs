//! What the host does for a guest: one interface a file, each with its grant. A denial is a value that names the grant that would
//! help, never a trap. It refuses to know wasmtime and the scheduler: it answers the traits of `sandbox::ports`, and what it needs
//! from a run comes in through small traits.

mod budget;
mod calendar;
mod client;
mod dag_runs;
mod dag_state;
mod dataset;
mod email;
mod engine;
mod files;
mod granted;
mod handles;
mod http;
mod human;
mod log;
mod matrices;
mod models;
mod objects;
mod own_run;
mod policy;
mod provenance;
mod secrets;
mod session;
mod storage;
mod table;
mod tracking;
mod training;
mod uri;
mod vault;
mod xcom;

pub use dag_runs::{CONF_BYTES_MAX, DagRunError, DagRunRequest, DagRunTrigger};
pub use dag_state::{
    DagStateSource, RUN_DATES_MAX, TASK_DATES_MAX, TASKS_MAX, TaskStateCount, Tasks,
};
pub use dataset::DATASET_BYTES_MAX;
pub use email::{EMAIL_ADDRESSES_MAX, EMAIL_BYTES_MAX, EMAILS_MAX};
pub use granted::{USES_MAX, Uses};
pub use http::{
    HTTP_CONCURRENT_MAX, HTTP_HEADER_BYTES_MAX, HTTP_HEADERS_MAX, HTTP_TIMEOUT_MAX,
    HTTP_URL_BYTES_MAX, Resolver, SystemResolver,
};
pub use human::{QUESTION_BYTES_MAX, QUESTION_MEMBERS_MAX, Question, Response};
pub use objects::{
    ConnectionSource, ObjectStorage, SPOOL_BYTES_MAX, STORAGE_PREFIXES_MAX, StorageConnections,
    StorageCredentials,
};
pub use own_run::OwnRun;
pub use provenance::Provenance;
pub use secrets::{SECRET_BYTES_MAX, SecretSource};
pub use session::{SessionContext, session};
pub use training::{EVENT_WAIT_MS_MAX, SCORES_MAX, SEARCH_RUNS_MAX};
pub use vault::Vault;
pub use xcom::{RunPort, XCOM_BYTES_MAX, XCOM_DEPTH_MAX, XCOM_KEY_BYTES_MAX, check_value};

use crate::sandbox::bindings::airlock::operator::types::CapabilityError;
use crate::tracking::TrackingError;

type Answer<T> = Result<T, CapabilityError>;

/// The most bytes of an object that one host call moves.
const HOST_CALL_BYTES_MAX: u64 = 1 << 20;

/// Runs blocking work off the async threads. Work that panics (a parser on a hostile file) is an answer, not the end of the host.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Answer<T> + Send + 'static,
) -> Answer<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| {
        Err(CapabilityError::Unavailable(
            "the host failed inside this call; its log says where".to_owned(),
        ))
    })
}

/// 128 random bits in hex, from the operating system.
fn random_hex() -> std::io::Result<String> {
    let mut bytes = [0_u8; 16];
    rustls::crypto::ring::default_provider()
        .secure_random
        .fill(&mut bytes)
        .map_err(|_| std::io::Error::other("the system gives no random bytes"))?;
    Ok(crate::store::hex(&bytes))
}

/// A refusal of the tracking room in the guest's words.
fn refusal(error: TrackingError) -> CapabilityError {
    match error {
        TrackingError::Invalid(text) => CapabilityError::Invalid(text),
        TrackingError::NotFound(text) => CapabilityError::NotFound(text),
        TrackingError::Search(error) => CapabilityError::Invalid(error.to_string()),
        TrackingError::Conflict(text) | TrackingError::AlreadyExists(text) => {
            CapabilityError::Conflict(text)
        }
        TrackingError::TooLarge { limit, .. } => CapabilityError::TooLarge(limit as u64),
        // What the disk said is for the host's log and not for a guest.
        TrackingError::Store(_) | TrackingError::Commit(_) | TrackingError::Damaged { .. } => {
            ::tracing::error!(%error, "the store failed a guest's call");
            CapabilityError::Unavailable(
                "the store did not answer; the host's log says why".to_owned(),
            )
        }
    }
}

/// The text of a refusal.
fn text_of(error: CapabilityError) -> String {
    match error {
        CapabilityError::Denied(text)
        | CapabilityError::NotFound(text)
        | CapabilityError::Invalid(text)
        | CapabilityError::Conflict(text)
        | CapabilityError::Unavailable(text) => text,
        CapabilityError::TooLarge(limit) => format!("it is over the limit of {limit}"),
    }
}

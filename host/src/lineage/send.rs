//! Sends run events: one thread, a bounded queue before it, and for each event a few tries with growing pauses. What waits when the
//! program ends is not sent.

use super::{Moment, RunEvent};
use crate::scheduler::{RunRow, replay_run};
use crate::store::Store;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use url::Url;

/// Events that wait; those that come while it is full are left out.
const QUEUE_MAX: usize = 4_096;
/// How long a consumer may take for an event.
const SEND_TIME_MAX: Duration = Duration::from_secs(10);
/// The pauses between the tries of one event; after the last one it is let go.
const PAUSES: [Duration; 4] = [
    Duration::from_millis(250),
    Duration::from_secs(1),
    Duration::from_secs(4),
    Duration::from_secs(16),
];
/// Where consumers take events, where the URL says no path.
const PATH: &str = "api/v1/lineage";
/// The namespace of jobs that nobody gave another.
const NAMESPACE: &str = "airlock";

/// Where run events go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineageSettings {
    /// The full URL of the consumer.
    pub url: Url,
    /// The namespace of the jobs.
    pub namespace: String,
    /// Sent as a bearer token.
    pub api_key: Option<String>,
}

/// A URL that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the openlineage_url {url:?} cannot be used: {reason}")]
pub struct WrongUrl {
    /// As it was given.
    pub url: String,
    /// What is wrong.
    pub reason: String,
}

impl LineageSettings {
    /// From `OpenLineage`'s variables, or the setting where the environment names no URL; none without any URL.
    ///
    /// # Errors
    /// When the URL is none, or neither http nor https.
    pub fn new(
        setting: Option<&str>,
        get: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, WrongUrl> {
        let set = |name: &str| get(name).filter(|text| !text.is_empty());
        let Some(text) = set("OPENLINEAGE_URL").or_else(|| setting.map(str::to_owned)) else {
            return Ok(None);
        };
        let wrong = |reason: String| WrongUrl {
            url: text.clone(),
            reason,
        };
        let mut url = Url::parse(&text).map_err(|error| wrong(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(wrong(format!("{} is neither http nor https", url.scheme())));
        }
        if url.path() == "/" {
            url.set_path(PATH);
        }
        Ok(Some(Self {
            url,
            namespace: set("OPENLINEAGE_NAMESPACE").unwrap_or_else(|| NAMESPACE.to_owned()),
            api_key: set("OPENLINEAGE_API_KEY"),
        }))
    }
}

/// Takes runs that started or ended.
pub(crate) struct Sender {
    happened: SyncSender<(Moment, RunRow)>,
    store: Arc<OnceLock<Arc<dyn Store>>>,
}

impl Sender {
    /// Starts the thread; what happens before `reads` is called is not sent.
    pub(crate) fn start(settings: LineageSettings) -> std::io::Result<Self> {
        let (happened, runs) = sync_channel(QUEUE_MAX);
        let store: Arc<OnceLock<Arc<dyn Store>>> = Arc::default();
        let reads = store.clone();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let work = move || runtime.block_on(send_all(&settings, &runs, &reads));
        std::thread::Builder::new()
            .name("lineage".to_owned())
            .spawn(work)?;
        Ok(Self { happened, store })
    }

    /// Where runs are read.
    pub(crate) fn reads(&self, store: &Arc<dyn Store>) {
        // It is told once.
        let _ = self.store.set(store.clone());
    }

    /// Something happened to a run, durably. Never blocks.
    pub(crate) fn happened(&self, moment: Moment, run: &RunRow) {
        if self.happened.try_send((moment, run.clone())).is_err() {
            tracing::warn!(dag_id = %run.dag_id, run_id = %run.run_id, "a lineage event was left out: the consumer is too slow");
        }
    }
}

async fn send_all(
    settings: &LineageSettings,
    runs: &Receiver<(Moment, RunRow)>,
    store: &OnceLock<Arc<dyn Store>>,
) {
    // A second installation changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = match reqwest::Client::builder().timeout(SEND_TIME_MAX).build() {
        Ok(client) => client,
        Err(error) => {
            tracing::error!(%error, "lineage events cannot be sent");
            return;
        }
    };
    while let Ok((moment, run)) = runs.recv() {
        let Some(store) = store.get() else { continue };
        let sent = match body(settings, store.as_ref(), moment, &run) {
            Ok(Some(body)) => send(settings, &client, &body).await,
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = sent {
            tracing::warn!(dag_id = %run.dag_id, run_id = %run.run_id, error, "a lineage event was not sent");
        }
    }
}

fn body(
    settings: &LineageSettings,
    store: &dyn Store,
    moment: Moment,
    run: &RunRow,
) -> Result<Option<String>, String> {
    let replayed =
        replay_run(store, &run.dag_id, &run.run_id).map_err(|error| error.to_string())?;
    let event = RunEvent {
        moment,
        namespace: &settings.namespace,
        row: run,
        header: &replayed.header,
        state: &replayed.state,
    };
    Ok(event.json().map(|event| event.to_string()))
}

/// Tries until the consumer takes it or says that it never will.
async fn send(
    settings: &LineageSettings,
    client: &reqwest::Client,
    body: &str,
) -> Result<(), String> {
    let mut pauses = PAUSES.iter();
    loop {
        let failed = match send_once(settings, client, body).await {
            Ok(()) => return Ok(()),
            Err(failed) => failed,
        };
        let Some(pause) = pauses.next().filter(|_| failed.may_pass) else {
            return Err(failed.reason);
        };
        tokio::time::sleep(*pause).await;
    }
}

struct Failed {
    /// Whether the same again may be taken.
    may_pass: bool,
    reason: String,
}

async fn send_once(
    settings: &LineageSettings,
    client: &reqwest::Client,
    body: &str,
) -> Result<(), Failed> {
    let mut request = client
        .post(settings.url.clone())
        .header("content-type", "application/json")
        .body(body.to_owned());
    if let Some(key) = &settings.api_key {
        request = request.bearer_auth(key);
    }
    let answer = request.send().await.map_err(|error| Failed {
        may_pass: true,
        reason: error.without_url().to_string(),
    })?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    Err(Failed {
        may_pass: status.is_server_error() || matches!(status.as_u16(), 408 | 429),
        reason: format!("the consumer answered {status}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_wins_over_the_setting_and_no_url_sends_nothing() {
        let none = |_: &str| None;
        assert_eq!(LineageSettings::new(None, none), Ok(None));
        let set = LineageSettings::new(Some("http://marquez:5000"), none);
        let set = set.unwrap().unwrap();
        assert_eq!(set.url.as_str(), "http://marquez:5000/api/v1/lineage");
        assert_eq!((set.namespace.as_str(), set.api_key), ("airlock", None));
        let get = |name: &str| match name {
            "OPENLINEAGE_URL" => Some("https://lineage.example/in".to_owned()),
            "OPENLINEAGE_NAMESPACE" => Some("edge".to_owned()),
            "OPENLINEAGE_API_KEY" => Some("key".to_owned()),
            _ => None,
        };
        let set = LineageSettings::new(Some("http://marquez:5000"), get);
        let set = set.unwrap().unwrap();
        assert_eq!(set.url.as_str(), "https://lineage.example/in");
        assert_eq!(
            (set.namespace.as_str(), set.api_key),
            ("edge", Some("key".to_owned()))
        );
        for wrong in ["marquez", "file:///tmp/x"] {
            assert!(LineageSettings::new(Some(wrong), none).is_err(), "{wrong}");
        }
    }
}

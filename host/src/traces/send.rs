//! Sends traces: one thread, a bounded queue before it. It follows OpenTelemetry's environment variables, and refuses to retry: a
//! collector that is away misses what ends meanwhile, and the service's output says so.

use super::{Traced, trace};
use crate::scheduler::{RunRow, decode_event, replay_run, run_stream};
use crate::store::Store;
use airlock_core::run::event::Event;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use url::Url;

/// Runs that wait to be sent; those that end while it is full are left out.
const QUEUE_MAX: usize = 1_024;
/// How long a collector may take.
const SEND_TIME_MAX: Duration = Duration::from_secs(10);
/// Events read at once.
const PAGE: usize = 4_096;
/// What a service is called that has no other name.
const SERVICE: &str = "airlock";

/// Where traces go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtlpSettings {
    /// The full URL of the collector's traces.
    pub url: Url,
    /// Headers of each request, for example with a key of the collector's.
    pub headers: Vec<(String, String)>,
    /// How the service is called.
    pub service: String,
}

/// A setting that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name} cannot be read: {reason}")]
pub struct Unreadable {
    /// Which variable.
    pub name: &'static str,
    /// What is wrong.
    pub reason: String,
}

impl OtlpSettings {
    /// From OpenTelemetry's variables; none where no endpoint is named.
    ///
    /// # Errors
    /// When the endpoint is no URL, or asks for a protocol that is not spoken.
    pub fn from_env(get: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, Unreadable> {
        const TRACES: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
        const ALL: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
        const PROTOCOL: &str = "OTEL_EXPORTER_OTLP_PROTOCOL";
        let set = |name: &str| get(name).filter(|text| !text.is_empty());
        let (name, text) = match (set(TRACES), set(ALL)) {
            (Some(url), _) => (TRACES, url),
            (None, Some(base)) => (ALL, format!("{}/v1/traces", base.trim_end_matches('/'))),
            (None, None) => return Ok(None),
        };
        let wrong = |reason: String| Unreadable { name, reason };
        let url = Url::parse(&text).map_err(|error| wrong(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(wrong(format!("{} is neither http nor https", url.scheme())));
        }
        if set(PROTOCOL).is_some_and(|protocol| !protocol.starts_with("http/")) {
            return Err(Unreadable {
                name: PROTOCOL,
                reason: "traces are sent over HTTP: http/json".to_owned(),
            });
        }
        let headers = set("OTEL_EXPORTER_OTLP_HEADERS").unwrap_or_default();
        let header = |pair: &str| {
            let (name, value) = pair.split_once('=')?;
            Some((name.trim().to_owned(), value.trim().to_owned()))
        };
        Ok(Some(Self {
            url,
            headers: headers.split(',').filter_map(header).collect(),
            service: set("OTEL_SERVICE_NAME").unwrap_or_else(|| SERVICE.to_owned()),
        }))
    }
}

/// Takes runs that ended.
pub(crate) struct Exporter {
    ended: SyncSender<RunRow>,
    store: Arc<OnceLock<Arc<dyn Store>>>,
}

impl Exporter {
    /// Starts the thread; what ends before `reads` is called is not sent.
    pub(crate) fn start(settings: OtlpSettings) -> std::io::Result<Self> {
        let (ended, runs) = sync_channel(QUEUE_MAX);
        let store: Arc<OnceLock<Arc<dyn Store>>> = Arc::default();
        let reads = store.clone();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let work = move || runtime.block_on(send_all(&settings, &runs, &reads));
        std::thread::Builder::new()
            .name("traces".to_owned())
            .spawn(work)?;
        Ok(Self { ended, store })
    }

    /// Where events are read.
    pub(crate) fn reads(&self, store: &Arc<dyn Store>) {
        // It is told once.
        let _ = self.store.set(store.clone());
    }

    /// A run ended, durably. Never blocks.
    pub(crate) fn ended(&self, run: &RunRow) {
        if self.ended.try_send(run.clone()).is_err() {
            tracing::warn!(dag_id = %run.dag_id, run_id = %run.run_id, "a trace was left out: the collector is too slow");
        }
    }
}

async fn send_all(
    settings: &OtlpSettings,
    runs: &Receiver<RunRow>,
    store: &OnceLock<Arc<dyn Store>>,
) {
    // A second installation changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().timeout(SEND_TIME_MAX).build();
    let client = match client {
        Ok(client) => client,
        Err(error) => {
            tracing::error!(%error, "traces cannot be sent");
            return;
        }
    };
    while let Ok(run) = runs.recv() {
        let Some(store) = store.get() else { continue };
        let sent = match body(settings, store.as_ref(), &run) {
            Ok(Some(body)) => send(settings, &client, body).await,
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = sent {
            tracing::warn!(dag_id = %run.dag_id, run_id = %run.run_id, error, "a trace was not sent");
        }
    }
}

fn body(
    settings: &OtlpSettings,
    store: &dyn Store,
    run: &RunRow,
) -> Result<Option<String>, String> {
    let told = |error: &dyn std::fmt::Display| error.to_string();
    let replayed = replay_run(store, &run.dag_id, &run.run_id).map_err(|error| told(&error))?;
    let stream = run_stream(&run.dag_id, &run.run_id);
    let mut events: Vec<Event> = Vec::new();
    let mut from = 0;
    loop {
        let page = store
            .read(&stream, from, PAGE)
            .map_err(|error| told(&error))?;
        let Some(last) = page.last() else { break };
        from = last.seq + 1;
        for stored in &page {
            events.push(decode_event(&stored.payload).map_err(|error| told(&error))?);
        }
    }
    let traced = Traced {
        dag_id: run.dag_id.as_str(),
        run_id: run.run_id.as_str(),
        dag: replayed.state.dag(),
        service: &settings.service,
        parent: &run.trace_parent,
    };
    Ok(trace(&traced, events.into_iter()).map(|body| body.to_string()))
}

async fn send(
    settings: &OtlpSettings,
    client: &reqwest::Client,
    body: String,
) -> Result<(), String> {
    let mut request = client
        .post(settings.url.clone())
        .header("content-type", "application/json")
        .body(body);
    for (name, value) in &settings.headers {
        request = request.header(name, value);
    }
    let answer = request
        .send()
        .await
        .map_err(|error| error.without_url().to_string())?;
    if answer.status().is_success() {
        return Ok(());
    }
    Err(format!("the collector answered {}", answer.status()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> Result<Option<OtlpSettings>, Unreadable> {
        OtlpSettings::from_env(|name| {
            let found = pairs.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn traces_are_off_until_an_endpoint_is_named() {
        assert_eq!(of(&[]).unwrap(), None);
        assert_eq!(of(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "")]).unwrap(), None);
        let found = of(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "x-key=a, x-other = b"),
        ]);
        let found = found.unwrap().unwrap();
        assert_eq!(found.url.as_str(), "http://collector:4318/v1/traces");
        assert_eq!(found.headers[1], ("x-other".to_owned(), "b".to_owned()));
        assert_eq!(found.service, "airlock");
        let own = of(&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://c/x")]);
        assert_eq!(own.unwrap().unwrap().url.as_str(), "https://c/x");
    }

    #[test]
    fn what_cannot_be_followed_is_told() {
        assert!(of(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318")]).is_err());
        let grpc = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ];
        assert_eq!(of(&grpc).unwrap_err().name, "OTEL_EXPORTER_OTLP_PROTOCOL");
    }
}

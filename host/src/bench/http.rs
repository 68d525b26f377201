//! What reading over HTTP costs here: requests on kept connections of this machine, over a store full of finished runs, each beside
//! a route that does nothing, in the same measurement. It measures and asserts nothing.

use crate::api::{Api, Listen};
use crate::app::{App, Config, Role, TokenLimits};
use crate::error::{ErrorKind, UserError};
use serde::Serialize;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// What to measure.
#[derive(Debug, Clone, Copy)]
pub struct HttpShape {
    /// Finished runs in the store.
    pub runs: usize,
    /// DAGs in it.
    pub dags: usize,
    /// Connections that ask at once.
    pub connections: usize,
    /// Requests of each connection to each route.
    pub requests: usize,
}

/// A route's figures.
#[derive(Debug, Clone, Serialize)]
pub struct RouteReport {
    /// What was asked.
    pub route: &'static str,
    /// Answers a second, over all connections.
    pub per_s: f64,
    /// Half of all answers came faster, milliseconds.
    pub p50_ms: f64,
    /// The same for 99 of 100.
    pub p99_ms: f64,
    /// Bytes of an answer's body.
    pub bytes: usize,
    /// Answers a second against the route that does nothing.
    pub ratio: f64,
}

/// Everything measured.
#[derive(Debug, Clone, Serialize)]
pub struct HttpReport {
    /// Finished runs in the store.
    pub runs: usize,
    /// DAGs in it.
    pub dags: usize,
    /// Connections that asked at once.
    pub connections: usize,
    /// The one that does nothing first.
    pub routes: Vec<RouteReport>,
}

/// What is asked, by a name: `{dag}` is the first DAG, `{run}` the last run of its list.
const ROUTES: [(&str, &str); 7] = [
    ("nothing", "/health"),
    ("a run", "/api/v2/dags/{dag}/dagRuns/{run}"),
    (
        "a page of 25 runs",
        "/api/v2/dags/{dag}/dagRuns?limit=25&order_by=-run_after",
    ),
    (
        // Which runs are in a state only the store knows: all of the DAG's are read.
        "25 runs of a state",
        "/api/v2/dags/{dag}/dagRuns?limit=25&order_by=-run_after&state=success",
    ),
    (
        "task instances of a run",
        "/api/v2/dags/{dag}/dagRuns/{run}/taskInstances",
    ),
    ("a DAG", "/api/v2/dags/{dag}"),
    ("tasks of a DAG", "/api/v2/dags/{dag}/tasks"),
];

fn failed(what: impl std::fmt::Display) -> UserError {
    UserError::new(ErrorKind::Bug, format!("the measurement failed: {what}"))
}

/// Measures on the store that `config` names, which `super::fill` filled.
pub fn http(config: Config, folder: &Path, shape: HttpShape) -> Result<HttpReport, UserError> {
    let app = Arc::new(App::open(config)?);
    let limits = TokenLimits::default();
    let token = app
        .create_token("bench", "bench", Role::Viewer, limits)?
        .token;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(failed)?;
    let listen = Listen::parse("127.0.0.1:0", false, &[])?.ok_or_else(|| failed("no address"))?;
    let api = runtime.block_on(Api::bind(listen, None, folder))?;
    let address = api.url().trim_start_matches("http://").to_owned();
    let stopping = {
        let _inside = runtime.enter();
        api.start(&app)
    };
    let measured = measure(&app, &address, &token, shape);
    runtime.block_on(stopping.stop());
    measured
}

fn measure(
    app: &App,
    address: &str,
    token: &str,
    shape: HttpShape,
) -> Result<HttpReport, UserError> {
    let dag = app.dags()?.into_iter().next();
    let dag = dag.ok_or_else(|| failed("the store has no DAG"))?.dag_id;
    let run = app.runs(Some(&dag))?.into_iter().next_back();
    let run = run.ok_or_else(|| failed("the DAG has no run"))?.run_id;
    let run = run.as_str().replace('+', "%2B");
    let mut routes: Vec<RouteReport> = Vec::new();
    for (route, path) in ROUTES {
        let path = path.replace("{dag}", dag.as_str()).replace("{run}", &run);
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n"
        );
        // What only the first requests pay.
        ask_all(address, &head, 1, 20)?;
        let began = Instant::now();
        let (times, bytes) = ask_all(address, &head, shape.connections, shape.requests)?;
        let per_s = f64::from(u32::try_from(times.len()).unwrap_or(u32::MAX))
            / began.elapsed().as_secs_f64();
        let nothing = routes.first().map_or(per_s, |first| first.per_s);
        routes.push(RouteReport {
            route,
            per_s,
            p50_ms: percentile(&times, 50),
            p99_ms: percentile(&times, 99),
            bytes,
            ratio: per_s / nothing,
        });
    }
    Ok(HttpReport {
        runs: shape.runs,
        dags: shape.dags,
        connections: shape.connections,
        routes,
    })
}

fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let place = sorted.len().saturating_sub(1) * percent / 100;
    sorted.get(place).copied().unwrap_or(f64::NAN)
}

/// Milliseconds of every request, sorted, and the bytes of a body.
fn ask_all(
    address: &str,
    head: &str,
    connections: usize,
    requests: usize,
) -> Result<(Vec<f64>, usize), UserError> {
    let asked = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..connections)
            .map(|_| scope.spawn(|| ask(address, head, requests)))
            .collect();
        let joined = threads.into_iter().map(|thread| {
            let asked = thread.join().map_err(|_| failed("a thread ended"))?;
            asked.map_err(failed)
        });
        joined.collect::<Result<Vec<_>, UserError>>()
    })?;
    let bytes = asked.first().map_or(0, |(_, bytes)| *bytes);
    let mut times: Vec<f64> = asked.into_iter().flat_map(|(times, _)| times).collect();
    times.sort_unstable_by(f64::total_cmp);
    Ok((times, bytes))
}

fn ask(address: &str, head: &str, requests: usize) -> std::io::Result<(Vec<f64>, usize)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut times, mut body) = (Vec::with_capacity(requests), Vec::new());
    for _ in 0..requests {
        let began = Instant::now();
        stream.write_all(head.as_bytes())?;
        read_answer(&mut reader, &mut body)?;
        times.push(began.elapsed().as_secs_f64() * 1e3);
    }
    Ok((times, body.len()))
}

/// An answer with status 200 and a length.
fn read_answer(reader: &mut BufReader<TcpStream>, body: &mut Vec<u8>) -> std::io::Result<()> {
    let mut length = 0;
    let mut line = String::new();
    let mut is_first = true;
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let text = line.trim_end();
        if is_first && !text.contains(" 200 ") {
            return Err(std::io::Error::other(format!("the answer is {text:?}")));
        }
        is_first = false;
        if text.is_empty() {
            break;
        }
        if let Some((name, value)) = text.split_once(": ")
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.parse().map_err(std::io::Error::other)?;
        }
    }
    body.resize(length, 0);
    reader.read_exact(body)
}

impl HttpReport {
    /// For a person.
    pub fn text(&self) -> String {
        let mut text = format!(
            "{} finished runs of {} DAGs, {} connections\n",
            self.runs, self.dags, self.connections
        );
        for one in &self.routes {
            text += &format!(
                "{:26} {:9.0} a second   p50 {:7.2} ms   p99 {:7.2} ms   {:7} bytes   {:5.2} of nothing\n",
                one.route, one.per_s, one.p50_ms, one.p99_ms, one.bytes, one.ratio
            );
        }
        text
    }
}

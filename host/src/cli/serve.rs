//! `airlock serve`: holds a data folder, makes and carries out runs, and answers the commands of other terminals.

use super::args::{Cli, Global, Serve};
use super::control::{Frame, Request, read_request, socket_path};
use super::output::say;
use super::session::{self, Screen, Session};
use super::settings::{Need, config, data_folder, retention};
use crate::api::{Api, LISTEN_DEFAULT, Listen, Tls};
use crate::app::{App, Config, DagFolders, RetentionPolicy};
use crate::error::{ErrorKind, UserError};
use airlock_core::ids::TaskId;
use clap::Parser;
use std::collections::BTreeSet;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};

/// Finished runs that one step of cleaning removes.
const CLEANED_AT_ONCE: usize = 256;
/// Between two steps while there is more to clean.
const CLEAN_STEP: Duration = Duration::from_secs(1);
/// Between two looks for something to clean.
const CLEAN_EVERY: Duration = Duration::from_mins(10);
/// Commands of other terminals that are carried out at once.
const TERMINALS_MAX: usize = 64;

pub(super) fn run(global: &Global, command: Serve) -> Result<(), UserError> {
    start(global, command, &introduce, &|_| Ok(()))
}

/// The same, with who says where it is and what is done at its end.
pub(super) fn start(
    global: &Global,
    command: Serve,
    introduce: &dyn Fn(&App, &Api) -> Result<(), UserError>,
    leave: &dyn Fn(&App) -> Result<(), UserError>,
) -> Result<(), UserError> {
    let begun = Instant::now();
    let app = Arc::new(App::open(Config {
        queues: queues(global, &command)?,
        ..config(global, Need::Execution)?
    })?);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("serve")
        .enable_all()
        .build()
        .map_err(|error| cannot("start a runtime", &error))?;
    runtime.block_on(serve(global, app.clone(), command, begun, introduce))?;
    leave(&app)
}

/// The queues that this host serves; `None` for every queue.
fn queues(global: &Global, command: &Serve) -> Result<Option<BTreeSet<String>>, UserError> {
    let named = if command.queues.is_empty() {
        &global.queues
    } else {
        &command.queues
    };
    // As the DAGs' `queue` is read.
    let parsed = named.iter().map(|name| TaskId::parse(name));
    let parsed = parsed.collect::<Result<Vec<_>, _>>().map_err(|error| {
        UserError::new(
            ErrorKind::Usage,
            format!("a queue has no valid name: {error}"),
        )
        .hint("`--queues default,gpu` serves two queues; without it every queue is served")
    })?;
    let queues: BTreeSet<String> = parsed.into_iter().map(String::from).collect();
    Ok((!queues.is_empty()).then_some(queues))
}

/// Where the API listens: a flag or the environment, then `airlock.toml`, then the default. None for `off`.
fn where_to_listen(global: &Global, command: &Serve) -> Result<Option<Listen>, UserError> {
    let given = command.api.listen.as_deref().or(global.listen.as_deref());
    let names = if command.api.listen_names.is_empty() {
        &global.listen_names
    } else {
        &command.api.listen_names
    };
    let text = given.unwrap_or(LISTEN_DEFAULT);
    let is_public = command.api.listen_public || command.api.tls_cert.is_some();
    Listen::parse(text, is_public, names)
}

fn tls(command: &Serve) -> Result<Option<Tls>, UserError> {
    let files = command
        .api
        .tls_cert
        .as_ref()
        .zip(command.api.tls_key.as_ref());
    files
        .map(|(certificate, key)| Tls::load(certificate, key))
        .transpose()
}

/// Says where the API is and, while nobody can use it, how that changes. It never makes a secret by itself.
fn introduce(app: &App, api: &Api) -> Result<(), UserError> {
    say(&format!(
        "pages, and the API for Airflow and MLflow clients at {}",
        api.url()
    ));
    if app.tokens()?.is_empty() {
        say("nobody has a token yet: `airlock tokens create NAME --role operator` makes one");
    }
    Ok(())
}

fn cannot(what: &str, error: &dyn std::fmt::Display) -> UserError {
    UserError::new(ErrorKind::Usage, format!("cannot {what}: {error}"))
}

async fn serve(
    global: &Global,
    app: Arc<App>,
    command: Serve,
    begun: Instant,
    introduce: &dyn Fn(&App, &Api) -> Result<(), UserError>,
) -> Result<(), UserError> {
    let stop = |kind| signal(kind).map_err(|error| cannot("listen to signals", &error));
    let (mut terminate, mut interrupt) = (
        stop(SignalKind::terminate())?,
        stop(SignalKind::interrupt())?,
    );
    let api = match where_to_listen(global, &command)? {
        Some(place) => Some(Api::bind(place, tls(&command)?, &data_folder(global)).await?),
        None => None,
    };
    let folders = DagFolders::new(command.dags);
    let watch = app.follow_dags(folders)?;
    let plugin_watch = app.follow_plugins()?;
    let listener = listen(&data_folder(global))?;
    app.start_service().await?;
    let api = match api {
        Some(api) => {
            introduce(&app, &api)?;
            Some(api.start(&app))
        }
        None => None,
    };
    warm_plugins(&app);
    let took = begun.elapsed().as_millis();
    say(&format!(
        "airlock {} serves {}: {} DAGs, ready in {took} ms",
        env!("CARGO_PKG_VERSION"),
        data_folder(global).display(),
        app.dags()?.len()
    ));
    let terminals = Arc::new(AtomicUsize::new(0));
    let cleaning = tokio::spawn(clean_now_and_then(app.clone(), global.clone()));
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => answer(&app, stream, &terminals),
                Err(error) => tracing::warn!(%error, "a terminal could not be accepted"),
            },
        }
    }
    cleaning.abort();
    drop((watch, plugin_watch));
    if let Some(api) = api {
        api.stop().await;
    }
    say("stopping: what runs is taken up again at the next start");
    let (path, _descriptor) = socket_path(&data_folder(global))
        .map_err(|error| cannot("name the control socket", &error))?;
    // A socket that is gone already is as good.
    let _ = std::fs::remove_file(path);
    Ok(())
}

/// No run waits for the compiler where the cache of compiled components was cleared; the service itself does not wait either.
fn warm_plugins(app: &Arc<App>) {
    let app = Arc::clone(app);
    let thread = std::thread::Builder::new().name("plugins".to_owned());
    // Without the thread a plugin is loaded at its first use.
    let _ = thread.spawn(move || app.plugins().warm());
}

/// Lets go what the retention settings let go, in small steps, so that commits of runs do not wait.
async fn clean_now_and_then(app: Arc<App>, global: Global) {
    let mut next = None;
    loop {
        let policy = retention(&global, jiff::Timestamp::now());
        if policy != RetentionPolicy::default() {
            let (app, from) = (app.clone(), next.take());
            let step = move || app.clean(policy, CLEANED_AT_ONCE, from.as_ref());
            match tokio::task::spawn_blocking(step).await {
                Ok(Ok(cleaned)) => next = cleaned.next,
                Ok(Err(error)) => tracing::warn!(%error, "finished runs could not be cleaned"),
                Err(_) => return,
            }
        }
        let pause = if next.is_some() {
            CLEAN_STEP
        } else {
            CLEAN_EVERY
        };
        tokio::time::sleep(pause).await;
    }
}

/// The lock of the data folder is ours, so a socket that is there belongs to a process that is gone.
fn listen(folder: &Path) -> Result<UnixListener, UserError> {
    let failed = |error: std::io::Error| {
        cannot(
            &format!("make the control socket in {}", folder.display()),
            &error,
        )
    };
    let (path, _descriptor) = socket_path(folder).map_err(failed)?;
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let listener = UnixListener::bind(&path).map_err(failed)?;
    let owner_only = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&path, owner_only).map_err(failed)?;
    Ok(listener)
}

/// Carries a command out on a thread of its own; commands wait, and must not make the others wait.
fn answer(app: &Arc<App>, stream: tokio::net::UnixStream, terminals: &Arc<AtomicUsize>) {
    if !same_user(&stream) || terminals.load(Ordering::Relaxed) >= TERMINALS_MAX {
        // The other end reads the end of the stream and says so.
        return;
    }
    let Ok(stream) = stream.into_std() else {
        return;
    };
    if stream.set_nonblocking(false).is_err() {
        return;
    }
    let (app, terminals) = (app.clone(), terminals.clone());
    terminals.fetch_add(1, Ordering::Relaxed);
    let thread = std::thread::Builder::new().name("terminal".to_owned());
    let counted = terminals.clone();
    let spawned = thread.spawn(move || {
        carry_out(app, stream);
        counted.fetch_sub(1, Ordering::Relaxed);
    });
    if spawned.is_err() {
        terminals.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The socket's mode keeps others out; this holds even where a file system ignores modes.
fn same_user(stream: &tokio::net::UnixStream) -> bool {
    let own = rustix::process::geteuid().as_raw();
    stream
        .peer_cred()
        .is_ok_and(|peer| peer.uid() == own || peer.uid() == 0)
}

fn carry_out(app: Arc<App>, stream: UnixStream) {
    let request = read_request(&stream);
    let screen = Arc::new(Remote(Mutex::new(stream)));
    let code = match request {
        Ok(request) => run_for(app, &screen, request),
        Err(error) => {
            screen.err(&format!("{error}\n"));
            error.exit_code()
        }
    };
    screen.send(&Frame::Exit(code));
}

fn run_for(app: Arc<App>, screen: &Arc<Remote>, request: Request) -> u8 {
    let session = Session {
        app,
        screen: screen.clone(),
        folder: request.folder,
        stdin: request.stdin.into(),
        user: request.user,
    };
    let cli = Cli::try_parse_from(std::iter::once("airlock".to_owned()).chain(request.arguments));
    let result = match cli {
        Ok(cli) => session::lend(session, || super::carry_out(&cli.global, cli.command)),
        // The other program parsed it before.
        Err(error) => Err(UserError::new(ErrorKind::Usage, error)),
    };
    match result {
        Ok(()) => 0,
        Err(error) => {
            screen.err(&format!("{error}\n"));
            error.exit_code()
        }
    }
}

/// A terminal at the other end of the socket.
struct Remote(Mutex<UnixStream>);

impl Remote {
    fn send(&self, frame: &Frame) -> bool {
        let Ok(mut line) = serde_json::to_vec(frame) else {
            return false;
        };
        line.push(b'\n');
        let mut stream = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        stream.write_all(&line).is_ok()
    }
}

impl Screen for Remote {
    fn out(&self, text: &str) -> bool {
        self.send(&Frame::Out(text.to_owned()))
    }

    fn err(&self, text: &str) -> bool {
        self.send(&Frame::Err(text.to_owned()))
    }
}

//! Connections: how many, how long they may take for a head, and how they end. It refuses to know what is asked.

use super::guard::{Guard, guard};
use super::listen::{ADDRESS_FILE, Listen};
use super::route::router;
use super::tls::Tls;
use super::{CONNECTIONS_MAX, HEAD_BYTES_MAX};
use crate::app::App;
use crate::error::{ErrorKind, UserError};
use crate::web::{Client, Doors};
use axum::Router;
use axum::middleware::from_fn_with_state;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::io::ErrorKind as Io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};

/// How long a client may take to send a head, and keep a connection that it does not use.
const HEAD_TIME_MAX: Duration = Duration::from_secs(30);
/// How long requests may go on when the service stops.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(5);
/// The most headers of a request.
const HEADERS_MAX: usize = 64;
/// Before the next try when the system has no descriptor left for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A place to listen that is taken, and announced in the data folder.
pub struct Api {
    listener: TcpListener,
    address: SocketAddr,
    listen: Listen,
    tls: Option<Tls>,
    file: PathBuf,
    doors: Doors,
}

/// The API at work.
pub struct Stopping {
    stop: watch::Sender<bool>,
    work: JoinHandle<()>,
    file: PathBuf,
    doors: Doors,
}

impl Api {
    /// Takes the address; nothing is answered yet. The URL is written to `ADDRESS_FILE` in `folder`.
    pub async fn bind(listen: Listen, tls: Option<Tls>, folder: &Path) -> Result<Self, UserError> {
        let wanted = listen.address();
        let listener = TcpListener::bind(wanted).await.map_err(|error| {
            let kind = match error.kind() {
                Io::AddrInUse => ErrorKind::Conflict,
                _ => ErrorKind::Usage,
            };
            UserError::new(kind, format!("the API cannot listen at {wanted}: {error}")).hint(
                "--listen ADDRESS:PORT names another place, port 0 takes a free one, `off` listens nowhere",
            )
        })?;
        let address = listener.local_addr().map_err(|error| {
            UserError::new(ErrorKind::Usage, format!("the API has no address: {error}"))
        })?;
        let file = folder.join(ADDRESS_FILE);
        let url = format!("{}://{address}\n", scheme(tls.as_ref()));
        announce(&file, &url).map_err(|error| {
            UserError::new(
                ErrorKind::Store,
                format!("cannot write {}: {error}", file.display()),
            )
        })?;
        Ok(Self {
            listener,
            address,
            listen,
            tls,
            file,
            doors: Doors::default(),
        })
    }

    /// Where it can be reached.
    pub fn url(&self) -> String {
        format!("{}://{}", scheme(self.tls.as_ref()), self.address)
    }

    /// A URL that logs in once with this token.
    pub fn login_url(&self, token: String) -> Option<String> {
        let link = self.doors.sessions.link(token)?;
        Some(format!("{}/login?once={link}", self.url()))
    }

    /// Answers from now on, until it is told to stop.
    pub fn start(self, app: &Arc<App>) -> Stopping {
        let state = Guard {
            app: app.clone(),
            listen: Arc::new(self.listen),
            doors: self.doors.clone(),
        };
        let pages = crate::web::router(app, &self.doors);
        let router = router(app)
            .merge(pages)
            .layer(from_fn_with_state(state, guard));
        let (stop, stopped) = watch::channel(false);
        let work = tokio::spawn(accept(self.listener, self.tls, router, stopped));
        Stopping {
            stop,
            work,
            file: self.file,
            doors: self.doors,
        }
    }
}

impl Stopping {
    /// Takes no more connections, lets requests end, and waits for that, at most `DRAIN_TIME_MAX`.
    pub async fn stop(self) {
        // A file that is gone already is as good.
        let _ = std::fs::remove_file(&self.file);
        let _ = self.stop.send(true);
        self.doors.close();
        let abort = self.work.abort_handle();
        if tokio::time::timeout(DRAIN_TIME_MAX, self.work)
            .await
            .is_err()
        {
            abort.abort();
        }
    }
}

fn scheme(tls: Option<&Tls>) -> &'static str {
    if tls.is_some() { "https" } else { "http" }
}

/// Whole or not at all: who reads it finds an address.
fn announce(file: &Path, url: &str) -> std::io::Result<()> {
    let draft = file.with_extension("new");
    std::fs::write(&draft, url)?;
    std::fs::rename(&draft, file)
}

async fn accept(
    listener: TcpListener,
    tls: Option<Tls>,
    router: Router,
    mut stopped: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let place = tokio::select! {
            place = places.clone().acquire_owned() => place,
            _ = stopped.changed() => break,
        };
        let Ok(place) = place else { break };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopped.changed() => break,
        };
        match accepted {
            Ok((stream, from)) => {
                let (router, stopped, tls) = (router.clone(), stopped.clone(), tls.clone());
                // Behind a proxy every client is the proxy: what a header says of others could be made up.
                let answers = Answers {
                    router,
                    client: Client::at(from.ip()),
                };
                connections.spawn(async move {
                    greet(stream, tls, answers, stopped).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// What a connection is answered with, and who is at its other end.
struct Answers {
    router: Router,
    client: Client,
}

/// A connection with its TLS, where there is any. A client takes its time for that as for a head.
async fn greet(
    stream: TcpStream,
    tls: Option<Tls>,
    answers: Answers,
    mut stopped: watch::Receiver<bool>,
) {
    // Answers are small: waiting for more to send costs every one of them 40 ms.
    let _ = stream.set_nodelay(true);
    let Some(tls) = tls else {
        return serve(stream, answers, stopped).await;
    };
    let greeted = tokio::select! {
        greeted = tokio::time::timeout(HEAD_TIME_MAX, tls.acceptor().accept(stream)) => greeted,
        _ = stopped.wait_for(|stop| *stop) => return,
    };
    // Who speaks no TLS is not answered: it would not understand.
    if let Ok(Ok(stream)) = greeted {
        serve(stream, answers, stopped).await;
    }
}

/// One connection, until its client or the service ends it.
async fn serve<S>(stream: S, answers: Answers, mut stopped: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let router = TowerToHyperService::new(answers.router);
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(answers.client);
        router.call(request)
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIME_MAX)
            .max_headers(HEADERS_MAX)
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), service)
    );
    // How a connection ended is its client's affair.
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = stopped.wait_for(|stop| *stop) => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

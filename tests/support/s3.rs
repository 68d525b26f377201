//! A real S3 server in the test's process, on loopback, and one that misbehaves as a test says. A file of the tests that need it.

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use tokio::runtime::Runtime;

/// The access key id.
pub const KEY: &str = "AKIDTEST";
/// The secret access key. No output may hold it.
pub const SECRET: &str = "hush-hush-secret-key";

/// `s3s-fs` with one user. It ends with its owner.
#[derive(Debug)]
pub struct S3 {
    folder: tempfile::TempDir,
    address: SocketAddr,
    _runtime: Runtime,
}

impl S3 {
    /// A server with these buckets.
    pub fn start(buckets: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for bucket in buckets {
            std::fs::create_dir(folder.path().join(bucket)).expect("a bucket");
        }
        let mut builder = S3ServiceBuilder::new(FileSystem::new(folder.path()).expect("a folder"));
        builder.set_auth(SimpleAuth::from_single(KEY, SECRET));
        let service = builder.build();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let listen = tokio::net::TcpListener::bind(("127.0.0.1", 0));
        let listener = runtime.block_on(listen).expect("a port");
        let address = listener.local_addr().expect("an address");
        runtime.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let service = service.clone();
                tokio::spawn(async move {
                    let http = Builder::new(TokioExecutor::new());
                    let _ = http.serve_connection(TokioIo::new(socket), service).await;
                });
            }
        });
        Self {
            folder,
            address,
            _runtime: runtime,
        }
    }

    /// Where an object lies.
    pub fn path(&self, bucket: &str, key: &str) -> PathBuf {
        self.folder.path().join(bucket).join(key)
    }

    /// Files of the server that belong to an upload which is not finished.
    pub fn unfinished(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).expect("the server's folder");
        let names = entries.map(|entry| entry.expect("an entry").file_name());
        let names = names.map(|name| name.to_string_lossy().into_owned());
        names.filter(|name| name.contains("upload")).collect()
    }

    /// A connection to it as a URI, with this secret.
    pub fn connection(&self, secret: &str) -> String {
        connection(self.address, secret)
    }
}

/// A connection to a server at this address.
pub fn connection(address: SocketAddr, secret: &str) -> String {
    format!("aws://{KEY}:{secret}@/?region_name=us-east-1&endpoint_url=http%3A%2F%2F{address}")
}

/// What a misbehaving server does with a request.
#[derive(Debug)]
pub enum Fault {
    /// Sends these bytes and closes the connection.
    Say(Vec<u8>),
    /// Says nothing, and keeps the connection open.
    Stall,
}

/// A server that answers each request as a script says.
#[derive(Debug)]
pub struct Faulty {
    /// Where it listens.
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Faulty {
    /// `answer` is asked for each request with its number, from 0, and its first line.
    pub fn start(answer: impl Fn(usize, &str) -> Fault + Send + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let told = seen.clone();
        std::thread::spawn(move || {
            let mut stalled = Vec::new();
            for socket in listener.incoming().map_while(Result::ok) {
                let Some(line) = request(&socket) else {
                    continue;
                };
                let mut told = told.lock().expect("a list");
                let fault = answer(told.len(), &line);
                told.push(line);
                match fault {
                    Fault::Say(bytes) => {
                        let _ = (&socket).write_all(&bytes);
                    }
                    Fault::Stall => stalled.push(socket),
                }
            }
        });
        Self { address, seen }
    }

    /// First lines of the requests so far.
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().expect("a list").clone()
    }
}

/// The first line of a request, when all of it was read.
fn request(socket: &TcpStream) -> Option<String> {
    let mut reader = BufReader::new(socket);
    let mut first = String::new();
    reader.read_line(&mut first).ok()?;
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        if line.trim().is_empty() {
            break;
        }
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(first.trim_end().to_owned())
}

/// An answer of a status with headers and a body; its length is said to be `length`.
pub fn answer(status: &str, headers: &str, length: usize, body: &[u8]) -> Fault {
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n"
    );
    Fault::Say([head.as_bytes(), body].concat())
}

//! Servers that mean harm: an answer without end, and one that points elsewhere.

use super::{lock, place, refused};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A server that answers each connection so, and counts them. Yields its address.
fn serve(answer: impl Fn(&mut TcpStream) + Send + 'static) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    std::thread::spawn(move || {
        for mut socket in listener.incoming().map_while(Result::ok) {
            counted.fetch_add(1, Ordering::SeqCst);
            let mut request = [0; 4096];
            let _ = socket.read(&mut request);
            answer(&mut socket);
        }
    });
    (address, asked)
}

#[test]
fn an_answer_without_end_is_cut_at_the_limit_of_a_component() {
    let airlock = place();
    let (address, _) = serve(|socket| {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/wasm\r\ntransfer-encoding: chunked\r\n\r\n";
        let piece = [b"100000\r\n", &vec![0; 1 << 20][..], b"\r\n"].concat();
        let _ = socket.write_all(head.as_bytes());
        // It ends when nobody reads any more.
        while socket.write_all(&piece).is_ok() {}
    });
    let source = format!("http://{address}/endless.wasm");
    let done = refused(
        &airlock,
        &["plugins", "add", &source, "--yes"],
        2,
        "has over 67108864 bytes, the limit of a component",
    );
    assert_eq!(done.stderr.lines().count(), 1, "{}", done.stderr);
    assert_eq!(lock(&airlock), "");
}

#[test]
fn nobody_is_sent_from_this_machine_to_another_address() {
    let airlock = place();
    let (elsewhere, asked) = serve(|_| {});
    let (address, _) = serve(move |socket| {
        let head = format!(
            "HTTP/1.1 302 Found\r\nlocation: http://{elsewhere}/x.wasm\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        );
        let _ = socket.write_all(head.as_bytes());
    });
    let source = format!("http://{address}/x.wasm");
    refused(
        &airlock,
        &["plugins", "add", &source, "--yes"],
        2,
        "status 302",
    );
    assert_eq!(asked.load(Ordering::SeqCst), 0);
    assert_eq!(lock(&airlock), "");
}

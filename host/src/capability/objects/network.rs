//! HTTP to a server of objects. The address is the host's own setting, so it may be private; what the server says leads nowhere
//! else: no redirect is followed and no proxy is asked. Answers are bounded, and a refusal keeps its status and the server's code
//! and nothing of its text, which may quote what was sent.

use crate::capability::client;
use async_trait::async_trait;
use http_body_util::{BodyExt as _, Limited};
use object_store::client::{
    ClientConfigKey, HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest,
    HttpResponse, HttpResponseBody, HttpService,
};
use object_store::{BackoffConfig, ClientOptions, RetryConfig};
use reqwest::StatusCode;
use std::time::Duration;

/// The longest time to connect.
pub(super) const CONNECT_MAX: Duration = Duration::from_secs(10);
/// The longest time without a byte from the server, sending included.
pub(super) const STALL_MAX: Duration = Duration::from_mins(1);
/// The longest time of one request with its answer; 8 MiB take so long at 28 KB a second.
pub(super) const REQUEST_MAX: Duration = Duration::from_mins(5);
/// How often a request is tried again after 5xx, 429, a lost connection or a timeout.
pub(super) const RETRIES_MAX: usize = 6;
/// After so long a request is not tried again.
pub(super) const RETRYING_MAX: Duration = Duration::from_mins(2);
/// The first pause before another try, about; it doubles, with chance, up to the second.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// The largest answer, bytes: a range that was asked for, or a page of a list.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// The largest refusal that is read, bytes.
const REFUSAL_BYTES_MAX: usize = 64 << 10;
/// Idle connections that are kept for the next request.
const IDLE_MAX: usize = 4;

/// A server's refusal: what of it may be told.
#[derive(Debug, thiserror::Error)]
#[error("{status} {code}")]
pub(super) struct Refused {
    /// HTTP status.
    pub(super) status: StatusCode,
    /// The server's own word, like `SlowDown`; empty where there is none.
    pub(super) code: String,
}

/// Makes clients.
#[derive(Debug)]
pub(super) struct Connector {
    /// Whether TLS certificates are loaded, which takes longer than a request without TLS.
    tls: bool,
    /// `STALL_MAX`, but in a test.
    stall: Duration,
}

impl Connector {
    pub(super) fn new(tls: bool) -> Self {
        Self {
            tls,
            stall: STALL_MAX,
        }
    }
}

#[derive(Debug)]
struct Service(reqwest::Client);

pub(super) fn retries() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: BACKOFF.0,
            max_backoff: BACKOFF.1,
            base: 2.0,
        },
        max_retries: RETRIES_MAX,
        retry_timeout: RETRYING_MAX,
    }
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let allowed = options.get_config_value(&ClientConfigKey::AllowHttp);
        let client = client::builder(self.tls)
            .https_only(allowed.as_deref() != Some("true"))
            .connect_timeout(CONNECT_MAX)
            .read_timeout(self.stall)
            .timeout(REQUEST_MAX)
            .pool_max_idle_per_host(IDLE_MAX)
            .build();
        let client = client.map_err(|error| object_store::Error::Generic {
            store: "network",
            source: Box::new(error),
        })?;
        Ok(HttpClient::new(Service(client)))
    }
}

#[async_trait]
impl HttpService for Service {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let response = HttpService::call(&self.0, request).await?;
        let status = response.status();
        if !is_final(status) {
            return Ok(response.map(|body| limited(body, ANSWER_BYTES_MAX)));
        }
        let (_, body) = response.into_parts();
        let text = limited(body, REFUSAL_BYTES_MAX).bytes().await;
        let code = code_in(&text.unwrap_or_default());
        // `Request` is tried again, `Unknown` never.
        let again = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
        let kind = if again {
            HttpErrorKind::Request
        } else {
            HttpErrorKind::Unknown
        };
        Err(HttpError::new(kind, Refused { status, code }))
    }
}

/// Whether an answer is a refusal that `object_store` has no error of its own for.
fn is_final(status: StatusCode) -> bool {
    const OWN: [StatusCode; 5] = [
        StatusCode::NOT_MODIFIED,
        StatusCode::NOT_FOUND,
        StatusCode::CONFLICT,
        StatusCode::PRECONDITION_FAILED,
        StatusCode::REQUEST_TIMEOUT,
    ];
    !status.is_success() && !status.is_informational() && !OWN.contains(&status)
}

fn limited(body: HttpResponseBody, limit: usize) -> HttpResponseBody {
    let limited = Limited::new(body, limit).map_err(|error| match error.downcast::<HttpError>() {
        Ok(error) => *error,
        Err(error) => HttpError::new_boxed(HttpErrorKind::Decode, error),
    });
    HttpResponseBody::new(limited)
}

/// The word between `<Code>` and `</Code>`, where it is one.
fn code_in(answer: &[u8]) -> String {
    let text = String::from_utf8_lossy(answer);
    let inside = text.split_once("<Code>").map(|(_, after)| after);
    let code = inside.and_then(|after| after.split_once("</Code>"));
    let code = code.map(|(code, _)| code).unwrap_or_default();
    let plain = code.len() <= 64 && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if plain {
        code.to_owned()
    } else {
        String::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    /// The error of a request to a server that takes it and says `answer`.
    async fn asked(answer: &'static [u8]) -> HttpError {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
            .await
            .unwrap();
        let uri = format!("http://{}/x", listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let _ = socket.read(&mut [0; 4096]).await;
            let _ = socket.write_all(answer).await;
            // Stays open until the test is over.
            std::future::pending::<()>().await;
        });
        let connector = Connector {
            tls: false,
            stall: Duration::from_millis(50),
        };
        let options = ClientOptions::new().with_allow_http(true);
        let client = connector.connect(&options).unwrap();
        let request = http::Request::get(uri).body(Vec::new().into()).unwrap();
        let failed = match client.execute(request).await {
            Ok(response) => response.into_body().bytes().await.unwrap_err(),
            Err(error) => error,
        };
        server.abort();
        failed
    }

    #[tokio::test]
    async fn a_server_that_stalls_ends_in_a_timeout() {
        for answer in [
            &b""[..],
            b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf",
        ] {
            assert_eq!(asked(answer).await.kind(), HttpErrorKind::Timeout);
        }
    }

    #[tokio::test]
    async fn a_refusal_is_tried_again_only_where_it_may_help() {
        for (answer, kind, told) in [
            (
                &b"HTTP/1.1 503 Slow\r\ncontent-length: 21\r\n\r\n<Code>SlowDown</Code>"[..],
                HttpErrorKind::Request,
                "503 Service Unavailable SlowDown",
            ),
            (
                b"HTTP/1.1 403 No\r\ncontent-length: 0\r\n\r\n",
                HttpErrorKind::Unknown,
                "403 Forbidden ",
            ),
            (
                b"HTTP/1.1 302 No\r\nlocation: http://127.0.0.1/\r\ncontent-length: 0\r\n\r\n",
                HttpErrorKind::Unknown,
                "302 Found ",
            ),
        ] {
            let error = asked(answer).await;
            assert_eq!(error.kind(), kind);
            assert_eq!(std::error::Error::source(&error).unwrap().to_string(), told);
        }
    }

    #[test]
    fn of_a_refusal_the_code_alone_is_kept() {
        let answer = b"<Error><Code>SignatureDoesNotMatch</Code><StringToSign>x</StringToSign>";
        assert_eq!(code_in(answer), "SignatureDoesNotMatch");
        for none in [
            &b""[..],
            b"<Code>",
            b"<Code>a b</Code>",
            b"\xff<Code>\xff</Code>",
        ] {
            assert_eq!(code_in(none), "");
        }
    }
}

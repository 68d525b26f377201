//! `wasi:http/outgoing-handler` on top of the HTTP port: whole messages in and out. It refuses to open a connection, and to
//! hold more than a bounded number of answers.

use crate::sandbox::config::{HTTP_OPEN_MAX, HTTP_TIMEOUT_DEFAULT, HTTP_TIMEOUT_MAX};
use crate::sandbox::interface::Interface;
use crate::sandbox::ports::{HTTP_BODY_BYTES_MAX, HttpError, HttpRequest, HttpResponse, Ports};
use crate::sandbox::state::AttemptState;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

/// What a guest may write to a body at once, bytes: this much is kept for each open body.
const CHUNK_BYTES: usize = 64 << 10;

type Transfer = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Sent = Result<(http::Response<WasiBody>, Transfer), Error>;

/// Answers the outgoing requests of one attempt.
pub(in crate::sandbox) struct HttpHooks {
    attempt: Arc<AttemptState>,
    open: Arc<Semaphore>,
}

impl HttpHooks {
    pub(in crate::sandbox) fn new(attempt: Arc<AttemptState>) -> Self {
        Self {
            attempt,
            open: Arc::new(Semaphore::new(HTTP_OPEN_MAX)),
        }
    }

    /// The port and the right to one more exchange, or why not.
    fn admit(&self) -> Result<(Arc<Ports>, OwnedSemaphorePermit), Error> {
        let ports = self.attempt.open(Interface::Http);
        let ports = Arc::clone(ports.map_err(|_| Error::HttpRequestDenied)?);
        let permit = Arc::clone(&self.open).try_acquire_owned();
        Ok((ports, permit.map_err(|_| Error::ConnectionLimitReached)?))
    }
}

impl WasiHttpHooks for HttpHooks {
    fn set_host_header(&mut self) -> bool {
        // The port makes it from the URL that it checked.
        false
    }

    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _transferred: Transfer,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        let admitted = self.admit();
        let attempt = Arc::clone(&self.attempt);
        Box::new(async move {
            let (ports, permit) = admitted?;
            let request = collect(request, timeout(options)).await?;
            let response = ports.http.send(request).await;
            let response = response.map_err(|error| refuse(&attempt, error))?;
            let nothing_more: Transfer = Box::new(std::future::ready(Ok(())));
            Ok((answer(response, permit)?, nothing_more))
        })
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        CHUNK_BYTES
    }
}

fn timeout(options: Option<RequestOptions>) -> Duration {
    let asked = options.and_then(|options| {
        let parts = [
            options.connect_timeout,
            options.first_byte_timeout,
            options.between_bytes_timeout,
        ];
        parts.into_iter().flatten().reduce(Duration::saturating_add)
    });
    asked.unwrap_or(HTTP_TIMEOUT_DEFAULT).min(HTTP_TIMEOUT_MAX)
}

async fn collect(
    request: http::Request<WasiBody>,
    timeout: Duration,
) -> Result<HttpRequest, Error> {
    let (head, body) = request.into_parts();
    let limit = usize::try_from(HTTP_BODY_BYTES_MAX).unwrap_or(usize::MAX);
    let collected = Limited::new(body, limit).collect();
    let body = match tokio::time::timeout(timeout, collected).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) => return Err(body_error(error)),
        // The guest never finished its body.
        Err(_) => return Err(Error::ConnectionWriteTimeout),
    };
    let headers = head.headers.iter();
    Ok(HttpRequest {
        method: head.method.to_string(),
        url: head.uri.to_string(),
        headers: headers
            .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
            .collect(),
        body: body.to_vec(),
        timeout,
    })
}

fn body_error(error: Box<dyn std::error::Error + Send + Sync>) -> Error {
    match error.downcast::<Error>() {
        Ok(own) => *own,
        Err(_) => Error::HttpRequestBodySize(Some(HTTP_BODY_BYTES_MAX)),
    }
}

/// The permit lives as long as the body: an answer that nobody reads counts as open.
fn answer(
    response: HttpResponse,
    permit: OwnedSemaphorePermit,
) -> Result<http::Response<WasiBody>, Error> {
    if response.body.len() as u64 > HTTP_BODY_BYTES_MAX {
        return Err(Error::HttpResponseBodySize(Some(HTTP_BODY_BYTES_MAX)));
    }
    let body = Full::new(Bytes::from(response.body)).map_err(move |never| {
        let _held = &permit;
        match never {}
    });
    let mut answer = http::Response::builder().status(response.status);
    for (name, value) in response.headers {
        answer = answer.header(name, value);
    }
    answer
        .body(body.boxed_unsync())
        .map_err(|_| Error::HttpProtocolError)
}

fn refuse(attempt: &AttemptState, error: HttpError) -> Error {
    match error {
        HttpError::Denied(message) => {
            attempt.remember(Interface::Http, &message);
            Error::HttpRequestDenied
        }
        HttpError::Invalid(message) => Error::InternalError(Some(format!("invalid: {message}"))),
        HttpError::Failed(message) => Error::InternalError(Some(format!("no answer: {message}"))),
        HttpError::TimedOut => Error::HttpResponseTimeout,
        HttpError::TooLarge => Error::HttpResponseBodySize(Some(HTTP_BODY_BYTES_MAX)),
    }
}

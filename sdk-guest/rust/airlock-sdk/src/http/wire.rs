//! The exchange over `wasi:http` 0.2.

use super::{BODY_BYTES_MAX, HttpError, Request, Response};
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, IncomingBody, IncomingResponse, Method, OutgoingBody, OutgoingRequest,
    RequestOptions, Scheme,
};
use wasip2::io::streams::StreamError;

/// The most bytes that one stream call moves.
const CHUNK_BYTES: u64 = 64 << 10;
/// What a stream takes in one `blocking-write-and-flush` (a limit of WASI 0.2).
const WRITE_BYTES: usize = 4096;

pub(super) fn send(request: Request) -> Result<Response, HttpError> {
    let outgoing = head(&request)?;
    let body = outgoing
        .body()
        .map_err(|()| HttpError::Failed("the request has no body to write".into()))?;
    let pending =
        outgoing_handler::handle(outgoing, options(&request)).map_err(|code| error(&code))?;
    write_body(body, &request.body)?;
    pending.subscribe().block();
    let response = pending
        .get()
        .ok_or_else(|| HttpError::Failed("the host lost the response".into()))?
        .map_err(|()| HttpError::Failed("the response was taken twice".into()))?
        .map_err(|code| error(&code))?;
    read_response(&response)
}

fn head(request: &Request) -> Result<OutgoingRequest, HttpError> {
    let (scheme, rest) = match request.url.split_once("://") {
        Some(("https", rest)) => (Scheme::Https, rest),
        Some(("http", rest)) => (Scheme::Http, rest),
        _ => {
            return Err(HttpError::Invalid(
                "the URL must begin with http:// or https://".into(),
            ));
        }
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let path = path.split('#').next().unwrap_or_default();
    let path = if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("/{path}")
    };
    let mut headers: Vec<(String, Vec<u8>)> = request
        .headers
        .iter()
        .map(|(name, value)| (name.clone(), value.clone().into_bytes()))
        .collect();
    headers.push((
        "content-length".to_owned(),
        request.body.len().to_string().into_bytes(),
    ));
    let fields = Fields::from_list(&headers)
        .map_err(|cause| HttpError::Invalid(format!("a header was refused: {cause:?}")))?;
    let outgoing = OutgoingRequest::new(fields);
    let bad = |what: &str| HttpError::Invalid(format!("the {what} was refused"));
    outgoing
        .set_method(&method(&request.method))
        .map_err(|()| bad("method"))?;
    outgoing
        .set_scheme(Some(&scheme))
        .map_err(|()| bad("scheme"))?;
    outgoing
        .set_authority(Some(authority))
        .map_err(|()| bad("host"))?;
    outgoing
        .set_path_with_query(Some(&path))
        .map_err(|()| bad("path"))?;
    Ok(outgoing)
}

fn method(name: &str) -> Method {
    match name {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "PATCH" => Method::Patch,
        other => Method::Other(other.to_owned()),
    }
}

fn options(request: &Request) -> Option<RequestOptions> {
    let options = RequestOptions::new();
    let nanos = u64::try_from(request.timeout.as_nanos()).ok()?;
    // A host that cannot keep a timeout says so by refusing it; the attempt's own limit still holds.
    let _ = options.set_connect_timeout(Some(nanos));
    let _ = options.set_first_byte_timeout(Some(nanos));
    let _ = options.set_between_bytes_timeout(Some(nanos));
    Some(options)
}

fn write_body(body: OutgoingBody, bytes: &[u8]) -> Result<(), HttpError> {
    {
        let stream = body
            .write()
            .map_err(|()| HttpError::Failed("the request's body is closed".into()))?;
        for chunk in bytes.chunks(WRITE_BYTES) {
            stream
                .blocking_write_and_flush(chunk)
                .map_err(|_| HttpError::Failed("the connection closed while sending".into()))?;
        }
    }
    OutgoingBody::finish(body, None).map_err(|code| error(&code))
}

fn read_response(response: &IncomingResponse) -> Result<Response, HttpError> {
    let status = response.status();
    let headers = response
        .headers()
        .entries()
        .into_iter()
        .filter_map(|(name, value)| Some((name, String::from_utf8(value).ok()?)))
        .collect();
    let body = response
        .consume()
        .map_err(|()| HttpError::Failed("the response's body was taken twice".into()))?;
    let body = read_body(&body)?;
    Ok(Response {
        status,
        headers,
        body,
    })
}

fn read_body(body: &IncomingBody) -> Result<Vec<u8>, HttpError> {
    let stream = body
        .stream()
        .map_err(|()| HttpError::Failed("the response's body was taken twice".into()))?;
    let mut bytes = Vec::new();
    loop {
        match stream.blocking_read(CHUNK_BYTES) {
            Ok(chunk) => bytes.extend_from_slice(&chunk),
            Err(StreamError::Closed) => return Ok(bytes),
            Err(StreamError::LastOperationFailed(_)) => {
                return Err(HttpError::Failed(
                    "the connection closed while receiving".into(),
                ));
            }
        }
        if bytes.len() > BODY_BYTES_MAX {
            return Err(HttpError::TooLarge);
        }
    }
}

fn error(code: &ErrorCode) -> HttpError {
    match code {
        ErrorCode::HttpRequestDenied | ErrorCode::DestinationIpProhibited => {
            HttpError::Denied("the task's grants do not allow it".into())
        }
        ErrorCode::ConnectionTimeout
        | ErrorCode::ConnectionReadTimeout
        | ErrorCode::ConnectionWriteTimeout
        | ErrorCode::HttpResponseTimeout
        | ErrorCode::DnsTimeout => HttpError::TimedOut,
        ErrorCode::HttpRequestUriInvalid => HttpError::Invalid("the URL".into()),
        ErrorCode::HttpRequestMethodInvalid => HttpError::Invalid("the method".into()),
        ErrorCode::HttpRequestUriTooLong => HttpError::Invalid("the URL is too long".into()),
        ErrorCode::HttpRequestHeaderSize(_) | ErrorCode::HttpRequestHeaderSectionSize(_) => {
            HttpError::Invalid("the headers are too long".into())
        }
        ErrorCode::HttpRequestBodySize(_) | ErrorCode::HttpResponseBodySize(_) => {
            HttpError::TooLarge
        }
        ErrorCode::InternalError(Some(text)) => HttpError::Failed(text.clone()),
        other => HttpError::Failed(format!("{other:?}")),
    }
}

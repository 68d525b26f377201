"""Requests over HTTP to granted hosts. Needs the grant `http`; a redirect is an answer like any other.

    from airlock_sdk import http
    answer = http.post("https://hooks.slack.com/services/T0/B0", json={"text": "done"})
    answer.raise_for_status()

A secret's placeholder (`secrets.placeholder`) in the URL, a header or the body is filled in by the host, for hosts that its grant
names. At most 8 MiB in each direction. `Denied` where no grant covers the host, `Unavailable` where there is no answer in time."""

import dataclasses as _dataclasses
import json as _json
import urllib.parse as _parse

from . import errors, host


@_dataclasses.dataclass(frozen=True)
class Response:
    """An answer, whole."""

    status: int
    headers: tuple
    """Pairs of a name in small letters and bytes, in order."""
    body: bytes

    @property
    def ok(self) -> bool:
        """Whether the status is under 400."""
        return self.status < 400

    def header(self, name: str, default=None):
        """The first header of this name, as text."""
        found = (value for key, value in self.headers if key == name.lower())
        value = next(found, None)
        return default if value is None else value.decode("latin-1")

    def text(self) -> str:
        """The body as UTF-8; what is none is replaced."""
        return self.body.decode("utf-8", "replace")

    def json(self):
        """The body as JSON."""
        return _json.loads(self.body)

    def raise_for_status(self) -> "Response":
        """Itself, or an error: `TaskFailed` (retried) for 408, 425, 429 and 5xx, `FailTask` for the other 4xx."""
        if self.ok:
            return self
        retried = self.status >= 500 or self.status in (408, 425, 429)
        raise (errors.TaskFailed if retried else errors.FailTask)(f"the server answered {self.status}: {self.text()[:200]}")


def request(method: str, url: str, *, headers=None, params=None, body=None, json=None, form=None, timeout: float | None = None) -> Response:
    """One exchange. `params` are added to the query; of `body` (bytes or text), `json` and `form` one at most is given.
    `timeout` is in seconds, from resolving the name to the last byte: 60 where it is not said, 600 at most."""
    given = [(str(name), value if isinstance(value, bytes) else str(value).encode()) for name, value in dict(headers or {}).items()]
    content, kind = _content(body, json, form)
    if kind and not any(name.lower() == "content-type" for name, _ in given):
        given.append(("content-type", kind.encode()))
    if params:
        url += ("&" if "?" in url else "?") + _parse.urlencode(params, doseq=True)
    milliseconds = None if timeout is None else max(1, round(timeout * 1000))
    status, answered, content = host.current().send(method.upper(), url, given, content, milliseconds)
    return Response(status, tuple((name.lower(), bytes(value)) for name, value in answered), bytes(content))


def _content(body, json, form):
    if sum(one is not None for one in (body, json, form)) > 1:
        raise errors.FailTask("a request has one of `body`, `json` and `form`")
    if json is not None:
        return _json.dumps(json).encode(), "application/json"
    if form is not None:
        return _parse.urlencode(form, doseq=True).encode(), "application/x-www-form-urlencoded"
    return (body.encode() if isinstance(body, str) else bytes(body or b"")), None


def get(url: str, **given) -> Response:
    """`request("GET", url, ...)`."""
    return request("GET", url, **given)


def post(url: str, **given) -> Response:
    """`request("POST", url, ...)`."""
    return request("POST", url, **given)


def put(url: str, **given) -> Response:
    """`request("PUT", url, ...)`."""
    return request("PUT", url, **given)


def delete(url: str, **given) -> Response:
    """`request("DELETE", url, ...)`."""
    return request("DELETE", url, **given)

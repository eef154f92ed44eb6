"""One request to a model server: sent, watched, read in pieces, given up.

The standard library's `http.client` in a thread: 29 ms to import, where requests costs 97, and a socket timeout is
just what "the server is silent" means. A connection serves one request: what a new one costs is nothing beside an
answer, and there are no stale ones. Redirections are not followed but told, so the key goes nowhere else.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import socket
import ssl
from base64 import b64encode
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from core.errors import ServerError, ServerUnreachable
from core.i18n import _
from core.serve.remote_address import Server
from core.untrusted import inert_line

_READ = 65536
_LONGEST_COMPLAINT = 65536
_LONGEST_PAUSE = 300.0
_PASSING = {408, 409, 425, 429}
_SHOWN = 300


class Call:
    """A request under way. `abort` may be called from any thread; whoever reads then meets an error."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.aborted = False
        self._connection: http.client.HTTPConnection | None = None
        self._response: http.client.HTTPResponse | None = None
        self._socket: socket.socket | None = None

    def send(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> None:
        """Send the request and wait for the head of the answer.

        Raises:
            ServerUnreachable: nobody takes the call.
            ServerError: the server refuses, or answers with something that is not HTTP.
        """
        data = None if body is None else json.dumps(body).encode()
        with self._told():
            self._connection, target, headers = _connection(self.server, path)
            if data is not None:
                headers["Content-Type"] = "application/json"
            if key := self.server.key():
                headers["Authorization"] = f"Bearer {key}"
            self._connect()
            self._connection.request(method, target, data, headers)
            self._response = self._connection.getresponse()
        if self._response.status != 200:
            raise self._refusal()

    @property
    def content_type(self) -> str:
        assert self._response is not None, "send() comes first"
        return self._response.headers.get_content_type()

    def pieces(self) -> Iterator[bytes]:
        """The body as it comes, never empty pieces.

        Raises:
            ServerError: it breaks off, or nothing comes for `timeout` seconds.
        """
        assert self._response is not None, "send() comes first"
        promised = self._response.length
        got = 0
        while True:
            with self._told():
                piece = self._response.read1(_READ)
            if not piece:
                break
            got += len(piece)
            yield piece
        if promised is not None and got < promised:
            raise broken_off()

    def whole(self, limit: int) -> bytes:
        """The whole body.

        Raises:
            ServerError: it is longer than `limit` bytes, or breaks off.
        """
        parts, size = [], 0
        for piece in self.pieces():
            size += len(piece)
            if size > limit:
                raise too_long(limit)
            parts.append(piece)
        return b"".join(parts)

    def abort(self) -> None:
        """Hang up."""
        self.aborted = True
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        if self._response is not None:
            with contextlib.suppress(OSError, http.client.HTTPException):
                self._response.close()
        if self._connection is not None:
            self._connection.close()

    def _connect(self) -> None:
        assert self._connection is not None
        try:
            self._connection.connect()
        except ssl.SSLCertVerificationError as error:
            raise ServerError(
                _("{host} shows a certificate that is not trusted: {reason}").format(
                    host=self.server.host, reason=inert_line(error.verify_message)
                ),
                _("SSL_CERT_FILE names a file of certificates to trust"),
                for_all=True,
            ) from None
        except OSError as error:
            raise ServerUnreachable(
                _("{host} cannot be reached: {reason}").format(host=self.server.host, reason=_reason(error)),
                _("is the server running, and is api_base its address?"),
                passing=True,
            ) from None
        self._socket = self._connection.sock
        if self.aborted:
            self.abort()

    def _refusal(self) -> ServerError:
        assert self._response is not None
        try:
            body = self.whole(_LONGEST_COMPLAINT)
        except ServerError:
            body = b""
        return refusal(self.server, self._response.status, dict(self._response.headers), body)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """What goes wrong in here, told as an error of the server's."""
        try:
            yield
        except TimeoutError:
            raise silent(self.server) from None
        except (http.client.RemoteDisconnected, http.client.IncompleteRead, ConnectionError):
            raise broken_off() from None
        except (http.client.HTTPException, OSError, ValueError, AttributeError) as error:
            # AttributeError: http.client's, of a connection that another thread has closed
            raise ServerError(
                _("{host} does not speak HTTP as it should: {reason}").format(
                    host=self.server.host, reason=_reason(error)
                ),
                _("is api_base the address of an OpenAI-compatible server?"),
                passing=True,
            ) from None


def silent(server: Server) -> ServerError:
    return ServerError(
        _("{host} said nothing for {seconds:g} s").format(host=server.host, seconds=server.timeout),
        _("api_timeout lets it think longer"),
        passing=True,
    )


def broken_off() -> ServerError:
    return ServerError(_("the server broke the answer off"), passing=True)


def too_long(limit: int) -> ServerError:
    return ServerError(_("the server's answer does not end: more than {size} bytes").format(size=limit))


def refusal(server: Server, status: int, headers: Mapping[str, str], body: bytes) -> ServerError:
    """What a status other than 200 says."""
    headers = {name.lower(): value for name, value in headers.items()}
    said = complaint(server, body)
    told = _("{host} answered with status {status}").format(host=server.host, status=status)
    message = f"{told}: {said}" if said else told
    if status == 401:
        hint = (
            _("the key in {variable} is refused") if server.key() else _("it wants a key: put it into {variable}")
        ).format(variable=server.key_variable)
        return ServerError(message, hint, for_all=True)
    if status == 404:
        hint = _("no such address or model: api_base usually ends in /v1, and api_model is one that the server has")
        return ServerError(message, hint, for_all=True)
    if 300 <= status < 400:
        place = inert_line(headers.get("location", "?"))[:_SHOWN]
        return ServerError(message, _("it sends on to {place}: give that address").format(place=place), for_all=True)
    if status in _PASSING or status >= 500:
        return ServerError(message, passing=True, pause=_asked_pause(headers.get("retry-after", "")))
    return ServerError(message)


def complaint(server: Server, body: bytes) -> str:
    """The reason in the body of a refusal, short and harmless, the key blackened."""
    text = body.decode(errors="replace")
    try:
        text = reason_in(json.loads(text)) or text
    except (ValueError, RecursionError):
        if title := re.search(r"<title[^>]*>([^<]{1,200})", text, re.IGNORECASE):
            text = title[1]
    return blackened(server, inert_line(" ".join(text.split()))[:_SHOWN])


def reason_in(record: object) -> str:
    """The text of an error as servers write it: OpenAI's `error.message`, FastAPI's `detail`, or a bare `message`."""
    if isinstance(record, str):
        return record
    if isinstance(record, list) and record:
        return reason_in(record[0])
    if isinstance(record, dict):
        return next((text for key in ("error", "message", "detail", "msg") if (text := reason_in(record.get(key)))), "")
    return ""


def blackened(server: Server, text: str) -> str:
    """The text without the key, should the server repeat it."""
    key = server.key()
    return text.replace(key, "…") if len(key) > 3 else text


def _reason(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return inert_line(text)[:_SHOWN] or type(error).__name__


def _asked_pause(value: str) -> float:
    """Retry-After: seconds, or a date; 0 when it says neither."""
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            return 0.0
    return min(max(seconds, 0.0), _LONGEST_PAUSE) if seconds == seconds else 0.0


# --- the way there ----------------------------------------------------------------------------------------------


def _connection(server: Server, path: str) -> tuple[http.client.HTTPConnection, str, dict[str, str]]:
    """A connection that is not open yet, what to ask it for, and the headers of that."""
    parts = server.parts
    target = parts.path + path
    headers = {"Accept": "text/event-stream, application/json", "Connection": "close", "User-Agent": "finetui"}
    proxy = _proxy(server)
    host, port = parts.hostname or "", parts.port
    if proxy is None:
        return _new(parts.scheme, host, port, server.timeout), target, headers
    through = urlsplit(proxy if "//" in proxy else f"//{proxy}", scheme="http")
    credentials = {}
    if through.username is not None:
        pair = f"{unquote(through.username)}:{unquote(through.password or '')}"
        credentials = {"Proxy-Authorization": f"Basic {b64encode(pair.encode()).decode()}"}
    if parts.scheme == "https":
        tunnel = http.client.HTTPSConnection(
            through.hostname or "", through.port, timeout=server.timeout, context=_trust()
        )
        tunnel.set_tunnel(host, port, credentials)
        return tunnel, target, headers
    connection = _new(through.scheme, through.hostname or "", through.port, server.timeout)
    return connection, server.api_base + path, {**headers, **credentials, "Host": parts.netloc}


def _proxy(server: Server) -> str | None:
    """The proxy that the environment names for this server, if any."""
    if server.loopback:
        return None
    proxies = getproxies()
    proxy = proxies.get(server.parts.scheme) or proxies.get("all")
    if proxy is None or proxy_bypass(server.parts.netloc):
        return None
    if proxy.startswith("socks"):
        raise ServerError(
            _("the environment names a SOCKS proxy, which finetui cannot use"),
            _("name an HTTP proxy, or put {host} into no_proxy").format(host=server.host),
            for_all=True,
        )
    return proxy


def _new(scheme: str, host: str, port: int | None, timeout: float) -> http.client.HTTPConnection:
    if scheme == "https":
        return http.client.HTTPSConnection(host, port, timeout=timeout, context=_trust())
    return http.client.HTTPConnection(host, port, timeout=timeout)


@cache
def _trust() -> ssl.SSLContext:
    """The certificates that this machine trusts: 20 ms to read, so once."""
    return ssl.create_default_context()

"""What keeps strangers out: known hosts, a token, requests of its own pages, and headers that allow no other host."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from syngony.server.metrics import Metrics

HEADERS = {
    # Plotly sets styles of elements in its script, hence 'unsafe-inline' for styles, never for scripts.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}

COOKIE = "syngony-token"
SHORTEST_TOKEN = 16
"""Characters: a shorter one can be guessed."""

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class Guard:
    """Middleware that turns strangers away and adds `HEADERS` to every answer.

    A name that an attacker's DNS points to this machine is no known host; a page of another site that posts here
    has another origin. Both are refused with 403; a body that is announced to be too large, with 413. Where there is a
    token, 401 is for whoever does not show it: as ``Authorization: Bearer``, as the cookie that the page's address
    with ``?token=`` sets, or as that address itself. ``/health`` tells nothing and asks for none.

    Args:
        app: what it guards.
        hosts: names under which the page may be asked for; empty for any.
        largest: bytes of a body; one of unknown length is counted further in.
        token: what a client must show; None where none is needed.
        metrics: where answers are counted.
    """

    def __init__(
        self,
        app: ASGIApp,
        hosts: Collection[str] = LOOPBACK,
        largest: int = 40_000_000,
        token: str | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        self._app = app
        self._hosts = hosts
        self._largest = largest
        self._token = token
        self._metrics = metrics or Metrics()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                self._metrics.count(scope["path"], message["status"])
            await send(message)

        refusal = self._refusal(scope["method"], Headers(scope=scope))
        answer: Response | None = _refused(*refusal) if refusal else self._stopped(Request(scope))
        await (answer or self._app)(scope, receive, send_with_headers)

    def _stopped(self, request: Request) -> Response | None:
        """What a client without the token is told; of one that comes with it in the address, a cookie from then on."""
        if self._token is None or request.url.path == "/health":
            return None
        if request.method == "GET" and self._is_token(request.query_params.get("token", "")):
            redirect = RedirectResponse(request.url.path, 303)  # the token does not stay in the address
            redirect.set_cookie(COOKIE, self._token, httponly=True, samesite="strict")
            return redirect
        scheme, _, shown = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._is_token(shown.strip()):
            return None
        if self._is_token(request.cookies.get(COOKIE, "")):
            return None
        reason = "a token is needed: open the address that syngony serve printed, or send it as Authorization: Bearer"
        answer = _refused(401, reason)
        answer.headers["WWW-Authenticate"] = "Bearer"
        return answer

    def _is_token(self, shown: str) -> bool:
        return secrets.compare_digest(shown.encode(), (self._token or "").encode())

    def _refusal(self, method: str, headers: Headers) -> tuple[int, str] | None:
        host = headers.get("host", "")
        if self._hosts and (_name_of(f"//{host}") not in self._hosts):
            return 403, "this page has another name: use the address that syngony serve printed"
        origin = headers.get("origin")
        if method not in ("GET", "HEAD") and origin is not None and urlsplit(origin).netloc != host:
            return 403, "a page of another site may not use this one"
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length) > self._largest:
            return 413, too_large(self._largest)
        return None


def _refused(status: int, reason: str) -> JSONResponse:
    return JSONResponse({"reason": reason, "needs_wavelength": False}, status)


def too_large(most: int) -> str:
    """Why a body of more than `most` bytes is refused."""
    return f"more than {most // 1_000_000} MB: larger than any powder scan"


def _name_of(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None

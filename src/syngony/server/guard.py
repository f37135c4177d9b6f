"""What keeps a local page local: known hosts, requests of its own pages alone, and headers that allow no other host."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

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

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class Guard:
    """Middleware that turns strangers away and adds `HEADERS` to every answer.

    A name that an attacker's DNS points to this machine is no known host; a page of another site that posts here
    has another origin. Both are refused with 403; a body that is announced to be too large, with 413.

    Args:
        app: what it guards.
        hosts: names under which the page may be asked for; empty for any.
        largest: bytes of a body; one of unknown length is counted further in.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str] = LOOPBACK, largest: int = 40_000_000) -> None:
        self._app = app
        self._hosts = hosts
        self._largest = largest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = self._refusal(scope["method"], Headers(scope=scope))
        if refusal is None:
            await self._app(scope, receive, send_with_headers)
        else:
            status, reason = refusal
            refused = JSONResponse({"reason": reason, "needs_wavelength": False}, status)
            await refused(scope, receive, send_with_headers)

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


def too_large(most: int) -> str:
    """Why a body of more than `most` bytes is refused."""
    return f"more than {most // 1_000_000} MB: larger than any powder scan"


def _name_of(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None

"""What keeps a busy server from falling: so many requests in work or waiting, no more, each sent in bounded time."""

from __future__ import annotations

import asyncio
import math

from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SLOWEST_UPLOAD = 120.0
"""Seconds in which a body must have arrived."""

LONGEST_WAIT = 60
"""Seconds after which, at most, a refused client is told to come again."""


class Admission:
    """Middleware that refuses work beyond a number of requests with 503, a reason and ``Retry-After``.

    Only requests that bring work (POST) count; they are refused before their body is read. What waits is a file on
    disk, not in memory.

    Args:
        app: what it admits to.
        most: requests in work and waiting.
        slowest: seconds in which a body must have arrived; 408 afterwards.

    Attributes:
        inside: requests admitted and not yet answered.
        refused: how many were turned away.
        seconds: of one request, a running mean.
    """

    def __init__(self, app: ASGIApp, most: int, slowest: float = SLOWEST_UPLOAD) -> None:
        self._app = app
        self._most = most
        self._slowest = slowest
        self.inside = 0
        self.refused = 0
        self.seconds = 1.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
        elif self.inside >= self._most:
            self.refused += 1
            answer = _refusal(503, f"busy: {self.inside} files are in work or waiting; send it again later")
            answer.headers["Retry-After"] = str(max(1, min(LONGEST_WAIT, math.ceil(self.seconds))))
            await answer(scope, receive, send)
        else:
            await self._admitted(scope, receive, send)

    async def _admitted(self, scope: Scope, receive: Receive, send: Send) -> None:
        loop = asyncio.get_running_loop()
        began, whole, late = loop.time(), False, False

        async def receive_in_time() -> Message:
            nonlocal whole, late
            if whole:  # the whole body is here: what comes now is that the client goes
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), max(0.0, began + self._slowest - loop.time()))
            except TimeoutError:
                late = True
                return {"type": "http.disconnect"}
            whole = not message.get("more_body", False)
            return message

        async def send_unless_late(message: Message) -> None:
            if not late:  # what the application says of a body that broke off is not the reason
                await send(message)

        self.inside += 1
        try:
            await self._app(scope, receive_in_time, send_unless_late)
        except ClientDisconnect:
            pass
        finally:
            self.inside -= 1
            self.seconds += 0.1 * (loop.time() - began - self.seconds)
        if late:
            await _refusal(408, f"the file did not arrive within {self._slowest:.0f} s")(scope, receive, send)


def _refusal(status: int, reason: str) -> JSONResponse:
    return JSONResponse({"reason": reason, "needs_wavelength": False}, status)

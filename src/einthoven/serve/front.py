"""What stands before every route: a request's number, the token, the limits, the headers, the count, the log line.

One idea: a plain ASGI callable, for it is run for every request. The log holds no file name, no header, no sample and
no message of an exception, since each could be about a patient.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import re
import sys
import time
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from einthoven.serve.counting import Counts
from einthoven.serve.refusals import RefusedError
from einthoven.serve.settings import Settings

__all__ = ["DEFECT", "Front", "refusal"]

DEFECT = "a defect of the server; report it with the X-Request-ID of this answer"
_OPEN = ("/health", "/ready")  # a load balancer asks without a token
_LIMITED = ("/predict", "/explain")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
]


def refusal(error: RefusedError) -> JSONResponse:
    """The answer to a request that is refused."""
    return JSONResponse({"error": error.sentence, **error.more}, error.status, error.headers)


class Front:
    """Wraps the application."""

    def __init__(self, app: ASGIApp, settings: Settings, counts: Counts, routes: frozenset[str]) -> None:
        self._app = app
        self._settings = settings
        self._counts = counts
        self._routes = routes
        self._token = settings.token.encode()
        self._running = 0
        self._number = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; anything else goes through."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        visit = _Visit(scope, send)
        limited = visit.route in _LIMITED
        self._counts.in_flight.inc()
        self._running += limited
        try:
            self._admit(visit, limited)
            async with asyncio.timeout(self._settings.timeout_s + self._explaining(visit)):
                await self._app(scope, _Metered(receive, visit, self._settings.max_bytes), visit.send)
        except RefusedError as error:
            await self._refuse(visit, error)
        except TimeoutError:
            await self._refuse(visit, RefusedError(408, f"not received and answered in {self._settings.timeout_s:g} s"))
        except Exception as error:
            await self._fail(visit, error)
        finally:
            self._running -= limited
            self._counts.in_flight.dec()
            self._note(visit)

    def _explaining(self, visit: _Visit) -> float:
        return self._settings.explain_timeout_s if visit.route == "/explain" else 0.0

    def _admit(self, visit: _Visit, limited: bool) -> None:
        if self._token and visit.route not in _OPEN and not self._knows(visit.headers.get(b"authorization", b"")):
            raise RefusedError(
                401, "send the token of this server: Authorization: Bearer TOKEN", {"WWW-Authenticate": "Bearer"}
            )
        if limited and self._running > self._settings.concurrency:
            raise RefusedError(429, "the server is busy; try again", {"Retry-After": "1"})
        declared = visit.headers.get(b"content-length", b"")
        if declared.isdigit() and int(declared) > self._settings.max_bytes:
            raise _too_large(int(declared), self._settings.max_bytes)

    def _knows(self, given: bytes) -> bool:
        kind, _, token = given.partition(b" ")
        return hmac.compare_digest(token.strip(), self._token) and kind.lower() == b"bearer"

    async def _refuse(self, visit: _Visit, error: RefusedError) -> None:
        if not visit.begun:
            await refusal(error)(visit.scope, _nothing, visit.send)

    async def _fail(self, visit: _Visit, error: Exception) -> None:
        """Say that it is our fault; where it happened goes to the log, what was said to happen does not."""
        where = traceback.extract_tb(error.__traceback__)[-1]
        visit.fault = f"{type(error).__name__} at {Path(where.filename).name}:{where.lineno}"
        await self._refuse(visit, RefusedError(500, DEFECT))

    def _note(self, visit: _Visit) -> None:
        seconds = time.perf_counter() - visit.began
        route = visit.route if visit.route in self._routes else "other"
        self._counts.answered(route, visit.status, seconds)
        if route in _OPEN and visit.status == 200:
            return  # a probe a second would bury the rest
        line: dict[str, Any] = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "route": route,
            "status": visit.status,
            "ms": round(1000 * seconds, 2),
            "bytes": visit.n_bytes,
            "model": visit.scope.get("einthoven.model", ""),
            "request_id": visit.request_id,
        }
        if visit.fault:
            line["fault"] = visit.fault
        sys.stderr.write(_line(line, self._settings.json_logs))


class _Visit:
    """One request on its way."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self.began = time.perf_counter()
        self.scope = scope
        self.headers: Mapping[bytes, bytes] = dict(scope["headers"])
        self.route: str = scope["path"]
        given = self.headers.get(b"x-request-id", b"").decode("latin-1")
        self.request_id = given if _REQUEST_ID.fullmatch(given) else f"{time.time_ns():x}-{id(self) & 0xFFFF:04x}"
        self.status = 499  # as long as nothing was answered: the client has gone
        self.begun = False
        self.n_bytes = 0
        self.fault = ""
        self._send = send

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.begun, self.status = True, message["status"]
            more = [*_HEADERS, (b"x-request-id", self.request_id.encode())]
            if self.status in (408, 413):
                more.append((b"connection", b"close"))  # what the client still sends is not waited for
            message = {**message, "headers": [*message["headers"], *more]}
        await self._send(message)


class _Metered:
    """Receives a body up to a length."""

    def __init__(self, receive: Receive, visit: _Visit, most: int) -> None:
        self._receive = receive
        self._visit = visit
        self._most = most

    async def __call__(self) -> Message:
        message = await self._receive()
        self._visit.n_bytes += len(message.get("body", b""))
        if self._visit.n_bytes > self._most:
            raise _too_large(self._visit.n_bytes, self._most)
        return message


async def _nothing() -> Message:
    return {"type": "http.disconnect"}


def _too_large(n_bytes: int, most: int) -> RefusedError:
    return RefusedError(
        413, f"the body has {n_bytes:,} bytes or more, {most:,} are allowed; cut the recording, or send float32 samples"
    )


def _line(values: Mapping[str, Any], as_json: bool) -> str:
    if as_json:
        return json.dumps(values) + "\n"
    model = f" {values['model']}" if values["model"] else ""
    fault = f" {values['fault']}" if "fault" in values else ""
    return (
        f"{values['time'][11:23]} {values['route']} {values['status']} {values['ms']} ms {values['bytes']} bytes"
        f"{model} {values['request_id']}{fault}\n"
    )

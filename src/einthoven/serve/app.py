"""The application: its routes, each a few lines, and how they are put together."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse, Response
from pydantic import BeforeValidator, Field
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.types import ASGIApp

from einthoven.bundle import Prediction
from einthoven.record import Record
from einthoven.serve import fhir
from einthoven.serve.answers import Answer, Answers, Error, State, body_schema, request_body
from einthoven.serve.bodies import Leads, Sent, Stated, read_binary, read_files, read_json_body, read_table
from einthoven.serve.counting import CONTENT_TYPE as METRICS_TYPE
from einthoven.serve.counting import Counts
from einthoven.serve.explaining import Explainer
from einthoven.serve.front import DEFECT, Front, refusal
from einthoven.serve.judging import Judge
from einthoven.serve.refusals import RefusedError
from einthoven.serve.settings import Settings, read_settings
from einthoven.serve.shelf import NOTICE, Model, Shelf, load_shelf

__all__ = ["create_app", "from_environment"]

# FastAPI can send spans with the query (age, sex) and the messages of exceptions to whom the environment names.
_TOLD_NOBODY: Any = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,
}
_READERS = {"application/octet-stream": read_binary, "text/csv": read_table}
_KINDS = "application/json, application/octet-stream (float32 samples), text/csv or multipart/form-data (files)"
_ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"model": Error, "description": "the body is not what its content type says"},
    401: {"model": Error, "description": "no token, or another"},
    404: {"model": Error, "description": "no such model"},
    408: {"model": Error, "description": "too slow"},
    413: {"model": Error, "description": "too large"},
    415: {"model": Error, "description": "a content type that is not read"},
    422: {"model": Error, "description": "no ECG, or one that the model refuses"},
    429: {"model": Error, "description": "busy; Retry-After says when to try again"},
}
_EXPLAIN_ERRORS = _ERRORS | {
    501: {"model": Error, "description": "the server has no torch or captum"},
    503: {"model": Error, "description": "the explanation takes too long"},
}


def _split(value: Any) -> Any:
    """``?leads=I,II`` and ``?leads=I&leads=II`` are the same."""
    return [part.strip() for each in value for part in str(each).split(",")] if isinstance(value, list) else value


class Asked(Stated):
    """The query of ``/predict``."""

    leads: Annotated[Leads | None, BeforeValidator(_split)] = Field(
        None, description="names of the leads in the order of the signal, as I,II,V1"
    )
    model: str | None = Field(None, max_length=200, description="one of /models; by default the first")


class AskedWhy(Asked):
    """The query of ``/explain``."""

    method: str = Field("ig", max_length=40, description="as einthoven explain --method")
    classes: Annotated[list[str] | None, BeforeValidator(_split)] = Field(
        None, description="by default those that are found"
    )
    attributions: bool = Field(False, description="also send the value of every sample")


class _InMemory(MultiPartParser):
    """Parts of a form stay in memory: a file on disk would be a trace."""

    spool_max_size = 1 << 62


class Rooms:
    """What the routes work with."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.counts = Counts()
        self.threads = ThreadPoolExecutor(2, "read")
        self.explainer = Explainer(settings)
        self.shelf: Shelf | None = None
        self.judges: dict[str, Judge] = {}

    def open(self) -> None:
        """Load the models."""
        self.shelf = load_shelf(self.settings)
        self.judges = {name: Judge(model, self.threads) for name, model in self.shelf.models.items()}

    def close(self) -> None:
        """Let no more begin."""
        self.explainer.close()
        self.threads.shutdown(wait=False, cancel_futures=True)

    def find(self, request: Request, name: str | None) -> Model:
        """Return the model asked for, and note it for the log."""
        if self.shelf is None:
            raise RefusedError(503, "the models are being loaded; try again", {"Retry-After": "1"})
        model = self.shelf.find(name)
        request.scope["einthoven.model"] = model.name
        return model

    async def read(self, request: Request, stated: Stated) -> Sent:
        """Make records of a request's body."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "multipart/form-data":
            files = await _form(request, self.settings)
            return self._short(await self._apart(read_files, files, stated))
        if kind == "application/json":
            return self._short(read_json_body(await request.body(), self.settings))
        if kind in _READERS:
            body = await request.body()
            return self._short(_READERS[kind](body, stated, self.settings))
        raise RefusedError(415, f"the content type {kind[:80] or 'of the body'!r} is not read; send {_KINDS}")

    async def _apart(self, read: Any, body: Any, stated: Stated) -> Sent:
        return await asyncio.get_running_loop().run_in_executor(self.threads, read, body, stated, self.settings)

    def _short(self, sent: Sent) -> Sent:
        most = self.settings.max_duration_s
        for name, record in list(sent.records.items()):
            if record.duration_s > most:
                sentence = f"the recording lasts {record.duration_s:.0f} s, {most:.0f} s are allowed; cut it"
                if not sent.several:
                    raise RefusedError(413, sentence)
                sent.failed[name] = sentence
                del sent.records[name]
        return sent

    async def judge(self, model: Model, record: Record) -> Prediction:
        """Judge a record, and count it."""
        prediction = await self.judges[model.name].judge(record)
        self.counts.records.labels(model.name, "refused" if prediction.refused else "judged").inc()
        return prediction


async def _form(request: Request, settings: Settings) -> dict[str, bytes]:
    most = 4 * settings.max_records
    parser = _InMemory(request.headers, request.stream(), max_files=most, max_fields=0)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        hint = "; fs, unit, leads, age and sex belong into the query" if "fields" in error.message else ""
        raise RefusedError(400, f"the form cannot be read: {error.message}{hint}") from None
    files: dict[str, bytes] = {}
    for _, part in form.multi_items():
        if isinstance(part, UploadFile):
            name = part.filename or "file"
            while name in files:
                name = f"{name}/{name}"  # two of one plain name: the reader says so
            files[name] = await part.read()
            await part.close()
    return files


def create_app(settings: Settings) -> ASGIApp:
    """Make the application; its models are loaded when it starts."""
    rooms = Rooms(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        rooms.open()
        gc.freeze()  # what is loaded stays: to look through it for garbage would stop a worker for tens of milliseconds
        yield
        rooms.close()

    app = FastAPI(
        title="Einthoven",
        version=_version(),
        docs_url=None,  # its own pages load scripts from elsewhere
        redoc_url=None,
        telemetry=_TOLD_NOBODY,
        lifespan=lifespan,
    )
    app.state.rooms = rooms
    _add_routes(app, rooms)
    _add_errors(app)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    routes = frozenset(route.path for route in app.routes if hasattr(route, "path"))
    return Front(app, settings, rooms.counts, routes)


def from_environment() -> ASGIApp:
    """Make the application of a worker."""
    return create_app(read_settings())


def _add_routes(app: FastAPI, rooms: Rooms) -> None:
    body = {"requestBody": {"$ref": "#/components/requestBodies/Ecg"}}
    kinds: dict[int | str, dict[str, Any]] = {
        200: {"model": Answer | Answers, "content": {fhir.CONTENT_TYPE: {"schema": {"type": "object"}}}}
    }

    @app.post("/predict", responses={**_ERRORS, **kinds}, openapi_extra=body, tags=["ECG"])
    async def predict(request: Request, asked: Annotated[Asked, Query()]) -> Response:
        """What a model finds in an ECG, or in several. `Accept: application/fhir+json` gives FHIR R4."""
        model = rooms.find(request, asked.model)
        sent = await rooms.read(request, asked)
        found = {name: await rooms.judge(model, record) for name, record in sent.records.items()}
        as_fhir = fhir.CONTENT_TYPE in request.headers.get("accept", "")
        return _answer(model, sent, found, as_fhir)

    @app.post("/explain", responses=_EXPLAIN_ERRORS, openapi_extra=body, tags=["ECG"])
    async def explain(request: Request, asked: Annotated[AskedWhy, Query()]) -> Response:
        """What moved a model: how much each lead added to each finding. Takes seconds, and one ECG at a time."""
        model = rooms.find(request, asked.model)
        sent = await rooms.read(request, asked)
        if sent.several:
            raise RefusedError(422, "one ECG at a time is explained; send one")
        (record,) = sent.records.values()
        told = await rooms.explainer.explain(model, record, asked.method, asked.classes, asked.attributions)
        return JSONResponse({**told, "model": model.signature})

    @app.get("/models", tags=["server"], responses={401: _ERRORS[401]})
    async def models() -> list[dict[str, Any]]:
        """The models of this server, the default first, with the figures of their cards."""
        return [model.describe() for model in rooms.shelf.models.values()] if rooms.shelf else []

    @app.get("/health", tags=["server"])
    async def health() -> State:
        """Whether the process lives."""
        return State(status="alive")

    @app.get("/ready", tags=["server"], responses={503: {"model": Error}})
    async def ready() -> State:
        """Whether the models are loaded."""
        if rooms.shelf is None:
            raise RefusedError(503, "the models are being loaded", {"Retry-After": "1"})
        return State(status="ready")

    @app.get("/metrics", tags=["server"], response_class=Response, responses={401: _ERRORS[401]})
    async def metrics() -> Response:
        """What Prometheus is told, of all workers together."""
        return Response(rooms.counts.text(), media_type=METRICS_TYPE)


def _answer(model: Model, sent: Sent, found: dict[str, Prediction], as_fhir: bool) -> Response:
    if as_fhir:
        observations = [fhir.observation(prediction, model) for prediction in found.values()]
        value = fhir.collection(observations, sent.failed) if sent.several else observations[0]
        return Response(json.dumps(value), media_type=fhir.CONTENT_TYPE)
    about = {"model": model.signature, "notice": NOTICE}
    if sent.several:
        results = [{"file": name, **prediction.to_dict()} for name, prediction in found.items()]
        return JSONResponse({"results": results, "failed": sent.failed, **about})
    (prediction,) = found.values()
    value = {**prediction.to_dict(), **about}
    if prediction.refused:
        faults = "; ".join(flag.text for flag in prediction.flags if flag.refuse)
        raise RefusedError(422, f"refused: {faults}", more=value)
    return JSONResponse(value)


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(RefusedError)
    async def refused(_: Request, error: RefusedError) -> Response:
        return refusal(error)

    @app.exception_handler(Exception)
    async def defect(_: Request, error: Exception) -> Response:
        return refusal(RefusedError(500, DEFECT))  # Starlette raises it again, for the log of the front

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        fault = error.errors()[0]
        where = ".".join(str(part) for part in fault["loc"] if part != "query")
        return refusal(RefusedError(422, f"{where or 'the query'}: {fault['msg'][:1].lower()}{fault['msg'][1:]}"))

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        sentences = {404: "no such page; see /openapi.json", 405: "this page is asked with another method"}
        return refusal(
            RefusedError(error.status_code, sentences.get(error.status_code, str(error.detail)), error.headers)
        )


def _openapi(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        text = f"ECGs in, findings out. {NOTICE} Units are millivolts, rates hertz."
        document = get_openapi(title=app.title, version=app.version, description=text, routes=app.routes)
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        schemas["RecordBody"] = body_schema()
        document["components"]["requestBodies"] = {"Ecg": request_body()}
        app.openapi_schema = document
    return app.openapi_schema


def _version() -> str:
    from importlib.metadata import version

    return version("einthoven")

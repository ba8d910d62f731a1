"""The bytes of a backup over HTTP: an artifact as it is stored, any part of it, or opened where its key is held here."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import msgspec
from litestar import Request, Response
from litestar.enums import HttpMethod
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp

from contracts.access import Role
from contracts.control import BACKUP_RECORD, RunRefRequest
from contracts.errors import Conflict, Corrupt, Denied, InvalidInput, StrongroomError
from contracts.ids import is_slug
from contracts.records import ArtifactRecord, BackupRecord, RunState
from daemon.access.caller import Caller
from daemon.artifacts.names import content_disposition, file_name
from daemon.artifacts.opening import age_pieces, native_pieces
from daemon.http.authentication import caller_of, need_role
from daemon.http.backend import Backend
from daemon.http.bytes_answer import BytesAnswer, HeadAnswer, primed
from daemon.http.operations import API_PREFIX, Answer, Operation, Parameter
from daemon.http.places import Places
from daemon.http.problems import MEDIA_TYPE as PROBLEM
from daemon.http.problems import Problem
from daemon.http.queries import query_of
from daemon.http.ranges import Span, wanted_span
from daemon.runs.asks import find_artifact
from daemon.runs.events import EventPublisher

AnyRequest = Request[Any, Any, Any]

PATH: Final = "/projects/{project}/services/{service}/backups/{id}/content"
_MEDIA_TYPE: Final = "application/octet-stream"
_MOST_OPENED: Final = 16
"""Each takes a thread, and up to a core while its reader keeps pace."""
_MOST_OPENED_EACH: Final = 4
_MOST_STORED: Final = 128
_MOST_STORED_EACH: Final = 16
_MOST_FACT: Final = 100
"""Characters of what somebody sends, in the audit log."""


class Form(StrEnum):
    AGE = "age"
    """As it is stored: a standard age file for the project's recipients."""
    NATIVE = "native"
    """Decrypted and decompressed: the engine's own dump."""


class ContentQuery(msgspec.Struct, frozen=True, kw_only=True, rename={"form": "as"}):
    artifact: str
    form: Form = Form.AGE


class Downloads:
    """Answers with the bytes of artifacts, to whoever was let in as a caller."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._events = EventPublisher(backend.js, backend.metrics.note_event)
        self._executor = ThreadPoolExecutor(_MOST_OPENED, thread_name_prefix="content")
        self._places = {
            Form.NATIVE: Places(_MOST_OPENED, most_each=_MOST_OPENED_EACH, what="downloads that are opened here"),
            Form.AGE: Places(_MOST_STORED, most_each=_MOST_STORED_EACH, what="downloads"),
        }

    async def answer(self, request: AnyRequest, caller: Caller, ref: RunRefRequest, artifact: str, form: Form) -> ASGIApp:
        """What is wrong is an error now; once the answer has begun it can only be cut short.

        Every attempt is in the audit log, with what came of it, before the first byte leaves.
        Raises: StrongroomError: Denied, NotFound, Conflict `backup.not_completed`, Corrupt, Unavailable; NoSuchRange.
        """
        facts: dict[str, Any] = {"id": ref.id[:_MOST_FACT], "artifact": artifact[:_MOST_FACT], "as": str(form)}
        outcome = "internal"
        try:
            plan = await self._plan(request, caller, ref, artifact, form)
            await self._check_stored(plan.artifact)
            if request.method == "HEAD":
                return HeadAnswer(plan.status, plan.headers)
            facts["id"] = plan.backup.id
            if plan.is_part:
                facts |= {"first_byte": plan.span.first, "last_byte": plan.span.end - 1}
            source = self._source(caller, plan)
            seen = await primed(source)
            outcome = "done"
        except StrongroomError as exc:
            outcome = exc.code
            raise
        finally:
            if request.method != "HEAD":
                await self._write_down(caller, ref, {**facts, "outcome": outcome})
        return BytesAnswer(plan.status, plan.headers, seen, source, **facts)

    async def _plan(self, request: AnyRequest, caller: Caller, ref: RunRefRequest, artifact: str, form: Form) -> _Plan:
        backup = await self._backup(caller, ref)
        found = find_artifact(backup, artifact)
        if form is Form.NATIVE:
            return _Plan(backup, found, form, Span(0, found.plain_bytes), is_part=False)
        size = found.stored_bytes
        headers = request.headers
        try:
            span = wanted_span(headers.get("range", ""), headers.get("if-range", ""), etag_of(found, form), size)
        except ValueError as exc:
            raise NoSuchRange(str(exc), size) from exc
        return _Plan(backup, found, form, span or Span(0, size), is_part=span is not None)

    async def _backup(self, caller: Caller, ref: RunRefRequest) -> BackupRecord:
        """By the verb, which knows what `latest` is, and whose project it is."""
        need_role(caller, Role.OPERATOR, project=ref.project, what="downloading")
        backup = await self._backend.control.invoke(BACKUP_RECORD, ref, caller)
        if backup.state is not RunState.COMPLETED:
            raise Conflict("backup.not_completed", f"backup {backup.id} is {backup.state}: there is nothing to download")
        return backup

    async def _check_stored(self, artifact: ArtifactRecord) -> None:
        """Raises: Corrupt when the object is not there, or not of its record's size."""
        size = await self._backend.store.size_of(artifact.object_key)
        if size is None:
            raise Corrupt("store.missing", f"artifact {artifact.name!r} is not in the store")
        if size != artifact.stored_bytes:
            raise Corrupt(
                "artifact.corrupt",
                f"artifact {artifact.name!r} has {size} bytes in the store and {artifact.stored_bytes} in its record",
            )

    def _source(self, caller: Caller, plan: _Plan) -> AsyncGenerator[bytes, None]:
        """Raises: Denied `key.unavailable` where the key is not held here."""
        store, backup = self._backend.store, plan.backup
        if plan.form is Form.AGE:
            pieces = age_pieces(store, plan.artifact, plan.span.first, plan.span.end)
        elif not backup.key_id:
            raise Denied(
                "key.unavailable",
                f"the identity that opens the backups of {backup.project} is not held here: take it as age, and open it "
                "where the identity is",
                field="as",
            )
        else:
            pieces = native_pieces(store, self._backend.custody, self._executor, backup, plan.artifact)
        return self._places[plan.form].hold(caller.token_id or caller.actor, pieces)

    async def _write_down(self, caller: Caller, ref: RunRefRequest, facts: dict[str, Any]) -> None:
        facts = {"verb": "backup.content", "via": str(caller.via), "role": str(caller.role), **facts}
        if caller.token_id:
            facts["token_id"] = caller.token_id
        is_name = is_slug(ref.project) and is_slug(ref.service)
        await self._events.publish(
            "access.called",
            key=secrets.token_hex(8),
            at=self._backend.now(),
            actor=caller.actor,
            project=ref.project if is_name else "",
            service=ref.service if is_name else "",
            facts=facts,
        )


class NoSuchRange(InvalidInput):
    """The range lies behind the end."""

    def __init__(self, words: str, size: int) -> None:
        super().__init__("input.invalid", f"{words}: ask for less", field="Range")
        self.size = size


@dataclass(frozen=True)
class _Plan:
    """What will be answered."""

    backup: BackupRecord
    artifact: ArtifactRecord
    form: Form
    span: Span
    is_part: bool

    @property
    def status(self) -> int:
        return 206 if self.is_part else 200

    @property
    def headers(self) -> list[tuple[str, str]]:
        is_stored = self.form is Form.AGE
        found = [
            ("Content-Type", _MEDIA_TYPE),
            ("Content-Length", str(self.span.end - self.span.first)),
            ("Content-Disposition", content_disposition(file_name(self.backup, self.artifact, encrypted=is_stored))),
            ("ETag", etag_of(self.artifact, self.form)),
            # The compressed stream inside can only be read from its beginning.
            ("Accept-Ranges", "bytes" if is_stored else "none"),
            # A proxy must neither keep a backup nor pack it once more, which would take its length away.
            ("Cache-Control", "private, no-store, no-transform"),
        ]
        if self.is_part:
            span = f"bytes {self.span.first}-{self.span.end - 1}/{self.artifact.stored_bytes}"
            found.append(("Content-Range", span))
        return found


def etag_of(artifact: ArtifactRecord, form: Form) -> str:
    return f'"{artifact.sha256}"' if form is Form.AGE else f'"{artifact.sha256}-native"'


def content(backend: Backend) -> Sequence[HTTPRouteHandler]:
    downloads = Downloads(backend)

    async def handle(request: AnyRequest) -> ASGIApp:
        caller = await caller_of(backend, request)
        query = query_of(request, ContentQuery)
        ref = RunRefRequest(**{name: str(request.path_params[name]) for name in ("project", "service", "id")})
        try:
            return await downloads.answer(request, caller, ref, query.artifact, query.form)
        except NoSuchRange as exc:
            return _no_such_range(exc).to_asgi_response(app=None, request=request)

    path = API_PREFIX + PATH.replace("}", ":str}")
    methods = [HttpMethod.GET, HttpMethod.HEAD]
    return [HTTPRouteHandler(path, http_method=methods, include_in_schema=False)(handle)]


def _no_such_range(exc: NoSuchRange) -> Response[Problem]:
    problem = Problem(title="No such range", status=416, detail=exc.message, code=exc.code, field=exc.field)
    return Response(problem, status_code=416, media_type=PROBLEM, headers={"Content-Range": f"bytes */{exc.size}"})


OPERATIONS: Final[Sequence[Operation]] = (
    Operation(
        name="backup.content",
        method="GET",
        path=PATH,
        summary="The bytes of an artifact",
        doc=(
            "`age`: the object as it is stored, a standard age file, all of it or one range; its `ETag` is its SHA-256.  "
            "`native`: decrypted and decompressed, where the coordinator holds the project's identity; without ranges.  The "
            "length is told beforehand, and the last bytes are sent only when all of them have proved authentic: a transfer "
            "that ends before its length has failed, and what arrived of it is worth nothing.  Each download is in the "
            "audit log.  `HEAD` answers with the headers alone."
        ),
        role=Role.OPERATOR,
        parameters=(
            Parameter(name="project", type=str, place="path", example="acme"),
            Parameter(name="service", type=str, place="path", example="orders"),
            Parameter(
                name="id", type=str, place="path", doc="The backup's id, or `latest`.", example="20261122T000512Z-k7xq"
            ),
            Parameter(name="artifact", type=str, doc="The artifact's name.", example="orders"),
            Parameter(name="as", type=Form, doc="In which form.", default=Form.AGE),
            Parameter(name="Range", type=str, place="header", doc="One range of bytes, of `age` only."),
            Parameter(name="If-Range", type=str, place="header", doc="The `ETag` for which alone the range counts."),
        ),
        answers=(
            Answer(
                doc="All bytes.",
                media_type=_MEDIA_TYPE,
                headers={
                    "ETag": "Changes when the bytes do.",
                    "Content-Disposition": "A file name.",
                    "Accept-Ranges": "`bytes` or `none`.",
                },
            ),
            Answer(
                status=206,
                doc="The range that was asked for.",
                media_type=_MEDIA_TYPE,
                headers={"Content-Range": "Which bytes of how many.", "ETag": "Changes when the bytes do."},
            ),
        ),
        refusals=(404, 409, 416),
    ),
)

"""Examples for every operation: values that fit together, made from the types, with what people would send where it matters.

Deterministic: the document is the same whenever it is made.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import inspect

from contracts.control import (
    BACKUP_CANCEL,
    BACKUP_CREATE,
    BACKUP_DOWNLOAD,
    BACKUP_LIST,
    BACKUP_PROTECT,
    BACKUP_TAG,
    CHANNEL_CHANGE,
    CHANNEL_CREATE,
    NODE_ADD,
    PING_SET,
    PROJECT_CREATE,
    PROJECT_DELETE,
    PROJECT_SET_QUOTA,
    RESTORE_CANCEL,
    RESTORE_CREATE,
    RESTORE_SHOW,
    SCHEMA_SHOW,
    SERVICE_ADD,
    SERVICE_CHANGE,
    SERVICE_DELETE,
    SERVICE_SET_RETENTION,
    SERVICE_SET_SCHEDULE,
    TOKEN_CREATE,
    Verb,
)
from contracts.errors import StrongroomError
from contracts.policy.retention_policy import RetentionPolicy
from contracts.services import PostgreSQLOptions

_RUN_ID: Final = "20261122T000512Z-k7xq"
_RESTORE_ID: Final = "20261122T091500Z-m2pd"
_MOMENT: Final = "2026-11-22T00:05:12Z"
_LATER: Final = "2026-11-22T00:06:40Z"
_RECIPIENT: Final = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"
_PREFIX: Final = f"strongroom/v1/acme/orders/{_RUN_ID}"

_BY_NAME: Final[dict[str, Any]] = {
    "project": "acme",
    "to_project": "",
    "to_service": "",
    "service": "orders",
    "services": 3,
    "node": "db-1",
    "nodes": ["db-1"],
    "id": _RUN_ID,
    "backup_id": _RUN_ID,
    "run_id": _RUN_ID,
    "restore_id": None,
    "active": "",
    "kind": "postgresql",
    "name": "orders",
    "artifact": "orders",
    "artifacts": ["orders"],
    "format": "pg_dump-custom",
    "object_key": f"{_PREFIX}/1/0001-orders.dump.zst.age",
    "manifest_key": f"{_PREFIX}/manifest.json",
    "prefix": f"{_PREFIX}/",
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "key_id": "k-3f9a2c71",
    "recipients": [_RECIPIENT],
    "recipient": _RECIPIENT,
    "recovery_recipients": [_RECIPIENT],
    "actor": "token:ci of acme",
    "created_by": "token:operations",
    "last_sent_at": None,
    "last_ok_at": None,
    "target": "slack://…",
    "state": "completed",
    "trigger": "schedule",
    "placement": "the only healthy node",
    "instance": "db-1.4242",
    "attempt": 1,
    "tags": ["daily"],
    "add": ["before-migration"],
    "remove": [],
    "warnings": [],
    "tried_nodes": [],
    "error": None,
    "deletion": None,
    "freeze": None,
    "deleting_since": None,
    "deletion_reason": "",
    "revoked_at": None,
    "failing_since": None,
    "due_at": "2026-11-22T00:05:00Z",
    "requested_at": "2026-11-22T00:05:00Z",
    "started_at": _MOMENT,
    "finished_at": _LATER,
    "expires_at": "2027-11-22T00:05:12Z",
    "next_due": "2026-11-23T00:05:00Z",
    "next": 5,
    "past": 20,
    "elapsed_s": 88.2,
    "lag_s": None,
    "size_bytes": 73_400_320,
    "stored_bytes": 73_400_320,
    "plain_bytes": 251_658_240,
    "quota_bytes": 25_000_000_000,
    "found_bytes": 73_400_320,
    "reserved_bytes": 0,
    "plan": "serious",
    "summary": {"databases": 1, "tables": 42},
    "attributes": {"encoding": "UTF8", "owner": "orders"},
    "restored": {"orders": "orders_copy"},
    "rename": {"orders": "orders_copy"},
    "facts": {"verb": "backup.create", "outcome": "done"},
    "server": {"nats_server": "2.15.1", "bucket": "backups"},
    "tools": {"pg_dump": "15.18"},
    "inventory": {"databases": [{"name": "orders", "tables": 42}]},
    "version": "15.18",
    "agent_version": "0.1.0",
    "role": "viewer",
    "reachable": True,
    "running": [],
    "missing_shards": [],
    "silent_nodes": [],
    "attention": [],
    "causes": [],
    "differences": [],
    "level": "good",
    "levels": {"problem": 0, "warning": 0, "good": 3, "off": 0},
    "class": "daily",
    "reason": "one of the newest 50",
    "message": "the engine refused the credentials",
    "url": "https://s3.example.org/backups/…?X-Amz-Signature=…",
    "header": "",
    "cursor": "",
    "next_cursor": "",
    "search": "",
    "tag": "",
    "since": "2026-10-23T00:05:00Z",
    "success_rate": 0.97,
    "suspicious_size_factor": 0.5,
    "token": "srm_k7xq2mzt4a_<43 characters that are shown once>",
    "view": None,
    "total": 1,
    "last": None,
    "directory": "",
    "paths": [],
    "schedule": {"kind": "daily", "at": "00:05:12"},
    "options": msgspec.to_builtins(PostgreSQLOptions()),
    "retention": msgspec.to_builtins(RetentionPolicy()),
    "policy": msgspec.to_builtins(RetentionPolicy()),
    "payload_offset": 0,
    "min_severity": "warning",
    "enabled": True,
    "is_default": True,
    "applied": True,
    "ok": True,
}
"""What a field of this name holds, wherever its type allows that."""

_OF_STRUCT: Final[dict[tuple[str, str], Any]] = {
    ("Status", "version"): "0.1.0",
    ("Status", "grace_days"): 7,
    ("DueFigures", "due"): 30,
    ("DueFigures", "completed"): 29,
    ("DueFigures", "missed"): 0,
    ("DueFigures", "skipped"): 0,
    ("DueFigures", "cancelled"): 0,
    ("DueRecord", "has_run"): True,
    ("DueTimes", "next"): ["2026-11-23T00:05:12Z", "2026-11-24T00:05:12Z"],
    ("BackupVerdict", "rule"): "within_limits",
    ("TokenView", "role"): "operator",
    ("Self", "role"): "operator",
    ("ProjectRecord", "name"): "acme",
    ("NodeRecord", "name"): "db-1",
    ("TokenView", "id"): "k7xq2mzt4a",
    ("TokenView", "name"): "ci of acme",
    ("ChannelView", "name"): "on call",
    ("ArtifactRecord", "kind"): "database",
    ("Usage", "check"): None,
    ("Alive", "services"): {"acme/orders": {"reachable": True, "version": "15.18", "role": "primary"}},
    ("RestoreRecord", "id"): _RESTORE_ID,
    ("RestoreRecord", "attempt"): 1,
    ("RunSummary", "state"): "completed",
    ("BackupVerdict", "at"): "2026-11-22T00:05:00Z",
    ("Overview", "services"): 3,
    ("Overview", "running"): 0,
    ("ProjectOverview", "running"): 0,
    ("StoredEvent", "sequence"): 4711,
    ("Event", "id"): f"backup.completed:acme/orders/{_RUN_ID}:1",
    ("Event", "type"): "backup.completed",
    ("Event", "reason"): None,
    ("Event", "facts"): None,
    ("DueRecord", "reason"): "",
}

_BY_NAME_TOO: Final[dict[str, Any]] = {
    "id": "k7xq2mzt4a",
    "url": "https://hooks.example.org/strongroom",
    "name": "on call",
}
"""The second choice."""

_REQUESTS: Final[dict[str, dict[str, Any]]] = {
    PROJECT_CREATE.name: {"name": "acme", "plan": "serious"},
    PROJECT_SET_QUOTA.name: {"plan": "custom", "quota_bytes": 100_000_000_000},
    SCHEMA_SHOW.name: {"name": "BackupCreate"},
    SERVICE_ADD.name: {
        "name": "orders",
        "options": {"kind": "postgresql", "include": ["orders"]},
        "nodes": ["db-1"],
        "schedule": {"kind": "daily", "at": "03:30"},
    },
    SERVICE_CHANGE.name: {"nodes": ["db-1", "db-2"]},
    SERVICE_SET_SCHEDULE.name: {"schedule": {"kind": "weekly", "day": "sunday", "at": "03:30"}},
    SERVICE_SET_RETENTION.name: {"retention": {"maximums": {"daily": 30}, "total_count": 60}, "dry_run": True},
    NODE_ADD.name: {"node": "db-1"},
    CHANNEL_CREATE.name: {"name": "on call", "url": "mailtos://strongroom:password@example.org?to=ops@example.org"},
    CHANNEL_CHANGE.name: {"min_severity": "critical"},
    PING_SET.name: {"url": "https://checks.example.org/ping/acme-orders"},
    BACKUP_CREATE.name: {"tags": ["before-migration"]},
    BACKUP_TAG.name: {"add": ["audited"], "remove": ["before-migration"]},
    BACKUP_LIST.name: {"project": "acme", "service": "orders", "states": ["completed"], "limit": 50},
    BACKUP_DOWNLOAD.name: {"artifact": "orders"},
    RESTORE_SHOW.name: {"id": _RESTORE_ID},
    RESTORE_CANCEL.name: {"id": _RESTORE_ID},
    RESTORE_CREATE.name: {"rename": {"orders": "orders_copy"}},
    TOKEN_CREATE.name: {"name": "ci of acme", "role": "operator", "project": "acme", "expires_in_days": 90},
}
"""The fields beside those of the path that somebody would send."""

_DELETION: Final = {
    "at": _MOMENT,
    "purge_at": "2026-11-29T00:05:12Z",
    "actor": "token:operations",
    "purging": False,
}
_UNDER_WAY: Final[dict[str, Any]] = {"state": "requested", "instance": "", "started_at": None, "finished_at": None}
_ANSWERS: Final[dict[str, dict[str, Any]]] = {
    BACKUP_CREATE.name: {
        **_UNDER_WAY,
        "trigger": "manual",
        "due_at": None,
        "tags": ["before-migration"],
        "artifacts": [],
        "size_bytes": 0,
        "plain_bytes": 0,
        "manifest_key": "",
        "summary": {},
    },
    BACKUP_CANCEL.name: {"state": "cancelled", "artifacts": [], "size_bytes": 0, "plain_bytes": 0, "manifest_key": ""},
    BACKUP_TAG.name: {"tags": ["daily", "audited"]},
    BACKUP_PROTECT.name: {"tags": ["daily", "protected"]},
    RESTORE_CREATE.name: {**_UNDER_WAY, "restored": {}},
    RESTORE_CANCEL.name: {"state": "cancelled", "restored": {}},
    SERVICE_SET_RETENTION.name: {"applied": False},
    SERVICE_DELETE.name: {"deletion": _DELETION},
    PROJECT_DELETE.name: {"deletion": _DELETION},
    PROJECT_SET_QUOTA.name: {"plan": "custom", "quota_bytes": 100_000_000_000},
    SERVICE_CHANGE.name: {"nodes": ["db-1", "db-2"]},
    SERVICE_SET_SCHEDULE.name: {"schedule": {"kind": "weekly", "day": "sunday", "at": "03:30"}},
}
"""What is otherwise in the answer of a verb than where else its type is found."""

_DEEPEST: Final = 12


def request_example(verb: Verb[Any, Any]) -> dict[str, Any]:
    """The fields of a request as JSON has them, those of the path among them: what is needed, and what is useful."""
    curated = _REQUESTS.get(verb.name, {})
    made: dict[str, Any] = {}
    for field in msgspec.structs.fields(verb.request):
        if field.name in curated:
            made[field.name] = curated[field.name]
        elif field.required:
            made[field.name] = _field(verb.request, field, 0)
    return made


def field_example(struct: type, field: msgspec.structs.FieldInfo) -> Any:
    """What a field may hold, as JSON has it."""
    return _field(struct, field, 0)


def answer_example(verb: Verb[Any, Any]) -> Any:
    """A whole answer, as JSON has it."""
    return example_of(verb.answer) | _ANSWERS.get(verb.name, {})


def example_of(type_: Any) -> Any:
    """A whole value of the type, as JSON has it."""
    made = _value(inspect.type_info(type_), "", 0)
    return msgspec.to_builtins(msgspec.convert(made, type_))


def _field(struct: type, field: msgspec.structs.FieldInfo, depth: int) -> Any:
    special = (struct.__name__, field.name)
    if special in _OF_STRUCT:
        return _OF_STRUCT[special]
    for choices in (_BY_NAME, _BY_NAME_TOO):
        if field.encode_name in choices and _fits(choices[field.encode_name], field.type):
            return choices[field.encode_name]
    return _value(inspect.type_info(field.type), field.name, depth)


def _value(info: inspect.Type, name: str, depth: int) -> Any:
    assert depth < _DEEPEST, f"{info} goes too deep"
    match info:
        case inspect.Metadata(type=inner):
            return _value(inner, name, depth)
        case inspect.StructType(cls=cls, tag_field=tag_field, tag=tag):
            kind = {tag_field: tag} if tag_field else {}
            return kind | {each.encode_name: _field(cls, each, depth + 1) for each in msgspec.structs.fields(cls)}
        case inspect.ListType(item_type=item) | inspect.VarTupleType(item_type=item):
            return [_value(item, name, depth + 1)]
        case inspect.DictType(value_type=value):
            return {"orders": _value(value, name, depth + 1)}
        case inspect.UnionType(types=types):
            return _value(types[0], name, depth)
    return _plain(info, name)


def _plain(info: inspect.Type, name: str) -> Any:
    match info:
        case inspect.EnumType(cls=cls):
            return next(iter(cls)).value
        case inspect.LiteralType(values=values):
            return values[0]
        case inspect.DateTimeType():
            return _MOMENT
        case inspect.BoolType():
            return False
        case inspect.IntType(ge=least) | inspect.FloatType(ge=least):
            return max(1, least or 0)
        case inspect.StrType(min_length=least):
            return name if least else ""
        case inspect.BytesType():
            return ""
    return None


def _fits(value: Any, type_: Any) -> bool:
    try:
        msgspec.convert(value, type_)
    except (msgspec.ValidationError, StrongroomError):
        return False
    return True

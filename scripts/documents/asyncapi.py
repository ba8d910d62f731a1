"""The bus as an AsyncAPI document: what the coordinator takes and sends, on which subjects, in which messages.

Source: AsyncAPI Specification 3.0.0; NATS bindings 0.1.0.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from typing import Any, Final

from contracts.control import VERBS
from contracts.schemas import components, message_types
from contracts.subjects import control_subject
from daemon.listening import QUEUE
from scripts.documents.channels import CHANNELS, Channel, Message, Way

Schema = dict[str, Any]

_REPLIES: Final = "controlReplies"
_ABOUT: Final = """\
Everything between Strongroom's coordinator and its agents, and all that other programs may ask and hear, are NATS messages:
JSON objects of the shapes below.  It is seen from the coordinator: it *receives* what agents and operators publish.

**Operators and other programs** call the control verbs by request and reply, and subscribe to events, progress and logs.
The NATS server decides who may: whoever may publish below `strongroom.control.` is an administrator.

**Verbs** are endpoints of the NATS micro service `strongroom` (`nats micro ls`, `$SRV.INFO.strongroom`), whose metadata name
the messages of each; `schema.show` answers with the JSON Schema of one.  An error comes as the headers
`Nats-Service-Error-Code` and `Nats-Service-Error`, with an `ErrorInfo` in the payload.

**Events** are stored on the stream STRONGROOM_EVENTS, and bear CloudEvents attributes as headers (binary mode).  **Logs** of
jobs are stored on STRONGROOM_LOGS.  **Progress** is core NATS and not stored.

Whoever is traced sends `traceparent` (W3C Trace Context) with every message, and finds it in all that follows from it.  A
newer version may add fields: ignore those you do not know.
"""


def asyncapi_document() -> Schema:
    """The whole document."""
    channels: Schema = {}
    operations: Schema = {}
    messages: Schema = {}
    for channel in CHANNELS:
        channels[channel.name] = _channel(channel)
        for message in channel.messages:
            messages.setdefault(message.name, _message(message))
        if channel.way is not None:
            operations[channel.operation] = _operation(channel)
    _add_verbs(channels, operations, messages)
    return {
        "asyncapi": "3.0.0",
        "id": "urn:strongroom:coordinator",
        "info": {
            "title": "Strongroom on the bus",
            "version": importlib.metadata.version("strongroom"),
            "description": _ABOUT,
        },
        "defaultContentType": "application/json",
        "servers": {
            "nats": {
                "host": "{host}:4222",
                "protocol": "nats",
                "description": "The NATS servers of this installation, 2.11 or later, with JetStream.",
                "variables": {"host": {"default": "127.0.0.1"}},
                "security": [{"$ref": "#/components/securitySchemes/nkey"}],
            }
        },
        "channels": channels,
        "operations": operations,
        "components": {
            "messages": dict(sorted(messages.items())),
            "schemas": {name: _draft_07(schema) for name, schema in _schemas().items()},
            "securitySchemes": {
                "nkey": {
                    "type": "asymmetricEncryption",
                    "description": "An nkey; the server's configuration says what its owner may publish and hear.",
                }
            },
        },
    }


def _schemas() -> dict[str, Schema]:
    return components(message_types().values(), lambda name: f"#/components/schemas/{name}")


def _channel(channel: Channel) -> Schema:
    made: Schema = {"address": channel.address or None, "description": channel.doc}
    if channel.parameters:
        made["parameters"] = {name: dict(parameter) for name, parameter in channel.parameters.items()}
    made["messages"] = {message.name: {"$ref": f"#/components/messages/{message.name}"} for message in channel.messages}
    return made


def _operation(channel: Channel) -> Schema:
    made: Schema = {
        "action": "receive" if channel.way is Way.IN else "send",
        "channel": {"$ref": f"#/channels/{channel.name}"},
        "summary": channel.summary,
    }
    if channel.way is Way.IN and not channel.is_stream:
        made["bindings"] = _queue(QUEUE)
    if channel.replies:
        made["reply"] = _reply(channel.replies)
    return made


def _queue(name: str) -> Schema:
    return {"nats": {"queue": name, "bindingVersion": "0.1.0"}}


def _reply(channel: str, *messages: str) -> Schema:
    made: Schema = {
        "address": {
            "location": "$message.header#/reply-to",
            "description": "The reply subject of the NATS message, which the protocol carries beside its headers.",
        },
        "channel": {"$ref": f"#/channels/{channel}"},
    }
    if messages:
        made["messages"] = [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in messages]
    return made


def _message(message: Message) -> Schema:
    made: Schema = {
        "name": message.name,
        "title": message.title or message.name,
        "summary": message.summary,
        "contentType": "application/json",
        "payload": {"$ref": f"#/components/schemas/{message.payload}"},
    }
    if message.headers:
        made["headers"] = message.headers
    return {name: value for name, value in made.items() if value}


def _add_verbs(channels: Schema, operations: Schema, messages: Schema) -> None:
    """A channel and an operation for each verb; all answers come on whatever subject the asking program listens."""
    refusal = Message(
        "ControlError",
        "ErrorInfo",
        "Why the verb was not carried out",
        headers={
            "type": "object",
            "required": ["Nats-Service-Error", "Nats-Service-Error-Code"],
            "properties": {
                "Nats-Service-Error": {"type": "string", "description": "The sentence of the error."},
                "Nats-Service-Error-Code": {"type": "string", "description": "Its code, as everywhere."},
            },
        },
    )
    replies: dict[str, Message] = {refusal.name: refusal}
    for verb in VERBS.values():
        asked = Message(f"{verb.name}.request", verb.request.__name__, verb.doc, title=f"{verb.name}, asked")
        answer = Message(f"{verb.name}.answer", verb.answer.__name__, verb.doc, title=f"{verb.name}, answered")
        name = "control" + "".join(part.capitalize() for part in verb.name.replace("_", ".").split("."))
        channels[name] = {
            "address": control_subject(verb.name),
            "description": f"{verb.doc}.  Over HTTP: `{verb.method} /api/v1{verb.path}`, with the role `{verb.role}`.",
            "messages": {asked.name: {"$ref": f"#/components/messages/{asked.name}"}},
        }
        operations[name] = {
            "action": "receive",
            "channel": {"$ref": f"#/channels/{name}"},
            "summary": verb.doc,
            "reply": _reply(_REPLIES, answer.name, refusal.name),
            "bindings": _queue("q"),
        }
        messages[asked.name] = _message(asked)
        replies[answer.name] = answer
    for message in replies.values():
        messages[message.name] = _message(message)
    channels[_REPLIES] = {
        "address": None,
        "description": "What verbs answer, on the reply subject of the request: an inbox (`_INBOX...`) of who asked.",
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in replies},
    }


def _draft_07(value: Any) -> Any:
    """A schema of AsyncAPI is one of draft 7: arrays of fixed places are spelt otherwise, and a reference stands alone."""
    if isinstance(value, list):
        return [_draft_07(each) for each in value]
    if not isinstance(value, Mapping):
        return value
    made = {name: _draft_07(part) for name, part in value.items()}
    if "prefixItems" in made:
        made["items"] = made.pop("prefixItems")
    if isinstance(made.get("$ref"), str) and len(made) > 1:
        made = {"allOf": [{"$ref": made.pop("$ref")}], **made}
    return made

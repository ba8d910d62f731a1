"""Whether a stream that was restored is the one that was backed up."""

from __future__ import annotations

from agents.drivers.nats.archive import Description
from agents.drivers.nats.attributes import StreamAttributes
from agents.drivers.nats.streams import StreamInfo, StreamState
from contracts.errors import RunFailed


def compare(
    restored: StreamInfo, description: Description, facts: StreamAttributes | None, *, growing: bool = False
) -> list[str]:
    """Warnings.  Raises: RunFailed `restore.failed` for what is no state that the backup could have come to.

    The recorded state is of the moment when the snapshot began: what was acknowledged, expired or was deleted while it was
    read is not in it.  So there may be fewer messages, but never more, and the last sequence is the same in any case.
    Only of one that is `growing`, since it takes messages already, is it later, by as many as there may be more.
    """
    name, expected, found = restored.name, description.state, restored.state
    added = max(0, found.last_seq - expected.last_seq) if growing else 0
    messages = found.messages - added
    if found.last_seq != expected.last_seq + added or messages > expected.messages or found.first_seq < expected.first_seq:
        raise RunFailed(
            "restore.failed",
            f"stream {name!r} came back as something else: {_words(found)}, where the backup has {_words(expected)}",
        )
    warnings = []
    if messages < expected.messages:
        what = (
            f"stream {name!r} has {max(0, messages)} of the {expected.messages} messages that it had when its backup began"
        )
        warnings.append(f"{what}: the others were removed while it was made, or have expired since")
    durable = facts.durable_consumers if facts is not None else 0
    if found.consumer_count < durable:
        what = f"stream {name!r} has {found.consumer_count} consumers, where {durable} durable ones were backed up"
        warnings.append(f"{what}: compare them with the inventory")
    return warnings


def _words(state: StreamState) -> str:
    return f"{state.messages} messages of the sequences {state.first_seq} to {state.last_seq}"

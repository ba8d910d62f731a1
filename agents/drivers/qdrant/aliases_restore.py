"""Aliases, restored last and all at once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import msgspec

from agents.drivers.base import Confirm, RestoreSink, confirmed
from agents.drivers.pipes import PipeReader, piped_restore
from agents.drivers.qdrant.answers import Alias
from agents.drivers.qdrant.connection import QdrantConnection
from agents.drivers.qdrant.node import Node, open_nodes, reachable_nodes
from agents.drivers.qdrant.targets import check_alias
from agents.processes import uncancelled
from contracts.errors import Corrupt
from contracts.records import ArtifactRecord, Attributes, RestoreTarget

_LARGEST: Final = 64 * 1024 * 1024


class _Action(msgspec.Struct, frozen=True):
    create_alias: Alias


class _Document(msgspec.Struct, frozen=True):
    actions: list[_Action]


@asynccontextmanager
async def start_aliases_restore(
    connection: QdrantConnection, artifact: ArtifactRecord, target: RestoreTarget, *, confirm: Confirm = confirmed
) -> AsyncIterator[RestoreSink]:
    """Raises: Conflict `restore.target_not_empty`, RunFailed `engine.*`."""
    aliases: list[Alias] = []

    async def consume(pipe: PipeReader) -> None:
        collected = bytearray()
        while data := await pipe.read():
            collected += data
            if len(collected) > _LARGEST:
                raise Corrupt("artifact.corrupt", f"the artifact {artifact.name!r} is too large for aliases")
        try:
            document = msgspec.json.decode(collected, type=_Document)
        except msgspec.DecodeError as exc:
            raise Corrupt("artifact.corrupt", f"the artifact {artifact.name!r} cannot be read: {exc}") from exc
        aliases.extend(action.create_alias for action in document.actions)

    async with open_nodes(connection) as nodes:
        reached, _ = await reachable_nodes(nodes)

        async def place() -> Attributes:
            return await uncancelled(_place(reached[0], aliases, target), name="restore:aliases")

        async with piped_restore(consume, place, name=artifact.name, confirm=confirm) as sink:
            yield sink


async def _place(node: Node, aliases: list[Alias], target: RestoreTarget) -> Attributes:
    collections, current = await node.collections(), await node.aliases()
    actions, warnings = [], []
    for each in aliases:
        name = target.rename.get(each.collection_name, each.collection_name)
        if name not in collections:
            warnings.append(f"the alias {each.alias_name!r} was left out: there is no collection {name!r}")
        elif each.alias_name in collections:
            warnings.append(f"the alias {each.alias_name!r} was left out: a collection has that name")
        elif name != each.collection_name and current.get(each.alias_name, name) != name:
            # Of a copy beside the original: whoever uses the alias wants the original.
            warnings.append(f"the alias {each.alias_name!r} was left at {current[each.alias_name]!r}: {name!r} is a copy")
        else:
            check_alias(each.alias_name, name, current=current, replace=target.replace, place=node.url)
            actions.append({"create_alias": {"alias_name": each.alias_name, "collection_name": name}})
    if actions:
        await node.change_aliases(actions)
    outcome: Attributes = {"aliases": len(actions)}
    if warnings:
        outcome["warnings"] = warnings
    return outcome

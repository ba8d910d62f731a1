"""Where a restore's artifacts go.  Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from agents.drivers.qdrant.attributes import ALIASES_KIND, CollectionAttributes, collection_attributes
from contracts.errors import Conflict, InvalidInput, RunFailed
from contracts.records import ArtifactRecord, RestoreTarget

_FORBIDDEN: Final = '<>:"/\\|?*\0\x1f'
_LONGEST_NAME: Final = 255


def target_name(artifact: ArtifactRecord, attributes: CollectionAttributes, target: RestoreTarget) -> str:
    """By the artifact's name, or by the collection's, of which there may be several artifacts."""
    return target.rename.get(artifact.name, target.rename.get(attributes.collection, attributes.collection))


def check_names(artifacts: Sequence[ArtifactRecord], target: RestoreTarget) -> dict[str, str]:
    """New names of collections by their old ones.

    Raises: InvalidInput `input.invalid` for `rename`.
    """
    names: dict[str, str] = {}
    renamable: set[str] = set()
    for artifact in artifacts:
        if artifact.kind == ALIASES_KIND:
            continue
        attributes = collection_attributes(artifact)
        renamable |= {artifact.name, attributes.collection}
        wanted = target_name(artifact, attributes, target)
        if names.setdefault(attributes.collection, wanted) != wanted:
            raise _bad(f"the parts of collection {attributes.collection!r} cannot go under different names")
    unknown = sorted(set(target.rename) - renamable)
    if unknown:
        raise _bad(f"{unknown[0]!r} is none of the collections that are restored ({', '.join(map(repr, sorted(names)))})")
    for old, new in names.items():
        if old != new and (not new or len(new) > _LONGEST_NAME or any(character in _FORBIDDEN for character in new)):
            raise _bad(
                f"{new!r} is no name that Qdrant allows for a collection: 1 to 255 characters without {_FORBIDDEN[:-2]}"
            )
    seen: dict[str, str] = {}
    for old, new in names.items():
        if (other := seen.setdefault(new, old)) != old:
            raise _bad(f"both {other!r} and {old!r} would be restored as {new!r}")
    return names


def check_free(name: str, *, collections: Sequence[str], aliases: Mapping[str, str], replace: bool, place: str) -> None:
    """Raises: Conflict `restore.target_not_empty`."""
    if name in aliases:
        raise Conflict(
            "restore.target_not_empty",
            f"{name!r} is an alias of collection {aliases[name]!r} on Qdrant at {place}, which a restore would overwrite: "
            "remove the alias, or restore under another name with --rename",
        )
    if name in collections and not replace:
        raise Conflict(
            "restore.target_not_empty",
            f"collection {name!r} exists on Qdrant at {place}: restore with --replace to lose what is there, or under "
            "another name with --rename",
        )


def check_alias(alias: str, wanted: str, *, current: Mapping[str, str], replace: bool, place: str) -> None:
    """Raises: Conflict `restore.target_not_empty` for one that points elsewhere."""
    if not replace and current.get(alias, wanted) != wanted:
        raise Conflict(
            "restore.target_not_empty",
            f"the alias {alias!r} on Qdrant at {place} points to collection {current[alias]!r} and would be made to point "
            f"to {wanted!r}: restore with --replace, or without the artifact of aliases",
        )


def check_version(artifact: ArtifactRecord, server_version: str) -> None:
    """Raises: RunFailed `engine.version_skew` for a server that is older than the one the snapshot comes from."""
    made_with = collection_attributes(artifact).server_version
    if _minor(made_with) > _minor(server_version):
        raise RunFailed(
            "engine.version_skew",
            f"the snapshot of {artifact.name!r} was made by Qdrant {made_with}, and this server is {server_version}: an "
            "older server cannot read it; update it to at least the same minor version",
        )


def _minor(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())


def _bad(message: str) -> InvalidInput:
    return InvalidInput("input.invalid", f"rename: {message}", field="rename")

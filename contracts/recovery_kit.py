"""The recovery kit: what somebody needs to have a project's data back with stock programs, and nothing of Strongroom.

Made from records, as a text or as one printable HTML page without external resources.  It holds no secret: the identity and
the credentials of the bucket are somewhere else.  Pure.
"""

from __future__ import annotations

import html
import shlex
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from contracts.custody import CustodyKind
from contracts.ids import Slug
from contracts.native_restore import KEY_FILE, native_restore_commands
from contracts.object_keys import project_prefix, service_prefix
from contracts.records import ArtifactRecord


class KitService(msgspec.Struct, frozen=True, kw_only=True):
    """A service with its newest completed backup, which the commands are written for; any other is restored likewise."""

    service: Slug
    kind: str
    backup_id: str = ""
    """Empty while there is none."""
    requested_at: datetime | None = None
    artifacts: list[ArtifactRecord] = []


class RecoveryKit(msgspec.Struct, frozen=True, kw_only=True):
    """Facts of a project that are needed when nothing but the bucket is left."""

    project: Slug
    made_at: datetime
    custody: CustodyKind
    recipients: list[str]
    """An identity of any of them opens new backups; a backup's manifest names its own."""
    bucket: str
    endpoint_url: str
    """Empty for Amazon S3 itself."""
    region: str
    services: list[KitService]


class Section(msgspec.Struct, frozen=True):
    """A part of the page: a title, what it says, and lines for a shell."""

    title: str
    words: list[str]
    commands: list[str] = []


_HELD: Final = {
    CustodyKind.MANAGED: "The identity of the first recipient is with the coordinator, sealed under its master key: without "
    "both, a backup opens only with the identity of one of the others.",
    CustodyKind.CUSTOMER: "The identities are with their owners alone: no coordinator can open these backups.",
}


_PROGRAMS: Final = (
    f"Programs: age, zstd, jq, the AWS command line, and those of each engine. A file {KEY_FILE} with the identity of one "
    "of these recipients:"
)
_LAYOUT: Final = (
    "Then come service, backup and attempt. An artifact is a standard age file around a zstd frame around the engine's own "
    "dump. A backup is whole when manifest.json lies beside its artifacts: it names them, their formats, sizes and SHA-256, "
    "and the recipients. The newest backup of a service has the greatest name:"
)
_DIGESTS: Final = '.artifacts[] | .sha256 + "  " + (.object_key | split("/")[-2:] | join("/"))'
"""Lines for `sha256sum -c`: an object's attempt and file are how it lies in the directory."""


def kit_sections(kit: RecoveryKit) -> list[Section]:
    """The page, part by part."""
    where = kit.endpoint_url or "Amazon S3"
    return [
        Section(
            "What is needed",
            [
                _PROGRAMS,
                *kit.recipients,
                _HELD[kit.custody],
                f"And credentials that may read the bucket {kit.bucket} at {where}, region {kit.region}:",
            ],
            [
                "export AWS_ACCESS_KEY_ID=… AWS_SECRET_ACCESS_KEY=…",
                f"export AWS_DEFAULT_REGION={shlex.quote(kit.region)}",
            ],
        ),
        Section(
            "How it lies there",
            [
                f"All objects of the project begin with {project_prefix(kit.project)}",
                _LAYOUT,
            ],
            [f"{_aws(kit)} ls s3://{kit.bucket}/{service_prefix(kit.project, each.service)}" for each in kit.services],
        ),
        *(_service(kit, each) for each in kit.services),
        Section(
            "What else a manifest tells",
            ["The inventory (what was in the engine, object by object) is sealed like an artifact:"],
            [f"jq -r .inventory manifest.json | base64 -d | age -d -i {KEY_FILE} | zstd -d | jq ."],
        ),
    ]


def restore_lines(kit: RecoveryKit, service: KitService) -> list[str]:
    """From an empty directory with the key file in it to the data."""
    return [*_fetch_lines(kit, service), *_open_lines(service)]


def _aws(kit: RecoveryKit) -> str:
    endpoint = f"--endpoint-url {shlex.quote(kit.endpoint_url)} " if kit.endpoint_url else ""
    return f"aws {endpoint}s3"


def _fetch_lines(kit: RecoveryKit, service: KitService) -> list[str]:
    prefix = f"s3://{kit.bucket}/{service_prefix(kit.project, service.service)}{service.backup_id}/"
    return [
        f"{_aws(kit)} cp --recursive {prefix} .",
        f"jq -r {shlex.quote(_DIGESTS)} manifest.json | sha256sum -c",
    ]


def _open_lines(service: KitService) -> list[str]:
    lines: list[str] = []
    for artifact in service.artifacts:
        file = "/".join(artifact.object_key.split("/")[-2:])
        lines += native_restore_commands(artifact, file=file)
    return lines


def _service(kit: RecoveryKit, service: KitService) -> Section:
    title = f"{kit.project}/{service.service} ({service.kind})"
    if not service.backup_id:
        return Section(title, ["There was no backup of it when this page was made."])
    of = f", of {service.requested_at:%Y-%m-%d %H:%M} UTC" if service.requested_at else ""
    formats = ", ".join(dict.fromkeys(artifact.format for artifact in service.artifacts))
    words = (
        f"Written for the backup {service.backup_id}{of}; with another name the same lines restore another one. Formats: "
        f"{formats}. In a directory that holds {KEY_FILE} and nothing else:"
    )
    return Section(title, [words], restore_lines(kit, service))


def kit_text(kit: RecoveryKit, identities: Sequence[str] = ()) -> str:
    """For a terminal or a printer, as plain text.  `identities`: lines of an identity file, if the page is to hold them."""
    lines = [_title(kit), _made(kit, identities), ""]
    for section in [*_secret(identities), *kit_sections(kit)]:
        lines += [section.title, "-" * len(section.title), *section.words]
        lines += ["", *(f"    {line}" for line in section.commands)] if section.commands else []
        lines.append("")
    return "\n".join(lines)


def kit_html(kit: RecoveryKit, identities: Sequence[str] = ()) -> str:
    """One whole page, to be printed or kept: no script, nothing loaded from elsewhere."""
    parts = []
    for section in [*_secret(identities), *kit_sections(kit)]:
        words = "".join(f"<p>{html.escape(each)}</p>" for each in section.words)
        commands = f"<pre>{html.escape(chr(10).join(section.commands))}</pre>" if section.commands else ""
        parts.append(f"<section><h2>{html.escape(section.title)}</h2>{words}{commands}</section>")
    title = html.escape(_title(kit))
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style></head>'
        f"<body><h1>{title}</h1><p>{html.escape(_made(kit, identities))}</p>{''.join(parts)}</body></html>\n"
    )


def _title(kit: RecoveryKit) -> str:
    return f"Recovery kit of project {kit.project}"


def _made(kit: RecoveryKit, identities: Sequence[str]) -> str:
    secret = "IT HOLDS SECRETS: keep it where money would be kept" if identities else "It holds no secret"
    return f"Made {kit.made_at:%Y-%m-%d %H:%M} UTC. {secret}; make a new one when services or recipients change."


def _secret(identities: Sequence[str]) -> list[Section]:
    if not identities:
        return []
    return [Section("The identities", [f"Whoever has these lines can read every backup. As {KEY_FILE}:"], list(identities))]


_STYLE: Final = (
    "body{font:11pt/1.45 system-ui,sans-serif;max-width:48rem;margin:2rem auto;padding:0 1rem;color:#111;background:#fff}"
    "h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:1.6rem;break-after:avoid}p{overflow-wrap:anywhere}"
    "pre{font:9pt/1.5 ui-monospace,monospace;"
    "white-space:pre-wrap;overflow-wrap:anywhere;border:1px solid #999;padding:.6em}"
    "@media print{body{margin:0;max-width:none}}"
)

"""When people are told that an agent is silent, and that it is back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from contracts.events import Event
from contracts.notifications import Alert, AlertKind, Ended, Severity, Silence, WatchRecord
from contracts.policy.alert_values import Known, Step, alert_of, recovery_of

OF_NODE: Final = frozenset({"node.silent", "node.alive", "node.removed"})


def after_node_event(watch: WatchRecord, event: Event, known: Known, served: Mapping[str, Sequence[str]]) -> Step:
    """What a node's silence means for each project that it serves, and that it is over.

    `served` are those projects, each with its services that no other agent can back up now.  A node that serves nothing
    concerns nobody but those who are told of everything.
    """
    silence = watch.silence
    if event.type == "node.silent" and silence is None:
        alerts = [_silent(event, project, served[project], known) for project in sorted(served)]
        alerts = alerts or [_silent(event, "", [], known)]
        silence = Silence(since=event.at, told_to={alert.project: alert.channels for alert in alerts})
        return Step(msgspec.structs.replace(watch, silence=silence), alerts)
    if event.type == "node.alive" and silence is not None:
        ends = Ended(kinds=[AlertKind.AGENT_SILENT], since=silence.since)
        alerts = [
            recovery_of(event, f"node-{project}", ends, told_to, known, project=project, node=event.node or "")
            for project, told_to in sorted(silence.told_to.items())
        ]
        return Step(msgspec.structs.replace(watch, silence=None), alerts)
    if event.type == "node.removed" and silence is not None:
        return Step(msgspec.structs.replace(watch, silence=None), [])
    return Step(watch, [])


def condense(alerts: Sequence[Alert]) -> list[Alert]:
    """What is left to tell of what gathered for one message, the worst first.

    An agent that was silent and is back before anybody was told, as after an update, is no news.
    """
    silent = {(alert.node, alert.project, alert.at): alert.key for alert in alerts if alert.kind is AlertKind.AGENT_SILENT}
    gone: set[str] = set()
    for alert in alerts:
        if alert.ends is not None and (before := silent.get((alert.node, alert.project, alert.ends.since))):
            gone |= {alert.key, before}
    left = [alert for alert in alerts if alert.key not in gone]
    return sorted(left, key=lambda alert: (-alert.severity.rank, alert.at, alert.project, alert.service, alert.node))


def _silent(event: Event, project: str, without_agent: Sequence[str], known: Known) -> Alert:
    severity = Severity.CRITICAL if without_agent else Severity.WARNING
    return alert_of(
        event,
        f"node-{project}",
        AlertKind.AGENT_SILENT,
        severity,
        known,
        project=project,
        node=event.node or "",
        services=sorted(without_agent),
    )

"""What is said of an alert: in a title, in a line of a list, and in full; as pure functions of the alert."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from contracts.notifications import Alert, AlertKind
from daemon.cli.figures import count, duration, percent, size
from daemon.cli.hints import hint_for

_ADVICE: Final = {
    AlertKind.FAILED: "`strongroom backup show {run}` has the tool's own words; `strongroom backup create {service}` tries "
    "again",
    AlertKind.MISSED: "`strongroom status` shows whether coordinator and agents are alive; `strongroom backup create "
    "{service}` backs up now",
    AlertKind.SUSPICIOUS: "look whether data is missing in the database. Until its backups are as usual again, no machine "
    "deletes any: `strongroom retention plan {service}` shows what is kept",
    AlertKind.QUOTA_NEAR: "`strongroom project usage {project}` shows what takes it. Keep fewer backups, or make room with "
    "`strongroom project set-quota {project}`: when it is full, backups fail",
    AlertKind.AGENT_SILENT: "on {node}: is the host up, is strongroom-agent running, does it reach the NATS server?",
    AlertKind.RESTORE_FAILED: "`strongroom restores show {run}` has the tool's own words; the target is as it was before",
}


def name_of(alert: Alert) -> str:
    """What it is about: `acme/orders`, `acme`, or `the agent on db1`."""
    if alert.service:
        return f"{alert.project}/{alert.service}"
    return f"the agent on {alert.node}" if alert.node else alert.project


def title_of(alert: Alert) -> str:
    """Such as `acme/orders: backup failed`."""
    name = name_of(alert)
    return f"{name[0].upper()}{name[1:]} {what(alert)}" if alert.node and not alert.service else f"{name}: {what(alert)}"


def what(alert: Alert) -> str:
    """What happened, in a few words."""
    if alert.ends is not None:
        return _what_ended(alert)
    if alert.kind is AlertKind.FAILED:
        return f"backups still fail ({count(alert.runs, 'run')})" if alert.reminder else "backup failed"
    if alert.kind is AlertKind.MISSED:
        if alert.reminder:
            return f"backups are still missed ({count(alert.runs, 'run')})"
        return "backup missed" if alert.runs == 1 else f"{alert.runs} backups missed"
    if alert.kind is AlertKind.SUSPICIOUS:
        return "newest backup is suspiciously small"
    if alert.kind is AlertKind.QUOTA_NEAR:
        return f"{percent(alert.used_bytes or 0, alert.quota_bytes or 1)} of the quota is used"
    return "is silent" if alert.kind is AlertKind.AGENT_SILENT else "restore failed"


def _what_ended(alert: Alert) -> str:
    assert alert.ends is not None
    if AlertKind.SUSPICIOUS in alert.ends.kinds:
        return "sizes of backups are as usual again"
    if AlertKind.QUOTA_NEAR in alert.ends.kinds:
        return "quota has room again"
    return "is back" if AlertKind.AGENT_SILENT in alert.ends.kinds else "backed up again"


def line_of(alert: Alert) -> str:
    """One line of a list, under a heading that says what happened."""
    parts = []
    if alert.ends is not None:
        parts.append(f"{what(alert)}, trouble since {minute(alert.ends.since)}")
    elif alert.kind is AlertKind.QUOTA_NEAR:
        parts.append(what(alert))
    elif alert.kind is AlertKind.AGENT_SILENT:
        parts.append(f"since {minute(alert.at)}{_nobody_else(alert)}")
    else:
        parts.append(alert.reason or what(alert))
        if alert.kind in (AlertKind.FAILED, AlertKind.MISSED):
            parts.append(f"last good {minute(alert.last_good_at)}" if alert.last_good_at else "no good backup at all")
    name = f"{name_of(alert)} ({alert.project})" if alert.node and not alert.service and alert.project else name_of(alert)
    return f"{name}: {'; '.join(part.rstrip('.') for part in parts)}"


def facts_of(alert: Alert) -> list[tuple[str, str]]:
    """What there is to know of a single alert, as names and values; the most important first."""
    facts = [("Why", f"{alert.code}: {alert.reason}" if alert.code else alert.reason)]
    if alert.ends is not None:
        facts.append(("Trouble", f"{minute(alert.ends.since)} to {minute(alert.at)}, {_took(alert)}"))
        if alert.last_good_bytes is not None:
            facts.append(("Backup", f"{alert.run_id}, {size(alert.last_good_bytes)}"))
        return facts
    facts.append(("Since", minute(alert.since or alert.at)))
    if alert.kind in (AlertKind.FAILED, AlertKind.MISSED):
        facts.append(("Last good backup", _last_good(alert)))
    if alert.kind is AlertKind.QUOTA_NEAR:
        facts.append(("Used", f"{size(alert.used_bytes or 0)} of {size(alert.quota_bytes or 0)}"))
    if alert.kind is AlertKind.AGENT_SILENT:
        facts.append(("Project", alert.project))
        facts.append(("No other agent for", ", ".join(f"{alert.project}/{name}" for name in alert.services)))
    facts.append(("Run", alert.run_id if alert.kind is not AlertKind.MISSED else ""))
    facts.append(("What to do", advice_of(alert)))
    return facts


def advice_of(alert: Alert) -> str:
    """The next step; empty where there is nothing to do."""
    if alert.ends is not None:
        return ""
    if alert.is_made_up_for:
        return "nothing: a newer backup has completed since. See why nobody was there"
    hint = hint_for(alert.code, alert.reason) if alert.code and alert.kind is AlertKind.FAILED else ""
    service = f"{alert.project}/{alert.service}"
    general = _ADVICE[alert.kind].format(
        run=f"{service}/{alert.run_id or 'latest'}", service=service, project=alert.project, node=alert.node
    )
    return f"{hint}; {general}" if hint else general


def minute(moment: datetime | None) -> str:
    """Such as `2026-11-22 00:05 UTC`."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if moment is not None else ""


def _last_good(alert: Alert) -> str:
    if alert.last_good_at is None:
        return "none at all"
    # A host's clock may be behind, and a newer run may have ended before anybody looked.
    passed_s = (alert.at - alert.last_good_at).total_seconds()
    before = f", {duration(passed_s)} before" if passed_s > 0 else ""
    taken = f", {size(alert.last_good_bytes)}" if alert.last_good_bytes else ""
    return f"{minute(alert.last_good_at)}{before}{taken}"


def _took(alert: Alert) -> str:
    assert alert.ends is not None
    runs = f", {count(alert.ends.runs, 'bad run')}" if alert.ends.runs else ""
    return f"{duration((alert.at - alert.ends.since).total_seconds())}{runs}"


def _nobody_else(alert: Alert) -> str:
    if not alert.services:
        return ""
    named = ", ".join(f"{alert.project}/{name}" for name in alert.services[:3])
    more = f" and {len(alert.services) - 3} more" if len(alert.services) > 3 else ""
    return f"; nobody else can back up {named}{more}"

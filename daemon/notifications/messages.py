"""Messages: what somebody reads at night, of one alert or of all that came together.

The title says what and where, the first lines of the text why and what to do.  Text from elsewhere (an engine's error, say)
is shown as it is, but neither obeyed by a terminal nor read as formatting, nor does it call anybody by name.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

import msgspec

from contracts.notifications import Alert, AlertKind, Severity
from daemon.cli.figures import count
from daemon.cli.plain_text import visible
from daemon.notifications.wording import advice_of, facts_of, line_of, minute, title_of, what
from daemon.web import links

_LISTED: Final = 10
"""So many are named in one message; all are counted."""
_LONGEST: Final = 600
"""Characters of one value."""
_HEADINGS: Final = {
    AlertKind.FAILED: ("backup failed", "backups failed"),
    AlertKind.MISSED: ("backup missed", "backups missed"),
    AlertKind.RESTORE_FAILED: ("restore failed", "restores failed"),
    AlertKind.AGENT_SILENT: ("agent silent", "agents silent"),
    AlertKind.SUSPICIOUS: ("suspicious backup", "suspicious backups"),
    AlertKind.QUOTA_NEAR: ("quota nearly used up", "quotas nearly used up"),
    AlertKind.RECOVERED: ("recovered", "recovered"),
}
_MARKDOWN: Final = re.compile(r"([\\*_~`|\[\]<>#])")
_CALLS: Final = re.compile(r"@(?=[A-Za-z])|<(?=[!@#])")
"""What chats take for calling somebody, or everybody."""


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """The same in two forms; which one is sent depends on what the service shows."""

    title: str
    text: str
    markdown: str
    severity: Severity
    is_good_news: bool = False


def message_of(alerts: Sequence[Alert], public_url: str) -> Message:
    """Of at least one alert, the worst first; links lead to the pages below `public_url`, where that is known."""
    if len(alerts) == 1:
        return _single(alerts[0], public_url)
    return _several(alerts, public_url)


def test_message(name: str, public_url: str) -> Message:
    """What a channel is tried with."""
    text = f"This is a test of the channel {name}. Whoever reads it will be told when backups fail, are missed, or recover."
    links_ = [public_url] if public_url else []
    return Message(
        title=_titled("test message"),
        text="\n\n".join([_safe(text), *links_]),
        markdown="\n\n".join([_escaped(text), *links_]),
        severity=Severity.INFO,
    )


test_message.__test__ = False  # type: ignore[attr-defined]  # this is no test, whatever pytest takes it for


def _single(alert: Alert, public_url: str) -> Message:
    facts = [(name, _short(value)) for name, value in facts_of(alert) if value]
    link = _link(alert, public_url)
    text = [f"{name}: {_safe(value)}" for name, value in facts]
    markdown = [f"- **{name}**: {_escaped(value)}" for name, value in facts]
    if link:
        text.append(f"Look: {link}")
        markdown += ["", link]
    return Message(
        title=_titled(title_of(alert)),
        text="\n".join(text),
        markdown="\n".join(markdown),
        severity=alert.severity,
        is_good_news=alert.ends is not None,
    )


def _several(alerts: Sequence[Alert], public_url: str) -> Message:
    counts = Counter(alert.kind for alert in alerts)
    text: list[str] = []
    markdown: list[str] = []
    left = _LISTED
    for kind in _HEADINGS:
        of_kind = [alert for alert in alerts if alert.kind is kind]
        if not of_kind:
            continue
        listed = of_kind[: max(left, 1)]
        left -= len(listed)
        heading = f"{_counted(kind, len(of_kind))}{_first_at(of_kind)}"
        more = len(of_kind) - len(listed)
        lines = [_short(line_of(alert)) for alert in listed] + ([f"and {more} more"] if more else [])
        advice = advice_of(of_kind[0]) if len(of_kind) == 1 else _advice_for_many(kind)
        text += ["", f"{heading}:", *(f"- {_safe(line)}" for line in lines)]
        markdown += ["", f"**{_escaped(heading)}**", "", *(f"- {_escaped(line)}" for line in lines)]
        if advice:
            text.append(f"What to do: {_safe(advice)}")
            markdown += ["", f"What to do: {_escaped(advice)}"]
    if public_url:
        text += ["", f"Look: {public_url}{links.OVERVIEW}"]
        markdown += ["", f"{public_url}{links.OVERVIEW}"]
    return Message(
        title=_titled(_title_of_several(alerts, counts)),
        text="\n".join(text).lstrip("\n"),
        markdown="\n".join(markdown).lstrip("\n"),
        severity=max((alert.severity for alert in alerts), key=lambda severity: severity.rank),
        is_good_news=set(counts) == {AlertKind.RECOVERED},
    )


def _title_of_several(alerts: Sequence[Alert], counts: Counter[AlertKind]) -> str:
    """Such as `3 backups failed, 1 agent silent, 2 recovered`, after the project where it is only one."""
    words = ", ".join(_counted(kind, counts[kind]) for kind in _HEADINGS if counts[kind])
    projects = {alert.project for alert in alerts}
    services = {(alert.project, alert.service) for alert in alerts}
    if len(services) == 1 and alerts[0].service:
        return f"{alerts[0].project}/{alerts[0].service}: {', '.join(what(alert) for alert in alerts)}"
    return f"{projects.pop()}: {words}" if len(projects) == 1 and "" not in projects else words


def _titled(words: str) -> str:
    return f"[Strongroom] {_safe(words)}"


def _counted(kind: AlertKind, number: int) -> str:
    return count(number, *_HEADINGS[kind])


def _first_at(alerts: Sequence[Alert]) -> str:
    return f", the first {minute(min(alert.at for alert in alerts))}" if len(alerts) > 1 else ""


def _advice_for_many(kind: AlertKind) -> str:
    if kind is AlertKind.MISSED:
        return "when many are missed at once, the coordinator, the NATS server or the agents were away: `strongroom status`"
    if kind is AlertKind.AGENT_SILENT:
        return "when many are silent at once, look at the network and at the NATS server first: `strongroom node list`"
    return "" if kind is AlertKind.RECOVERED else "`strongroom status` shows what needs attention"


def _link(alert: Alert, public_url: str) -> str:
    """Where the pages show what it is about."""
    if not public_url:
        return ""
    if alert.service:
        return f"{public_url}{links.service(alert.project, alert.service)}"
    if alert.node:
        return f"{public_url}{links.NODES}"
    return f"{public_url}{links.project(alert.project)}"


def _short(value: str) -> str:
    line = " ".join(value.split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"


def _safe(value: str) -> str:
    """As it reads, with nothing in it that does more than being read."""
    # A character without width keeps `@everyone` from being a call, and looks the same.
    return _CALLS.sub(lambda match: f"{match[0]}\u200b", visible(value, one_line=False))


def _escaped(value: str) -> str:
    """For a service that shows Markdown."""
    return _MARKDOWN.sub(r"\\\1", _safe(value))

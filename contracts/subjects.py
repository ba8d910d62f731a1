"""Names on the bus: subjects, streams, consumers and KV buckets.

Every token that varies is a slug or a run id (see `contracts.ids`), so it can stand in a subject as it is.
An agent may publish below `strongroom.agent.<its node>.` and nowhere else; the server holds it to that.
"""

from __future__ import annotations

from typing import Final

REQUESTS_STREAM: Final = "STRONGROOM_REQUESTS"
"""Work queue: what the coordinator asks of agents.  One durable pull consumer per node, named like the node."""
REPORTS_STREAM: Final = "STRONGROOM_REPORTS"
"""Work queue: what agents tell the coordinator."""
EVENTS_STREAM: Final = "STRONGROOM_EVENTS"
"""Limits: what the coordinator states as fact; the audit log."""
LOGS_STREAM: Final = "STRONGROOM_LOGS"
"""Limits: structured log lines of every job."""

REPORTS_CONSUMER: Final = "coordinator"

REQUEST_SUBJECTS: Final = "strongroom.request.*"
REPORT_SUBJECTS: Final = "strongroom.agent.*.report"
EVENT_SUBJECTS: Final = "strongroom.event.>"
LOG_SUBJECTS: Final = "strongroom.log.>"

ASK_SUBJECTS: Final = "strongroom.agent.*.ask"
HEARTBEAT_SUBJECTS: Final = "strongroom.agent.*.heartbeat"
PROGRESS_SUBJECTS: Final = "strongroom.agent.*.progress"
AGENT_LOG_SUBJECTS: Final = "strongroom.agent.*.log"

CONTROL_SERVICE: Final = "strongroom"
CONTROL_PREFIX: Final = "strongroom.control"

PROJECTS_BUCKET: Final = "strongroom-projects"
SERVICES_BUCKET: Final = "strongroom-services"
NODES_BUCKET: Final = "strongroom-nodes"
ALIVE_BUCKET: Final = "strongroom-alive"
"""One key per node that was heard of lately; the TTL takes it away."""
BACKUPS_BUCKET: Final = "strongroom-backups"
RESTORES_BUCKET: Final = "strongroom-restores"
UPLOADS_BUCKET: Final = "strongroom-uploads"
ACTIVE_BUCKET: Final = "strongroom-active"
"""One key per service (or restore target) with a run under way: the guard against overlap and the reaper's index."""
LEDGER_BUCKET: Final = "strongroom-ledger"
"""One key per due time of a service, and what became of it."""
STATES_BUCKET: Final = "strongroom-states"
"""One key per service: how far its schedule was followed, and what its tags and retention have to remember."""
USAGE_BUCKET: Final = "strongroom-usage"
"""One key per project: bytes stored and reserved."""
TOKENS_BUCKET: Final = "strongroom-tokens"
"""One key per token that lets somebody in over HTTP: a digest of it, and what it is good for."""
SESSIONS_BUCKET: Final = "strongroom-sessions"
"""One key per session of a browser that somebody has logged out of, for as long as it would have lasted."""
IDEMPOTENCY_BUCKET: Final = "strongroom-idempotency"
"""One key per creation that was asked for under an `Idempotency-Key` of late."""
CHANNELS_BUCKET: Final = "strongroom-channels"
"""One key per channel on which people are told of trouble; its address is sealed."""
PINGS_BUCKET: Final = "strongroom-pings"
"""One key per service of which a dead man's switch is told; its address is sealed."""
WATCHES_BUCKET: Final = "strongroom-watches"
"""What people were told of and is not over, one key per service, project or node; and how far the events were looked at."""
ALERTS_BUCKET: Final = "strongroom-alerts"
"""What people are told, in the order in which it was noted; kept for some days."""
KEYS_BUCKET: Final = "strongroom-keys"
LEASES_BUCKET: Final = "strongroom-leases"


def request_subject(node: str) -> str:
    return f"strongroom.request.{node}"


def report_subject(node: str) -> str:
    return f"strongroom.agent.{node}.report"


def ask_subject(node: str) -> str:
    return f"strongroom.agent.{node}.ask"


def heartbeat_subject(node: str) -> str:
    return f"strongroom.agent.{node}.heartbeat"


def agent_progress_subject(node: str) -> str:
    return f"strongroom.agent.{node}.progress"


def agent_log_subject(node: str) -> str:
    return f"strongroom.agent.{node}.log"


def agent_inbox(node: str) -> str:
    """The prefix below which a node's agent receives answers: it may listen nowhere else."""
    return f"_INBOX_{node}"


def node_of(agent_subject: str) -> str:
    """The node that published on `strongroom.agent.<node>.<verb>`: the server vouches for it, a payload does not."""
    return agent_subject.split(".")[2]


def event_subject(event_type: str, project: str, service: str) -> str:
    """`strongroom.event.backup.completed.acme.orders`; `-` stands for a project or service that does not apply."""
    return f"strongroom.event.{event_type}.{project or '-'}.{service or '-'}"


def progress_subject(project: str, service: str, run_id: str) -> str:
    """Core NATS, not stored: the coordinator passes on what the run's own agent says of it."""
    return f"strongroom.progress.{project}.{service}.{run_id}"


def log_subject(project: str, service: str, run_id: str) -> str:
    return f"strongroom.log.{project}.{service}.{run_id}"


def control_subject(verb: str) -> str:
    return f"{CONTROL_PREFIX}.{verb}"


def is_reply_inbox(reply: str, *, agent: bool) -> bool:
    """Whether a reply subject is one that the coordinator may publish to.

    NATS does not check the reply subject of a publish against the sender's permissions, so an answer is only sent where no
    stream, bucket or other party can be: to an inbox, or to the `_R_` subjects that the server makes for a service import.
    Source: measured, see ARCHITECTURE.md "Isolation".
    """
    return reply.startswith("_R_.") or (not agent and reply.startswith("_INBOX"))

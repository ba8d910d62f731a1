"""What must exist on the servers before the coordinator can work: streams, buckets and consumers."""

from __future__ import annotations

from typing import Final

from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, DiscardPolicy, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import NotFoundError

from contracts import subjects
from contracts.bus import patiently
from daemon.catalog.buckets import ensure_bucket, ensure_stream

ACK_WAIT_S: Final = 30
"""Longer than an election of a new stream leader takes; agents renew it every third of it."""
MAX_NODES: Final = 100_000
_DAY_S: Final = 86_400
_HISTORY_BYTES: Final = 1024 * 1024 * 1024

_BUCKETS: Final = (
    subjects.PROJECTS_BUCKET,
    subjects.SERVICES_BUCKET,
    subjects.NODES_BUCKET,
    subjects.ALIVE_BUCKET,
    subjects.BACKUPS_BUCKET,
    subjects.RESTORES_BUCKET,
    subjects.UPLOADS_BUCKET,
    subjects.ACTIVE_BUCKET,
    subjects.LEASES_BUCKET,
    subjects.LEDGER_BUCKET,
    subjects.STATES_BUCKET,
    subjects.USAGE_BUCKET,
    subjects.TOKENS_BUCKET,
    subjects.SESSIONS_BUCKET,
    subjects.CHANNELS_BUCKET,
    subjects.PINGS_BUCKET,
    subjects.WATCHES_BUCKET,
    subjects.ALERTS_BUCKET,
    subjects.IDEMPOTENCY_BUCKET,
)


def _streams(replicas: int) -> list[StreamConfig]:
    def queue(name: str, subject: str) -> StreamConfig:
        return StreamConfig(
            name=name,
            subjects=[subject],
            retention=RetentionPolicy.WORK_QUEUE,
            storage=StorageType.FILE,
            num_replicas=replicas,
            # The server's own default is 1,000 consumers a stream, which for requests would be 1,000 nodes.
            max_consumers=MAX_NODES,
            duplicate_window=600,
        )

    def record(name: str, subject: str, days: int) -> StreamConfig:
        return StreamConfig(
            name=name,
            subjects=[subject],
            retention=RetentionPolicy.LIMITS,
            storage=StorageType.FILE,
            num_replicas=replicas,
            max_age=days * _DAY_S,
            # Whatever agents cause to be written here must never take the room that records need.
            max_bytes=_HISTORY_BYTES,
            discard=DiscardPolicy.OLD,
            allow_direct=True,
            duplicate_window=600,
        )

    return [
        queue(subjects.REQUESTS_STREAM, subjects.REQUEST_SUBJECTS),
        queue(subjects.REPORTS_STREAM, subjects.REPORT_SUBJECTS),
        record(subjects.EVENTS_STREAM, subjects.EVENT_SUBJECTS, 400),
        record(subjects.LOGS_STREAM, subjects.LOG_SUBJECTS, 30),
    ]


async def ensure_topology(js: JetStreamContext, *, replicas: int) -> None:
    """Creates what is absent.  Safe to repeat and to run from several coordinators at once."""
    for config in _streams(replicas):
        await ensure_stream(js, config)
    for bucket in _BUCKETS:
        await ensure_bucket(js, bucket, replicas=replicas)
    await ensure_bucket(js, subjects.KEYS_BUCKET, replicas=replicas, erasable=True)
    await _ensure_consumer(
        js,
        subjects.REPORTS_STREAM,
        ConsumerConfig(
            durable_name=subjects.REPORTS_CONSUMER,
            ack_policy=AckPolicy.EXPLICIT,
            deliver_policy=DeliverPolicy.ALL,
            ack_wait=ACK_WAIT_S,
            max_ack_pending=1_000,
        ),
    )


async def ensure_node_consumer(js: JetStreamContext, node: str, *, ack_wait_s: float) -> None:
    """The durable from which only this node's agent may pull; a request not renewed for `ack_wait_s` is given out again."""
    await _ensure_consumer(
        js,
        subjects.REQUESTS_STREAM,
        ConsumerConfig(
            durable_name=node,
            filter_subject=subjects.request_subject(node),
            ack_policy=AckPolicy.EXPLICIT,
            deliver_policy=DeliverPolicy.ALL,
            ack_wait=ack_wait_s,
            # Attempts are counted in the run's record; the queue never gives a request up by itself.
            max_deliver=-1,
            max_ack_pending=1_000,
        ),
    )


async def remove_node_consumer(js: JetStreamContext, node: str) -> None:
    """Removes the node's consumer and what waits in its queue.  Safe to repeat."""

    async def remove() -> None:
        try:
            await js.delete_consumer(subjects.REQUESTS_STREAM, node)
        except NotFoundError:
            return

    await patiently(remove, f"delete consumer {node}")
    subject = subjects.request_subject(node)
    await patiently(lambda: js.purge_stream(subjects.REQUESTS_STREAM, subject=subject), f"purge requests of {node}")


async def _ensure_consumer(js: JetStreamContext, stream: str, config: ConsumerConfig) -> None:
    assert config.durable_name is not None
    name = config.durable_name

    async def ensure() -> None:
        try:
            await js.consumer_info(stream, name)
        except NotFoundError:
            await js.add_consumer(stream, config)

    await patiently(ensure, f"create consumer {name}")

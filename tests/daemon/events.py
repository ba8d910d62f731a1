"""What the events stream holds."""

from __future__ import annotations

from nats.aio.client import Client

from contracts.events import Event, event_decoder
from contracts.subjects import EVENTS_STREAM


async def stored_events(client: Client, *types: str) -> list[Event]:
    """Everything, or what is of these types, in order; read as any client reads it."""
    js = client.jetstream()
    count = (await js.stream_info(EVENTS_STREAM)).state.messages
    subscription = await js.subscribe("strongroom.event.>", stream=EVENTS_STREAM, ordered_consumer=True)
    found = [event_decoder.decode((await subscription.next_msg(timeout=5)).data) for _ in range(count)]
    await subscription.unsubscribe()
    return [event for event in found if not types or event.type in types]

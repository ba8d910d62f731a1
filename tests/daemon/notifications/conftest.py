"""Fixtures: receivers of messages, and settings with which a test need not wait for them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
import pytest

from daemon.http.settings import HttpSettings
from daemon.notifications.settings import NotificationSettings
from daemon.settings import CoordinatorSettings
from tests.daemon.notifications.receivers import MailServer, Webhook, mail_server, webhook

QUICK = NotificationSettings(window_s=0.3, every_s=0.05, send_timeout_s=5, ping_timeout_s=2, retry_s=0.1)


@pytest.fixture
def quick(settings: CoordinatorSettings) -> CoordinatorSettings:
    """Messages gather for a moment only."""
    return msgspec.structs.replace(settings, notifications=QUICK)


@pytest.fixture
def linked(quick: CoordinatorSettings) -> CoordinatorSettings:
    """With pages that messages can lead to."""
    return msgspec.structs.replace(quick, http=HttpSettings(port=0, public_url="https://backups.example.org/"))


@pytest.fixture
async def hook() -> AsyncIterator[Webhook]:
    async with webhook() as made:
        yield made


@pytest.fixture
async def mail() -> AsyncIterator[MailServer]:
    async with mail_server() as made:
        yield made

"""A service's page and everything below it."""

from __future__ import annotations

from collections.abc import Sequence

from litestar.handlers import HTTPRouteHandler

from daemon.http.backend import Backend
from daemon.web.service.backup_actions import backup_actions
from daemon.web.service.backup_deletion import backup_deletion
from daemon.web.service.backup_page import backup_page
from daemon.web.service.chart_page import chart_page
from daemon.web.service.home_page import home_page
from daemon.web.service.live_run import live_run
from daemon.web.service.restore_page import restore_page
from daemon.web.service.restore_wizard import restore_wizard
from daemon.web.service.retention_page import retention_page
from daemon.web.service.schedule_page import schedule_page
from daemon.web.service.settings_page import settings_page


def service_pages(backend: Backend) -> Sequence[HTTPRouteHandler]:
    """The routes of one service."""
    return [
        *home_page(backend),
        *backup_page(backend),
        *backup_actions(backend),
        *backup_deletion(backend),
        *restore_wizard(backend),
        *restore_page(backend),
        *live_run(backend),
        *schedule_page(backend),
        *retention_page(backend),
        *chart_page(backend),
        *settings_page(backend),
    ]

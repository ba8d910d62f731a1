"""The SDK's session, with the description of S3's API read once a process and not for each client.

It is over a megabyte of JSON, which takes a tenth of a second each time.
"""

from __future__ import annotations

from functools import cache

from aiobotocore.session import AioSession, get_session
from botocore.loaders import Loader, create_loader


def store_session() -> AioSession:
    """A session of its own that shares the descriptions of APIs with the others."""
    session = get_session()
    session.register_component("data_loader", _descriptions())
    return session


@cache
def _descriptions() -> Loader:
    return create_loader()

"""How to reach the object store."""

from __future__ import annotations

from typing import Annotated

import msgspec


class StoreSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An S3 bucket.  Credentials come from `credentials_file`, or from where the AWS SDK finds them when that is empty."""

    bucket: str
    endpoint_url: str = ""
    """Empty for Amazon S3 itself."""
    public_endpoint_url: str = ""
    """What agents reach the store by, where that differs from `endpoint_url`."""
    region: str = "us-east-1"
    credentials_file: str = ""
    """TOML file with `access_key` and `secret_key`; mode 0600."""
    ca_file: str = ""
    path_style: bool = True
    """`https://host/bucket/key` rather than `https://bucket.host/key`."""
    create_bucket: bool = False
    sync_dir: str = ""
    """Directory of a store on this machine that does not wait for its disk (SeaweedFS): its file system is synced before a
    backup counts as completed."""
    url_lifetime_s: Annotated[int, msgspec.Meta(ge=5, le=7 * 86_400)] = 3600
    """How long a signed URL works; one that runs out is asked for anew."""


class StoreCredentials(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    access_key: str
    secret_key: str

    def __repr__(self) -> str:
        return f"StoreCredentials(access_key={self.access_key!r}, secret_key=…)"

"""Addresses that messages go to: checked, and shown without their secrets.

An address is an Apprise URL, such as `mailtos://user:password@example.org?to=ops@example.org`.  Accepted is what goes over
the network: some of Apprise's plugins speak to the desktop, run programs or read files of the host that they run on, which
is the coordinator's.
"""

from __future__ import annotations

import functools
import re
import warnings
from typing import Any, Final

from apprise import Apprise, AppriseAsset
from apprise.plugins import N_MGR, NotifyBase, url_to_dict

from contracts.errors import InvalidInput
from daemon.notifications.addresses import why_not
from daemon.notifications.confined import confined
from daemon.notifications.hearing import hearing
from daemon.notifications.schemes import SCHEMES

_OF_FILES: Final = frozenset({"template", "keyfile", "subfile", "pgp", "pgppub", "pgpprv", "wkd"})
"""Parameters that have a plugin read files here."""
_READS_TEMPLATES: Final = frozenset({"discord", "guilded", "slack", "tgram", "workflow", "workflows"})
"""Elsewhere a template is the service's own."""
_LONGEST_WAIT_S: Final = 10.0
_HOST_FIRST: Final = re.compile(r"\A\{schema\}://(\{user\}(:\{password\})?@)?\{host\}")
_SCHEME: Final = re.compile(r"([A-Za-z0-9+.-]{1,20})://")
_NATIVE: Final = frozenset({"http", "https"})

_ASSET: Final = AppriseAsset(
    app_id="Strongroom",
    app_desc="Strongroom",
    app_url="",
    image_url_mask="",
    image_url_logo="",
    async_mode=False,
    http_redirects=False,
    storage_mode="memory",
    pgp_autogen=False,
    pem_autogen=False,
)
"""Nothing is written to the disk, no pictures are fetched from elsewhere, and nobody is led on to another host."""


def check_target(url: str, *, allow_private: bool) -> str:
    """As much of the address as may be seen, if messages can be sent there: what it is, and the host.

    Raises: InvalidInput `input.invalid` naming the field, never the address.
    """
    plugin = make_plugin(url, allow_private=allow_private)
    host = str(getattr(plugin, "host", None) or "")
    reason = why_not(host, allow_private=allow_private)
    if reason:
        raise _invalid(f"messages cannot be sent to that host: {reason}")
    return shown(plugin, url)


def make_plugin(url: str, *, allow_private: bool) -> NotifyBase:
    """What sends to the address; it has not been tried.  Raises: InvalidInput as `check_target`."""
    match = _SCHEME.match(url.strip())
    if match is None:
        raise _invalid(
            "this is no address of the form scheme://…: such as mailtos://user:password@example.org, or slack://…"
        )
    scheme = match[1].lower()
    _load_kinds()
    with confined(allow_private=allow_private), hearing():
        parsed: dict[str, Any] | None = url_to_dict(url.strip(), secure_logging=True)  # type: ignore[no-untyped-call]
        name = str(parsed["schema"]).lower() if parsed is not None else scheme
        known = name in N_MGR
        if known and name not in SCHEMES:
            raise _invalid(
                f"{name}:// works on the host of the coordinator, or needs files there: choose what goes over the network, "
                "such as mail, a chat or a webhook"
            )
        if parsed is None:
            raise _invalid(_not_understood(scheme, known=known))
        _check_parameters(name, parsed)
        plugin = Apprise.instantiate(parsed, asset=_ASSET)
    if plugin is None:
        raise _invalid(f"this address of {_service(name)} lacks something or has too much: see {N_MGR[name].setup_url}")
    plugin.socket_connect_timeout = min(plugin.socket_connect_timeout, _LONGEST_WAIT_S)
    plugin.socket_read_timeout = min(plugin.socket_read_timeout, _LONGEST_WAIT_S)
    return plugin


def shown(plugin: NotifyBase, url: str) -> str:
    """Such as `mailtos://example.org` or `slack://…`: a host where the address has one, and never what may be a token."""
    scheme = url.strip().partition(":")[0].lower()
    if scheme in _NATIVE:
        # A webhook as its service hands it out.
        scheme = next(iter(_names(plugin)), scheme)
    host = str(getattr(plugin, "host", None) or "")
    templates: tuple[str, ...] = plugin.templates
    if host and templates and all(_HOST_FIRST.match(template) for template in templates):
        return f"{scheme}://{host}"
    return f"{scheme}://…"


@functools.cache
def _load_kinds() -> None:
    """Apprise looks for its two hundred plugins once, which takes some tenths of a second."""
    with hearing(), warnings.catch_warnings():
        # Some import what a later Python will not have; they are not ours to mend.
        warnings.simplefilter("ignore")
        N_MGR.load_modules()  # type: ignore[no-untyped-call]


def _check_parameters(scheme: str, parsed: dict[str, Any]) -> None:
    given = {str(name).lower() for name in parsed.get("qsd") or {}}
    of_files = _OF_FILES if scheme in _READS_TEMPLATES else _OF_FILES - {"template"}
    for name in sorted(given & of_files):
        raise _invalid(f"the parameter {name} would have the coordinator read a file of its host: leave it out")


def _not_understood(scheme: str, *, known: bool) -> str:
    if scheme in _NATIVE:
        return (
            "this is a plain web address, and no service is known by it: for a webhook that takes JSON write json:// "
            "instead of http://, and jsons:// instead of https://; else the scheme of its service"
        )
    if known:
        return f"this address of {_service(scheme)} cannot be understood: see {N_MGR[scheme].setup_url}"
    return f"{scheme}:// is no kind of address that is known: such are mailtos://, slack://, discord://, tgram://, jsons://"


def _service(scheme: str) -> str:
    return str(N_MGR[scheme].service_name)


def _names(plugin: NotifyBase) -> list[str]:
    """The schemes of the plugin, the one that encrypts first."""
    found: list[str] = []
    each: Any
    for each in (plugin.secure_protocol, plugin.protocol):
        found += [each] if isinstance(each, str) else list(each or ())
    return found


def _invalid(message: str) -> InvalidInput:
    return InvalidInput("input.invalid", message, field="url")

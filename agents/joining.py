"""`strongroom-agent join`: this host becomes a node.

Its keys are made here and never leave it.  They lie in a directory named by the token until the coordinator has answered, so
that the command can be repeated after a lost answer; the agent's settings are written last.
"""

from __future__ import annotations

import os
import pwd
import shutil
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import nats
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError

from agents.credentials import new_seed, public_key, sign, write_private
from agents.identity import ensure_identity
from contracts.age import Decryptor, Identity
from contracts.age.errors import AgeError
from contracts.enrolment import (
    HELLO_SUBJECT,
    JOIN_SUBJECT,
    Admission,
    Challenge,
    Hello,
    Join,
    JoinToken,
    Refused,
    admission_decoder,
    challenge_decoder,
    signed_bytes,
)
from contracts.errors import Conflict, Denied, InvalidInput, Unavailable, from_info
from contracts.subjects import guest_inbox
from contracts.wire import encode, utc_now

_CONNECT_S: Final = 10
_ANSWER_S: Final = 30.0
AGENT_USER: Final = "strongroom"
"""Whom the files belong to where root joins and there is such a user, as the systemd unit has it."""


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where an agent's files lie."""

    config: Path
    services: Path
    data: Path
    run: Path

    @property
    def seed(self) -> Path:
        return self.data / "node.nk"

    @property
    def jwt(self) -> Path:
        return self.data / "node.jwt"

    @property
    def identity(self) -> Path:
        return self.data / "identity.txt"

    @property
    def ca(self) -> Path:
        return self.data / "nats-ca.pem"

    def pending(self, token_id: str) -> Path:
        return self.data / f"joining-{token_id}"


def usual_places(environ: Mapping[str, str], *, is_root: bool, config: str = "", services: str = "") -> Places:
    """The system's for root, the user's own otherwise (XDG base directories); `config` and `services` override.

    An agent whose settings lie elsewhere than usual has its data beside them, so that a host may have several.
    """
    home = Path(environ.get("HOME", "/"))
    if config:
        chosen = Path(config).absolute()
        data, run = chosen.parent / "data", chosen.parent / "run"
    elif is_root:
        chosen, data, run = Path("/etc/strongroom/agent.toml"), Path("/var/lib/strongroom"), Path("/run/strongroom")
    else:
        chosen = Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "strongroom" / "agent.toml"
        data = Path(environ.get("XDG_DATA_HOME") or home / ".local" / "share") / "strongroom"
        runtime = environ.get("XDG_RUNTIME_DIR", "")
        run = Path(runtime) / "strongroom" if runtime else data / "run"
    return Places(
        config=chosen,
        services=Path(services).absolute() if services else chosen.parent / "services.d",
        data=data,
        run=run,
    )


async def join(token: JoinToken, places: Places, *, replace: bool, version: str) -> Admission:
    """What the coordinator answered; everything that the agent needs then lies in its place.

    Raises: Conflict `join.exists` where there is an agent and `replace` does not say otherwise, Denied `join.expired`,
    `join.refused`, `join.unproven`, Unavailable `bus.unavailable`, InvalidInput.
    """
    pending = places.pending(token.id)
    if places.config.exists() and not replace and not pending.exists():
        raise Conflict(
            "join.exists",
            f"{places.config} exists, so this host has an agent: --replace gives it new keys, --config names another place",
        )
    if token.expires_at <= utc_now():
        raise Denied("join.expired", "this join token is no longer good: `strongroom node enroll` makes another one")
    _make_directories(places, pending)
    seed = _ensure_seed(pending / "node.nk")
    identity = ensure_identity(pending / "identity.txt")
    admission = await _ask(token, seed, identity, version)
    _settle(token, places, pending, admission)
    return admission


async def _ask(token: JoinToken, seed: str, identity: Identity, version: str) -> Admission:
    mine, recipient = public_key(seed), str(identity.recipient)
    async with _guest(token) as client:
        hello = Hello(token_id=token.id, public_key=mine, recipient=recipient)
        challenge = challenge_decoder.decode(await _request(client, HELLO_SUBJECT, encode(hello)))
        if isinstance(challenge, Refused):
            raise from_info(challenge.error)
        nonce = _open(challenge, identity)
        proof = Join(
            token_id=token.id,
            secret=token.secret,
            public_key=mine,
            recipient=recipient,
            issued_at=challenge.issued_at,
            nonce=nonce,
            signature=sign(seed, signed_bytes(token.id, mine, recipient, nonce)),
            agent_version=version,
        )
        answer = admission_decoder.decode(await _request(client, JOIN_SUBJECT, encode(proof)))
    if isinstance(answer, Refused):
        raise from_info(answer.error)
    return answer


def _open(challenge: Challenge, identity: Identity) -> bytes:
    decryptor = Decryptor([identity])
    try:
        return decryptor.feed(challenge.sealed) + decryptor.finish()
    except AgeError as exc:
        raise Denied("join.unproven", f"the coordinator's challenge does not open for this host: {exc}") from exc


@asynccontextmanager
async def _guest(token: JoinToken) -> AsyncIterator[Client]:
    """The one connection that the token is good for; neither its seed nor its JWT touches a disk."""
    servers = [url.strip() for url in token.url.split(",") if url.strip()]
    failures: list[str] = []

    async def on_error(exc: Exception) -> None:
        failures.append(str(exc))

    tls = None
    if token.ca_pem or any(url.startswith("tls:") for url in servers):
        try:
            tls = ssl.create_default_context(cadata=token.ca_pem or None)
        except (ssl.SSLError, ValueError) as exc:
            raise InvalidInput("join.malformed", f"the token's CA certificate cannot be used: {exc}", field="token") from exc
    try:
        client = await nats.connect(
            servers,
            name=f"strongroom guest {token.id}",
            nkeys_seed_str=token.guest_seed,
            user_jwt_cb=lambda: bytearray(token.guest_jwt.encode()),
            inbox_prefix=guest_inbox(public_key(token.guest_seed)),
            tls=tls,
            allow_reconnect=False,
            connect_timeout=_CONNECT_S,
            error_cb=on_error,
        )
    except (NatsError, OSError, TimeoutError) as exc:
        reason = failures[-1] if failures else str(exc) or type(exc).__name__
        raise Unavailable("bus.unavailable", f"no NATS server lets this host in at {token.url}: {reason}") from exc
    try:
        yield client
    finally:
        await client.close()


async def _request(client: Client, subject: str, data: bytes) -> bytes:
    try:
        return (await client.request(subject, data, timeout=_ANSWER_S)).data
    except NoRespondersError as exc:
        raise Unavailable("bus.unavailable", "no coordinator is running") from exc
    except (NatsError, TimeoutError) as exc:
        message = f"no coordinator answered within {_ANSWER_S:.0f} s: run the same command again"
        raise Unavailable("bus.unavailable", message) from exc


def _make_directories(places: Places, pending: Path) -> None:
    for directory in (places.config.parent, places.services, places.data, places.run, pending):
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as exc:
            raise InvalidInput("config.invalid", f"{directory} cannot be made: {exc.strerror}", field="config") from exc


def _ensure_seed(path: Path) -> str:
    if not path.exists():
        write_private(path, new_seed() + "\n")
    try:
        seed = path.read_text(encoding="ascii").strip()
        public_key(seed)
    except Exception as exc:  # noqa: BLE001 - the package raises a dozen unrelated types for a malformed seed
        raise InvalidInput("key.invalid", f"{path}: holds no nkey seed ({type(exc).__name__}): remove it") from None
    return seed


def _settle(token: JoinToken, places: Places, pending: Path, admission: Admission) -> None:
    """Everything into its place, the settings last; only then the pending keys go."""
    import tomli_w

    write_private(places.jwt, admission.user_jwt + "\n")
    nats_section = {"url": token.url, "nkey_file": str(places.seed), "jwt_file": str(places.jwt)}
    if token.ca_pem:
        write_private(places.ca, token.ca_pem)
        nats_section["ca_file"] = str(places.ca)
    write_private(places.seed, (pending / "node.nk").read_text(encoding="ascii"))
    write_private(places.identity, (pending / "identity.txt").read_text(encoding="ascii"))
    settings = {
        "node": admission.node,
        "identity_file": str(places.identity),
        "services_dir": str(places.services),
        "runtime_dir": str(places.run),
        "nats": nats_section,
        "upload": {"spool_dir": str(places.data / "spool")},
    }
    write_private(places.config, tomli_w.dumps(settings))
    shutil.rmtree(pending)
    if os.geteuid() == 0:
        _give_away(places)


def _give_away(places: Places) -> None:
    """To the user that the unit runs the agent as, where there is one."""
    with suppress(KeyError):
        user = pwd.getpwnam(AGENT_USER)
        for directory in (places.services, places.data, places.run):
            os.chown(directory, user.pw_uid, user.pw_gid)
        for file in (places.config, places.seed, places.jwt, places.identity, places.ca):
            if file.exists():
                os.chown(file, user.pw_uid, user.pw_gid)
        places.config.parent.chmod(0o755)  # the files inside are private, each by itself

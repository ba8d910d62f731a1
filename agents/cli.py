"""The command line of an agent's host: `strongroom-agent`.

argparse and not Typer: the base install, which is what such a host has, goes without it, and the agent runs in the process
that read its command line, so whatever is imported for that stays in memory for months.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.metadata
import os
import secrets
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from contracts.errors import Conflict, ErrorInfo, InvalidInput, NotFound, StrongroomError, branch_of
from contracts.ids import parse_service_ref
from contracts.settings import load_settings

if TYPE_CHECKING:
    from agents.services import ServiceFile
    from contracts.records import EngineHealth

DEFAULT_CONFIG: Final = "/etc/strongroom/agent.toml"
DEBUG_VARIABLE: Final = "STRONGROOM_DEBUG"
_PROBE_S: Final = 20.0
_RUN_EXAMPLES: Final = """\
example:
  # as a service manager starts it
  strongroom-agent run --config /etc/strongroom/agent.toml

  # with a setting overridden
  STRONGROOM_AGENT_LOG_LEVEL=debug strongroom-agent run --config agent.toml"""
_ADD_EXAMPLES: Final = """\
examples:
  # a server on another host, with a password
  strongroom-agent service add acme/orders --kind postgresql --host db.internal --user backup --password-file /etc/backup.pw

  # a server on this host, through its socket and without a password
  strongroom-agent service add acme/orders --kind postgresql --user strongroom

  # with more of libpq's own parameters
  strongroom-agent service add acme/orders --kind postgresql --user backup --sslmode require --extra sslcert=/etc/c.pem

  # other engines; --kind KIND --help shows what each takes
  strongroom-agent service add acme/shop --kind mariadb --socket /run/mysqld/mysqld.sock --user strongroom
  strongroom-agent service add acme/search --kind elasticsearch --url https://es1:9200 --api-key-file /etc/es.key
  strongroom-agent service add acme/vectors --kind qdrant --url http://q1:6333 --url http://q2:6333
  strongroom-agent service add acme/files --kind shared-storage --root-dir /srv/files"""
_EXAMPLES: Final = """\
examples:
  # how to reach a database, and whether that works
  strongroom-agent service add acme/orders --kind postgresql --host db.internal --user backup --password-file /etc/backup.pw
  strongroom-agent service check acme/orders

  # the agent itself
  strongroom-agent run --config /etc/strongroom/agent.toml

exit status:
  0 done, 1 unknown error, 2 wrong input or setting, 3 not found, 4 conflict, 5 the engine cannot be used,
  6 something does not answer, 7 not allowed, 8 damaged data, 130 interrupted"""


def main(argv: Sequence[str] | None = None) -> None:
    """The entry point `strongroom-agent`; ends the process."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    given = _parser(arguments).parse_args(arguments)
    try:
        status: int = given.do(given)
        sys.stdout.flush()
    except BrokenPipeError:
        # Nobody reads our output any more: what the interpreter still holds goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 141
    except KeyboardInterrupt:
        status = 130
    except StrongroomError as exc:
        status = exc.exit_status
        _complain(str(exc), *(f"  {line}" for line in (exc.detail or "").splitlines()))
    except Exception as exc:  # noqa: BLE001 - the last resort: whatever it is, an operator gets a sentence
        status = StrongroomError.exit_status
        _complain(f"internal: the agent met an error it does not know ({type(exc).__name__}: {exc})")
        if os.environ.get(DEBUG_VARIABLE, "") not in ("", "0"):
            _complain(traceback.format_exc().rstrip())
        else:
            _complain(f"  {DEBUG_VARIABLE}=1 shows its traceback")
    sys.exit(status)


def _run(given: argparse.Namespace) -> int:
    from agents.__main__ import serve

    serve(Path(given.config))
    return 0


def _version(_: argparse.Namespace) -> int:
    sys.stdout.write(f"strongroom-agent {importlib.metadata.version('strongroom')}\n")
    return 0


def _add(given: argparse.Namespace) -> int:
    """Writes a service's file, whole or not at all, readable by whoever owns the directory and nobody else."""
    import tomli_w

    from agents.connection_options import connection_of, wrong_connection
    from agents.services import ServiceFile

    project, service = parse_service_ref(given.service)
    name = f"{project}/{service}"
    texts = connection_of(given)
    try:
        file = msgspec.convert({"service": name, "connection": texts}, ServiceFile, strict=False)
    except msgspec.ValidationError as exc:
        raise wrong_connection(str(exc)) from exc
    # As the Struct understood it, but without the defaults, which may change.
    connection = {key: value for key, value in msgspec.to_builtins(file.connection).items() if key in texts}
    document = {"service": name, "connection": connection}
    directory = _services_dir(given)
    path = directory / f"{project}.{service}.toml"
    for other, known in _read_all(directory):
        if not isinstance(known, StrongroomError) and known.service == name and other != path:
            raise Conflict("service.exists", f"{name} stands in {other} already: change that file, or remove it first")
    if path.exists() and not given.force:
        raise Conflict("service.exists", f"{path} exists already: --force replaces it")
    _write_private(path, tomli_w.dumps(document))
    sys.stdout.write(f"wrote {path}\n")
    _complain(f"A running agent reads it within seconds; `strongroom-agent service check {name}` asks the engine now.")
    return 0


def _list(given: argparse.Namespace) -> int:
    """Prints every service file; a wrong one makes the status that of its error."""
    status = 0
    for path, file in _read_all(_services_dir(given)):
        if isinstance(file, StrongroomError):
            _complain(str(file))
            status = status or file.exit_status
        else:
            kind = type(file.connection).__struct_config__.tag
            sys.stdout.write(f"{file.service:<32} {kind:<14} {_place(file):<28} {path}\n")
    return status


def _check(given: argparse.Namespace) -> int:
    """Asks each engine how it is; the status is that of the first error."""
    directory = _services_dir(given)
    status, asked = 0, 0
    for _, file in _read_all(directory):
        if isinstance(file, StrongroomError):
            _complain(str(file))
            status = status or file.exit_status
        elif given.service in ("", file.service):
            asked += 1
            health = asyncio.run(_health(file))
            if health.reachable:
                words = [health.version, health.role, f"{health.lag_s:.1f} s behind" if health.lag_s else ""]
                sys.stdout.write(f"{file.service}: reachable, {' '.join(word for word in words if word)}\n")
                continue
            error = health.error or ErrorInfo(code="engine.unreachable", message="the engine does not answer")
            sys.stdout.write(f"{file.service}: {error.code}: {error.message}\n")
            for line in (error.detail or "").splitlines():
                sys.stdout.write(f"  {line}\n")
            status = status or branch_of(error.code).exit_status
    if given.service and not asked:
        raise NotFound(
            "service.not_found",
            f"no file in {directory} is about {given.service}: `strongroom-agent service add` writes one",
        )
    return status


async def _health(file: ServiceFile) -> EngineHealth:
    """What the engine says, never an exception that was foreseen."""
    from agents.drivers.kinds import make_driver
    from contracts.records import EngineHealth

    # Not the agent's own runtime directory: run by root, this must not leave anything there that the agent cannot use.
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - a private directory in it
    with tempfile.TemporaryDirectory(prefix="strongroom-", dir=memory) as runtime_dir:
        try:
            async with asyncio.timeout(_PROBE_S):
                directory = Path(runtime_dir)
                return await make_driver(file.connection, None, runtime_dir=directory, work_dir=directory).health()
        except TimeoutError:
            error = ErrorInfo(code="engine.unreachable", message=f"the engine did not answer within {_PROBE_S:.0f} s")
        except StrongroomError as exc:
            error = exc.info
    return EngineHealth(reachable=False, error=error)


def _read_all(directory: Path) -> list[tuple[Path, ServiceFile | StrongroomError]]:
    """Each file of the directory with what it says, or what is wrong with it."""
    from agents.services import ServiceFile

    found: list[tuple[Path, ServiceFile | StrongroomError]] = []
    for path in sorted(directory.glob("*.toml")):
        try:
            found.append((path, load_settings(ServiceFile, path, env_prefix="", environ={})))
        except StrongroomError as exc:
            found.append((path, exc))
    return found


def _services_dir(given: argparse.Namespace) -> Path:
    """The directory named, or the one of the agent's own settings."""
    from agents.settings import load_agent_settings

    if given.services_dir:
        return Path(given.services_dir).absolute()
    config = Path(given.config)
    if not config.exists():
        raise InvalidInput(
            "config.invalid",
            f"{config} does not exist: name the agent's settings with --config, or the directory with --services-dir",
            field="config",
        )
    return Path(load_agent_settings(config, os.environ).services_dir).absolute()


def _write_private(path: Path, text: str) -> None:
    """Raises: InvalidInput when the directory takes no file; then there is none, or the old one."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                owner = path.parent.stat()
                if os.geteuid() == 0:
                    # Written by root, it must still be readable for the agent, whose directory it is.
                    os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as exc:
        raise InvalidInput("config.invalid", f"{path} cannot be written: {exc.strerror}", field="services_dir") from exc


def _place(file: ServiceFile) -> str:
    """Where the engine is, in words; every kind of connection says it as `place`."""
    return str(getattr(file.connection, "place", ""))


def _complain(*lines: str) -> None:
    """Messages and errors go to standard error; standard output is for results."""
    for line in lines:
        sys.stderr.write(f"{line}\n")


def _parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    # The drivers are asked for their options only where those are wanted: `run` imports them in its own time.
    parser = _new_parser(
        None,
        "strongroom-agent",
        "Run the agent of a service's host, and tell it how to reach its databases and storage.",
        _EXAMPLES,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run = _new_parser(commands, "run", "Run the agent until SIGTERM or SIGINT; logs go to standard error.", _RUN_EXAMPLES)
    run.add_argument("--config", metavar="FILE", default=DEFAULT_CONFIG, help="the agent's settings (default: %(default)s)")
    run.set_defaults(do=_run)
    service = _new_parser(commands, "service", "How this host reaches the databases that it backs up.", _ADD_EXAMPLES)
    _add_service_commands(service.add_subparsers(required=True, metavar="COMMAND"), arguments)
    _new_parser(commands, "version", "Print the version.").set_defaults(do=_version)
    return parser


def _add_service_commands(commands: Any, arguments: Sequence[str]) -> None:
    add = _new_parser(commands, "add", "Write the file that tells the agent how to reach a service's engine.", _ADD_EXAMPLES)
    add.add_argument("service", metavar="PROJECT/SERVICE")
    add.add_argument("--force", action="store_true", help="replace the service's file if there is one")
    add.set_defaults(do=_add)
    listing = _new_parser(commands, "list", "List the services of this host.")
    listing.set_defaults(do=_list)
    check = _new_parser(commands, "check", "Ask each engine how it is, as the agent would; best run as the agent's user.")
    check.add_argument("service", metavar="PROJECT/SERVICE", nargs="?", default="", help="only this one")
    check.set_defaults(do=_check)
    for parser in (add, listing, check):
        parser.add_argument(
            "--config", metavar="FILE", default=DEFAULT_CONFIG, help="the agent's settings (default: %(default)s)"
        )
        parser.add_argument("--services-dir", metavar="DIR", default="", help="the directory itself, without the settings")
    if "service" in arguments:
        from agents.connection_options import add_connection_options, kind_in

        add_connection_options(add, kind_in(arguments))


def _new_parser(commands: Any, name: str, about: str, examples: str = "") -> argparse.ArgumentParser:
    """A parser, or a subparser of `commands`, whose examples keep their lines."""
    options: dict[str, Any] = {
        "description": about,
        "epilog": examples,
        "formatter_class": argparse.RawDescriptionHelpFormatter,
        "allow_abbrev": False,
    }
    if commands is None:
        return argparse.ArgumentParser(prog=name, **options)
    parser: argparse.ArgumentParser = commands.add_parser(name, help=about, **options)
    return parser

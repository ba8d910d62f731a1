"""Where the master key comes from.  A key management service would be one more class here."""

from __future__ import annotations

import os
import stat
from collections.abc import MutableMapping
from pathlib import Path
from typing import Final, Protocol

from contracts.errors import Conflict, InvalidInput
from daemon.embedded.private_files import write_private
from daemon.keys.master import MasterKey

_CREDENTIALS_DIRECTORY: Final = "CREDENTIALS_DIRECTORY"


class KeySource(Protocol):
    """One place that holds the master key's lines."""

    @property
    def kind(self) -> str:
        """`file`, `credential` or `environment`."""
        ...

    @property
    def is_rewritable(self) -> bool:
        """Whether the coordinator itself can bring a new key in here and destroy the old one."""
        ...

    def read(self) -> MasterKey:
        """The keys that are in it now.  Raises: InvalidInput naming the setting."""
        ...

    def write(self, keys: MasterKey) -> None:
        """Durable when it returns; cut off, the source holds all of the old or all of the new.

        What is replaced is overwritten on the disk.  Raises: Conflict `key.not_rotated` where it is not rewritable.
        """
        ...


class FileSource:
    """A file that belongs to whoever the coordinator runs as."""

    kind = "file"

    def __init__(self, path: Path) -> None:
        # The file itself, should a symbolic link lead there: the link stays, and the old key goes.
        self._path = path.resolve()

    @property
    def is_rewritable(self) -> bool:
        try:
            found = self._path.stat()
        except OSError:
            return False
        return found.st_uid == os.geteuid() and stat.S_ISREG(found.st_mode) and os.access(self._path.parent, os.W_OK)

    def read(self) -> MasterKey:
        return MasterKey.read(self._path)

    def write(self, keys: MasterKey) -> None:
        if not self.is_rewritable:
            raise _fixed(f"{self._path} does not belong to the coordinator, or lies where it may not write")
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                size = os.fstat(descriptor).st_size
                write_private(self._path, keys.reveal() + "\n")
                # The former file has no name any more; its blocks are still there.
                os.pwrite(descriptor, os.urandom(size), 0)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as exc:
            raise _fixed(f"{self._path} cannot be written: {exc.strerror}") from exc


class CredentialSource:
    """A credential that systemd hands over: `LoadCredential=` or `LoadCredentialEncrypted=` of the unit."""

    kind = "credential"
    is_rewritable = False

    def __init__(self, name: str, environ: MutableMapping[str, str]) -> None:
        """Raises: InvalidInput `config.invalid`."""
        directory = environ.get(_CREDENTIALS_DIRECTORY, "")
        if not directory:
            raise InvalidInput(
                "config.invalid",
                f"master_key_credential: {_CREDENTIALS_DIRECTORY} is not set: start the coordinator as a systemd unit with "
                f"LoadCredential={name}:…, or use master_key_file",
                field="master_key_credential",
            )
        if not name or "/" in name or name in (".", ".."):
            raise InvalidInput(
                "config.invalid",
                "master_key_credential: is the name of a credential, no path",
                field="master_key_credential",
            )
        self._path = Path(directory) / name

    def read(self) -> MasterKey:
        return MasterKey.parse(
            _text_of(self._path, "master_key_credential"),
            where=f"credential {self._path.name}",
            field="master_key_credential",
        )

    def write(self, keys: MasterKey) -> None:  # noqa: ARG002 (the interface's)
        raise _fixed("the master key comes as a systemd credential")


class EnvironmentSource:
    """An environment variable, gone from this process's environment once it was read, so that no child inherits it.

    Lines may be parted by blanks as well.  A new value needs a restart.
    """

    kind = "environment"
    is_rewritable = False

    def __init__(self, name: str, environ: MutableMapping[str, str]) -> None:
        """Raises: InvalidInput `key.invalid`, `config.invalid`."""
        text = environ.pop(name, None)
        if text is None:
            raise InvalidInput("config.invalid", f"master_key_env: the variable {name} is not set", field="master_key_env")
        self._keys = MasterKey.parse("\n".join(text.split()), where=f"variable {name}", field="master_key_env")

    def read(self) -> MasterKey:
        copy = self._keys.current_only()
        copy.become(self._keys)
        return copy

    def write(self, keys: MasterKey) -> None:  # noqa: ARG002 (the interface's)
        raise _fixed("the master key comes from an environment variable")


def choose_source(*, file: str, credential: str, env: str, environ: MutableMapping[str, str]) -> KeySource:
    """The one that the settings name.  Raises: InvalidInput `config.invalid` for none or several, and that of the source."""
    named = [
        name
        for name, value in (("master_key_file", file), ("master_key_credential", credential), ("master_key_env", env))
        if value
    ]
    if len(named) != 1:
        found = " and ".join(named) or "none"
        raise InvalidInput(
            "config.invalid",
            f"set exactly one of master_key_file, master_key_credential and master_key_env: there is {found}",
            field=named[1] if named else "master_key_file",
        )
    if file:
        return FileSource(Path(file))
    return CredentialSource(credential, environ) if credential else EnvironmentSource(env, environ)


def _text_of(path: Path, field: str) -> str:
    try:
        return path.read_text(encoding="ascii")
    except OSError as exc:
        raise InvalidInput("key.invalid", f"{path}: cannot be read: {exc.strerror}", field=field) from exc
    except ValueError:
        raise InvalidInput("key.invalid", f"{path}: is not a Strongroom master key", field=field) from None


def _fixed(why: str) -> Conflict:
    return Conflict(
        "key.not_rotated",
        f"{why}: put a new key's line before the present one there, restart every coordinator, and rotate again",
    )

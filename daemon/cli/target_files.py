"""Files that appear whole or not at all: written under another name beside their place, given theirs at the very end."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from contracts.errors import InvalidInput

_NO_LINKS: Final = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EACCES})


class TargetFiles:
    """The files of one download.  Leaving the block without `publish` removes all that was written."""

    def __init__(self, paths: Sequence[Path], directory: Path | None, *, overwrite: bool) -> None:
        """`directory` is made if it is not there; any other must be.

        Raises: InvalidInput when a file is there already or its directory cannot be used; nothing is made then.
        """
        self._overwrite = overwrite
        self._temporary: dict[Path, Path] = {}
        self._made: list[Path] = []
        for path in paths:
            if path.is_dir():
                raise _invalid(path, "is a directory")
            if not overwrite and (path.exists() or path.is_symlink()):
                raise _invalid(path, "exists already; --force replaces it")
        if directory is not None:
            self._ensure(directory)
        for parent in {path.parent for path in paths}:
            if not parent.is_dir():
                raise _invalid(parent, "is not a directory")

    def __enter__(self) -> TargetFiles:
        return self

    def __exit__(self, *_: object) -> None:
        for temporary in self._temporary.values():
            temporary.unlink(missing_ok=True)
        for directory in reversed(self._made):
            # Somebody else may have put something there meanwhile; then it stays.
            with contextlib.suppress(OSError):
                directory.rmdir()

    @contextmanager
    def open(self, path: Path) -> Iterator[BinaryIO]:
        """A file that will stand at `path`, readable by its owner alone: a plain dump holds what the database held.

        Leaving the block without an error makes it durable.
        """
        temporary = path.with_name(f".{path.name[:200]}.{secrets.token_hex(4)}.part")
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            raise _invalid(path, f"cannot be written: {exc.strerror}") from exc
        self._temporary[path] = temporary
        with os.fdopen(descriptor, "wb") as file:
            yield file
            try:
                file.flush()
                os.fsync(file.fileno())
            except OSError as exc:
                raise _invalid(path, f"cannot be written: {exc.strerror}") from exc

    def publish(self) -> None:
        """Gives every file its name.  Raises: InvalidInput when somebody else took a name meanwhile."""
        for path, temporary in list(self._temporary.items()):
            try:
                self._place(temporary, path)
            except FileExistsError as exc:
                raise _invalid(path, "has come to exist meanwhile; --force replaces it") from exc
            except OSError as exc:
                raise _invalid(path, f"cannot be written: {exc.strerror}") from exc
            del self._temporary[path]
        self._made.clear()

    def _place(self, temporary: Path, path: Path) -> None:
        if not self._overwrite:
            # A link fails where a rename would silently replace what is there.
            try:
                os.link(temporary, path)
            except OSError as exc:
                if exc.errno not in _NO_LINKS or path.exists():
                    raise
            else:
                temporary.unlink()
                return
        temporary.replace(path)

    def _ensure(self, directory: Path) -> None:
        try:
            directory.mkdir(mode=0o700)
        except FileExistsError:
            if not directory.is_dir():
                raise _invalid(directory, "is not a directory") from None
        except OSError as exc:
            raise _invalid(directory, f"cannot be made: {exc.strerror}") from exc
        else:
            self._made.append(directory)


def disk_writer(file: BinaryIO, path: str) -> Callable[[bytes | memoryview], object]:
    """`file.write` whose errors are sentences.  Raises: InvalidInput for a disk that takes no more."""

    def write(data: bytes | memoryview) -> int:
        try:
            return file.write(data)
        except OSError as exc:
            raise InvalidInput("input.invalid", f"{path} cannot be written: {exc.strerror}", field="output") from exc

    return write


def _invalid(path: Path, what: str) -> InvalidInput:
    return InvalidInput("input.invalid", f"{path} {what}", field="output")

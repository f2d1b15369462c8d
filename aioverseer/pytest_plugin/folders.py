"""The folder of a service of ``service_fixture``: made and filled before the service starts, removed after its end.

A shared folder belongs to the keeper. Its path is agreed on beforehand, and a lock on it tells a folder in use from one
that a killed keeper has left.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Prepare", "ServiceFolder", "remove_abandoned"]

Prepare = Callable[[Path], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceFolder:
    """The folder of one service. The keeper of a shared service receives it pickled.

    Attributes:
        path: The folder. It exists while the service runs.
        prepare: The function that fills it; None leaves it empty.
    """

    path: Path
    prepare: Prepare | None = None

    @classmethod
    def named(cls, name: str, prepare: Prepare | None) -> ServiceFolder:
        """Return a folder with the same path in all processes that use the same name."""
        # Short, as servers put UNIX sockets into it: their paths have at most 108 bytes, see unix(7).
        digest = hashlib.sha256(name.encode()).hexdigest()[:16]
        return cls(path=Path(tempfile.gettempdir(), f"aioverseer-{digest}"), prepare=prepare)

    @contextlib.contextmanager
    def made(self) -> Generator[None]:
        """Make the folder, empty and for this user only. Remove it at the end of the block.

        Raises:
            OSError: If it cannot be made, or another service has it.
        """
        descriptor = self._make()
        try:
            yield
        finally:
            shutil.rmtree(self.path, ignore_errors=True)
            os.close(descriptor)

    def fill(self) -> None:
        """Call ``prepare``. Its own error is raised, with the output of a failed command as a note."""
        __tracebackhide__ = True
        if self.prepare is None:
            return
        try:
            self.prepare(self.path)
        except Exception as error:
            for name in ("stdout", "stderr"):  # of a subprocess.CalledProcessError
                if output := getattr(error, name, None):
                    error.add_note(output.decode(errors="replace") if isinstance(output, bytes) else str(output))
            raise

    def _make(self) -> int:
        while True:
            remove_abandoned(self.path)
            try:
                self.path.mkdir(mode=0o700)
            except FileExistsError:
                raise FileExistsError(
                    f"the folder {str(self.path)!r} is used by another service: two shared services that run at the "
                    "same time need two functions with @service_fixture"
                ) from None
            # A worker that cleans up may have removed the new folder before it was locked.
            if (descriptor := _locked(self.path, fcntl.LOCK_EX)) is not None:
                return descriptor


def remove_abandoned(path: Path) -> None:
    """Remove a folder if no process holds it.

    Several processes may do so at once. Their locks are shared, so that none of them passes for a holder.
    """
    if (descriptor := _locked(path, fcntl.LOCK_SH)) is None:
        return
    try:
        # The server of a killed keeper may still write. It must not write into the next folder of this name.
        moved = path.with_name(f"{path.name}-{os.urandom(4).hex()}")
        with contextlib.suppress(FileNotFoundError):
            path.rename(moved)
        shutil.rmtree(moved, ignore_errors=True)
    finally:
        os.close(descriptor)


def _locked(path: Path, kind: int) -> int | None:
    """Return a descriptor that locks the folder until it is closed; None if it is gone or locked by another one."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(descriptor), path.stat()):
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None

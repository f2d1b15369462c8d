"""The ports and pid files that instances of one set, and two runs of one instance in a roll, cannot share."""

from __future__ import annotations

from aioverseer.core.errors import SpecError
from aioverseer.core.options.main_pid import PidFile
from aioverseer.core.options.placeholders import words_in
from aioverseer.core.options.spec import Spec

__all__ = ["check_instances", "check_pid_file"]


def check_instances(spec: Spec, count: int) -> None:
    """Raise SpecError if so many instances, and the further runs of a roll, cannot live side by side.

    Args:
        spec: The options of the set.
        count: Number of instances.
    """
    surge = 0 if spec.roll is None else spec.roll.bounds(count)[0]
    if spec.port is not None and len(spec.port) < count + surge:
        further = f" and {surge} more in a roll" if surge else ""
        raise SpecError(
            f"service {spec.id!r}: port={spec.port} has {len(spec.port)} for {count} instances{further}, and each run "
            "needs one of its own: pass a larger range",
            option="port",
            value=spec.port,
        )
    if count > 1:
        check_pid_file(spec, {"index", "id", "port"})
    if surge:
        check_pid_file(spec, {"run", "port"})


def check_pid_file(spec: Spec, words: set[str]) -> None:
    """Raise SpecError if two runs would write their process ids into the same file.

    Args:
        spec: The options of the set.
        words: Words of a placeholder that tell the two runs apart.
    """
    if isinstance(spec.main_pid, PidFile) and not words & words_in(spec.main_pid.path):
        raise SpecError(
            f"service {spec.id!r}: main_pid={spec.main_pid} would be the file of two runs at once: name it by both, as "
            'in PidFile("/run/{id}-{run}.pid")',
            option="main_pid",
            value=spec.main_pid,
        )

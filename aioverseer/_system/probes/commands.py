"""The commands of probes: the search for their programs before a start."""

from __future__ import annotations

from dataclasses import replace

from aioverseer._system.process.command import spec_of_command
from aioverseer._system.process.spawn_errors import explained, look_up
from aioverseer.core.options.composition import Probe, is_fulfilled, leaves
from aioverseer.core.options.probes import Command
from aioverseer.core.options.spec import Spec

__all__ = ["check_commands"]


def check_commands(spec: Spec) -> None:
    """Look for the programs of the commands of ``ready`` and ``alive``, if the program of the Spec is there itself.

    Raises:
        SpawnError: If one is missing without which its probe can never be fulfilled.
    """
    asked = {"ready": spec.ready, "alive": None if spec.alive is None else spec.alive.probe}
    missing = {
        option: found for option, probe in asked.items() if probe is not None and (found := _missing(spec, probe))
    }
    if not missing or _failure(spec) is not None:  # the launch explains what is wrong with the program itself
        return
    for option, found in missing.items():
        probe = asked[option]
        if probe is None or is_fulfilled(probe, set(leaves(probe)).difference(found)):
            continue
        command, error = next(iter(found.items()))
        meant = replace(spec_of_command(spec, command.argv, role="probe"), id=spec.id)
        raise explained(meant, list(command.argv), error, option=f"{option}={command}") from error


def _missing(spec: Spec, probe: Probe) -> dict[Command, OSError]:
    """Return the commands of a probe that cannot be run, each with the error of the system."""
    found: dict[Command, OSError] = {}
    for leaf in leaves(probe):
        if (
            isinstance(leaf, Command)
            and (error := _failure(spec_of_command(spec, leaf.argv, role="probe"))) is not None
        ):
            found[leaf] = error
    return found


def _failure(spec: Spec) -> OSError | None:
    try:
        look_up(spec)
    except OSError as error:
        return error
    return None

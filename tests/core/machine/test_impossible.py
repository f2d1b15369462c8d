"""Failed spawns that cannot succeed later: FATAL at once, unless the program has run before."""

from __future__ import annotations

import errno

import pytest

from aioverseer.core.errors import SpawnError
from aioverseer.core.machine.impossible import is_impossible
from aioverseer.core.machine.inputs import (
    ProcessEnded,
    Spawned,
    SpawnFailed,
    StartRequested,
    StopRequested,
    TimerFired,
)
from aioverseer.core.machine.service import ServiceMachine
from aioverseer.core.machine.table import Input
from aioverseer.core.options.backoff import Backoff
from aioverseer.core.options.restart import Restart
from aioverseer.core.options.spec import Spec
from aioverseer.core.state import Exit, State

SPEC = Spec(id="web", argv=("serve", "--fast"), cwd="/srv")
MISSING = SpawnFailed(error=SpawnError("there is no program 'serve'", errno=errno.ENOENT), impossible=True)
BUSY = SpawnFailed(error=SpawnError("no room"))
CRASH = ProcessEnded(exit=Exit(code=1))
POLICY = Restart(max_restarts=3, backoff=Backoff(min=1, max=1))


class Middle:
    """Chance that is none."""

    def random(self) -> float:
        """Return the middle of [0, 1)."""
        return 0.5

    def uniform(self, a: float, b: float, /) -> float:
        """Return the middle of two numbers."""
        return (a + b) / 2


def after(*inputs: Input, policy: Restart = POLICY) -> ServiceMachine:
    """Return a machine that was fed with these."""
    machine = ServiceMachine(policy=policy, rng=Middle(), delay=0)
    for given in inputs:
        machine.feed(given, 0)
    return machine


@pytest.mark.parametrize(
    ("number", "filename", "expected"),
    [
        (errno.ENOENT, "serve", True),
        (errno.ENOENT, "/usr/bin/serve", True),  # found on PATH, and its interpreter is missing
        (errno.ENOENT, "/srv", True),
        (errno.EACCES, "serve", True),
        (errno.ENOTDIR, "serve", True),
        (errno.ENOEXEC, "serve", True),
        (errno.E2BIG, "serve", True),
        (errno.EPERM, "serve", True),
        (errno.EAGAIN, "serve", False),
        (errno.ENOMEM, "serve", False),
        (errno.EMFILE, "serve", False),
        (errno.ETXTBSY, "serve", False),
        (errno.EIO, "serve", False),
        (None, "serve", False),
        (errno.ENOENT, "/data/input.csv", False),  # its standard input: another program may still write it
        (errno.EACCES, "/sys/fs/cgroup/x", False),
        (errno.ENOENT, None, False),
    ],
)
def test_errors_that_time_does_not_mend(number: int | None, filename: str | None, expected: bool) -> None:
    """Errors about the program or its folder are. Shortages and other files are left to the policy."""
    assert expected is is_impossible(SPEC, SpawnError("no", errno=number, filename=filename))


def test_another_error_is_never_impossible() -> None:
    """A probe that raised FileNotFoundError says nothing about the program."""
    assert not is_impossible(SPEC, FileNotFoundError(errno.ENOENT, "no such file", "serve"))


def test_the_first_failure_is_final() -> None:
    """It counts as a giving up, and the reason is that of the system."""
    machine = after(StartRequested(), MISSING)
    assert (State.FATAL, True, 0) == (machine.state, machine.gave_up, machine.restarts)
    assert "gave up: there is no program 'serve'" == machine.reason
    assert MISSING.error is machine.error


def test_a_failure_after_a_shortage_is_final() -> None:
    """The program has not run yet."""
    assert State.FATAL is after(StartRequested(), BUSY, TimerFired(), MISSING).state


@pytest.mark.parametrize("policy", [Restart("always", max_restarts=None), Restart("on-abnormal")])
def test_no_policy_tries_again(policy: Restart) -> None:
    """Also one without a limit."""
    machine = after(StartRequested(), MISSING, policy=policy)
    assert (State.FATAL, True) == (machine.state, machine.gave_up)


def test_without_restarts_nothing_gives_up() -> None:
    """A policy that wants no restart has none to give up."""
    machine = after(StartRequested(), MISSING, policy=Restart("never"))
    assert (State.FATAL, False) == (machine.state, machine.gave_up)
    assert "there is no program 'serve'" == machine.reason


@pytest.mark.parametrize(
    "before",
    [
        (StartRequested(), Spawned(pid=7), CRASH, TimerFired()),
        (StartRequested(), Spawned(pid=7), StopRequested(), CRASH, StartRequested()),
        (StartRequested(), StopRequested(), Spawned(pid=7), CRASH, StartRequested()),
    ],
    ids=["restarted", "started again", "stopped during its first spawn"],
)
def test_a_program_that_has_run_is_left_to_the_policy(before: tuple[Input, ...]) -> None:
    """A deployment replaces its file: it may be back in a moment."""
    machine = after(*before, MISSING)
    assert (State.BACKOFF, False) == (machine.state, machine.gave_up)


def test_another_program_has_never_run() -> None:
    """After a change of the command, a mistake in the new one shows at once."""
    machine = after(StartRequested(), Spawned(pid=7), CRASH)
    machine.change_program()
    machine.feed(TimerFired(), 1)
    machine.feed(MISSING, 1)
    assert State.FATAL is machine.state


def test_a_new_start_forgets_that_it_was_hopeless() -> None:
    """It tries once more."""
    machine = after(StartRequested(), MISSING, StartRequested())
    assert (State.STARTING, False, False) == (machine.state, machine.gave_up, machine.hopeless)

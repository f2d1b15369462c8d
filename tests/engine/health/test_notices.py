"""Notices that are neither readiness nor liveness: errors, and delays that begin anew."""

from __future__ import annotations

from aioverseer import Backoff, Overseer, Restart, State, ready
from aioverseer.testing import FakeChild, ManualClock, ScriptedLauncher
from tests.support.programs import child, limit


async def test_error_of_the_program_is_part_of_the_reason() -> None:
    code = """
    import os, socket, sys
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices:
        notices.connect(os.environ["NOTIFY_SOCKET"].replace("@", chr(0), 1))
        notices.send(b"READY=1")
        notices.send(b"STATUS=no file\\nERRNO=2")
    sys.exit(7)
    """
    async with limit(20), Overseer() as overseer:
        web = overseer.add("web", *child(code), ready=ready.notify(), restart=Restart("never"))
        status = await overseer.supervise("web")
        assert (State.FINISHED, 7) == (status.state, status.exit_code)
        assert "exited with code 7; it said: ENOENT" in status.reason
        assert "it said: ENOENT" in str(web.why())


async def test_program_lets_its_delays_begin_anew() -> None:
    """The number of restarts in the window goes on."""
    clock = ManualClock()
    notices = FakeChild().notifies("READY=1").runs(1)
    resets = notices.notifies("RESTART_RESET=1").exits(1)
    launcher = ScriptedLauncher(clock, *[notices.exits(1)] * 3, resets, notices.exits(1), notices)
    policy = Restart(max_restarts=9, backoff=Backoff(min=1, max=60, factor=2, jitter=False), reset_after=1000)
    async with Overseer(clock=clock, launcher=launcher) as overseer:
        web = overseer.add("web", "web", ready=ready.notify(), restart=policy)
        await web.start()
        await clock.advance(60)
    events = [event async for event in overseer.events(since=0)]
    reasons = [event.reason for event in events if event.state is State.BACKOFF]
    delays = [float(reason.partition("restarts in ")[2].split()[0]) for reason in reasons]
    assert [1, 2, 4, 1, 2] == delays
    assert "4 of 9 restarts left" in reasons[-1]

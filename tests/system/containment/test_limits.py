"""Limits by the controllers of the running kernel. Each is skipped where cgroup v2 lacks its controller."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from aioverseer import Overseer, Restart, SpawnError, Stop, Subscription
from aioverseer._system.containment import procfs
from aioverseer._system.containment.cgroup import limits_of, tree
from aioverseer.core.options.containment import AskedContainment
from aioverseer.core.options.spec import Spec
from tests.support.programs import child, limit

LIMITS = {"memory_max": 1 << 26, "pids_max": 20, "cpu_max": 0.2}


@pytest.fixture(name="spec", autouse=True)
def spec_fixture(request: pytest.FixtureRequest) -> Iterator[Spec]:
    """Make a Spec with limits. Skips the test where the system lacks their controllers."""
    spec = Spec.of("web", ("true",), **{name: LIMITS[name] for name in request.param})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # numbers of two kinds
    control = Path(tree().base or "/nowhere", "cgroup.subtree_control")
    before = control.read_text(encoding="utf-8").split() if control.exists() else []
    try:
        tree().enable(spec, limits_of(spec).controllers)
    except SpawnError as error:
        pytest.skip(str(error))
    yield spec
    for name in control.read_text(encoding="utf-8").split():
        if name not in before:
            control.write_text(f"-{name}", encoding="utf-8")


async def next_line(lines: Subscription) -> str:
    """Return the next line."""
    line = await lines.get()
    return str(line.text)


@pytest.mark.parametrize("spec", [("pids_max",)], indirect=True)
@pytest.mark.parametrize("containment", ["basic", "guarded", "strict"])
async def test_fork_bomb_stays_below_its_limit(containment: AskedContainment) -> None:
    """A stop kills all of its processes within the ladder's time."""
    code = """
    import errno, os, time
    count = 1
    while True:
        try:
            if os.fork() == 0:
                time.sleep(60)
        except OSError as error:
            print(count, errno.errorcode[error.errno], flush=True)
            break
        count += 1
    rest()
    """
    async with limit(20), Overseer(containment=containment) as overseer:
        service = overseer.add("web", *child(code), pids_max=20, stop=Stop(timeout=0.5), restart=Restart("never"))
        lines = service.lines()
        await service.start()
        assert "20 EAGAIN" == await next_line(lines)
        assert service.pid is not None
        own = next(
            line for line in Path(f"/proc/{service.pid}/cgroup").read_text("utf-8").splitlines() if line[:3] == "0::"
        )
        members = Path(tree().base, own.rpartition("/")[2], "cgroup.procs").read_text("utf-8").split()
        assert 20 == len(members)
        await service.stop()
    assert [] == [pid for pid in members if procfs.state_of(int(pid)) not in "ZX"]


@pytest.mark.parametrize("spec", [("cpu_max",)], indirect=True)
async def test_program_gets_its_share_of_the_processor() -> None:
    """Its CPU time against the wall clock. Load of other programs can only lower it."""
    code = """
    import time
    began, used = time.monotonic(), time.process_time()
    while time.monotonic() - began < 1.5:
        pass
    print((time.process_time() - used) / (time.monotonic() - began))
    """
    async with limit(20), Overseer() as overseer:
        service = overseer.add("web", *child(code), cpu_max=0.2, restart=Restart("never"))
        await overseer.supervise("web")
        # One period of 0.1 s at the beginning, and the use over the quota before the kernel notices it.
        assert float(str(service.tail()[0].text)) < 0.3


@pytest.mark.parametrize("spec", [("memory_max",)], indirect=True)
async def test_program_beyond_its_memory_has_a_cause() -> None:
    """The cause of its end is "out of memory"."""
    async with limit(30), Overseer() as overseer:
        service = overseer.add(
            "web", *child("x = bytearray(1 << 30); print(len(x))"), memory_max=1 << 26, restart=Restart("never")
        )
        await service.start()
        await service.wait()
        assert "out of memory" in service.why().reason
        assert "out of memory" in service.status().reason


@pytest.mark.parametrize("spec", [("memory_max",)], indirect=True)
@pytest.mark.parametrize("containment", ["basic", "guarded", "strict"])
async def test_child_beyond_the_memory_limit_ends_the_program(containment: AskedContainment) -> None:
    """The program would wait forever without that child, which may be in another session."""
    code = """
    import os
    if os.fork() == 0:
        os.setsid()
        x = bytearray(1 << 30)
    rest()
    """
    async with limit(20), Overseer(containment=containment) as overseer:
        service = overseer.add("web", *child(code), memory_max=1 << 26, restart=Restart("never"))
        await service.start()
        status = await service.wait()
        assert signal.SIGKILL == status.signal
        assert "was killed by SIGKILL (out of memory)" in status.reason


@pytest.mark.parametrize("spec", [("pids_max", "cpu_max")], indirect=True)
async def test_limits_are_set_before_the_program_runs(spec: Spec) -> None:
    """The program reads them itself."""
    code = """
    path = "@BASE/" + next(l for l in open("/proc/self/cgroup") if l.startswith("0::")).strip().rpartition("/")[2]
    print(*(open(f"{path}/{name}").read().strip() for name in ("pids.max", "cpu.max")))
    """.replace("@BASE", tree().base)
    async with limit(20), Overseer() as overseer:
        overseer.add("web", *child(code), pids_max=20, cpu_max=0.2, restart=Restart("never"))
        await overseer.supervise("web")
        assert ["20 20000 100000"] == [str(line.text) for line in overseer["web"].tail()]

"""The Spec of one run, and its port."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from aioverseer import (
    Alive,
    GaveUp,
    LogFile,
    NotReady,
    Overseer,
    PidFile,
    Process,
    Restart,
    Roll,
    SpawnError,
    Spec,
    SpecError,
    State,
    Stop,
    ready,
)
from aioverseer.testing import FakeChild, Ports
from tests.support.overseers import ended, scripted

SERVER = """
import os, socket, sys
print(os.environ["NAME"], os.getcwd(), flush=True)
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    server.accept()
"""


async def test_each_run_has_its_values(tmp_path: Path) -> None:
    for number in range(2):
        (tmp_path / f"web.{number}").mkdir()
    async with Overseer(containment="basic") as overseer:
        web = overseer.add_instances(
            "web",
            sys.executable,
            "-c",
            SERVER,
            "{port}",
            cwd=tmp_path / "{id}",
            extra_env={"NAME": "{index} {id} {run} {{run}}"},
            ready=ready.tcp("{port}"),
            log=LogFile(tmp_path / "{index}" / "{run}.log"),
            instances=2,
        )
        await web.start()
        ports = [service.port for service in web]
        assert 2 == len({*ports, None}) - 1
        assert [str(port) for port in ports] == [service.status().argv[3] for service in web]
        assert ["{port}"] * 2 == [service.spec.argv[3] for service in web]
        assert ports == [service.process.port for service in web if service.process is not None]
        await web[1].restart()
        assert ports[1] != web[1].port
        await web.stop()
    texts = {str(path.relative_to(tmp_path)): path.read_text() for path in tmp_path.rglob("*.log")}
    assert {
        "0/1.log": f"0 web.0 1 {{run}} {tmp_path}/web.0\n",
        "1/1.log": f"1 web.1 1 {{run}} {tmp_path}/web.1\n",
        "1/2.log": f"1 web.1 2 {{run}} {tmp_path}/web.1\n",
    } == texts


async def test_a_lone_service_with_ports_has_placeholders() -> None:
    ports = Ports()
    port = ports.reserve()
    overseer, clock, launcher = scripted()
    async with overseer:
        lone = overseer.add("lone", "serve", "{index}-{id}-{run}-{port}", port=range(port, port + 1))
        plain = overseer.add("plain", "serve", "{id} {port}")
        await ended(lone.start(), clock)
        await ended(plain.start(), clock)
        await ended(lone.restart(), clock)
        assert [f"0-lone-1-{port}", "{id} {port}", f"0-lone-2-{port}"] == [
            child.spec.argv[1] for child in launcher.children
        ]
        assert (port, None) == (lone.port, plain.port)
    ports.release()


async def test_a_start_without_a_free_port_fails_and_says_why() -> None:
    ports = Ports()
    port = ports.reserve()
    only = range(port, port + 1)
    overseer, clock, launcher = scripted(FakeChild().ends_on(15, after=1))
    async with overseer:
        holder = overseer.add("holder", "serve", "{port}", port=only)
        web = overseer.add_instances("web", "serve", "{port}", port=only, instances=1, restart=Restart(max_restarts=1))
        await ended(holder.start(), clock)
        with pytest.raises(NotReady, match=rf"'web\.0' gets no port: none of range\({port}, {port + 1}\)") as caught:
            await ended(web.start(), clock)
        assert isinstance(caught.value.__cause__, GaveUp)
        assert isinstance(caught.value.__cause__.__cause__, SpawnError)
        assert State.FATAL is web[0].state
        assert 2 == len(web[0].history)
        assert f"1 held: {port} by 'holder'" in web[0].status().reason
        await ended(holder.stop(), clock)
        await ended(web.start(), clock)
        assert port == web[0].port
        assert 2 == len(launcher.children)
        await overseer.stop_all(kill=True)
    ports.release()


async def test_a_range_needs_a_port_for_each_instance() -> None:
    overseer = Overseer()
    with pytest.raises(SpecError, match=r"port=range\(9000, 9002\) has 2 for 3 instances"):
        overseer.add_instances("web", "serve", port=range(9000, 9002), instances=3)
    web = overseer.add_instances("web", "serve", port=range(9000, 9002), instances=2)
    with pytest.raises(SpecError, match="has 2 for 3 instances, and each run needs one"):
        await web.scale(3)
    with pytest.raises(SpecError, match="has 2 for 2 instances and 1 more in a roll"):
        overseer.update("web", roll=Roll())
    overseer.update("web", roll=Roll(surge=0, unavailable=1))
    assert ["web.0", "web.1"] == overseer.list_all()
    assert 2 == web.spec.instances


async def test_a_port_is_given_back_however_the_run_ends() -> None:
    ports = Ports()
    port = ports.reserve()
    scripts = [FakeChild().exits(1), FakeChild().cannot_start(), FakeChild().runs(1).dies(9), FakeChild()]
    overseer, clock, launcher = scripted(*scripts)
    async with overseer:
        lone = overseer.add("lone", "serve", "{port}", port=range(port, port + 1), restart=Restart("always"))
        await ended(lone.start(), clock)
        await ended(lone.wait_for(lambda status: status.restarts == 3 and status.state is State.RUNNING), clock)
        assert [str(port)] * 3 == [child.spec.argv[1] for child in launcher.children]
    ports.release()


async def test_a_port_is_taken_only_where_it_is_used() -> None:
    overseer, clock, _ = scripted()
    async with overseer:
        web = overseer.add_instances("web", "serve", "{id}", instances=1)
        await ended(web.start(), clock)
        assert web[0].port is None
        await ended(overseer.add_instances("by_env", "serve", extra_env={"PORT": "{port}"}, instances=1).start(), clock)
        assert overseer["by_env.0"].port is not None


async def test_programs_of_a_pipeline_have_the_values_too() -> None:
    async with Overseer(containment="basic") as overseer:
        source = Process("sh", "-c", 'echo "$A {port}"', extra_env={"A": "{id}"})
        one = overseer.add_instances("one", "cat", stdin=source, instances=1, restart=Restart("never"))
        lines = one.lines()
        await one.start()
        line = await lines.get()
        await one.wait()
        assert f"one.0 {one[0].port}" == line.text


async def test_a_run_whose_log_cannot_be_is_a_failed_start(tmp_path: Path) -> None:
    overseer, clock, _ = scripted()
    async with overseer:
        overseer.add("other", "x", log=LogFile(tmp_path / "1.log", keep=3))
        log = LogFile(tmp_path / "{run}.log", keep=4)
        web = overseer.add_instances("web", "serve", log=log, instances=1, restart=Restart("never"))
        with pytest.raises(NotReady, match="has other rules"):
            await ended(web.start(), clock)


def test_a_process_has_no_instances_and_no_pool() -> None:
    with pytest.raises(SpecError, match=r"instances=2 is for a Service, .*: use Overseer.add_instances"):
        Process("x", instances=2)
    with pytest.raises(SpecError, match=r"port=range\(1, 2\) is for a Service"):
        Process("x", port=range(1, 2))
    with pytest.raises(SpecError, match="for a Service"):
        Process.from_spec(Spec.of("web", ["x"], instances=2))


def test_a_log_of_an_overseer_has_no_values_of_runs() -> None:
    with pytest.raises(SpecError, match="give it to the instances"):
        Overseer(log=LogFile("{run}.log"))


async def test_each_run_has_a_pid_file_of_its_own() -> None:
    overseer, clock, launcher = scripted(FakeChild(), by_id={})
    async with overseer:
        web = overseer.add_instances("web", "serve", instances=2, main_pid=PidFile("/run/{id}-{run}.pid"))
        starting = asyncio.ensure_future(web.start())
        await clock.settle()
        assert ["/run/web.0-1.pid", "/run/web.1-1.pid"] == [child.spec.main_pid.path for child in launcher.children]
        assert PidFile("/run/{id}-{run}.pid") == web.spec.main_pid
        await web.stop(kill=True)
        with pytest.raises(NotReady):
            await starting


def test_a_pid_file_needs_words_with_values() -> None:
    with pytest.raises(SpecError, match=r"\{fd.http\} in '/run/\{fd.http\}.pid' has no value"):
        Overseer().add_instances("web", "serve", instances=2, main_pid=PidFile("/run/{fd.http}.pid"))


@pytest.mark.parametrize(
    ("path", "options"),
    [
        ("/run/web.pid", {"instances": 2}),
        ("/run/{run}.pid", {"instances": 2}),
        ("/run/{id}.pid", {"instances": 2, "roll": Roll(surge=1)}),
    ],
)
async def test_two_runs_cannot_have_one_pid_file(path: str, options: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match="would be the file of two runs at once") as caught:
        Overseer().add_instances("web", "serve", main_pid=PidFile(path), **options)
    assert "main_pid" == caught.value.option


async def test_a_roll_and_more_instances_need_further_pid_files() -> None:
    overseer, _, _ = scripted(FakeChild(), by_id={})
    async with overseer:
        alone = overseer.add_instances("alone", "serve", instances=1, main_pid=PidFile("/run/alone.pid"))
        with pytest.raises(SpecError, match="would be the file of two runs at once"):
            await alone.roll()
        with pytest.raises(SpecError, match="would be the file of two runs at once"):
            await alone.scale(2)
        assert 1 == len(alone)


LISTENS = "echo up; while :; do sleep 60 & wait; done"


def told(service: Any) -> list[str]:
    """The lines of a service."""
    return [line.text for line in service.tail(50)]


async def test_commands_of_a_run_have_its_values() -> None:
    """And ``{pid}``, which is none of the placeholders, is the program's."""
    async with Overseer(containment="basic") as overseer:
        web = overseer.add_instances(
            "web",
            "sh",
            "-c",
            LISTENS,
            instances=2,
            ready=ready.line("up") & ready.command("sh", "-c", "test {index} -lt 2"),
            prepare=["echo", "prepare {id} {port}"],
            reload=["echo", "reload {index} {pid}"],
            stop=Stop(steps=[Stop.command(["sh", "-c", "echo stop {id}; kill {pid}"], 5)]),
            cleanup=["echo", "cleanup {run} {{run}}"],
        )
        await web.start()
        await web.reload()
        pid = web[1].pid
        await web.stop()
        assert [
            f"prepare web.1 {web[1].port}",
            "up",
            f"reload 1 {pid}",
            "stop web.1",
            "cleanup 1 {run}",
        ] == told(web[1])


async def test_commands_that_change_during_a_run_have_its_values() -> None:
    async with Overseer(containment="basic") as overseer:
        web = overseer.add_instances("web", "sh", "-c", LISTENS, instances=1, ready=ready.line("up"))
        await web.start()
        stop = Stop(steps=[Stop.command(["sh", "-c", "echo stop {id}; kill {pid}"], 5)])
        overseer.update("web", stop=stop, reload=["echo", "reload {run}"])
        await web[0].reload()
        await web.stop()
        assert ["up", "reload 1", "stop web.0"] == told(web[0])


async def test_ladder_waits_for_the_next_run_if_the_present_one_has_no_value_for_it() -> None:
    async with Overseer(containment="basic") as overseer:
        web = overseer.add_instances("web", "sh", "-c", LISTENS, instances=1, ready=ready.line("up"))
        await web.start()
        ladder = Stop(steps=[Stop.command(["sh", "-c", "echo stop {port}; kill {pid}"], 5)])
        overseer.update("web", stop=ladder, reload=["echo", "{port}"])
        assert ("stop",) == web[0].why().pending
        with pytest.raises(SpecError, match=r"\{port\} in '\{port\}' has no value"):
            await web[0].reload()
        await web.restart()
        assert ["up", "up"] == told(web[0])
        assert () == web[0].why().pending
        port = web[0].port
        await web.stop()
        assert ["up", "up", f"stop {port}"] == told(web[0])


async def test_ladder_of_what_is_not_alive_has_the_values_of_its_run() -> None:
    alive = Alive(
        ready.command("false"),
        every=0.01,
        failures=1,
        stop=Stop(steps=[Stop.command(["sh", "-c", "echo hangs {id}; kill -9 {pid}"], 5)]),
    )
    async with Overseer(containment="basic") as overseer:
        restart = Restart("never")
        web = overseer.add_instances("web", "sh", "-c", LISTENS, instances=1, alive=alive, restart=restart)
        await web.start()
        await web.wait()
        assert ["up", "hangs web.0"] == told(web[0])

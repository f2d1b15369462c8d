"""Log files and bridges of services: all lines are written, and a disk affects nothing else."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import os
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from aioverseer import (
    Backoff,
    Event,
    LogBridge,
    LogFile,
    Overseer,
    Process,
    Restart,
    SpecError,
    State,
    ThreadedOverseer,
)
from aioverseer._engine.output import log_routing
from aioverseer._system.logfile.file import AppendedFile
from aioverseer._system.logfile.writer import BACKLOG_BYTES
from aioverseer.core.text.lines import EXCESS_BYTES, LINE_COST
from aioverseer.core.text.log_format import Entry
from tests.support.programs import child, limit

NEVER = Restart("never")
COUNT = child("import sys; [print(n) for n in range(int(sys.argv[1]))]", "2000")
CHATTY = child("import sys; sys.stdout.write(('x' * 999 + '\\n') * 8000); sys.stdout.flush(); print('end')")


class Gate:
    """A gate that blocks the writing thread while it is shut."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open = threading.Event()
        self.reached = threading.Event()
        real = AppendedFile.write

        def write(file: AppendedFile, entries: Sequence[Entry]) -> None:
            self.reached.set()
            self.open.wait(20)
            real(file, entries)

        monkeypatch.setattr(AppendedFile, "write", write)

    async def wait(self) -> None:
        """Wait until the thread has reached it."""
        await asyncio.to_thread(self.reached.wait, 20)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    """Return a shut gate. It opens at the end."""
    gate = Gate(monkeypatch)
    yield gate
    gate.open.set()


def lines(path: Path) -> list[str]:
    """Return the lines of a file."""
    return path.read_text().splitlines()


def numbers(n: int) -> list[str]:
    """Return the output of COUNT."""
    return [str(number) for number in range(n)]


def log_events(overseer: Overseer, id: str | None = None) -> list[Event]:
    """Return the log events so far."""
    stream = overseer.events(since=0)
    found: list[Event] = []
    while (event := stream.get_nowait()) is not None:
        if event.kind == "log" and id in (None, event.id):
            found.append(event)
    return found


# --- files


async def test_all_lines_are_in_the_file_after_the_block(tmp_path: Path) -> None:
    """In order and once, over all rotations, compressed meanwhile."""
    log = LogFile(tmp_path / "deep" / "{id}.log", max_bytes=1000, keep=50, compress=True)
    async with Overseer(log=log) as overseer:
        overseer.add("count", *COUNT)
        async with limit():
            await overseer.supervise_all()
    names = sorted((tmp_path / "deep").iterdir(), key=lambda path: -int((path.name + ".0").split(".")[2] or 0))
    rotated = [path for path in names if path.suffix == ".gz"]
    assert 8 == len(rotated) == len(names) - 1
    text = b"".join(gzip.decompress(path.read_bytes()) for path in rotated)
    assert numbers(2000) == (text + (tmp_path / "deep" / "count.log").read_bytes()).decode().splitlines()


async def test_streams_and_runs_are_distinguished(tmp_path: Path) -> None:
    """One file for each stream, and one of JSON with everything. A second run continues the same files."""
    logs = [
        LogFile(tmp_path / "{stream}.log"),
        LogFile(tmp_path / "{group}-errors.log", stream="stderr", timestamps=True),
        LogFile(tmp_path / "all.json", format="json"),
    ]
    async with Overseer() as overseer:
        argv = child("import sys; print('out'); print('err', file=sys.stderr)")
        overseer.add("web", *argv, log=logs, group="g", restart=NEVER)
        for _ in range(2):
            async with limit():
                await overseer.supervise("web")
        await overseer.flush_logs()
        assert ["out", "out"] == lines(tmp_path / "stdout.log")
        assert ["err", "err"] == lines(tmp_path / "stderr.log")
    assert [" err", " err"] == [line[29:] for line in lines(tmp_path / "g-errors.log")]
    found = [json.loads(line) for line in lines(tmp_path / "all.json")]
    assert {("web", "stdout", 1, "out"), ("web", "stderr", 1, "err")} == {
        (line["id"], line["stream"], line["run"], line["text"]) for line in found[:2]
    }
    assert [1, 1, 2, 2] == [line["run"] for line in found]


async def test_lines_of_a_shared_file_have_the_id_of_their_service(tmp_path: Path) -> None:
    """Always in the overseer's file. In a service's own file as soon as another service has it too."""
    shared = LogFile(tmp_path / "shared.log")
    own = LogFile(tmp_path / "own.log")
    async with Overseer(log=shared) as overseer:
        overseer.add("a", "echo", "1")
        overseer.add("b", "echo", "2", log=own)
        overseer.add("none", "echo", "3", log=[])
        async with limit():
            await overseer.supervise_all()
        await overseer.flush_logs()
        assert ["a | 1"] == lines(tmp_path / "shared.log")
        assert ["2"] == lines(tmp_path / "own.log")
        overseer.add("c", "echo", "4", log=LogFile(str(tmp_path / "x" / ".." / "own.log")))
        async with limit():
            await overseer.supervise("c")
            await overseer.supervise("b")
    assert ["2", "c | 4", "b | 2"] == lines(tmp_path / "own.log")


async def test_contradicting_rules_for_one_file_are_refused(tmp_path: Path) -> None:
    """When the second service asks for it, by name. Nothing has changed then."""
    overseer = Overseer(log=LogFile(tmp_path / "{id}.log"))
    overseer.add("a", "true")
    with pytest.raises(SpecError, match=r"service 'b': log=.*a\.log.* has other rules for .* than service 'a'"):
        overseer.add("b", "true", log=LogFile(tmp_path / "a.log", keep=2))
    assert ["a"] == overseer.list_all()
    overseer.add("b", "true")
    with pytest.raises(SpecError, match="has other rules"):
        overseer.update("b", log=LogFile(tmp_path / "a.log", keep=2))
    assert overseer["b"].spec.log is None
    with pytest.raises(SpecError, match="twice"):
        overseer.add("c", "true", log=[LogFile(tmp_path / "{id}.log"), LogFile(tmp_path / "c.log")])
    overseer.remove("a")
    overseer.update("b", log=LogFile(tmp_path / "a.log", keep=2))


async def test_new_log_is_for_the_next_run(tmp_path: Path) -> None:
    """The earlier file is closed then."""
    async with Overseer() as overseer:
        service = overseer.add("web", *child("import time; print('up'); time.sleep(60)"), log=LogFile(tmp_path / "1"))
        queue = service.lines()
        await service.start()
        await queue.get()
        overseer.update("web", log=LogFile(tmp_path / "2"))
        await service.restart()
        await queue.get()
        await service.flush_log()
        assert [["up"], ["up"]] == [lines(tmp_path / "1"), lines(tmp_path / "2")]
        assert {str(tmp_path / "2")} == open_below(tmp_path)
        await service.stop()
        await service.flush_log()
        assert set() == open_below(tmp_path)
        overseer.remove("web")
    assert ["up"] == lines(tmp_path / "2")


def open_below(folder: Path) -> set[str]:
    """Return the files below a folder that this process has open."""
    found: set[str] = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            found.add(os.readlink(f"/proc/self/fd/{name}"))
        except FileNotFoundError:
            continue
    return {path for path in found if path.startswith(str(folder))}


async def test_file_is_closed_on_demand(tmp_path: Path) -> None:
    """As logrotate needs it: the file is renamed, then closed on request. The next line makes a new one."""
    async with Overseer(log=LogFile(tmp_path / "web.log")) as overseer:
        service = overseer.add("web", *child("for line in open(0): print(line, end='')"), stdin="pipe")
        queue = service.lines()
        await service.start()
        for number, reopen in enumerate((service.reopen_log, overseer.reopen_logs)):
            await service.write(f"{number}\n")
            await queue.get()
            await service.flush_log()
            (tmp_path / "web.log").rename(tmp_path / f"{number}.old")
            reopen()
            await service.flush_log()
            assert set() == open_below(tmp_path)
    assert ["web | 0"] == lines(tmp_path / "0.old")
    assert ["web | 1"] == lines(tmp_path / "1.old")


async def test_second_block_continues_the_files(tmp_path: Path) -> None:
    """The thread ends with each block."""
    overseer = Overseer(log=LogFile(tmp_path / "{id}.log"))
    overseer.add("web", "echo", "hello")
    for _ in range(2):
        async with overseer, limit():
            await overseer.supervise("web")
        assert not [thread for thread in threading.enumerate() if "logs" in thread.name]
    assert ["hello", "hello"] == lines(tmp_path / "web.log")


async def test_no_thread_without_a_log() -> None:
    """A log costs nothing unless it is asked for."""
    before = threading.active_count()
    async with Overseer() as overseer:
        overseer.add("web", "echo", "hello")
        await overseer.supervise("web")
        assert before == threading.active_count()
        overseer.reopen_logs()
        await overseer.flush_logs()


def test_lone_process_refuses_a_log() -> None:
    """It would not write it."""
    with pytest.raises(SpecError, match=r"^log=LogFile\('x'\) is for a Service: use Overseer\.add"):
        Process("true", log=LogFile("x"))


def test_threaded_overseer_has_the_same_methods(tmp_path: Path) -> None:
    """A synchronous program flushes and reopens logs too."""
    with ThreadedOverseer(log=LogFile(tmp_path / "{id}.log")) as overseer:
        service = overseer.add("web", "echo", "hello")
        overseer.supervise("web")
        service.flush_log()
        assert ["hello"] == lines(tmp_path / "web.log")
        service.reopen_log()
        overseer.reopen_logs()
        overseer.flush_logs()


# --- failures


async def test_full_disk_costs_only_lines(tmp_path: Path) -> None:
    """It is an event and a count. The program goes on, and so do other services and their files."""
    async with Overseer(log=LogFile(tmp_path / "{id}.log")) as overseer:
        overseer.add("poor", *COUNT, log=LogFile("/dev/full"))
        overseer.add("rich", *COUNT)
        async with limit():
            ends = await overseer.supervise_all()
        assert [0, 0] == [end.exit_code for end in ends.values()]
        await overseer.flush_logs()
        assert (2000, 0) == (overseer.status("poor").log_lost, overseer.status("rich").log_lost)
        assert 2000 == overseer.to_json("poor")["logLost"]
        (event,) = log_events(overseer)
        assert ("poor", "log") == (event.id, event.kind)
        assert event.previous is event.state
        assert "its log file /dev/full cannot be written: No space left on device" == event.reason
        assert "log" == event.to_json()["kind"]
        overseer.remove("poor")
        assert 0 == overseer.add("poor", "true").status().log_lost
    assert numbers(2000) == lines(tmp_path / "rich.log")


async def test_removed_folder_is_reported_once(tmp_path: Path) -> None:
    """Its return is reported too. Lines in between are counted, and marked in the file."""
    folder = tmp_path / "logs"
    async with Overseer(log=LogFile(folder / "{id}.log")) as overseer:
        service = overseer.add("web", *child("for line in open(0): print(line, end='')"), stdin="pipe")
        queue = service.lines()
        await overseer.start_all()

        async def say(text: str) -> None:
            await service.write(f"{text}\n")
            await queue.get()
            await service.flush_log()

        await say("before")
        (folder / "web.log").unlink()
        folder.rmdir()
        await say("lost")
        await say("lost too")
        folder.mkdir()
        await say("after")
        assert State.RUNNING is service.state
        assert 2 == service.status().log_lost
        what = f"its log file {folder}/web.log"
        assert [
            f"{what} cannot be written: No such file or directory",
            f"{what} is written again; 2 lines were lost",
        ] == [event.reason for event in log_events(overseer)]
    mark = "[aioverseer: 2 lines are missing here: No such file or directory]"
    assert [mark, "after"] == lines(folder / "web.log")


async def test_log_event_is_no_change_of_state(tmp_path: Path) -> None:
    """It does not affect a wait until all services are ready."""
    async with Overseer() as overseer:
        echo = overseer.add("echo", *child("print(1); open(0).read()"), stdin="pipe", log=LogFile("/dev/full"))
        queue = echo.lines()
        await echo.start()
        await queue.get()
        overseer.add("late", "sleep", "60")
        async with limit():
            await overseer.start_all()
        assert [State.RUNNING, State.RUNNING] == [overseer.status(id).state for id in overseer]
        await overseer.flush_logs()
        assert 1 == len(log_events(overseer, "echo"))


# --- a disk that is slow


async def test_slow_disk_slows_only_its_program(tmp_path: Path, gate: Gate) -> None:
    """Memory stays bounded, other services end, and at last every line is written."""
    async with Overseer() as overseer:
        chatty = overseer.add("chatty", *CHATTY, log=LogFile(tmp_path / "log"))
        await chatty.start()
        await gate.wait()
        overseer.add("quick", *COUNT)
        async with limit():
            await overseer.supervise("quick")
        assert State.RUNNING is chatty.state
        backlog = overseer._publisher.log_routing._backlogs[f"file {tmp_path}/log"]
        assert backlog._size < BACKLOG_BYTES + 2 * 64 * 1024
        gate.open.set()
        async with limit():
            await chatty.wait()
    assert [*["x" * 999] * 8000, "end"] == lines(tmp_path / "log")
    assert 0 == chatty.status().log_lost


async def test_empty_lines_for_a_slow_disk_are_bounded(tmp_path: Path, gate: Gate) -> None:
    """A line takes memory in addition to its text, so a program that writes only newlines is slowed down early."""
    chunk = 64 * 1024 * (1 + LINE_COST)
    async with Overseer() as overseer:
        empty = overseer.add("empty", "sh", "-c", "yes '' | head -c 300000; echo end", log=LogFile(tmp_path / "log"))
        queue = empty.lines(size=10**6)
        await empty.start()
        async with limit():
            await gate.wait()
            backlog = overseer._publisher.log_routing._backlogs[f"file {tmp_path}/log"]
            while not backlog.blocked:
                await queue.get_batch()
        for _ in range(100):
            await asyncio.sleep(0)
        assert State.RUNNING is empty.state
        assert BACKLOG_BYTES <= backlog._size <= BACKLOG_BYTES + chunk
        gate.open.set()
        async with limit():
            await empty.wait()
    assert [*[""] * 300_000, "end"] == lines(tmp_path / "log")


async def test_output_of_a_crash_loop_for_a_slow_disk_is_bounded(tmp_path: Path, gate: Gate) -> None:
    """Each run leaves the content of its pipe, because its end does not wait for the disk."""
    again = Restart("always", max_restarts=None, backoff=Backoff(min=0, max=0))
    async with Overseer() as overseer:
        loop = overseer.add("loop", "seq", "5000", log=LogFile(tmp_path / "log"), restart=again)
        queue = loop.lines(size=10**6)
        async with limit(25, "the loop"):
            await loop.start()
            while not loop.status().log_lost:
                await queue.get()
            backlog = overseer._publisher.log_routing._backlogs[f"file {tmp_path}/log"]
            # The batch that filled the backlog, and the one that was refused.
            assert backlog._size <= BACKLOG_BYTES + EXCESS_BYTES + 2 * 5000 * (4 + LINE_COST)
            await loop.stop()
        lost = loop.status().log_lost
        gate.open.set()
    written = lines(tmp_path / "log")
    marks = [int(text.split()[1]) for text in written if text.startswith("[")]
    assert lost == sum(marks)
    assert numbers(5001)[1:] == written[:5000]
    assert BACKLOG_BYTES + EXCESS_BYTES < (len(written) - len(marks)) * (4 + LINE_COST)


async def test_slow_disk_costs_lines_if_asked_for(tmp_path: Path, gate: Gate) -> None:
    """The program is not slowed down. A mark shows the number of missing lines, and so does the Status."""
    async with Overseer() as overseer:
        chatty = overseer.add("chatty", *CHATTY, log=LogFile(tmp_path / "log", overflow="drop_newest"))
        async with limit():
            await chatty.start()
            await chatty.wait()
        lost = chatty.status().log_lost
        assert 0 < lost < 8000
        gate.open.set()
        await overseer.flush_logs()
        assert lost == chatty.status().log_lost
        assert [] == log_events(overseer)
    mark = f"[aioverseer: {lost} lines are missing here: they could not be written in time]"
    assert [*["x" * 999] * (8001 - lost), mark] == lines(tmp_path / "log")


async def test_lost_lines_are_marked_before_the_next_run(tmp_path: Path, gate: Gate) -> None:
    """The log continues across runs, and so does its count."""
    async with Overseer() as overseer:
        log = LogFile(tmp_path / "log", overflow="drop_newest")
        chatty = overseer.add("chatty", *CHATTY, log=log, restart=Restart("always", backoff=Backoff(min=0, max=0)))
        queue = chatty.lines(size=100)
        ends = 0
        async with limit():
            await chatty.start()
            while ends < 2:
                item = await queue.get()
                ends += item.text == "end"
            gate.open.set()
            await chatty.stop()
        lost = chatty.status().log_lost
    marks = [int(text.split()[1]) for text in lines(tmp_path / "log") if text.startswith("[")]
    assert lost == sum(marks) > 0


async def test_disk_that_never_answers_does_not_block_the_end(
    tmp_path: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The end comes after a bounded time and is reported. The thread ends by itself if the disk answers again."""
    monkeypatch.setattr(log_routing, "_END_TIMEOUT", 0.05)
    async with Overseer(name="o", log=LogFile(tmp_path / "log")) as overseer:
        overseer.add("web", "echo", "hello")
        async with limit():
            await overseer.supervise("web")
            await gate.wait()
    assert "o: its logs cannot be written to the end: a disk or a handler does not answer" in caplog.messages
    (thread,) = [thread for thread in threading.enumerate() if "logs" in thread.name]
    gate.open.set()
    await asyncio.to_thread(thread.join, 10)
    assert ["web | hello"] == lines(tmp_path / "log")


async def test_cancelled_exit_still_writes_everything(tmp_path: Path, gate: Gate) -> None:
    """The cancellation is raised after that."""

    async def use() -> None:
        async with Overseer(log=LogFile(tmp_path / "{id}")) as overseer:
            overseer.add("web", *COUNT)
            await overseer.supervise("web")

    task = asyncio.create_task(use())
    await gate.wait()
    while not any("logs" in thread.name for thread in threading.enumerate()):
        await asyncio.sleep(0)
    task.cancel()
    gate.open.set()
    async with limit():
        with pytest.raises(asyncio.CancelledError):
            await task
    assert numbers(2000)[: len(lines(tmp_path / "web"))] == lines(tmp_path / "web")


async def test_bug_in_one_log_does_not_end_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its lines are counted, and it is reported."""
    real = AppendedFile.write

    def write(file: AppendedFile, entries: Sequence[Entry]) -> None:
        if file._path.endswith("bad"):
            raise ZeroDivisionError("a bug")
        real(file, entries)

    monkeypatch.setattr(AppendedFile, "write", write)
    async with Overseer(log=LogFile(tmp_path / "{id}")) as overseer:
        overseer.add("bad", "echo", "1")
        overseer.add("good", "echo", "2")
        await overseer.supervise_all()
        await overseer.flush_logs()
        assert (1, 0) == (overseer.status("bad").log_lost, overseer.status("good").log_lost)
        assert "a bug of aioverseer: ZeroDivisionError('a bug')" in log_events(overseer)[0].reason
    assert ["2"] == lines(tmp_path / "good")


async def test_host_without_threads_loses_only_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is reported once, and tried again with the next lines."""

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async with Overseer(name="o", log=LogFile(tmp_path / "{id}")) as overseer:
        service = overseer.add("web", *child("for line in open(0): print(line, end='')"), stdin="pipe")
        queue = service.lines()
        await service.start()
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            for _ in range(2):
                await service.write("lost\n")
                await queue.get()
        await service.write("kept\n")
        await queue.get()
        assert 2 == service.status().log_lost
    assert 1 == caplog.messages.count("o: the thread that writes logs cannot be started: can't start new thread")
    mark = "[aioverseer: 2 lines are missing here: they could not be written in time]"
    assert [mark, "kept"] == lines(tmp_path / "web")


# --- the bridge to logging


class RecordHandler(logging.Handler):
    """A handler that keeps records, and raises for some."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []
        self.threads: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record, unless it is bad."""
        self.threads.add(threading.current_thread().name)
        text = record.getMessage()
        if text.startswith("bad"):
            raise SystemExit(text) if text == "bad exit" else ValueError(text)
        self.records.append(record)


@contextmanager
def handled(name: str, level: int = logging.DEBUG) -> Generator[RecordHandler]:
    """Add a handler to a logger."""
    logger, keeper = logging.getLogger(name), RecordHandler()
    before = logger.level
    logger.addHandler(keeper)
    logger.setLevel(level)
    try:
        yield keeper
    finally:
        logger.removeHandler(keeper)
        logger.setLevel(before)


async def test_lines_become_records_of_a_logger() -> None:
    """Each service has a logger. The stream sets the level, the line sets the time, a thread calls the handler."""
    with handled("aioverseer.output") as keeper:
        async with Overseer(log=LogBridge()) as overseer:
            overseer.add("web", *child("import sys; print('100 %s'); print('err', file=sys.stderr)"))
            overseer.add("db", "echo", "x", log=LogBridge("aioverseer.output.mine.{id}.{group}", stdout=10), group="g")
            overseer.add("raw", "printf", r"\377\n", encoding=None)
            queue = overseer.logs()
            await overseer.supervise_all()
        times = {item.text: item.time.timestamp() async for item in queue}
    found = {
        (record.name.removeprefix("aioverseer.output."), record.levelno, record.getMessage())
        for record in keeper.records
    }
    assert {
        ("web", logging.INFO, "100 %s"),
        ("web", logging.WARNING, "err"),
        ("mine.db.g", logging.DEBUG, "x"),
        ("raw", logging.INFO, "\\xff"),
    } == found
    (record,) = [record for record in keeper.records if record.getMessage() == "err"]
    assert ("web", "stderr", 1) == (vars(record)["service"], vars(record)["stream"], vars(record)["run"])
    assert times["err"] == record.created
    assert {"aioverseer overseer logs"} == keeper.threads


async def test_handler_that_raises_costs_only_its_line() -> None:
    """It is reported once, counted, and reported when it works again."""
    with handled("aioverseer.output.web") as keeper:
        async with Overseer(log=LogBridge()) as overseer:
            overseer.add("web", *child("[print(word) for word in ('good', 'bad', 'bad exit', 'again')]"))
            await overseer.supervise("web")
            await overseer.flush_logs()
            assert 2 == overseer.status("web").log_lost
            assert [
                "its logger aioverseer.output.web has failed: ValueError: bad",
                "its logger aioverseer.output.web works again; 2 lines were lost",
            ] == [event.reason for event in log_events(overseer)]
    assert ["good", "again"] == [record.getMessage() for record in keeper.records]


async def test_lines_below_the_level_are_not_lost() -> None:
    """They are not wanted, so no record is made of them."""
    with handled("aioverseer.output.web", logging.WARNING) as keeper:
        async with Overseer(log=LogBridge()) as overseer:
            overseer.add("web", "echo", "x")
            await overseer.supervise("web")
        assert 0 == overseer["web"].status().log_lost
    assert [] == keeper.records


async def test_shared_file_stays_open_for_the_other_service(tmp_path: Path) -> None:
    """One of two services is removed, and the other goes on in the same file without its id."""
    path = tmp_path / "log"
    async with limit(), Overseer() as overseer:
        cats = [overseer.add(id, "cat", stdin="pipe", log=LogFile(path)) for id in ("a", "b")]
        for cat in cats:
            await cat.start()
            await cat.write(f"{cat.id} one\n")
            await cat.lines(history=1).get()
        await overseer.flush_logs()  # before only one service has the file, and needs no id
        await overseer.stop("a")
        overseer.remove("a")
        await cats[1].write("b two\n")
        await cats[1].write_eof()
        await cats[1]
    assert {"a | a one", "b | b one", "b two"} == {*lines(path)}


async def test_update_is_not_refused_because_of_the_log_of_before(tmp_path: Path) -> None:
    """The service itself is no other user of its log."""
    async with limit(), Overseer() as overseer:
        overseer.add("a", "echo", "one", log=LogFile(tmp_path / "log"))
        overseer.update("a", log=LogFile(tmp_path / "log", format="json"))
        await overseer.supervise("a")
    assert ["one"] == [json.loads(line)["text"] for line in lines(tmp_path / "log")]


async def test_logs_without_lines_need_no_thread(tmp_path: Path) -> None:
    """Flushing, reopening and leaving have nothing to do, and make no file."""
    before = threading.active_count()
    async with limit(), Overseer(log=LogFile(tmp_path / "log")) as overseer:
        await overseer.add("quiet", "sleep", "100").start()
        await overseer.flush_logs()
        overseer.reopen_logs()
        assert before == threading.active_count()
    assert not (tmp_path / "log").exists()


async def test_rotated_files_are_compressed_while_the_service_runs(tmp_path: Path) -> None:
    """The thread does it between lines, and does not wait for the end."""
    log = LogFile(tmp_path / "log", max_bytes=2000, keep=3, compress=True)
    async with limit(20), Overseer() as overseer:
        service = overseer.add("web", *child("for n in range(1000): print(n)\nimport time; time.sleep(100)"), log=log)
        lines = service.lines(overflow="block")
        await service.start()
        while (await lines.get()).text != "999":
            pass
        await service.flush_log()
        while not (tmp_path / "log.1.gz").exists():
            await service.flush_log()
        assert service.state is State.RUNNING


def test_disk_that_answers_after_the_loop_is_closed_harms_nobody(
    tmp_path: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread ends without an error."""
    failed: list[object] = []
    monkeypatch.setattr(threading, "excepthook", failed.append)
    monkeypatch.setattr(log_routing, "_END_TIMEOUT", 0.05)

    async def use() -> None:
        async with limit(), Overseer(log=LogFile(tmp_path / "log")) as overseer:
            overseer.add("web", "echo", "hello")
            await overseer.supervise("web")
            await gate.wait()

    asyncio.run(use())
    (thread,) = [thread for thread in threading.enumerate() if "logs" in thread.name]
    gate.open.set()
    thread.join(10)
    assert not thread.is_alive()
    assert [] == failed
    assert ["hello"] == [line.rpartition("| ")[2] for line in lines(tmp_path / "log")]

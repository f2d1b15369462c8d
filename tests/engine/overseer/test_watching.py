"""Services are restarted when watched files change: real files, and watchdog."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from aioverseer import LogFile, Overseer, Restart, Service, State, Watch
from tests.support.programs import child, limit

pytest.importorskip("watchdog", reason="an extra")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs inotify")


async def restarted(service: Service, times: int) -> None:
    await service.wait_for(lambda status: status.restarts == times and status.state is State.RUNNING, timeout=5)


async def test_change_restarts_outside_of_the_budget(tmp_path: Path) -> None:
    """In a folder made later, too."""
    async with limit(20), Overseer(containment="basic") as overseer:
        service = overseer.add(
            "web",
            "sleep",
            "60",
            cwd=tmp_path,
            watch=Watch(".", include="*.py", debounce=0.02),
            restart=Restart("never"),
        )
        await service.start()
        (tmp_path / "notes.txt").write_text("1")
        (tmp_path / "sub").mkdir()
        (tmp_path / "a.py").write_text("1")
        await restarted(service, 1)
        assert "is restarted, as a.py has changed" in service.history[0].reason
        (tmp_path / "sub" / "b.py").write_text("1")
        await restarted(service, 2)


async def test_file_is_watched_when_an_editor_replaces_it(tmp_path: Path) -> None:
    config = tmp_path / "app.toml"
    config.write_text("1")
    async with limit(20), Overseer(containment="basic") as overseer:
        service = overseer.add("web", "sleep", "60", watch=Watch(config, debounce=0.02))
        await service.start()
        (tmp_path / "other.toml").write_text("1")
        for times in (1, 2):
            (tmp_path / "new").write_text(str(times))
            (tmp_path / "new").rename(config)
            await restarted(service, times)


async def test_backoff_is_skipped(tmp_path: Path) -> None:
    code = tmp_path / "app.py"
    code.write_text("raise SystemExit(1)")
    async with limit(20), Overseer(containment="basic") as overseer:
        from aioverseer import Backoff

        slow = Restart(max_restarts=None, backoff=Backoff(min=60, max=60, jitter=False))
        service = overseer.add("web", sys.executable, str(code), watch=Watch(tmp_path, debounce=0.02), restart=slow)
        service._runner.start()  # start() would wait for the readiness
        await service.wait_for(State.BACKOFF)
        code.write_text("import time; time.sleep(60)")
        await service.wait_for(State.RUNNING, timeout=5)


async def test_loop_is_told_and_suspended_and_logs_never_count(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A program that writes a watched file at each start."""
    argv = child(
        f"print('up', flush=True); open({str(tmp_path / 'out')!r}, 'w').write('x'); import time; time.sleep(60)"
    )
    quiet = child("import time\nwhile True: print('line', flush=True); time.sleep(0.02)")
    async with limit(30), Overseer(containment="basic") as overseer:
        watch = Watch(tmp_path, debounce=0.02)
        logged = overseer.add(
            "logged", *quiet, watch=Watch(tmp_path, exclude="out", debounce=0.02), log=LogFile(tmp_path / "x.log")
        )
        service = overseer.add("web", *argv, watch=watch)
        events = overseer.events()
        await overseer.start_all()
        while (event := await anext(events)).kind != "watch":
            pass
        assert "restarted 5 times in a row" in event.reason
        assert 5 == service.status().restarts
        assert 0 == logged.status().restarts
        await asyncio.sleep(0)
        assert any("leave them out by the exclude patterns of watch" in record.message for record in caplog.records)


async def test_stopped_service_is_not_watched(tmp_path: Path) -> None:
    async with limit(20), Overseer(containment="basic") as overseer:
        service = overseer.add("web", "sleep", "60", watch=Watch(tmp_path, debounce=0.0))
        other = overseer.add("other", "sleep", "60", watch=Watch(tmp_path, debounce=0.0))
        await overseer.start_all()
        await service.stop()
        (tmp_path / "a").write_text("1")
        await restarted(other, 1)
        assert State.INTERRUPT is service.state


async def test_folder_that_is_made_anew_is_watched(tmp_path: Path) -> None:
    """A switch to another branch removes folders and makes them again; the kernel's watch ends with the old one."""
    folder = tmp_path / "src"
    folder.mkdir()
    async with limit(20), Overseer(containment="basic") as overseer:
        service = overseer.add("web", "sleep", "60", watch=Watch(folder, include="*.py", debounce=0.02))
        await service.start()
        folder.rename(tmp_path / "old")
        folder.mkdir()
        await restarted(service, 1)
        (folder / "a.py").write_text("1")
        await restarted(service, 2)
        (folder / "a.py").unlink()
        await restarted(service, 3)
        folder.rmdir()
        (tmp_path / "old").rename(folder)
        await restarted(service, 4)
        (folder / "b.py").write_text("1")
        await restarted(service, 5)


async def test_missing_folder_is_told(tmp_path: Path) -> None:
    async with limit(20), Overseer(containment="basic") as overseer:
        service = overseer.add("web", "sleep", "60", watch=Watch(tmp_path / "no" / "app.py"))
        events = overseer.events()
        await service.start()
        told: list[str] = []
        while (found := events.get_nowait()) is not None:
            told += [found.reason] if found.kind == "watch" else []
        assert ["is not watched: cannot watch"] == [text[:28] for text in told]


async def test_lost_events_cause_one_restart(tmp_path: Path) -> None:
    """The thread of watchdog is held up, and the queue of the kernel is full before the file that counts is written."""
    size = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    if size > 100_000:
        pytest.skip(f"the queue of the kernel takes {size} events")
    (tmp_path / "src").mkdir()
    (tmp_path / "app.toml").touch()
    async with limit(30), Overseer(containment="basic") as overseer:
        watch = Watch("app.toml", "src", include="*.py", debounce=0.02)
        service = await overseer.add("web", "sleep", "60", cwd=tmp_path, watch=watch).start()
        gate = threading.Event()
        shared = overseer._assembly._watching._watched["web"].paths._shared  # type: ignore[union-attr]  # is watched
        handle = shared.handle_event

        def hold_up(event: Any) -> None:
            gate.wait(20)
            handle(event)

        shared.handle_event = hold_up
        for number in range(size // 4):
            other = tmp_path / "src" / str(number % 2)
            os.close(os.open(other, os.O_CREAT | os.O_WRONLY))
            other.unlink()
        (tmp_path / "src" / "a.py").write_text("1")
        gate.set()
        await restarted(service, 1)
        (tmp_path / "src" / "b.py").write_text("1")
        await restarted(service, 2)

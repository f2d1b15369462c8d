"""The report of a host to systemd."""

from __future__ import annotations

from aioverseer import State
from aioverseer.core.machine.host_report import HostReport


def test_ready_is_told_once() -> None:
    report = HostReport()
    assert not report.becomes_ready()
    report.change("a", State.STARTING, "is being started", success=False)
    report.change("b", State.WAITING, "waits for its time", success=False)
    assert not report.becomes_ready()
    report.change("a", State.RUNNING, "is ready", success=False)
    assert report.becomes_ready()
    report.change("a", State.BACKOFF, "exited", success=False)
    report.change("a", State.RUNNING, "is ready", success=False)
    assert (False, True) == (report.becomes_ready(), report.is_ready)


def test_a_finished_service_is_ready_if_it_was_a_success() -> None:
    report = HostReport()
    report.change("a", State.FINISHED, "exited with code 1", success=False)
    assert ("0 of 1 ready; a is finished: exited with code 1", False) == (report.status, report.becomes_ready())
    report.change("a", State.FINISHED, "exited with code 0", success=True)
    assert ("1 of 1 ready", True) == (report.status, report.becomes_ready())


def test_stopped_and_removed_services_do_not_count() -> None:
    report = HostReport()
    for id in "abc":
        report.change(id, State.RUNNING, "is ready", success=False)
    report.change("a", State.STOPPING, "a stop", success=False)
    assert "2 of 3 ready; a is stopping: a stop" == report.status
    report.change("a", State.INTERRUPT, "a stop", success=False)
    report.forget("b")
    assert "1 of 1 ready" == report.status


def test_status_is_one_short_line() -> None:
    report = HostReport()
    for number in range(9):
        report.change(f"s{number}", State.FATAL, "gave up\n" + "x" * 999, success=False)
    assert report.status.startswith("0 of 9 ready; s0 is fatal: gave up xxx")
    assert report.status.endswith("; and 6 more")
    assert len(report.status) < 430
    assert "\n" not in report.status


def test_later_request_takes_no_time_away() -> None:
    report = HostReport()
    assert 30 == report.extend(100, 30)
    assert report.extend(110, 10) is None
    assert 30 == report.extend(110, 30)

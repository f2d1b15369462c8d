"""Options with which this machine would refuse to start a service."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from aioverseer import Spec, Watch
from aioverseer.cli import main
from aioverseer.cli.host_lookups import controllers_of_host, refusals


def rules(*, controllers: tuple[str, ...] | None = (), installed: bool = True, **options: Any) -> list[str]:
    """Return the rules that one service breaks."""
    specs = [Spec.of("a", ["a"], **options)]
    found = refusals(specs, controllers=lambda: controllers, is_installed=lambda _name: installed)
    return [each.rule for each in found]


def test_folder_that_is_missing(tmp_path: Path) -> None:
    assert rules(cwd=tmp_path) == rules() == []
    assert rules(cwd=tmp_path / "none") == ["missing-folder"]


def test_user_and_group_that_are_unknown() -> None:
    """Numbers need no entry."""
    assert rules(user="root:root") == rules(user=4711) == rules(user="4711:4712") == []
    assert rules(user="no-such-user") == ["missing-user"]
    assert rules(user="root:no-such-group") == rules(extra_groups=["no-such-group"]) == ["missing-group"]


def test_watch_without_its_package() -> None:
    assert rules(watch=Watch("src")) == rules(installed=False) == []
    assert rules(watch=Watch("src"), installed=False) == ["missing-watchdog"]


def test_limit_without_its_controller() -> None:
    """Nothing is said where the kernel does not tell."""
    limits: dict[str, Any] = {"memory_max": 2**26, "cpu_max": 0.5}
    assert rules(**limits, controllers=("cpu", "memory")) == rules(**limits, controllers=None) == []
    (advice,) = refusals([Spec.of("a", ["a"], **limits)], controllers=lambda: ("cpu", "pids"))
    assert (advice.rule, "memory_max cannot be enforced, " in advice.text) == ("missing-controller", True)
    assert 'memory_max = "none"' in advice.hint


def test_controllers_are_those_of_the_mounted_hierarchy(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    assert controllers_of_host(str(mounts)) is None
    mounts.write_text("tmpfs / tmpfs rw 0 0\n", encoding="utf-8")
    assert controllers_of_host(str(mounts)) == ()
    mounts.write_text(f"tmpfs / tmpfs rw 0 0\ncgroup2 {tmp_path} cgroup2 rw 0 0\n", encoding="utf-8")
    assert controllers_of_host(str(mounts)) is None
    (tmp_path / "cgroup.controllers").write_text("cpu pids\n", encoding="utf-8")
    assert controllers_of_host(str(mounts)) == ["cpu", "pids"]


def test_check_warns_in_the_order_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    text = '[services.a]\ncommand = ["true"]\ncwd = "nodir"\n[services.b]\ncommand = ["no-such-program"]\n'
    (tmp_path / "aioverseer.toml").write_text(text, encoding="utf-8")
    assert main(["check", "--strict"]) == 1
    err = capfd.readouterr().err.splitlines()
    assert err[0] == f"warning: a: there is no folder '{tmp_path}/nodir' for cwd: make it, or change cwd"
    assert err[1].startswith("warning: b: there is no program")

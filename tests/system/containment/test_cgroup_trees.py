"""The place for cgroups, limits, and causes of an end, in a tree of files made by the test.

The tree is a folder. ``FakeFiles`` acts as the kernel: it makes the files of a new cgroup, refuses controllers to a
cgroup with processes, and kills.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from pathlib import Path

import pytest

from aioverseer import SpawnError
from aioverseer._system.containment import cgroup, scope
from aioverseer._system.containment.cgroup import Files, Tree
from aioverseer._system.containment.cgroup_cleanup import hold
from aioverseer.core.options.spec import Spec
from aioverseer.core.state import Exit
from aioverseer.core.text.cgroup_files import Limits, counter, home, is_unit
from tests.support.programs import limit

MOUNT = "33 24 0:28 / {} rw,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"


class FakeFiles(Files):
    """A kernel with one cgroup v2 hierarchy below a folder."""

    def __init__(self, top: Path, path: str, *, controllers: str = "cpu memory pids", systemd: bool = False) -> None:
        self.top = top
        self.path = path
        self.controllers = controllers
        self.systemd = systemd
        self.delegated: set[str] = set()
        self.wrote: list[tuple[str, str]] = []
        self.has_kill = True
        place = top
        for part in ["", *filter(None, path.split("/"))]:
            place /= part
            place.mkdir(exist_ok=True)
            self._fill(place)
        (place / "cgroup.procs").write_text("1\n")

    def _fill(self, place: Path) -> None:
        for name, text in {
            "cgroup.procs": "",
            "cgroup.controllers": self.controllers,
            "cgroup.subtree_control": "",
            "cgroup.events": "populated 0\nfrozen 0\n",
            "memory.events": "low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\noom_group_kill 0\n",
        }.items():
            (place / name).write_text(text)

    def read(self, path: str) -> str:
        """Return the text of a file of the tree or of /proc."""
        if path == "/proc/self/cgroup":
            return f"4:memory:/elsewhere\n0::{self.path}\n"
        if path == "/proc/self/mountinfo":
            return "22 1 0:5 / /proc rw - proc proc rw\n" + MOUNT.format(self.top)
        return super().read(path)

    def write(self, path: str, text: str) -> None:
        """Write as the kernel does."""
        name = path.rpartition("/")[2]
        folder = Path(path).parent
        if name == "cgroup.kill" and not self.has_kill:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)
        if name == "cgroup.subtree_control" and (folder / "cgroup.procs").read_text():
            raise OSError(errno.EBUSY, "Device or resource busy", path)
        if name == "cgroup.subtree_control":
            text = text.replace("+", "")
        self.wrote.append((str(Path(path).relative_to(self.top)), text))
        Path(path).write_text(text)

    def make(self, path: str) -> None:
        """Make a cgroup with its files."""
        super().make(path)
        self._fill(Path(path))

    def remove(self, path: str) -> None:
        """Remove an empty cgroup."""
        if counter((Path(path) / "cgroup.events").read_text(), "populated"):
            raise OSError(errno.EBUSY, "Device or resource busy", path)
        shutil.rmtree(path)

    def is_delegated(self, path: str) -> bool:
        """Return the value that the test has set."""
        return path in self.delegated

    def has_systemd(self) -> bool:
        """Return the value that the test has set."""
        return self.systemd


def spec(**options: object) -> Spec:
    """A Spec of a service called ``web``."""
    return Spec.of("web", ("true",), **options)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # options of several kinds


@pytest.mark.parametrize(
    ("cgroups", "mounts", "found"),
    [
        ("0::/a/b\n", MOUNT.format("/sys/fs/cgroup"), ("/sys/fs/cgroup", "a/b")),
        ("0::/\n", MOUNT.format("/sys/fs/cgroup"), ("/sys/fs/cgroup", "")),
        ("1:cpu:/x\n0::/a\n", MOUNT.format("/mnt/with\\040blank"), ("/mnt/with blank", "a")),
        ("0::/a/b\n", "33 24 0:28 /a /mnt rw - cgroup2 none rw\n", ("/mnt", "b")),
        ("0::/ab\n", "33 24 0:28 /a /mnt rw - cgroup2 none rw\n", "no cgroup v2 is mounted"),
        ("0::/a\n", "33 24 0:28 / /mnt rw - cgroup none rw,cpu\n", "no cgroup v2 is mounted"),
        ("0::/../a\n", MOUNT.format("/sys/fs/cgroup"), "outside"),
        ("4:memory:/\n", MOUNT.format("/sys/fs/cgroup"), "has no cgroup v2"),
    ],
)
def test_cgroup_of_the_host_is_found(cgroups: str, mounts: str, found: tuple[str, str] | str) -> None:
    """Or the reason why there is none."""
    got = home(cgroups, mounts)
    if isinstance(found, tuple):
        assert found == got
    else:
        assert isinstance(got, str)
        assert found in got


def test_limits_are_written_as_the_kernel_reads_them() -> None:
    """Bytes, numbers, and microseconds in each tenth of a second."""
    limits = Limits(memory=1 << 20, pids=7, cpu=1.5)
    assert ("cpu", "memory", "pids") == limits.controllers
    assert {
        "memory.max": "1048576",
        "memory.oom.group": "1",
        "pids.max": "7",
        "cpu.max": "150000 100000",
    } == limits.files()
    assert {"cpu.max": "1000 100000"} == Limits(cpu=0.01).files()
    assert ({}, ()) == (Limits().files(), Limits().controllers)


def test_systemd_units_are_recognised_by_their_names() -> None:
    """A leaf that was made for the host is no unit."""
    assert [True, True, True, False] == [is_unit(name) for name in ("a.service", "b.scope", "c.slice", "host")]


def test_own_cgroup_is_used_without_systemd(tmp_path: Path) -> None:
    """The probe cgroup is removed, so nothing has changed."""
    files = FakeFiles(tmp_path, "/box")
    made = Tree(files)
    assert (None, f"{tmp_path}/box") == (made.missing(), made.base)
    assert [] == [name for name in os.listdir(made.base) if name.startswith("aioverseer")]


def test_kernel_without_cgroup_kill_is_reported(tmp_path: Path) -> None:
    """Before Linux 5.14 there is no cgroup.kill."""
    files = FakeFiles(tmp_path, "/box")
    files.has_kill = False
    assert "cgroup.kill" in str(Tree(files).missing())


@pytest.mark.parametrize("path", ["/system.slice/web.service", "/", "/system.slice/web.service/host"])
def test_cgroup_without_delegation_is_not_used(tmp_path: Path, path: str) -> None:
    """The error says how to delegate it."""
    made = Tree(FakeFiles(tmp_path, path, systemd=True))
    assert "Delegate=yes" in str(made.missing())
    assert "" == made.base


@pytest.mark.parametrize("leaf", ["", "/host"])
def test_delegated_unit_is_used_next_to_the_leaf_of_the_host(tmp_path: Path, leaf: str) -> None:
    """So controllers can be enabled without moving the host."""
    files = FakeFiles(tmp_path, f"/a.slice/web.service{leaf}", systemd=True)
    files.delegated.add(f"{tmp_path}/a.slice/web.service")
    assert (None, f"{tmp_path}/a.slice/web.service") == (Tree(files).missing(), Tree(files).base)


def test_unit_inside_a_delegated_one_is_not_delegated(tmp_path: Path) -> None:
    """The manager of a user owns everything below its own unit."""
    files = FakeFiles(tmp_path, "/user@7.service/app.slice/term.scope", systemd=True)
    files.delegated.add(f"{tmp_path}/user@7.service")
    assert Tree(files).missing() is not None


def test_limits_are_written_before_anything_runs(tmp_path: Path) -> None:
    """Only the controllers that are needed are enabled first."""
    files = FakeFiles(tmp_path, "/web.service/host", systemd=True)
    files.delegated.add(f"{tmp_path}/web.service")
    made = Tree(files).make(spec(memory_max=1 << 20, cpu_max=0.5), "run")
    wrote = [entry for entry in files.wrote if "probe" not in entry[0]]
    assert [
        ("web.service/cgroup.subtree_control", "cpu memory"),
        ("web.service/run/memory.max", "1048576"),
        ("web.service/run/memory.oom.group", "1"),
        ("web.service/run/cpu.max", "50000 100000"),
    ] == wrote
    assert f"{tmp_path}/web.service/run/cgroup.procs" == made.prefix[-1]
    assert made.discard()
    assert not Path(made.path).exists()


def test_missing_controller_is_named(tmp_path: Path) -> None:
    """The error names the option, and no cgroup is made."""
    files = FakeFiles(tmp_path, "/box", controllers="cpu pids")
    expected = r"service 'web' .*\(memory_max=4096\).*cgroup.controllers does not have memory:.*leave the limit out"
    with pytest.raises(SpawnError, match=expected):
        Tree(files).make(spec(memory_max=4096), "run")
    assert not (tmp_path / "box/run").exists()


def test_host_in_an_inner_cgroup_is_told_what_to_do(tmp_path: Path) -> None:
    """The host is never moved, although the kernel allows no processes in an inner cgroup."""
    with pytest.raises(SpawnError, match=r"pids cannot be enabled .*DelegateSubgroup="):
        Tree(FakeFiles(tmp_path, "/box")).make(spec(pids_max=5), "run")


def test_limit_without_cgroup_is_refused(tmp_path: Path) -> None:
    """The error says why there is no cgroup."""
    with pytest.raises(SpawnError, match=r"\(cpu_max=0.5\): they need cgroup v2, and systemd has not delegated"):
        Tree(FakeFiles(tmp_path, "/a.service", systemd=True)).make(spec(cpu_max=0.5), "run")


def test_failure_to_make_a_cgroup_is_a_spawn_error(tmp_path: Path) -> None:
    """Existing files stay."""
    files = FakeFiles(tmp_path, "/box")
    (tmp_path / "box/run").mkdir()
    with pytest.raises(SpawnError, match=r"its cgroup .*run' cannot be made \(File exists\)"):
        Tree(files).make(spec(), "run")
    assert (tmp_path / "box/run").is_dir()


@pytest.mark.parametrize(
    ("oom", "exit", "said"),
    [
        (1, Exit(signal=9), "was killed by SIGKILL (out of memory)"),
        (0, Exit(signal=9), "was killed by SIGKILL"),
        (2, Exit(code=3), "exited with code 3 (out of memory)"),
        (2, Exit(code=0), "exited with code 0"),
    ],
)
async def test_cause_of_an_end_is_read_from_the_kernel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, oom: int, exit: Exit, said: str
) -> None:
    """It is read before the cgroup is removed."""
    files = FakeFiles(tmp_path, "/box")
    monkeypatch.setattr(cgroup, "tree", lambda: Tree(files))
    one = scope.RunScope(kept=False, child_table=None)
    one.make_cgroup(spec())
    assert one.cgroup is not None
    Path(one.cgroup.path, "memory.events").write_text(f"oom {oom}\noom_kill {oom}\n")
    assert said == str(await one.ended(exit))
    one.end()
    assert not Path(one.cgroup.path).exists()
    assert any(name.endswith("cgroup.kill") and "probe" not in name for name, _ in files.wrote)


def test_busy_cgroup_is_removed_later(tmp_path: Path) -> None:
    """It is remembered until its removal succeeds."""
    files = FakeFiles(tmp_path, "/box")
    made = Tree(files).make(spec(), "run")
    events = Path(made.path, "cgroup.events")
    events.write_text("populated 1\n")
    assert not made.discard()
    assert made in cgroup.remaining()
    events.write_text("populated 0\n")
    assert made.discard()
    assert made not in cgroup.remaining()


@pytest.mark.parametrize("error", [errno.ENODEV, errno.ENOENT])
async def test_cgroup_removed_by_others_during_its_end_is_gone(
    error: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An open file of a removed cgroup cannot be read any more."""
    made = Tree(FakeFiles(tmp_path, "/box")).make(spec(), "run")
    events = Path(made.path, "cgroup.events")
    events.write_text("populated 1\n")

    class Epoll:
        """A regular file has no EPOLLPRI."""

        def __init__(self) -> None:
            self._ours, self._theirs = os.pipe()

        def register(self, *_: int) -> None:
            """Remove the cgroup, as another host does."""
            shutil.rmtree(made.path)

        def poll(self, _seconds: float) -> None:
            """Report nothing."""

        def fileno(self) -> int:
            """Return a descriptor for the event loop."""
            return self._ours

        def close(self) -> None:
            """Close both ends."""
            os.close(self._ours)
            os.close(self._theirs)

    def gone(*_: int) -> bytes:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr("select.epoll", Epoll)
    monkeypatch.setattr(os, "pread", gone)
    async with limit(20):
        await made.end()
    assert made not in cgroup.remaining()


def test_lock_of_a_removed_cgroup_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another host may remove a new cgroup before it is locked; then it is made again."""
    path = tmp_path / "run"
    path.mkdir()
    lock = fcntl.flock

    def too_late(descriptor: int, how: int) -> None:
        path.rmdir()
        lock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", too_late)
    with pytest.raises(FileNotFoundError):
        hold(str(path))


def test_kept_leftovers_are_not_killed(tmp_path: Path) -> None:
    """Their cgroup is removed when it is empty."""
    files = FakeFiles(tmp_path, "/box")
    made = Tree(files).make(spec(leftovers="keep"), "run")
    assert made.discard()
    assert [] == files.wrote

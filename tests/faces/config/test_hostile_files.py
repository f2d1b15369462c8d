"""Files that were made to harm or to hang: each gives one clear error, at once."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from aioverseer.config import ConfigError, load

SECONDS = 2.0
"""Seconds that an error may take, on a machine under load. The default limit of a recursion or a hang is far above."""


def _sparse(file: Path) -> None:
    """Write a gigabyte of nothing after an opening of nested lists."""
    file.write_text("x = " + "[" * 1000)
    os.truncate(file, 2**30)


def _nested_lists(file: Path) -> None:
    file.write_text("x = " + "[" * 2_000_000)


def _nested_tables(file: Path) -> None:
    file.write_text("x = " + "{a = " * 50_000)


def _closed_lists(file: Path) -> None:
    file.write_text("vars.x = " + "[" * 200 + "]" * 200)


def _dotted_key(file: Path) -> None:
    file.write_text("a" + ".a" * 1_000_000 + " = 1")


def _quoted_key(file: Path) -> None:
    file.write_text("[a" + ' . "a.a"' * 200_000 + "]")


def _include_of_itself(file: Path) -> None:
    file.write_text('include = ["b.toml"]')
    (file.parent / "b.toml").write_text('include = ["c/*.toml"]')
    (file.parent / "c").mkdir()
    (file.parent / "c" / "d.toml").write_text('include = ["../aioverseer.toml"]')


def _include_without_end(file: Path) -> None:
    """Each file includes the next one."""
    file.write_text('include = ["0.toml"]')
    for number in range(1100):
        (file.parent / f"{number}.toml").write_text(f'include = ["{number + 1}.toml"]')


def _nul(file: Path) -> None:
    file.write_bytes(b'[services.web]\ncommand = ["a\0b"]\n')


def _no_utf8(file: Path) -> None:
    file.write_bytes(b'[services.web]\ncommand = ["\xe4\xff"]\n')


def _million_keys(file: Path) -> None:
    file.write_text("".join(f"k{number:x}=1\n" for number in range(1_000_000)))


def _many_keys(file: Path) -> None:
    """As many unknown keys as fit into a file that is read."""
    file.write_text("".join(f"k{number:x}=1\n" for number in range(20_000)))


def _recursion_in_vars(file: Path) -> None:
    file.write_text('vars = { a = "{vars.b}", b = "{vars.a}" }\n[services.web]\ncommand = ["{vars.a}"]\n')


def _doubling_vars(file: Path) -> None:
    lines = [f'v{number} = "{{vars.v{number + 1}}}{{vars.v{number + 1}}}"' for number in range(38)]
    file.write_text("\n".join(["[vars]", *lines, 'v38 = "x"', "[services.web]", 'command = ["{vars.v0}"]']))


def _many_services_of_large_defaults(file: Path) -> None:
    names = "\n".join(f'V{number} = "1"' for number in range(20_000))
    services = "\n".join(f"[services.s{number}]" for number in range(20_000))
    file.write_text(f"[defaults.extra_env]\n{names}\n{services}\n")


def _unknown_names(file: Path) -> None:
    file.write_text("".join(f'[services.service{n}]\ncommand = ["a"]\nafter = "servixe{n}"\n' for n in range(500)))


def _hook_of_unknown_names(file: Path) -> None:
    names = [f"servixe{number}" for number in range(2000)]
    services = "".join(f'[services.service{number}]\ncommand = ["a"]\n' for number in range(500))
    file.write_text(f'{services}[[hooks]]\non = "fatal"\nrun = ["a"]\nservices = {names}\n')


def _many_hooks(file: Path) -> None:
    file.write_text(
        "".join(f'[[hooks]]\non = "fatal"\nrun = ["a"]\nextra_env.A = "{n}"\n' for n in range(4000))
        + '[[hooks]]\non = "fatal"\nrun = ["a"]\nextra_env.A = "7"\n'
    )


def _unknown_parents(file: Path) -> None:
    file.write_text("".join(f'[groups.group{number}]\nparent = "groop{number}"\n' for number in range(3000)))


def _chain_of_groups(file: Path) -> None:
    chain = "".join(f'[groups.g{number}]\nparent = "g{number + 1}"\n' for number in range(5000))
    file.write_text(f"{chain}[groups.g5000]\n[services.web]\n")


def _variables_and_services(file: Path, *, top: str, own: str) -> None:
    (file.parent / ".env").write_text("".join(f"V{number}=1\n" for number in range(10_000)))
    services = "".join(f'[services.s{number}]\ncommand = ["a"]\n{own}\n' for number in range(2000))
    file.write_text(f"{top}\n{services}")


def _many_variables(file: Path) -> None:
    _variables_and_services(file, top='env_files = [".env"]', own="")


def _many_variables_of_each(file: Path) -> None:
    _variables_and_services(file, top="", own='env_file = ".env"')


def _large_default_by_a_variable(file: Path) -> None:
    names = "".join(f'V{number} = "1"\n' for number in range(10_000))
    _variables_and_services(file, top=f'[defaults]\nextra_env = "{{vars.e}}"\n[vars.e]\n{names}', own="")


def _defaults_without_end(file: Path) -> None:
    file.write_text(f'[services.web]\ncommand = ["{"${SET:-x" * 300_000}"]\n')


def _deep_defaults_without_end(file: Path) -> None:
    file.write_text(f'[services.web]\ncommand = ["{"${SET:-x" * 39}{"$$" * 100_000}"]\n')


def _deep_wrong_defaults(file: Path) -> None:
    deep = "${SET:-" * 39 + "x" * 500_000 + "${}}" * 39
    file.write_text(f'[services.web]\ncommand = ["{deep}"]\n')


def _fifo(file: Path) -> None:
    os.mkfifo(file)


def _folder(file: Path) -> None:
    file.mkdir()


def _socket(file: Path) -> None:
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(f"/proc/self/fd/{folder}/{file.name}")
    finally:
        os.close(folder)


def _device(file: Path) -> None:
    file.symlink_to("/dev/zero")


def _symlink_loop(file: Path) -> None:
    file.symlink_to(file.parent / "other")
    (file.parent / "other").symlink_to(file)


def _dangling_link(file: Path) -> None:
    file.symlink_to(file.parent / "none")


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (_sparse, "aioverseer.toml: is larger than 4 MiB"),
        (_nested_lists, "aioverseer.toml: tables and lists are nested too deeply"),
        (_nested_tables, "aioverseer.toml: tables and lists are nested too deeply"),
        (_closed_lists, "aioverseer.toml: tables and lists are nested too deeply"),
        (_dotted_key, "aioverseer.toml:1:2: a key has more than 100 parts"),
        (_quoted_key, "aioverseer.toml:1:4: a key has more than 100 parts"),
        (
            _include_of_itself,
            "d.toml:1:12: include[0]: a file includes itself: aioverseer.toml -> b.toml -> d.toml -> aioverseer.toml",
        ),
        (_include_without_end, "files include each other more than 20 times"),
        (_nul, "aioverseer.toml:2:14: this is not TOML"),
        (_no_utf8, "aioverseer.toml:2:13: byte 28 is not UTF-8"),
        (_million_keys, "aioverseer.toml: is larger than 4 MiB"),
        (_many_keys, "more problems are not shown"),
        (_recursion_in_vars, "this variable leads to itself: vars.a -> vars.b -> vars.a"),
        (_doubling_vars, "variables make more than 4 MiB of text"),
        (_many_services_of_large_defaults, "defaults: these are too many for 20000 services"),
        (_unknown_names, "400 more problems are not shown"),
        (_hook_of_unknown_names, "1900 more problems are not shown"),
        (_many_hooks, "hooks[4000]: hook 8 is the same"),
        (_unknown_parents, "2900 more problems are not shown"),
        (_chain_of_groups, "services.web"),
        (_many_variables, "env_files: these are too many for 2000 services"),
        (_many_variables_of_each, "env_file: the files of all services are too large together"),
        (_large_default_by_a_variable, "defaults: these are too many for 2000 services"),
        (_defaults_without_end, "variables lead to others more than 40 times"),
        (_deep_defaults_without_end, "a ${ has no } after it"),
        (_deep_wrong_defaults, "variables make more than 4 MiB of text"),
        (_fifo, "aioverseer.toml: is a pipe"),
        (_folder, "aioverseer.toml: is a folder"),
        (_socket, "aioverseer.toml: is a socket"),
        (_device, "aioverseer.toml: is a device"),
        (_symlink_loop, "aioverseer.toml: is a symbolic link that leads to itself"),
        (_dangling_link, "aioverseer.toml: does not exist"),
    ],
)
def test_hostile_file_gives_a_clear_error_at_once(tmp_path: Path, write: Callable[[Path], None], message: str) -> None:
    file = tmp_path / "aioverseer.toml"
    write(file)
    began = time.process_time()
    with pytest.raises(ConfigError) as caught:
        load(file, environ={"SET": "1"})
    used = time.process_time() - began
    assert message in str(caught.value)
    assert len(str(caught.value)) < 64_000
    assert used < SECONDS


def test_name_with_a_nul_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is no path: it has a NUL"):
        load(f"{tmp_path}/a\0b.toml")


@pytest.mark.skipif(os.geteuid() != 0, reason="it gives up the rights of root")
def test_file_without_permission_is_refused(tmp_path: Path) -> None:
    """Root reads everything, so another user tries it."""
    file = Path(f"/tmp/aioverseer-unreadable-{os.getpid()}.toml")
    file.write_text("")
    try:
        file.chmod(0)
        code = f"""
import sys; sys.path[:] = {sys.path!r}
from aioverseer.config import ConfigError, load
import os; os.setuid(65534)
try: load({str(file)!r})
except ConfigError as error: print(error)
"""
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert f"{file}: cannot be read: Permission denied; look at its permissions by ls -l\n" == done.stdout
    finally:
        file.unlink()


def test_file_without_permission_is_refused_to_anybody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(ConfigError, match="cannot be read: Permission denied; look at its permissions"):
        load(tmp_path / "aioverseer.toml")


@pytest.mark.parametrize("write", [_fifo, _folder, _symlink_loop, _device], ids=lambda write: write.__name__)
def test_hostile_file_of_variables_is_refused(tmp_path: Path, write: Callable[[Path], None]) -> None:
    write(tmp_path / ".env")
    (tmp_path / "aioverseer.toml").write_text('env_files = [".env"]')
    with pytest.raises(ConfigError, match=r"'\.env' is a "):
        load(tmp_path / "aioverseer.toml")


@pytest.mark.parametrize("write", [_fifo, _folder, _symlink_loop], ids=lambda write: write.__name__)
def test_search_passes_over_what_is_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path], None]
) -> None:
    write(tmp_path / "aioverseer.toml")
    (tmp_path / "pyproject.toml").write_bytes(b"\xff")
    (tmp_path / "Procfile").write_text("web: true")
    monkeypatch.chdir(tmp_path)
    assert ["web"] == [spec.id for spec in load()]

"""Files that a file names and that cannot be read: told where they are named, among all other problems."""

from __future__ import annotations

from pathlib import Path

import pytest

from aioverseer.config import ConfigError, Problem, load


def problems(folder: Path, text: str) -> tuple[Problem, ...]:
    (folder / "aioverseer.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(folder / "aioverseer.toml", environ={"SECRET": "hunter2"})
    return caught.value.problems


def test_missing_files_are_told_where_they_are_named(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        'include = ["?may.toml", "more.toml"]\n'
        'env_files = ["top.env"]\n'
        "[services.web]\n"
        'command = ["true"]\n'
        "nice = 99\n"
        'env_file = ["?may.env", "web.env"]\n'
        "[services.other]\n"
        'command = ["true"]\n'
        'env_file = "web.env"\n',
    )
    missing = "does not exist; write it, or {!r} for a file that may be missing".format
    assert [
        (1, ("include", 1), f"'more.toml' {missing('?more.toml')}"),
        (2, ("env_files", 0), f"'top.env' {missing('?top.env')}"),
        (5, ("services", "web", "nice"), "is too high: write -20 to 19"),
        (6, ("services", "web", "env_file", 1), f"'web.env' {missing('?web.env')}"),
        (9, ("services", "other", "env_file"), f"'web.env' {missing('?web.env')}"),
    ] == [
        (each.line, each.path, f"{each.message}; {each.hint}".removeprefix("nice=99: ").removesuffix("; None"))
        for each in found
    ]
    assert '"more.toml"' == found[0].text[(found[0].column or 0) - 1 :][: found[0].length]


def test_included_files_are_all_looked_at(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("x = [\n")
    (tmp_path / "folder").mkdir()
    (tmp_path / "good.toml").write_text('include = ["good.toml"]\n[services.good]\ncommand = 3\n')
    found = problems(tmp_path, 'include = ["bad.toml", "folder", "good.toml"]\nnmae = "x"\n')
    assert [
        ("aioverseer.toml", "'folder' is a folder"),
        ("aioverseer.toml", "there is no such key"),
        ("bad.toml", "this is not TOML: invalid value"),
        ("good.toml", "a file includes itself: aioverseer.toml -> good.toml -> good.toml"),
    ] == sorted((Path(each.file).name, each.message) for each in found if "command" not in each.path)
    assert [("services", "good", "command")] == [each.path for each in found if "command" in each.path]


def test_services_of_a_missing_file_are_not_told_to_be_missing(tmp_path: Path) -> None:
    text = 'include = ["more.toml"]\n[services.web]\ncommand = ["true"]\nafter = "db"\n'
    assert ["include"] == [each.path[0] for each in problems(tmp_path, text)]


def test_no_value_of_the_environment_is_shown(tmp_path: Path) -> None:
    text = 'include = ["${SECRET}.toml"]\nenv_files = ["${SECRET}.env"]\n'
    found = problems(tmp_path, text)
    assert ["'${SECRET}.toml' does not exist", "'${SECRET}.env' does not exist"] == [each.message for each in found]
    assert "hunter2" not in "".join(map(str, found))

"""Profiles and settings that change services, variables and options: names that the file does not have."""

from __future__ import annotations

from pathlib import Path

import pytest

from aioverseer.config import Config, ConfigError, load

WEB = '[services.web]\ncommand = ["true"]\n'
NO_WBE = "there is no service 'wbe'; did you mean 'web'?"


def loaded(folder: Path, text: str, *settings: str, profiles: tuple[str, ...] = ()) -> Config:
    (folder / "aioverseer.toml").write_text(text)
    return load(folder / "aioverseer.toml", environ={}, settings=settings, profiles=profiles)


def problems(folder: Path, text: str, *settings: str, profiles: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    """Return the marked text, or the name of the setting, and the message of each problem."""
    with pytest.raises(ConfigError) as caught:
        loaded(folder, text, *settings, profiles=profiles)
    return [
        (
            each.text[(each.column or 1) - 1 :][: each.length] or Path(each.file).name,
            f"{each.message}; {each.hint}",
        )
        for each in caught.value.problems
    ]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("wbe=2", NO_WBE),
        ("wbe.instances=2", NO_WBE),
        ("services.wbe.instances=2", NO_WBE),
        ("wbe.enabled=false", NO_WBE),
        ("wbe.profiles=['x']", NO_WBE),
        ("other.nice=1", "there is no service 'other'; there are web"),
        ("instances=2", "there is no service 'instances'; write web.instances=..., or defaults.instances=... for all"),
        ("cwd=/tmp", "there is no service 'cwd'; write web.cwd=..., or defaults.cwd=... for all"),
        ("wbe=yes", NO_WBE),
        ("vars.prot=80", "there is no variable 'prot'; did you mean 'port'?"),
    ],
)
def test_setting_of_an_unknown_name_is_refused(tmp_path: Path, setting: str, message: str) -> None:
    text = f"vars = {{ port = 8000 }}\n{WEB}"
    ((name, said),) = problems(tmp_path, text, setting)
    assert (f"-s {setting.partition('=')[0]}", message) == (name, said[: len(message)])


def test_setting_may_add_what_the_file_lacks(tmp_path: Path) -> None:
    text = f'{WEB}extra_env = {{ A = "{{vars.a}}" }}\n'
    web, more = loaded(tmp_path, text, "vars.a=1", "more.command=['true']", "more.nice=3")
    assert ({"A": "1"}, 3) == (web.extra_env, more.nice)
    assert "a" == loaded(tmp_path, "[defaults]\ncommand=['true']\n", "a.nice=3").specs[0].id


@pytest.mark.parametrize("profiles", [(), ("dev",)])
def test_profile_of_an_unknown_service_is_refused(tmp_path: Path, profiles: tuple[str, ...]) -> None:
    text = f"{WEB}[profiles.dev.services.wbe]\ninstances = 2\n"
    assert [("wbe", NO_WBE)] == problems(tmp_path, text, profiles=profiles)


def test_profile_may_change_a_service_of_another_profile(tmp_path: Path) -> None:
    text = f'{WEB}[profiles.a.services.new]\ncommand = ["true"]\n[profiles.b.services.new]\nnice = 3\n'
    assert 3 == loaded(tmp_path, text, profiles=("a", "b")).specs[1].nice
    assert 1 == len(loaded(tmp_path, text))


def test_service_of_a_missing_file_may_be_overridden(tmp_path: Path) -> None:
    text = f'include = ["gone.toml"]\n{WEB}[profiles.dev.services.wbe]\ninstances = 2\n'
    ((name, _),) = problems(tmp_path, text, "more.nice=3", "vars.b=2", profiles=("dev",))
    assert '"gone.toml"' == name

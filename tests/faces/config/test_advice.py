"""Advice about services that are valid, and will surprise."""

from __future__ import annotations

from typing import Any

import pytest

from aioverseer import After, PidFile, Restart, Roll, Spec, listen, ready
from aioverseer.config.advice import RULES, Advice, advise

HTTP = {"http": listen.tcp(8000)}


def found(*specs: Spec) -> list[tuple[str, str]]:
    """Return the rules that were broken, and by which service."""
    return [(each.service, each.rule) for each in advise(specs)]


def one(*argv: str, **options: Any) -> list[str]:
    """Return the rules that one service breaks."""
    return [rule for _, rule in found(Spec.of("a", argv or ["a"], **options))]


def test_ordinary_services_get_no_advice() -> None:
    specs = [
        Spec.of("redis", ["redis-server", "--port", "6399"], ready=ready.tcp(6399), alive=None),
        Spec.of("migrate", ["python", "-m", "migrate"], after="redis"),
        Spec.of("web", ["gunicorn", "app"], listen=HTTP, instances=2, roll=Roll(), after={"migrate": "success"}),
        Spec.of("worker", ["worker", "--port", "6399"], after="redis", extra_env={"A": "1"}),
    ]
    assert advise(specs, is_found=lambda *_: True) == ()


def test_environment_without_path() -> None:
    """``env`` is the whole of it; a PATH may come from ``extra_env``."""
    assert one(env={"A": "1"}) == ["no-path"]
    assert one(env={"PATH": "/bin"}) == one(env={}, extra_env={"PATH": "/bin"}) == one() == []
    (advice,) = advise([Spec.of("a", ["a"], env={"TOKEN": "secret"})])
    assert "secret" not in str(advice)


@pytest.mark.parametrize(
    "argv",
    [
        ["npx", "vite"],
        ["/usr/bin/npm", "run", "dev"],
        ["uv", "run", "serve.py"],
        ["sh", "-c", "cd app && python serve.py"],
        ["bash", "-ec", "set -x; serve"],
        ["flock", "lock", "serve"],
    ],
)
def test_wrapper_that_forks_gets_no_held_socket(argv: list[str]) -> None:
    """LISTEN_PID is the pid of the wrapper."""
    assert one(*argv, listen=HTTP) == ["forks-under-listen"]
    assert one(*argv) == []
    assert one(*argv, "--fd", "{fd.http}", listen=HTTP) == []


@pytest.mark.parametrize(
    "argv",
    [
        ["sh", "-c", "serve"],
        ["sh", "-c", "cd app && exec python serve.py"],
        ["flock", "--no-fork", "lock", "serve"],
        ["poetry", "run", "serve"],
        ["env", "A=1", "serve"],
        ["sh", "serve.sh"],
    ],
)
def test_program_that_execs_keeps_its_pid(argv: list[str]) -> None:
    assert one(*argv, listen=HTTP) == []


def test_some_descriptors_as_arguments_leave_the_others_out() -> None:
    """LISTEN_FDS is then set for none of them."""
    sockets = {"http": listen.tcp(8000), "admin": listen.tcp(8001)}
    (advice,) = advise([Spec.of("a", ["a", "{fd.http}"], listen=sockets)])
    assert (advice.rule, "admin" in advice.text) == ("some-descriptors", True)
    assert one("a", "{fd.http}", "{fd.admin}", listen=sockets) == one("a", listen=sockets) == []


@pytest.mark.parametrize(
    ("argv", "options"),
    [
        (["serve", "--port", "8000"], {}),
        (["serve", "--port=8000"], {}),
        (["gunicorn", "-b", "0.0.0.0:8000"], {}),
        (["serve", "--bind", "[::1]:8000"], {}),
        (["serve"], {"extra_env": {"PORT": "8000"}}),
        (["serve"], {"env": {"PORT": "8000", "PATH": "/bin"}}),
    ],
)
def test_fixed_port_of_several_instances(argv: list[str], options: dict[str, Any]) -> None:
    """A roll has two runs at once, also of one instance."""
    assert one(*argv, instances=2, **options) == one(*argv, instances=1, **options) == ["fixed-port"]
    assert one(*argv, instances=1, roll=Roll(surge=0, unavailable=1), **options) == []
    assert one(*argv, **options) == []


def test_port_of_its_own_for_each_instance() -> None:
    assert one("serve", "--port", "{port}", instances=2, port=range(9000, 9100), ready=ready.tcp("{port}")) == []


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"ready": ready.tcp(8000)}, {"ready": ready.http("http://localhost:8000/health")}),
        ({"listen": HTTP}, {"ready": ready.tcp(8000) | ready.line("x")}),
        ({"ready": ready.http("http://127.0.0.1/")}, {"extra_env": {"PORT": "80"}}),
    ],
)
def test_two_services_on_one_port(first: dict[str, Any], second: dict[str, Any]) -> None:
    specs = Spec.of("a", ["a"], **first), Spec.of("b", ["b"], **second)
    assert found(*specs) == [("b", "shared-port")]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"listen": HTTP}, {"listen": HTTP}),  # shared on purpose
        ({"ready": ready.tcp(8000)}, {"ready": ready.tcp(8001)}),
        ({"ready": ready.tcp(8000)}, {"ready": ready.tcp(8000, host="db.internal")}),
        ({"ready": ready.tcp(8000)}, {"ready": ready.tcp(8000, owner="any")}),
        ({"ready": ready.tcp(8000)}, {"ready": ready.http("http://example.org:8000/")}),
    ],
)
def test_port_of_another_kind_or_machine(first: dict[str, Any], second: dict[str, Any]) -> None:
    assert found(Spec.of("a", ["a"], **first), Spec.of("b", ["b"], **second)) == []


def test_nobody_can_wait_for_a_service_without_readiness() -> None:
    """Unless it waits for the start alone, or for the end."""
    for after, rules in (("db", 1), ({"db": "started"}, 0), ({"db": "success"}, 0), ([After("db", "finished")], 0)):
        advice = advise([Spec.of("db", ["db"]), Spec.of("web", ["web"], after=after)])
        assert [each.rule for each in advice] == ["no-readiness"] * rules
    several = advise([Spec.of("db", ["db"]), *(Spec.of(f"web{n}", ["web"], after="db") for n in range(3))])
    assert [each.text.partition(" until")[0] for each in several] == ["web0 and 2 more wait"]
    once = advise([Spec.of("db", ["db"], restart=Restart("never")), Spec.of("web", ["web"], after="db")])
    assert 'after = { db = "success" }' in once[0].hint


@pytest.mark.parametrize(
    ("leaves", "stays"),
    [
        (["nginx", "-c", "n.conf"], ["nginx", "-g", "worker_processes 1; daemon off;"]),
        (["/usr/sbin/sshd"], ["/usr/sbin/sshd", "-D"]),
        (["httpd"], ["httpd", "-DFOREGROUND", "-D", "FOREGROUND"]),
        (["redis-server", "--daemonize", "yes"], ["redis-server", "--daemonize", "no"]),
        (["gunicorn", "app", "--daemon"], ["gunicorn", "app"]),
        (["celery", "multi", "start", "w"], ["celery", "worker"]),
        (["pg_ctl", "-D", "data", "start"], ["postgres", "-D", "data"]),
    ],
)
def test_program_that_goes_into_the_background(leaves: list[str], stays: list[str]) -> None:
    """It looks as if it had ended, unless its pid file is named."""
    assert one(*leaves) == ["goes-to-background"]
    assert one(*stays) == one(*leaves, main_pid=PidFile("x.pid")) == []


def test_program_is_looked_up_where_it_will_run() -> None:
    """With its folder and its PATH; one that is filled in for each run is not looked up."""
    asked: list[tuple[str, str | None, str | None]] = []

    def is_found(*words: str | None) -> bool:
        asked.append(words)  # type: ignore[arg-type]  # the tuple has three words in every call
        return False

    specs = [
        Spec.of("a", ["serve"]),
        Spec.of("b", ["./serve"], cwd="/srv"),
        Spec.of("c", ["serve"], env={"PATH": "/c"}),
        Spec.of("d", ["serve"], env={"PATH": "/c"}, extra_env={"PATH": "/d"}),
        Spec.of("e", ["/opt/{index}/serve"], instances=1),
        Spec.of("f", ["serve"], env={}),
    ]
    advice = [each for each in advise(specs, is_found=is_found) if each.rule == "missing-program"]
    assert asked == [
        ("serve", None, None),
        ("./serve", "/srv", None),
        ("serve", None, "/c"),
        ("serve", None, "/d"),
        ("serve", None, ""),
    ]
    assert str(advice[0]) == ("a: there is no program 'serve' on PATH: install it, or name it with its full path")
    assert str(advice[1]) == "b: there is no program './serve': mend the path, or build it first"


def test_advice_comes_in_the_order_of_the_services() -> None:
    specs = [Spec.of("a", ["a"], env={}), Spec.of("b", ["b"]), Spec.of("c", ["c"], after="b")]
    assert [each.service for each in advise(specs)] == ["a", "b"]
    assert all(isinstance(each, Advice) and each.rule in RULES for each in advise(specs))


@pytest.mark.parametrize(
    ("argv", "hint"),
    [
        (["serve", "~/shop"], "write the whole path"),
        (["tail", "-f", "logs/*.log"], "write sh -c '...' around the command"),
        (["cat", "*.log"], "write sh -c '...' around the command"),
        (["serve", "--home=$HOME/shop"], "write ${HOME} in the file"),
    ],
)
def test_words_for_a_shell_stay_as_they_are(argv: list[str], hint: str) -> None:
    (advice,) = advise([Spec.of("a", argv)])
    assert (advice.rule, advice.hint) == ("no-shell", hint)


@pytest.mark.parametrize(
    "argv",
    [
        ["sh", "-c", "~/serve"],
        ["bash", "-lc", "cat *.log $HOME"],
        ["find", ".", "-name", "*.py"],
        ["serve", "--exclude", "*.pyc", "--patterns=*.py", "http://*:80", "*"],
        ["grep", "-r", "a.*b", "$"],
        ["serve", "cost=$5", "a~b", "print $NF"],
        ["ssh", "host", "cat", "logs/*.log"],
    ],
)
def test_words_that_a_program_reads_itself_are_no_surprise(argv: list[str]) -> None:
    assert one(*argv) == []

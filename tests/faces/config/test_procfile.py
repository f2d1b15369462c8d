"""The Procfile: each rule of its format, and each refusal."""

from __future__ import annotations

import re
import shlex
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioverseer import Spec, SpecError
from aioverseer.config import ConfigError, load, read_procfile
from tests.support.programs import limit

ENVIRON = {"PORT": "80", "BLANKS": "a  b", "EMPTY": "", "DOLLAR": "${PORT}", "QUOTE": "'"}


def read(text: str, path: str = "folder/Procfile") -> list[Spec]:
    """Return the services of a text."""
    return read_procfile(text, path=path, environ=ENVIRON)


def argv(command: str) -> tuple[str, ...]:
    """Return the words of one command."""
    (spec,) = read(f"a: {command}\n")
    return spec.argv


def test_file_with_comments_and_blank_lines() -> None:
    """Line ends of Windows and a byte order mark are accepted; only id, argv, cwd and PORT are set."""
    text = "\ufeff# a comment\n\nweb: python3 app.py\r\n  # another\nworker-1.a_B:sleep 1\n   \nlast : true"
    assert read(text) == [
        Spec(id="web", argv=("python3", "app.py"), cwd="folder", extra_env={"PORT": "80"}),
        Spec(id="worker-1.a_B", argv=("sleep", "1"), cwd="folder", extra_env={"PORT": "180"}),
        Spec(id="last", argv=("true",), cwd="folder", extra_env={"PORT": "280"}),
    ]


def test_file_of_the_current_folder_sets_no_cwd() -> None:
    """The path has no folder."""
    assert read("a: b", path="Procfile")[0].cwd is None


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("a 'b c' \"d e\" f\\ g ''", ("a", "b c", "d e", "f g", "")),
        ("curl http://x:8/y", ("curl", "http://x:8/y")),
        ("grep '|' \"&&\" \\; 'a > b' x", ("grep", "|", "&&", ";", "a > b", "x")),
        ("sh -c 'a | b > c; d'", ("sh", "-c", "a | b > c; d")),
        ("echo '#' a#b", ("echo", "#", "a#b")),
        ("env A=b C=d x", ("env", "A=b", "C=d", "x")),
        ("ls * ~ ?", ("ls", "*", "~", "?")),
        ("a ${PORT} x${PORT}y", ("a", "80", "x80y")),
        ("a ${BLANKS}", ("a", "a  b")),
        ("a '${PORT}' \"${PORT}\"", ("a", "80", "80")),
        ("a ${QUOTE} ${DOLLAR}", ("a", "'", "${PORT}")),
        ("a ${EMPTY} b", ("a", "", "b")),
        ("a ${NONE:-x} ${NONE:-} ${EMPTY:-y} ${PORT:-z}", ("a", "x", "", "y", "80")),
        ('a "${NONE:-two words}"', ("a", "two words")),
        ('a $PORT x$PORT/y "$PORT." $', ("a", "80", "x80/y", "80.", "$")),
        ('a $BLANKS "$BLANKS" $EMPTY', ("a", "a  b", "a  b", "")),
        ("a '$PORT $1' \\$PORT b$", ("a", "$PORT $1", "$PORT", "b$")),
        ("sh -c 'exec x :$PORT' \"it's $PORT\"", ("sh", "-c", "exec x :$PORT", "it's 80")),
        ("a $$PORT", ("a", "$PORT")),
        ("a $$ $${PORT} $$$$", ("a", "$", "${PORT}", "$$")),
        ("sh -c 'echo $${x%%.*}'", ("sh", "-c", "echo ${x%%.*}")),
        ("sh -c 'echo $(date)'", ("sh", "-c", "echo $(date)")),
    ],
)
def test_words_of_a_command(command: str, words: tuple[str, ...]) -> None:
    """Words are split as in a shell; then variables are replaced, without braces only where a shell would."""
    assert argv(command) == words


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("web", "'web' has no colon: write 'name: command'"),
        ("my web: x", "'my web' is no name for a service: use letters, digits, '_', '-' and '.'"),
        (": x", "'' is no name for a service"),
        ("web:", "web: '' is no command: name a program"),
        ("web: 'x", 'web: "\'x" cannot be split into words (No closing quotation): close every quote'),
        ("web: x \\", "(No escaped character): close every quote, and write it on one line"),
        ("web: ''", "web: service 'web': argv=[''] is empty: name the program"),
        ("web: a | b", "web: 'a | b' holds '|', and there is no shell here: write sh -c '...' around it"),
        ("web: a && b", "holds '&&', and there is no shell here"),
        ("web: a ; b", "holds ';', and"),
        ("web: a; b", "holds ';', and"),
        ("web: a > b", "holds '>', and"),
        ("web: a 2>&1", "holds '>&', and"),
        ("web: a < b", "holds '<', and"),
        ("web: a &", "holds '&', and"),
        ("web: a `b`", "holds '`', and"),
        ("web: a $(b)", "holds '$(', and"),
        ("web: a # b", "holds a '#': move the comment to a line of its own"),
        ("web: A=b c", "begins with a variable, and there is no shell here: write sh -c '...' around it, or env"),
        ("web: exec a", "begins with 'exec', a word of the shell, and there is no shell here: leave it out"),
        ("web: a ${NONE}", "web: '${NONE}' needs the variable NONE, which is not set: set it, or write ${NONE:-"),
        ("web: a $NONE", "web: '${NONE}' needs the variable NONE, which is not set"),
        ("web: a $1", "'a $1' holds '$1', and there is no shell here: write sh -c '...' around it, or $$ for a plain"),
        ('web: a "$?"', "holds '$?', and there is no shell here"),
        ("web: a $@", "holds '$@', and"),
        ("web: a ${PORT", "web: '${PORT' holds a '${' that is not understood: write ${NAME} or ${NAME:-default}"),
        ("web: a ${1}", "that is not understood"),
        ("web: a ${PORT-1}", "that is not understood"),
        ("web: a\0b", "web: service 'web': argv[0]='a\\x00b' holds a NUL"),
    ],
)
def test_invalid_line_is_refused(line: str, message: str) -> None:
    """The message begins with path and line, then has the name, the mistake and a remedy."""
    with pytest.raises(SpecError) as caught:
        read(f"# first\n{line}\n")
    assert str(caught.value).startswith("folder/Procfile:2: ")
    assert message in str(caught.value)


def test_duplicate_name_is_refused_with_both_lines() -> None:
    """The second line is refused, and the message names the first."""
    with pytest.raises(SpecError, match=re.escape("Procfile:3: a: line 1 has this name already: give every")):
        read("a: b\n\na: c\n")


@pytest.mark.parametrize("text", ["", "\n", "# a: b\n"])
def test_file_without_services_is_refused(text: str) -> None:
    """The message shows how to write one."""
    with pytest.raises(SpecError, match=re.escape("there is no service in it: write a line such as 'web: ")):
        read(text)


def test_messages_hold_no_values_of_variables() -> None:
    """A value may be a secret."""
    with pytest.raises(SpecError) as caught:
        read_procfile("a: b ${SECRET} ${NONE}", path="p", environ={"SECRET": "hunter2"})
    assert "hunter2" not in str(caught.value)


WORDS = st.lists(st.text(st.characters(exclude_characters="\0\n", exclude_categories=["Cs"])), min_size=1).filter(
    lambda words: (
        words[0] not in {"", ".", "cd", "exec", "export", "source"}
        and not re.match(r"[A-Za-z_][A-Za-z0-9_]*=|~|\$", words[0])
        and not re.search(r"\s", words[0])  # refused: a command as one text
    )
)


@given(WORDS)
def test_quoted_words_come_back_unchanged(words: list[str]) -> None:
    """Each dollar sign is doubled."""
    assert list(argv(shlex.join(words).replace("$", "$$"))) == words


@given(st.text(), st.text())
def test_any_value_stays_one_argument(value: str, default: str) -> None:
    """A variable can neither add words nor be expanded again."""
    (spec,) = read_procfile("a: b ${X:-d} c", path="p", environ={"X": value.replace("\0", "")})
    assert spec.argv == ("b", value.replace("\0", "") or "d", "c")


@given(st.text())
def test_any_text_is_read_or_refused_with_spec_error(text: str) -> None:
    """No other error is raised."""
    try:
        specs = read(text)
    except SpecError:
        return
    assert specs


def test_all_lines_are_told_at_once() -> None:
    """A wrong line takes its place in the ports."""
    with pytest.raises(ConfigError) as caught:
        read("web\na: b | c\nd: e\nd: f\n")
    assert [1, 2, 4] == [problem.line for problem in caught.value.problems]
    assert str(caught.value).endswith("3 problems")


def test_ports_are_those_of_foreman() -> None:
    """5000, 100 more for each service, and one more for each instance."""
    text = "web: serve $PORT '{id}'\nworker: work\nlast: ${PORT:-1}\n"
    web, worker, last = read_procfile(text, path="a/Procfile", environ={})
    assert [("serve", "5000", "{id}"), ("work",), ("5200",)] == [web.argv, worker.argv, last.argv]
    assert ["5000", "5100", "5200"] == [spec.extra_env["PORT"] for spec in (web, worker, last)]
    web, worker, last = read_procfile(text, path="a/Procfile", environ={}, formation={"web": 3, "last": 1})
    assert (("serve", "{port}", "{{id}}"), {"PORT": "{port}"}) == (web.argv, web.extra_env)
    assert (3, range(5000, 5003)) == (web.instances, web.port)
    assert (None, None, "5100") == (worker.instances, worker.port, worker.extra_env["PORT"])
    assert (1, range(5200, 5201), ("{port}",)) == (last.instances, last.port, last.argv)


def test_a_port_that_is_none_is_refused() -> None:
    """Its value may be a secret that has the wrong name."""
    for value in ("0", "65536", "secret", "-1", "²"):
        with pytest.raises(ConfigError, match=r"^p: the variable PORT is no port: set it to a number") as caught:
            read_procfile("a: b", path="p", environ={"PORT": value})
        assert "secret" not in str(caught.value)


def test_ports_end_at_the_last_one() -> None:
    """A service without a port runs, unless its command needs one."""
    first, second = read_procfile("a: b $PORT\nc: d", path="p", environ={"PORT": "65500"})
    assert ("65500", {}) == (first.extra_env["PORT"], second.extra_env)
    with pytest.raises(ConfigError, match=r"p:2: c: .* needs a port, and there is none above 65535: set PORT"):
        read_procfile("a: b\nc: d $PORT", path="p", environ={"PORT": "65500"})


def test_variables_come_from_the_file_beside_it(tmp_path: Path) -> None:
    """Variables of the environment come first, as elsewhere. Programs get both."""
    (tmp_path / "Procfile").write_text("web: serve $PORT $NAME {id} {vars.x} '${NAME}'\nworker: work $OTHER\n")
    (tmp_path / ".env").write_text("PORT=3000\nNAME=file\nOTHER=${NAME}\n")
    web, worker = load(tmp_path / "Procfile", environ={"NAME": "shell"})
    assert ("serve", "3000", "shell", "{id}", "{vars.x}", "shell") == web.argv
    assert ("work", "${NAME}") == worker.argv
    assert {"PORT": "3100", "OTHER": "${NAME}"} == worker.extra_env
    web, worker = load(tmp_path / "Procfile", environ={"NAME": "{id}"}, settings=["web=2", "worker.nice=1"])
    assert ("serve", "{port}", "{{id}}", "{{id}}", "{vars.x}", "{{id}}") == web.argv
    assert (2, range(3000, 3002), "{port}") == (web.instances, web.port, web.extra_env["PORT"])
    assert (None, 1, "3100") == (worker.instances, worker.nice, worker.extra_env["PORT"])


def test_procfile_needs_no_file_of_variables(tmp_path: Path) -> None:
    (tmp_path / "Procfile").write_text("web: serve $PORT\n")
    [web] = load(tmp_path / "Procfile", environ={"PORT": "1234"})
    assert (("serve", "1234"), str(tmp_path)) == (web.argv, web.cwd)
    (tmp_path / "Procfile").write_text("web: serve $NAME\n")
    with pytest.raises(ConfigError, match=r"Procfile:1: web: .* needs the variable NAME"):
        load(tmp_path / "Procfile", environ={})


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_instances_have_ports_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "Procfile").write_text("db: true\nweb: sh -c 'echo $PORT $0' $PORT\n")
    first = free_port()
    config = load(tmp_path / "Procfile", environ={"PORT": str(first - 100)}, settings=["web=1"])
    async with limit(), config.make_overseer(containment="basic") as overseer:
        await overseer.plan(config).apply()
        await overseer["web.0"].wait()
        assert [f"{first} {first}"] == [line.text for line in overseer["web.0"].tail(1)]

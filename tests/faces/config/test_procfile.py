"""The Procfile: each rule of its format, and each refusal."""

from __future__ import annotations

import re
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioverseer import Spec, SpecError
from aioverseer.config import read_procfile

ENVIRON = {"PORT": "80", "BLANKS": "a  b", "EMPTY": "", "DOLLAR": "${PORT}", "QUOTE": "'"}


def read(text: str, path: str = "folder/Procfile") -> list[Spec]:
    """Return the services of a text."""
    return read_procfile(text, path=path, environ=ENVIRON)


def argv(command: str) -> tuple[str, ...]:
    """Return the words of one command."""
    (spec,) = read(f"a: {command}\n")
    return spec.argv


def test_file_with_comments_and_blank_lines() -> None:
    """Line ends of Windows and a byte order mark are accepted; only id, argv and cwd are set."""
    text = "\ufeff# a comment\n\nweb: python3 app.py\r\n  # another\nworker-1.a_B:sleep 1\n   \nlast : true"
    assert read(text) == [
        Spec(id="web", argv=("python3", "app.py"), cwd="folder"),
        Spec(id="worker-1.a_B", argv=("sleep", "1"), cwd="folder"),
        Spec(id="last", argv=("true",), cwd="folder"),
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
        ("a $PORT $ $1 b$", ("a", "$PORT", "$", "$1", "b$")),
        ("a $$ $${PORT} $$$$", ("a", "$", "${PORT}", "$$")),
        ("sh -c 'echo $${x%%.*}'", ("sh", "-c", "echo ${x%%.*}")),
        ("sh -c 'echo $(date)'", ("sh", "-c", "echo $(date)")),
    ],
)
def test_words_of_a_command(command: str, words: tuple[str, ...]) -> None:
    """Words are split as in a shell; then braces, and only braces, are expanded."""
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

r"""Command lines of systemd: quotes, escapes such as ``\x20``, prefixes such as ``-``, and variables.

A variable gets its value when the program starts, from files too, so a command with one is run by a shell, which reads
``$NAME`` and ``"${NAME}"`` as systemd does. A variable that the unit itself sets is replaced.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aioverseer.config.convert.escapes import escaped
from aioverseer.config.convert.systemd.specifiers import Specifiers

__all__ = ["UnitCommand", "as_words", "read_commands", "split_words"]

_PREFIXES = "@-:+!|"
_ESCAPES = {**dict(zip("abfnrtvs", "\a\b\f\n\r\t\v ", strict=True)), "\\": "\\", '"': '"', "'": "'"}
_NUMBERED = re.compile(r"x[0-9a-fA-F]{2}|[0-7]{3}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}")
_BRACED = re.compile(r"\$\$|\$\{(?P<name>[A-Za-z_]\w*)\}")
_BARE = re.compile(r"\$(?P<name>[A-Za-z_]\w*)")
_PID = "MAINPID"


@dataclass(frozen=True, slots=True)
class UnitCommand:
    """One command line.

    Attributes:
        words: Program and arguments, with variables and specifiers as they stand.
        prefixes: Signs before the program.
    """

    words: tuple[str, ...]
    prefixes: str

    @property
    def may_fail(self) -> bool:
        """Whether a failure is ignored."""
        return "-" in self.prefixes


def split_words(text: str) -> list[str]:
    """Return the words of a value, with quotes and escapes resolved.

    Raises:
        ValueError: If a quote is not closed.
    """
    words: list[str] = []
    word: list[str] | None = None
    quote = ""
    place = 0
    while place < len(text):
        sign = text[place]
        place += 1
        if sign == "\\" and place < len(text):
            resolved, place = _escape(text, place)
            word = [*(word or []), resolved]
        elif quote:
            if sign == quote:
                quote = ""
            else:
                word = [*(word or []), sign]
        elif sign in "\"'":
            quote = sign
            word = word or []
        elif sign.isspace():
            if word is not None:
                words.append("".join(word))
            word = None
        else:
            word = [*(word or []), sign]
    if quote:
        raise ValueError("has a quote that is not closed")
    return words if word is None else [*words, "".join(word)]


def _escape(text: str, place: int) -> tuple[str, int]:
    found = _NUMBERED.match(text, place)
    if found:
        digits = found[0]
        return chr(int(digits[1:], 16) if digits[0] in "xuU" else int(digits, 8)), found.end()
    return _ESCAPES.get(text[place], f"\\{text[place]}"), place + 1


def read_commands(values: Sequence[str]) -> list[UnitCommand]:
    """Return the commands of a key such as ``ExecStart=``. A word ``;`` begins another one.

    Raises:
        ValueError: For a line that names no program, or whose quotes are not closed.
    """
    commands: list[UnitCommand] = []
    for value in values:
        words: list[str] = []
        for word in [*split_words(value), ";"]:
            if word != ";":
                words.append(word)
                continue
            if words:
                commands.append(_command(words))
            words = []
    return commands


def _command(words: list[str]) -> UnitCommand:
    program = words[0].lstrip(_PREFIXES)
    prefixes = words[0][: len(words[0]) - len(program)]
    rest = words[2:] if "@" in prefixes else words[1:]  # the word after the program is its argv[0]
    if not program:
        raise ValueError("names no program")
    return UnitCommand((program, *rest), prefixes)


def as_words(
    commands: Sequence[UnitCommand], specifiers: Specifiers, environ: Mapping[str, str], *, pid: bool = False
) -> tuple[list[str], bool]:
    """Return the words of a command in our file, and whether a shell is between.

    Args:
        commands: Commands that come one after the other, until one fails.
        specifiers: Values of the specifiers.
        environ: Variables that the unit sets, and nothing else can.
        pid: Whether ``$MAINPID`` is the process id of the program.
    """
    filled = [_filled(command, environ) for command in commands]
    if len(filled) == 1 and not commands[0].may_fail:
        plain = [_plain(word, specifiers, pid=pid) for word in filled[0]]
        if None not in plain:
            return [word for word in plain if word is not None], False
    lines = [" ".join(_quoted(word, specifiers, pid=pid) for word in words) for words in filled]
    steps = [f"{line} || :" if command.may_fail else line for line, command in zip(lines, commands, strict=True)]
    if len(steps) == 1 and not commands[0].may_fail:
        return ["sh", "-fc", f"exec {steps[0]}"], True
    if not commands[-1].may_fail:
        steps[-1] = f"exec {steps[-1]}"
    return ["sh", "-fec", "; ".join(steps)], True


def _filled(command: UnitCommand, environ: Mapping[str, str]) -> list[str]:
    """Return the words with the variables that the unit sets replaced."""
    if ":" in command.prefixes:
        return [word.replace("$", "$$") for word in command.words]
    words: list[str] = []
    for word in command.words:
        bare = _BARE.fullmatch(word)
        if bare and bare["name"] in environ:
            words += [part.replace("$", "$$").replace("%", "%%") for part in environ[bare["name"]].split()]
            continue
        words.append(
            _BRACED.sub(
                lambda found: (
                    environ[found["name"]].replace("$", "$$").replace("%", "%%")
                    if found["name"] in environ
                    else found[0]
                ),
                word,
            )
        )
    return words


def _plain(word: str, specifiers: Specifiers, *, pid: bool) -> str | None:
    """Return a word without variables as text of our file; None for one that a shell has to expand."""
    if pid and word in (f"${_PID}", f"${{{_PID}}}"):
        return "{pid}"
    if _BARE.fullmatch(word) or any(found["name"] for found in _BRACED.finditer(word)):
        return None
    return specifiers.text(word.replace("$$", "$"))


def _quoted(word: str, specifiers: Specifiers, *, pid: bool) -> str:
    """Return a word as a shell reads it, as text of our file."""
    plain = _plain(word, specifiers, pid=pid)
    if plain is not None:
        return plain if plain == "{pid}" else shlex.quote(plain)
    if _BARE.fullmatch(word):
        return word
    parts: list[str] = []
    end = 0
    for found in _BRACED.finditer(word):
        parts.append(_in_quotes(word[end : found.start()], specifiers))
        parts.append(escaped(found[0]) if found["name"] else r"\$")
        end = found.end()
    return f'"{"".join([*parts, _in_quotes(word[end:], specifiers)])}"'


def _in_quotes(text: str, specifiers: Specifiers) -> str:
    return re.sub(r'([\\"`$])', r"\\\1", specifiers.text(text))

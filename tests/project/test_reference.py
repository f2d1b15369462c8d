"""The reference pages are made of the docstrings: ``python tests/project/test_reference.py --write`` renews them.

Nothing is described in here; the words live where the code is.
"""

from __future__ import annotations

import enum
import inspect
import pathlib
import re
import sys
import types
from collections.abc import Callable

import pytest

import aioverseer
import aioverseer.testing
from aioverseer import Overseer, Process, Service, Spec

OF_ASYNCIO = {"QueueShutDown"}
"""From Python 3.13 on it is asyncio's own, with words of its own."""
FOLDER = pathlib.Path(__file__).parents[2] / "docs" / "reference"


def attributes(owner: type) -> dict[str, str]:
    """Return the entries of the Attributes section of a docstring, each on one line."""
    text = inspect.getdoc(owner) or ""
    section = re.search(r"^Attributes:\n(.*?)(?:\n\S|\Z)", text, re.DOTALL | re.MULTILINE)
    entries: dict[str, str] = {}
    name = ""
    for line in (section.group(1) if section else "").splitlines():
        if match := re.match(r" {4}(\w+): (.*)", line):
            name, entries[match.group(1)] = match.group(1), match.group(2)
        elif name and line.strip():
            entries[name] += " " + line.strip()
    return entries


def options_page() -> str:
    """Return the table of all options, with their defaults."""
    rows = ["| option | default | meaning |", "|---|---|---|"]
    signature = inspect.signature(Spec)
    for name, meaning in attributes(Spec).items():
        default = signature.parameters[name].default
        if default is inspect.Parameter.empty:
            continue
        made = "" if "factory" in repr(default).lower() else f"`{default!r}`"
        if isinstance(default, aioverseer.Stop | aioverseer.Restart):
            made = f"`{type(default).__name__}()`"
        rows.append(f"| `{name}` | {made} | {plain(meaning).replace('|', chr(92) + '|')} |")
    return "\n".join(
        [
            "# Options",
            "",
            "For `Process(...)`, `Spec(...)` and `Overseer.add(...)`, by keyword; `Process` has `buffered=True`.",
            "An empty default is that of its class.",
            "",
            *rows,
            "",
        ]
    )


def api_page() -> str:
    """Return the page of the library."""
    return page_of(aioverseer, "API")


def page_for_tests() -> str:
    """Return the page of what tests need."""
    return page_of(aioverseer.testing, "For tests")


def page_of(module: types.ModuleType, title: str) -> str:
    """Return every public name of a module with its signature and docstring."""
    parts = [f"# {title}", "", f"Everything can be imported from `{module.__name__}`."]
    for name in module.__all__:
        thing = getattr(module, name)
        if inspect.isfunction(thing):
            words = ", ".join(arguments(thing, skip=0))
            parts += ["", f"## `{name}({words})`", "", plain(inspect.getdoc(thing) or "")]
        if not inspect.isclass(thing) or name in OF_ASYNCIO:
            continue
        parts += ["", f"## {name}", "", plain(inspect.getdoc(thing) or "")]
        if issubclass(thing, BaseException | enum.Enum):
            continue
        for member_name, member in vars(thing).items():
            if member_name.startswith("_"):
                continue
            text = inspect.getdoc(member) or ""
            if isinstance(member, property):
                parts += ["", f"### `{name}.{member_name}`", "", plain(text)]
            elif inspect.isfunction(member):
                # Before Python 3.13 and after it, signatures of annotations as text read alike.
                begin = "await " if inspect.iscoroutinefunction(member) else ""
                words = ", ".join(arguments(member))
                parts += ["", f"### `{begin}{name}.{member_name}({words})`", "", plain(text)]
    return "\n".join(parts) + "\n"


def arguments(function: Callable[..., object], skip: int = 1) -> list[str]:
    """Return the names of the arguments, without types, and without the first: self."""
    words: list[str] = []
    starred = False
    for parameter in list(inspect.signature(function).parameters.values())[skip:]:
        if parameter.kind is parameter.VAR_POSITIONAL:
            words.append(f"*{parameter.name}")
            starred = True
        elif parameter.kind is parameter.VAR_KEYWORD:
            words.append(f"**{parameter.name}")
        else:
            if parameter.kind is parameter.KEYWORD_ONLY and not starred:
                words.append("*")
                starred = True
            given = "" if parameter.default is parameter.empty else f"={parameter.default!r}"
            words.append(f"{parameter.name}{given}")
    return words


def plain(text: str) -> str:
    """Turn the marks of docstrings into those of Markdown."""
    text = re.sub(r"``([^`]+)``", r"`\1`", text)
    return re.sub(r"^(Args|Returns|Raises|Attributes):$", r"*\1*\n", text, flags=re.MULTILINE)


PAGES = {"options.md": options_page, "api.md": api_page, "testing.md": page_for_tests}


@pytest.mark.parametrize("name", PAGES)
def test_the_reference_is_that_of_the_docstrings(name: str) -> None:
    """A docstring that was changed without its page fails here, and so does an option without words."""
    expected = PAGES[name]()
    assert expected == (FOLDER / name).read_text(), "run: python tests/project/test_reference.py --write"


def test_every_option_has_its_words() -> None:
    """No option of a Spec is missing from the page."""
    assert list(attributes(Spec)) == list(inspect.signature(Spec).parameters)
    assert Process("true").spec.buffered


@pytest.mark.parametrize("owner", [Process, Service, Overseer])
def test_handles_have_no_methods_besides_those_of_the_reference(owner: type) -> None:
    """A handle is for users: engines do the work, and have the methods that only the library calls."""
    pages = "".join(page.read_text() for page in FOLDER.glob("*.md"))
    promised = set(re.findall(rf"`(?:await )?{owner.__name__}\.(\w+)", pages))
    assert {name for name in dir(owner) if not name.startswith("_")} <= promised | {"from_spec"}


if __name__ == "__main__" and "--write" in sys.argv:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for page, make in PAGES.items():
        (FOLDER / page).write_text(make())

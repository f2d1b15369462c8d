"""docs/reference is written from the code: ``python tests/project/test_reference.py --write`` renews its pages.

A page has the signature of each public name with its defaults, and the words of its docstring.
"""

from __future__ import annotations

import ast
import dataclasses
import enum
import inspect
import itertools
import re
import signal
import sys
import textwrap
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ForwardRef

import pytest

import aioverseer
import aioverseer.abc
import aioverseer.config
import aioverseer.config.export
import aioverseer.forms
import aioverseer.framing
import aioverseer.listen
import aioverseer.mcp
import aioverseer.pytest_plugin
import aioverseer.testing
from aioverseer import Overseer, Process, Service, Spec, State
from aioverseer.core import errors
from aioverseer.pytest_plugin.shared import SharedService

FOLDER = Path(__file__).parents[2] / "docs" / "reference"
NOTICE = "<!-- Written by `python tests/project/test_reference.py --write` from the docstrings of the code. -->"
PACKAGE = Path(aioverseer.__file__).parent
WIDTH = 100

Page = tuple[str, str, Any, tuple[str, ...]]
"""Title, introduction, module, and the names of the module that stand on the page."""

PAGES: dict[str, Page] = {
    "overseer.md": (
        "Overseer",
        "The set of services of one application.",
        aioverseer,
        (
            *("Overseer", "OverseerOptions", "EventHook", "Group", "GroupStatus", "Body"),
            *("Plan", "PlanStep", "OptionChange", "ApplyReport"),
        ),
    ),
    "service.md": ("Service", "One program that is run again, by its policy.", aioverseer, ("Service",)),
    "instances.md": (
        "Instances",
        "Several services that run the same program.",
        aioverseer,
        ("Instances", "InstancesStatus"),
    ),
    "process.md": ("Process", "One run of one program.", aioverseer, ("Process",)),
    "options.md": (
        "Options",
        (
            "The options of `Process(...)`, `Spec(...)` and `Overseer.add(...)`, all by keyword. `Process` has\n"
            "`buffered=True` as its default."
        ),
        aioverseer,
        (
            *(
                "Spec",
                "SpecOptions",
                "Stop",
                "Step",
                "CloseStdin",
                "WriteStdin",
                "RunCommand",
                "Restart",
                "Roll",
                "Backoff",
                "After",
                "Alive",
                "PidFile",
                "Cron",
                "Every",
                "Schedule",
                "Recycle",
                "Watch",
                "LogFile",
                "LogBridge",
            ),
            *("DEFAULT_LINE_BUFFER_SIZE", "DEFAULT_STREAM_QUEUE_SIZE"),
        ),
    ),
    "conversations.md": (
        "Conversations",
        "Programs that are talked to: their runs, questions and answers.",
        aioverseer,
        ("Runs", "RequestChannel", "LateAnswer"),
    ),
    "output.md": (
        "Output",
        "Lines, and the queues that deliver them.",
        aioverseer,
        (
            "Line",
            "ContinuedLine",
            "ContinuedBytes",
            "PartialLine",
            "PartialBytes",
            "UnframedBytes",
            "LineQueue",
            "OutputQueue",
            "Subscription",
            "QueueShutDown",
        ),
    ),
    "events-and-status.md": (
        "Events and status",
        "Values that say what happened and what is known.",
        aioverseer,
        (
            *(
                "Status",
                "Usage",
                "Exit",
                "Event",
                "EventStream",
                "Recorder",
                "Why",
                "Awaited",
                "StopReport",
                "StopOutcome",
            ),
            *("RollReport", "Containment", "Survivor"),
        ),
    ),
    "errors.md": (
        "Errors",
        (
            "Every error of the library is an `OverseerError`. The end of a program is data and no error, until the\n"
            "application asks for one, for example by `Status.check()` or `Service.ready()`."
        ),
        aioverseer,
        tuple(re.findall(r"^[│ ├└─]*([A-Z]\w+)\b", (errors.__doc__ or "").split("```")[1], re.MULTILINE)),
    ),
    "ready.md": (
        "Probes: aioverseer.ready",
        (
            "Probes find out whether a program can do its work. The options `ready` and `alive` take them:\n"
            '`overseer.add("db", ..., ready=ready.tcp(5432))`.'
        ),
        aioverseer.ready,
        tuple(aioverseer.ready.__all__),
    ),
    "framing.md": (
        "Framings: aioverseer.framing",
        (
            "Framings divide the output of a program into items. The option `framing` takes them:\n"
            '`Process("server", framing=framing.content_length())`.'
        ),
        aioverseer.framing,
        tuple(aioverseer.framing.__all__),
    ),
    "forms.md": (
        "Values as data: aioverseer.forms",
        (
            "Forms read JSON values, write them, and tell their JSON Schema. `Spec.from_dict`, files and control\n"
            "interfaces share them, and find everything that is wrong in the data at once."
        ),
        aioverseer.forms,
        tuple(aioverseer.forms.__all__),
    ),
    "listen.md": (
        "Held sockets: aioverseer.listen",
        (
            "The overseer holds these listening sockets while programs restart. The option `listen` names them:\n"
            '`overseer.add("web", ..., listen={"http": listen.tcp(8000)})`.'
        ),
        aioverseer.listen,
        tuple(aioverseer.listen.__all__),
    ),
    "config.md": (
        "Files: aioverseer.config",
        "Files that describe services, and what is wrong in them.",
        aioverseer.config,
        tuple(aioverseer.config.__all__),
    ),
    "exports.md": (
        "Exports: aioverseer.config.export",
        "The services of a file as the files of another supervisor.",
        aioverseer.config.export,
        ("export", "Export"),
    ),
    "threaded.md": (
        "Without an event loop",
        "The same overseer in a thread of its own. Its methods block, and need no `await`.",
        aioverseer,
        (
            *("ThreadedOverseer", "ThreadedService", "ThreadedPlan", "ThreadedEvents", "ThreadedRuns", "ThreadedRun"),
            *("ThreadedInstances", "ThreadedItems", "ThreadedRequestChannel", "ThreadedLines"),
        ),
    ),
    "testing.md": (
        "Tests: aioverseer.testing",
        "Tools for tests: clocks under control, scripted children, ports, assertions about events.",
        aioverseer.testing,
        tuple(aioverseer.testing.__all__),
    ),
    "mcp.md": (
        "MCP servers: aioverseer.mcp",
        "The client of the official MCP SDK, with supervised servers under it.",
        aioverseer.mcp,
        ("mcp_streams",),
    ),
    "abc.md": (
        "Protocols: aioverseer.abc",
        "Protocols that users may implement. An object needs no base class: it fits when it has the methods.",
        aioverseer.abc,
        tuple(aioverseer.abc.__all__),
    ),
}
OTHER_PAGES = {
    "states.md": ("States", "State, and every transition of a Process and a Service."),
    "pytest.md": ("Pytest plugin", "Fixtures, markers, and options of the command line and of the ini file."),
}
ELSEWHERE = {"State": "states.md"}
"""Public names on a page that another test writes."""

INNER = {
    "EventStream": {"wait_for_event"},
    "Group": {"refuse"},
    "LineQueue": {"deliver", "end", "has_waiter", "put_back"},
    "LogBridge": {"logger_of"},
    "LogFile": {"rotates", "has_ids", "streams", "path_of", "rules", "words_of_run", "of_run"},
    "OutputQueue": {"connect", "deliver", "give_way"},
    "Recorder": {"finish"},
    "Roll": {"bounds", "min_ready_of"},
    "Runs": {"add", "hold_while_waiting", "is_closed", "reopen"},
    "Subscription": set("deliver deliver_last fail hold_while_waiting lossless reopen surplus takes".split()),
    "SharedService": {"leave", "sections"},
    "ThreadedService": {"wraps"},
}
"""Members that other layers of the library call. They are not for users."""
NOT_MADE = set(
    "Body EventStream Group GroupStatus Instances InstancesStatus Probe Recorder RunningChild Runs Service "
    "SharedService Subscription "
    "ThreadedEvents ThreadedInstances ThreadedItems ThreadedLines ThreadedRun ThreadedRuns ThreadedService".split()
)
"""Classes that users get from methods and do not make themselves."""
VARIABLES = {
    "EventStream": "events",
    "Instances": "web",
    "LineQueue": "queue",
    "RequestChannel": "channel",
    "Subscription": "queue",
    "ThreadedEvents": "events",
    "ThreadedLines": "lines",
}
"""Names of variables in the headings of special methods, where they are not the name of the class."""
OF_PYTHON = {
    "QueueShutDown": "The queue is at its end: every line was delivered, and none follows. This is "
    "`asyncio.QueueShutDown` since Python 3.13."
}

SPECIAL = {
    "__getitem__": "{it}[id]",
    "__contains__": "id in {it}",
    "__iter__": "for id in {it}",
    "__len__": "len({it})",
    "__bool__": "bool({it})",
    "__await__": "await {it}",
    "__enter__": "with {it}",
    "__aenter__": "async with {it}",
    "__exit__": "end of with {it}",
    "__aexit__": "end of async with {it}",
    "__aiter__": "async for item in {it}",
    "__next__": "next({it})",
    "__and__": "{it} & other",
    "__or__": "{it} | other",
    "__str__": "str({it})",
}
"""How users write the methods that Python calls by itself."""


def signature(thing: Callable[..., object], name: str, *, bound: bool) -> str:
    """Return a signature as it is written in code, one argument a line when it is long.

    Args:
        thing: A function, or a class.
        name: The words before the parenthesis.
        bound: Whether the first argument is left out: self.
    """
    found = inspect.signature(thing)
    parameters = list(found.parameters.values())[bound:]
    words: list[str] = []
    kind = None
    for parameter in parameters:
        if kind is parameter.POSITIONAL_ONLY is not parameter.kind:
            words.append("/")
        if parameter.kind is parameter.KEYWORD_ONLY and kind not in {parameter.KEYWORD_ONLY, parameter.VAR_POSITIONAL}:
            words.append("*")
        kind = parameter.kind
        words.append(_argument(parameter, thing))
    if kind is inspect.Parameter.POSITIONAL_ONLY:
        words.append("/")
    returns = "" if found.return_annotation is found.empty or inspect.isclass(thing) else annotation(found)
    line = f"{name}({', '.join(words)}){returns}"
    if len(line) <= WIDTH:
        return line
    return "\n".join([f"{name}(", *(f"    {word}," for word in words), f"){returns}"])


def annotation(found: inspect.Signature) -> str:
    """Return what follows a signature."""
    return f" -> {text_of(found.return_annotation)}"


def text_of(kind: object) -> str:
    """Return a type as it is written in code."""
    if isinstance(kind, ForwardRef):
        kind = kind.__forward_arg__
    return (kind if isinstance(kind, str) else str(getattr(kind, "__name__", kind))).replace("'", '"')


def _argument(parameter: inspect.Parameter, owner: object) -> str:
    stars = "*" * (1 if parameter.kind is parameter.VAR_POSITIONAL else 2 * (parameter.kind is parameter.VAR_KEYWORD))
    said = "" if parameter.annotation is parameter.empty else f": {text_of(parameter.annotation)}"
    if parameter.default is parameter.empty:
        return f"{stars}{parameter.name}{said}"
    return f"{stars}{parameter.name}{said}{' = ' if said else '='}{default(parameter.name, parameter.default, owner)}"


def default(name: str, value: object, owner: object) -> str:
    """Return a default as it is written in code."""
    fields: Mapping[str, Any] = getattr(owner, "__dataclass_fields__", {})
    if name in fields and fields[name].default_factory is not dataclasses.MISSING:
        value = fields[name].default_factory()
    if isinstance(value, aioverseer.Stop | aioverseer.Restart | aioverseer.Backoff):
        return f"{type(value).__name__}()"
    if isinstance(value, types.MappingProxyType):
        return "{}"
    return value.name if isinstance(value, signal.Signals) else repr(value).replace("'", '"')


SECTIONS = {
    "Args": "Arguments",
    "Attributes": "Attributes",
    "Returns": "Returns",
    "Raises": "Raises",
    "Yields": "Yields",
}


def markdown(doc: str) -> str:
    """Turn a docstring into Markdown: sections become lists."""
    parts: list[str] = []
    blocks = re.split(rf"^({'|'.join(SECTIONS)}):\n", doc, flags=re.MULTILINE)
    parts.append(blocks[0].strip())
    for title, block in zip(blocks[1::2], blocks[2::2], strict=True):
        inside, rest = _indented(block)
        entries = list(_entries(inside))
        if title == "Returns" or not entries:
            parts.append(f"**{SECTIONS[title]}:** {' '.join(inside.split())}")
        else:
            parts.append(f"**{SECTIONS[title]}**")
            parts.append("\n".join(f"- `{name}`: {text}" for name, text in entries))
        if rest.strip():
            parts.append(rest.strip())
    return re.sub(r"``([^`]+)``", r"`\1`", "\n\n".join(part for part in parts if part))


def _indented(block: str) -> tuple[str, str]:
    lines = block.splitlines()
    end = next((place for place, line in enumerate(lines) if line and not line.startswith("    ")), len(lines))
    return textwrap.dedent("\n".join(lines[:end])), "\n".join(lines[end:])


def _entries(block: str) -> Iterator[tuple[str, str]]:
    name, words = "", list[str]()
    for line in block.splitlines():
        if match := re.match(r"(\*{0,2}[\w.]+): (.*)", line):
            if name:
                yield name, " ".join(words)
            name, words = match.group(1), [match.group(2)]
        else:
            words.append(line.strip())
    if name:
        yield name, " ".join(words).strip()


def attributes(owner: type) -> dict[str, str]:
    """Return the entries of the Attributes section of a docstring."""
    blocks = re.split(r"^Attributes:\n", inspect.getdoc(owner) or "", flags=re.MULTILINE)
    return dict(_entries(_indented(blocks[1])[0])) if len(blocks) > 1 else {}


def members(owner: type) -> dict[str, Any]:
    """Return the members of a class that are for users, in the order of the source; those of inner bases come last."""
    inner = INNER.get(owner.__name__, set())
    own = [base for base in owner.__mro__ if base is owner or base.__module__.startswith("aioverseer._")]
    found = {name: member for base in reversed(own) for name, member in vars(base).items()}
    return {
        name: member
        for name, member in {**{name: found[name] for name in vars(owner)}, **found}.items()
        if name not in inner
        and (name in SPECIAL or not name.startswith("_"))
        and isinstance(member, types.FunctionType | property | classmethod | staticmethod)
        and getattr(member, "__doc__", None)
    }


def class_part(name: str, thing: type) -> list[str]:
    """Return the heading, the signature, the words and the members of a class."""
    parts = [f"## {name}", ""]
    is_plain = not issubclass(thing, BaseException | enum.Enum) and not _is_protocol(thing) and name not in NOT_MADE
    if is_plain and ("__init__" in vars(thing) or dataclasses.is_dataclass(thing) or hasattr(thing, "_fields")):
        parts += ["```py", signature(thing, name, bound=False), "```", ""]
    if issubclass(thing, BaseException):
        bases = [base.__name__ for base in thing.__mro__[1:] if base not in {Exception, BaseException, object}]
        parts += [f"Bases: {', '.join(f'`{base}`' for base in bases or ['Exception'])}.", ""]
    words = inspect.getdoc(thing) or ""
    made = inspect.getdoc(vars(thing)["__init__"]) or "" if is_plain and "__init__" in vars(thing) else ""
    parts += [markdown(words), ""]
    if made and not dataclasses.is_dataclass(thing):
        parts += [markdown(made), ""]
    for member_name, member in members(thing).items():
        parts += member_part(name, member_name, member)
    return parts


def _is_protocol(thing: type) -> bool:
    return bool(getattr(thing, "_is_protocol", False))


def member_part(owner: str, name: str, member: Any) -> list[str]:
    """Return the heading, the signature and the words of one member."""
    text = markdown(inspect.getdoc(member) or "")
    if name in SPECIAL:
        return [
            f"### `{SPECIAL[name].format(it=VARIABLES.get(owner, owner.removeprefix('Threaded').lower()))}`",
            "",
            text,
            "",
        ]
    if isinstance(member, property):
        kind = text_of(inspect.signature(typing.cast("Any", member.fget)).return_annotation)
        return [f"### `{owner}.{name}`", "", "```py", f"{owner}.{name}: {kind}", "```", "", text, ""]
    function = member.__func__ if isinstance(member, classmethod | staticmethod) else member
    begin = "await " if inspect.iscoroutinefunction(function) else ""
    shown = [
        signature(one, f"{begin}{owner}.{name}", bound=not isinstance(member, staticmethod))
        for one in typing.get_overloads(function) or [function]
    ]
    return [f"### `{owner}.{name}`", "", "```py", *shown, "```", "", text, ""]


def name_part(module: types.ModuleType, name: str) -> list[str]:
    """Return all about one public name."""
    thing = getattr(module, name)
    if name in OF_PYTHON:
        return [f"## {name}", "", OF_PYTHON[name], ""]
    if inspect.isclass(thing):
        return class_part(name, thing)
    prefix = "" if module is aioverseer.testing else f"{module.__name__.rpartition('.')[2]}."
    if inspect.isfunction(thing):
        return [
            f"## `{prefix}{name}`",
            "",
            "```py",
            signature(thing, f"{prefix}{name}", bound=False),
            "```",
            "",
            markdown(inspect.getdoc(thing) or ""),
            "",
        ]
    return [f"## {name}", "", "```py", f"{name} = {thing!r}", "```", "", constant_words(name), ""]


def constant_words(name: str) -> str:
    """Return the string below an assignment, in the module of the constant."""
    home: str = vars(aioverseer)["_HOMES"][name]
    file = PACKAGE.joinpath(*home.split(".")[1:]).with_suffix(".py")
    body = ast.parse(file.read_text(encoding="utf-8")).body
    for statement, following in itertools.pairwise(body):
        if isinstance(statement, ast.Assign) and [ast.unparse(target) for target in statement.targets] == [name]:
            return markdown(ast.literal_eval(typing.cast("ast.Expr", following).value))
    raise AssertionError(name)


def options_table() -> list[str]:
    """Return the table of all options, with their defaults."""
    rows = ["| option | default | meaning |", "|---|---|---|"]
    parameters = inspect.signature(Spec).parameters
    for name, meaning in attributes(Spec).items():
        if parameters[name].default is not inspect.Parameter.empty:
            given = default(name, parameters[name].default, Spec)
            rows.append(row(f"`{name}`", f"`{given}`", markdown(meaning)))
    return [*rows, ""]


def error_tree() -> list[str]:
    """Return the picture of the tree, which stands in the module of the errors."""
    return ["```text", (errors.__doc__ or "").split("```")[1].strip("\n"), "```", ""]


def types_part(text: str) -> list[str]:
    """Return the names of types that the signatures of some pages use, with their definitions."""
    used = set(re.findall(r"\w+", "".join(re.findall(r"^```py$(.*?)^```$", text, re.MULTILINE | re.DOTALL))))
    rows: list[str] = []
    for file in [*sorted((PACKAGE / "core").glob("[or]*/*.py")), PACKAGE / "_engine" / "output" / "subscription.py"]:
        body = ast.parse(file.read_text(encoding="utf-8")).body
        for statement, following in itertools.pairwise([*body, ast.Pass()]):
            if isinstance(statement, ast.Assign) and (name := ast.unparse(statement.targets[0])) in used:
                words = ""
                if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
                    words = " ".join(markdown(str(following.value.value)).split())
                rows.append(row(f"`{name}`", f"`{ast.unparse(statement.value)}`".replace("'", '"'), words))
    return ["## Types in signatures", "", row("name", "definition", "meaning"), "|---|---|---|", *sorted(rows), ""]


def row(*cells: str) -> str:
    """Return one row of a table."""
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def page(name: str) -> str:
    """Return one page."""
    title, words, module, names = PAGES[name]
    parts = [f"# {title}", "", NOTICE, "", words, "", f"Import from `{module.__name__}`.", ""]
    if name == "options.md":
        parts += ["## All options", "", *options_table()]
    if name == "errors.md":
        parts += error_tree()
    for one in names:
        parts += name_part(module, one)
    if name == "options.md":
        parts += types_part("\n".join([*parts, *(page(other) for other in PAGES if other not in {name, "testing.md"})]))
    return "\n".join(parts).rstrip() + "\n"


class _Recorded:
    """Stands in for the parser and the config of pytest, and keeps what the plugin adds."""

    def __init__(self) -> None:
        self.options: list[tuple[str, Mapping[str, Any]]] = []
        self.ini: list[tuple[str, str, Mapping[str, Any]]] = []

    def getgroup(self, *_names: str) -> _Recorded:
        return self

    def addoption(self, name: str, **given: Any) -> None:
        self.options.append((name, given))

    def addini(self, name: str, help: str, **given: Any) -> None:
        self.ini.append((name, help, given))


def plugin_page() -> str:
    """Return the page of the pytest plugin."""
    plugin = aioverseer.pytest_plugin
    parts = ["# Pytest plugin", "", NOTICE, "", "Pytest loads the plugin by itself where aioverseer is installed.", ""]
    parts += ["## Fixtures", ""]
    for name, (function, scope) in fixtures().items():
        kind = text_of(inspect.signature(function).return_annotation)
        kind = re.sub(r"^Generator\[(.*)\]$", r"\1", kind)
        parts += [f"### `{name}`", "", "```py", f"{name}: {kind}", "```", "", f"Scope: {scope}.", ""]
        parts += [markdown(inspect.getdoc(function) or ""), ""]
    parts += ["## Functions that make fixtures", "", "Import from `aioverseer.pytest_plugin`.", ""]
    for name in plugin.__all__:
        parts += [line.replace("## `pytest_plugin.", "### `") for line in name_part(plugin, name)]
    parts = [line.replace("pytest_plugin.", "") if line.startswith("pytest_plugin.") else line for line in parts]
    parts += [
        line.replace("## ", "### ", 1) if line.startswith("## ") else line.replace("### ", "#### ", 1)
        for line in class_part("SharedService", SharedService)
    ]
    said = _Recorded()
    plugin.pytest_addoption(typing.cast("Any", said))
    parts += ["## Marker", "", *markers(), ""]
    parts += ["## Options of the command line", "", "| option | meaning |", "|---|---|"]
    parts += [f"| `{name} {given.get('metavar', '')}` | {given['help']} |" for name, given in said.options]
    parts += ["", "## Options of the ini file", "", "| option | default | meaning |", "|---|---|---|"]
    parts += [f"| `{name}` | `{given['default']}` | {words} |" for name, words, given in said.ini]
    return "\n".join(parts).rstrip() + "\n"


def fixtures() -> dict[str, tuple[Callable[..., object], str]]:
    """Return the fixtures of the plugin, with their functions and scopes."""
    found: dict[str, tuple[Callable[..., object], str]] = {}
    tree = ast.parse(inspect.getsource(aioverseer.pytest_plugin))
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            for decorator in map(ast.unparse, node.decorator_list):
                if decorator.startswith("pytest.fixture"):
                    scope = re.search(r"scope='(\w+)'", decorator)
                    fixture = getattr(aioverseer.pytest_plugin, node.name)
                    found[node.name] = inspect.unwrap(fixture), scope.group(1) if scope else "function"
    return found


def markers() -> Iterator[str]:
    """Yield what the plugin tells pytest about its markers."""
    tree = ast.parse(inspect.getsource(aioverseer.pytest_plugin))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("addinivalue_line"):
            name, _, words = ast.literal_eval(node.args[1]).partition(": ")
            yield f"`@pytest.mark.{name}`: {words}"


def index_page() -> str:
    """Return the page that leads to all others: a table of the pages, and every name."""
    lines = ["# Reference", "", NOTICE, "", "| page | content |", "|---|---|"]
    lines += [f"| [{title}]({name}) | {' '.join(words.split())} |" for name, (title, words, *_) in PAGES.items()]
    lines += [f"| [{title}]({name}) | {words} |" for name, (title, words) in OTHER_PAGES.items()]
    lines += ["", "## Every name of `aioverseer`", ""]
    places = {name: where for where, (_, _, module, names) in PAGES.items() if module is aioverseer for name in names}
    places |= ELSEWHERE
    for name in sorted(places, key=str.lower):
        lines.append(f"- [`{name}`]({places[name]}#{name.lower()})")
    return "\n".join(lines) + "\n"


def all_pages() -> dict[str, Callable[[], str]]:
    """Return what makes each page."""
    made: dict[str, Callable[[], str]] = {name: lambda name=name: page(name) for name in PAGES}  # type: ignore[misc]  # a default in a lambda
    return made | {"index.md": index_page, "pytest.md": plugin_page}


@pytest.mark.parametrize("name", [*PAGES, "index.md", "pytest.md"])
def test_page_is_that_of_the_code(name: str) -> None:
    """A docstring or a signature that was changed without its page fails here."""
    expected = (FOLDER / name).read_text(encoding="utf-8")
    assert all_pages()[name]() == expected, "run: python tests/project/test_reference.py --write"


def test_every_public_name_has_its_place() -> None:
    """A name stands on one page, and each module has all of its names on its page."""
    placed = [name for _, _, module, names in PAGES.values() if module is aioverseer for name in names]
    assert sorted(aioverseer.__all__) == sorted([*placed, *ELSEWHERE])


def test_folder_has_no_other_page() -> None:
    assert {path.name for path in FOLDER.glob("*.md")} == {*PAGES, *OTHER_PAGES, "index.md"}


def test_every_option_has_its_words() -> None:
    assert list(attributes(Spec)) == list(inspect.signature(Spec).parameters)
    assert Process("true").spec.buffered


def test_every_state_is_on_its_page() -> None:
    text = (FOLDER / "states.md").read_text(encoding="utf-8")
    for state in State:
        assert f"| `{state.name}` | {state.value} | {state} |" in text


@pytest.mark.parametrize("owner", [Overseer, Process, Service])
def test_dir_of_a_handle_equals_the_reference(owner: type) -> None:
    """Completion in an editor offers nothing that is not for users."""
    text = (FOLDER / f"{owner.__name__.lower()}.md").read_text(encoding="utf-8")
    promised = set(re.findall(rf"^### `{owner.__name__}\.(\w+)`", text, re.MULTILINE))
    assert promised == {name for name in dir(owner) if not name.startswith("_")}


if __name__ == "__main__" and "--write" in sys.argv:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for file_name, make in all_pages().items():
        (FOLDER / file_name).write_text(make(), encoding="utf-8")

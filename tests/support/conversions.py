"""Files of other supervisors in the tests, each with the exact result and report of its conversion beside it.

Of ``NAME.conf`` the result is ``NAME.conf.toml``, and the report ``NAME.conf.notes``: a line for each note. They are
written anew by ``python -m tests.support.conversions``; read the difference before you keep it.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tomli_w

from aioverseer import Spec
from aioverseer.config.convert import Conversion, read

FILES = Path(__file__).parents[1] / "faces/config/convert/files"
"""A folder for each kind."""
PROCESSORS = 4
"""Number of processors of the machine that the files are converted on."""
_OURS = (".toml", ".notes")
_OF_FILES = ("enabled", "profiles", "env_file")
_LIMITS = ("max_restarts", "within")


def files_of(*kinds: str) -> list[Path]:
    """Return the files of some kinds."""
    return sorted(path for kind in kinds for path in (FILES / kind).iterdir() if path.suffix not in _OURS)


def convert(path: Path) -> Conversion:
    """Read a file of the tests as its folder says."""
    return read(path.read_text(encoding="utf-8"), kind=path.parent.name, path=path.name)


def report(conversion: Conversion) -> str:
    """Return the notes, a line each."""
    return "".join(f"{note}\n" for note in conversion.notes)


def kept_data(path: Path) -> Any:
    """Return the result beside a file."""
    return tomllib.loads(path.with_name(f"{path.name}.toml").read_text(encoding="utf-8"))


def kept_report(path: Path) -> str:
    """Return the report beside a file."""
    return path.with_name(f"{path.name}.notes").read_text(encoding="utf-8")


def specs_of(conversion: Conversion) -> Iterator[Spec]:
    """Yield a Spec for each service, with the defaults of its file. Each variable has the value ``x``."""
    defaults = conversion.data.get("defaults", {})
    for name, options in conversion.data["services"].items():
        merged = _filled(_merged(defaults, options))
        yield Spec.from_dict({"id": name, **{key: value for key, value in merged.items() if key not in _OF_FILES}})


def _filled(data: Any) -> Any:
    match data:
        case str():
            return re.sub(r"\$\$|\$\{[^}]*\}", lambda found: "$" if found[0] == "$$" else "x", data)
        case dict():
            return {key: None if key in _LIMITS and value == "none" else _filled(value) for key, value in data.items()}
        case list():
            return [_filled(value) for value in data]
        case _:
            return data


def _merged(first: Any, second: Any) -> Any:
    if not isinstance(first, dict) or not isinstance(second, dict):
        return second
    return {**first, **{key: _merged(first.get(key), value) for key, value in second.items()}}


def main() -> None:
    """Write the results and the reports of all files anew."""
    os.cpu_count = lambda: PROCESSORS
    for folder in sorted(FILES.iterdir()):
        for path in files_of(folder.name):
            conversion = convert(path)
            text = tomli_w.dumps(conversion.data)
            path.with_name(f"{path.name}.toml").write_text(text, encoding="utf-8")
            path.with_name(f"{path.name}.notes").write_text(report(conversion), encoding="utf-8")


if __name__ == "__main__":
    main()

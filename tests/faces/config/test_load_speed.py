"""A thousand services load in less than half a second on a quiet machine."""

from __future__ import annotations

import os
import time
import tomllib
from collections.abc import Callable
from pathlib import Path

from aioverseer.config import load

LONG = bool(os.environ.get("AIOVERSEER_LONG"))
ROUNDS = 5 if LONG else 2
MOST = 3.8 if LONG else 5.0
"""Times of the parser alone, which takes 0.13 s where the whole may take 0.5 s. Fewer services leave more to chance."""


def least(work: Callable[[], object]) -> float:
    """Return the least CPU seconds of a few rounds."""
    seconds = []
    for _ in range(ROUNDS):
        began = time.process_time()
        work()
        seconds.append(time.process_time() - began)
    return min(seconds)


def service(number: int) -> str:
    """Return the table of a service with the options that most services have."""
    before = f'after = "s{number - 1}"' if number else ""
    return f"""
[services.s{number}]
command = ["python", "-m", "app.worker", "--number", "{number}", "--base", "{{vars.base}}"]
extra_env = {{ NUMBER = "{number}", LEVEL = "${{LEVEL:-info}}" }}
{before}
ready = {{ tcp = {10_000 + number} }}
restart = {{ when = "always", backoff = {{ min = 0.2, max = 30.0 }} }}
stop = {{ signal = "SIGINT", timeout = 5.0 }}
log = {{ path = "log/{{id}}.log", max_bytes = 10_000_000, keep = 5 }}
"""


def test_thousand_services_load_in_a_few_times_of_the_parser(tmp_path: Path) -> None:
    count = 1000 if LONG else 300
    head = 'vars = { base = "${BASE:-9}" }\ndefaults = { extra_env = { A = "1" }, restart = { max_restarts = 5 } }\n'
    text = head + "".join(map(service, range(count)))
    file = tmp_path / "aioverseer.toml"
    file.write_text(text)
    assert count == len(load(file, environ={}))  # imports apart
    parser, whole = least(lambda: tomllib.loads(text)), least(lambda: load(file, environ={}))
    assert whole < MOST * parser
    assert not LONG or whole < 0.5 or parser > 0.13

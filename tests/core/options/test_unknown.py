"""Unknown keywords of the values that users make are answered like unknown options of a service."""

from __future__ import annotations

import inspect
import pickle
from typing import Any

import pytest

from aioverseer import (
    Alive,
    Backoff,
    EventHook,
    LogBridge,
    LogFile,
    Overseer,
    Restart,
    SpecError,
    Stop,
    ThreadedOverseer,
    ready,
)
from aioverseer.core.options.unknown import _WORDS

ARGUMENTS: dict[type[Any], tuple[Any, ...]] = {
    Overseer: (),
    ThreadedOverseer: (),
    Restart: (),
    Backoff: (),
    Stop: (),
    Alive: (ready.tcp(8000),),
    LogFile: ("web.log",),
    LogBridge: (),
    EventHook: (),
}


@pytest.mark.parametrize(
    ("made", "name", "words"),
    [
        (Overseer, "shutdown_timout", "did you mean 'shutdown_timeout'?"),
        (Overseer, "restart", "overseer.add('web', 'python', '-m', 'app', restart=...)"),
        (Overseer, "depends_on", "for a service, write after='db'"),
        (Overseer, "timeout", "shutdown_timeout=10"),
        (ThreadedOverseer, "contain", "did you mean 'containment'?"),
        (Restart, "max_restart", "did you mean 'max_restarts'?"),
        (Restart, "retries", "max_restarts=5"),
        (Restart, "delay", "backoff=Backoff("),
        (Backoff, "multiplier", "factor=2"),
        (Backoff, "maxi", "did you mean 'max'?"),
        (Stop, "grace_period", "Stop(timeout=10)"),
        (Stop, "time_out", "did you mean 'timeout'?"),
        (Alive, "interval", "every=10"),
        (Alive, "failure", "did you mean 'failures'?"),
        (LogFile, "maxBytes", "did you mean 'max_bytes'?"),
        (LogFile, "backupCount", "keep=5"),
        (LogBridge, "level", "stdout=logging.INFO"),
        (EventHook, "command", "run=['./notify.sh']"),
        (Restart, "zzz", "there are backoff, force_codes,"),
    ],
)
def test_an_unknown_keyword_is_answered(made: type[Any], name: str, words: str) -> None:
    with pytest.raises(SpecError) as caught:
        made(*ARGUMENTS[made], **{name: "value"})
    shown = "Overseer" if made is ThreadedOverseer else made.__name__
    assert str(caught.value).startswith(f"{shown}: there is no option {name!r}; ")
    assert words in str(caught.value)
    assert (name, "value", None) == (caught.value.option, caught.value.value, caught.value.__cause__)


@pytest.mark.parametrize("made", [made for made in ARGUMENTS if made is not ThreadedOverseer])
def test_no_option_of_ours_has_an_answer(made: type[Any]) -> None:
    """An answer for a word that exists would never be given."""
    names = {name.replace("_", "") for name in inspect.signature(made).parameters}
    assert set() == names & set(_WORDS[made.__name__])


def test_other_wrong_arguments_stay_type_errors() -> None:
    """A missing argument, and one too many."""
    with pytest.raises(TypeError, match="path"):
        LogFile()  # type: ignore[call-arg]  # wrong on purpose
    with pytest.raises(TypeError, match="positional"):
        Restart("always", 5)  # type: ignore[call-arg]  # wrong on purpose


def test_signatures_and_copies_are_those_of_the_class() -> None:
    """Editors and the reference read them."""
    assert ["signal", "timeout", "steps", "scope"] == list(inspect.signature(Stop).parameters)
    assert Restart("always") == pickle.loads(pickle.dumps(Restart("always")))

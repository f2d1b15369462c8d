"""Answers to unknown keywords of the values that users make, in place of Python's TypeError."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from aioverseer.core.errors import SpecError

__all__ = ["answers_unknown", "hint_for_name"]

T = TypeVar("T", bound=type[Any])

_BUDGET = "write max_restarts=5, and within=60 for its seconds"
_DELAY = "write backoff=Backoff(min=1, max=30)"
_SECONDS = "write Stop(timeout=10), or Stop(steps=[(signal.SIGINT, 5), (signal.SIGTERM, 5)])"
_SIGNAL = "write Stop(signal.SIGINT, timeout=10)"
_ROTATION = "write max_bytes=10_000_000 for a size or every=86400 for a day, and keep=5 for the rotated files"

_WORDS: dict[str, dict[str, str]] = {
    owner: {word: answer for words, answer in table for word in words.split()}
    for owner, table in (
        (
            "Restart",
            (
                ("retries maxretries maxattempts attempts max limit count burst maxretry tries", _BUDGET),
                ("delay delays interval wait sleep pause min factor jitter maxdelay seconds", _DELAY),
                ("window period per time", "write within=60, in seconds"),
                ("policy condition mode on restart", "write Restart('always'), Restart('on-failure') or another one"),
                ("codes exitcodes ok", "write success_codes={0, 2}"),
                ("signals", "write success_signals={signal.SIGTERM}"),
            ),
        ),
        (
            "Backoff",
            (
                ("initial base start first delay minimum interval mindelay", "write min=0.1, in seconds"),
                ("maximum cap limit ceiling maxdelay longest", "write max=30, in seconds"),
                ("multiplier exponent growth ratio exponential", "write factor=2"),
                ("random spread", "write jitter=True, 'full' or 'decorrelated'"),
                ("attempts retries maxattempts tries maxretries", "write Restart(max_restarts=5) for their number"),
                ("seed", "write rng=random.Random(1)"),
            ),
        ),
        (
            "Stop",
            (
                ("sig signals kill killsignal stopsignal number", _SIGNAL),
                ("seconds grace graceperiod wait killafter after delay period stoptimeout", _SECONDS),
                ("ladder signalsequence", _SECONDS),
                ("tree group leader children", "write scope='tree' or scope='leader'"),
            ),
        ),
        (
            "Alive",
            (
                ("interval period seconds periodseconds", "write every=10, in seconds"),
                ("retries threshold failurethreshold tries attempts maxfailures", "write failures=3"),
                ("successthreshold", "write successes=1"),
                ("startperiod initialdelay initialdelayseconds delay start", "write grace=30, in seconds"),
                ("timeoutseconds", "write timeout=3"),
                ("check test command url port http tcp", "pass the probe first: Alive(ready.tcp(8000))"),
                ("restart onfailure", "write action='restart' or action='mark'"),
            ),
        ),
        (
            "Recycle",
            (
                ("maxmemory memorymax rss limit memorylimit", "write memory=512 * 2**20, in bytes"),
                ("maxage lifetime every interval", "write age=86400, in seconds"),
                ("jitter random", "write spread=0.2, as a part of the age"),
                ("seconds within", "write hold=30, in seconds"),
            ),
        ),
        (
            "Watch",
            (
                ("path folder folders directory dir files", 'pass the paths first: Watch("src", "app.toml")'),
                ("patterns glob globs only", 'write include=("*.py",)'),
                ("ignore ignored", 'write exclude=("*.log",)'),
                ("delay wait seconds", "write debounce=0.3, in seconds"),
            ),
        ),
        ("PidFile", (("file pidfile name filename", "pass the path first: PidFile('/run/web.pid')"),)),
        (
            "Cron",
            (
                ("tz zone timezonename", "write timezone='Europe/Berlin'"),
                ("concurrency concurrencypolicy maxinstances coalesce forbid", "write overlap='skip' or another one"),
                ("misfire misfiregracetime grace startingdeadlineseconds tolerance", "write within=600, in seconds"),
                ("persistent catchup persist", "write missed='once', stamp='/var/lib/app/job.stamp'"),
                ("randomizeddelaysec random spread", "write jitter=60, in seconds"),
                ("timeout limit", "write max_runtime=600, an option of the service"),
            ),
        ),
        (
            "Every",
            (
                ("seconds interval delay", "pass the seconds first: Every(300)"),
                ("minutes hours days", "pass seconds: Every(300)"),
                ("atstart immediately startnow", "write first='at_start'"),
                ("missed within timezone", "it goes by real time: take a Cron for times of the calendar"),
            ),
        ),
        (
            "LogFile",
            (
                ("file filename name", "pass the path first: LogFile('web.log')"),
                ("backups backupcount count files retention", "write keep=5"),
                ("maxsize size rotate rotation when interval period days", _ROTATION),
                ("gzip gz compression", "write compress=True"),
                ("json", "write format='json'"),
                ("timestamp time times dates", "write timestamps=True"),
                ("append mode", "lines are always appended"),
                ("encoding errors", "the file keeps the bytes of the program; encoding= is an option of the service"),
                ("level logger", "write log=LogBridge() for logging"),
            ),
        ),
        (
            "LogBridge",
            (
                ("name", "write logger='app.{id}'"),
                ("level", "write stdout=logging.INFO, stderr=logging.WARNING"),
            ),
        ),
        (
            "EventHook",
            (
                ("command cmd exec script action argv program", "write run=['./notify.sh']"),
                (
                    "event events states state when kinds trigger",
                    "write on='failed', or on=['fatal', 'backoff']",
                ),
                ("service id names name only", "write services=['web'], or leave it out for all services"),
                ("env environment variables", "write extra_env={'NAME': 'value'}"),
                ("limit deadline seconds killafter", "write timeout=30, in seconds"),
                ("concurrency parallel buffersize workers instances", "write max_running=4"),
                ("dir directory chdir workdir workingdirectory", "write cwd='/srv/app'"),
            ),
        ),
        (
            "Overseer",
            (
                ("timeout stoptimeout graceperiod shutdown", "write shutdown_timeout=10, in seconds"),
                ("signals signalhandlers installsignalhandlers", "write handle_signals=True"),
                ("loglevel level logger verbose", "set the level of logging.getLogger('aioverseer')"),
                ("services programs specs", "add each one: overseer.add('web', 'python', '-m', 'app')"),
                ("strategy", "write overseer.group('name', 'one_for_all'), and group='name' for its services"),
                ("maxrestarts ratelimit", "write restart_rate=10, or Restart(max_restarts=5) for one service"),
                ("loop", "it runs on the loop that enters it: async with Overseer()"),
            ),
        ),
    )
}
"""Answers by the class and by words of other tools, in small letters, without dashes and underscores."""


def hint_for_name(name: str, known: Iterable[str]) -> str:
    """Return what to write in place of an option that does not exist.

    Args:
        name: Name of the option.
        known: Names that exist.
    """
    import difflib  # noqa: PLC0415  # slow to import, and only errors need it

    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names)}"


def answers_unknown(elsewhere: Callable[[str], str | None] | None = None) -> Callable[[T], T]:
    """Return a decorator of a class: an unknown keyword of its constructor is a SpecError that says what to write.

    Args:
        elsewhere: Function that returns the answer to a name that belongs to another class; None for no other class.
    """

    def decorate(made: T) -> T:
        init: Callable[..., None] = made.__init__
        code = init.__code__
        known = code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]

        @functools.wraps(init)
        def answering(self: object, *args: Any, **given: Any) -> None:
            try:
                init(self, *args, **given)
            except TypeError:
                for name, value in given.items():
                    if name not in known:
                        answer = _answer(made.__name__, name) or (elsewhere and elsewhere(name))
                        text = f"{made.__name__}: there is no option {name!r}; {answer or hint_for_name(name, known)}"
                        raise SpecError(text, option=name, value=value) from None
                raise

        made.__init__ = answering
        return made

    return decorate


def _answer(owner: str, name: str) -> str | None:
    return _WORDS[owner].get(name.lower().replace("_", "").replace("-", ""))

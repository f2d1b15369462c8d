"""Words of other tools: each is answered with ours."""

from __future__ import annotations

from typing import Any, cast

import pytest

from aioverseer.core.errors import SpecError
from aioverseer.core.options.checks import OPTIONS
from aioverseer.core.options.foreign import WORDS
from aioverseer.core.options.spec import Spec, describe


@pytest.mark.parametrize(
    ("word", "ours"),
    [
        # supervisord
        ("command", "each argument on its own"),
        ("numprocs", "add_instances"),
        ("autostart", "start_all()"),
        ("autorestart", "restart=Restart('always')"),
        ("startsecs", "ready="),
        ("startretries", "max_restarts=5"),
        ("exitcodes", "success_codes"),
        ("stopsignal", "stop=Stop(signal.SIGINT"),
        ("stopwaitsecs", "timeout=10"),
        ("stopasgroup", "scope='tree'"),
        ("redirect_stderr", "merge_stderr=True"),
        ("stdout_logfile", "log=LogFile("),
        ("directory", "cwd="),
        ("environment", "extra_env="),
        ("priority", "start_all()"),
        # compose
        ("depends_on", "after='db'"),
        ("healthcheck", "alive=Alive("),
        ("working_dir", "cwd="),
        ("stop_grace_period", "stop=Stop("),
        ("env_file", "extra_env="),
        ("mem_limit", "memory_max="),
        # circus
        ("cmd", "each argument on its own"),
        ("numprocesses", "add_instances"),
        ("graceful_timeout", "stop=Stop("),
        # pm2
        ("max_memory_restart", "recycle=Recycle(memory="),
        ("min_uptime", "reset_after"),
        ("kill_timeout", "stop=Stop("),
        ("wait_ready", "ready="),
        # systemd
        ("idle_timeout", "on_demand=True with listen="),
        ("ExecStart", "each argument on its own"),
        ("RestartSec", "backoff="),
        ("WorkingDirectory", "cwd="),
        ("KillMode", "scope="),
        ("LimitNOFILE", "rlimits="),
        ("Type", "ready.notify()"),
        # subprocess
        ("shell", "'sh', '-c'"),
        ("args", "each argument on its own"),
        ("preexec_fn", "umask="),
        ("text", "encoding="),
        ("timeout", "ready_timeout="),
        ("check", "check()"),
        ("start_new_session", "already"),
    ],
)
def test_a_word_of_another_tool_is_answered_with_ours(word: str, ours: str) -> None:
    makes: list[Any] = [
        lambda **given: Spec.of("db", ["redis-server"], **given),
        lambda **given: describe("db", ("redis-server",), cast("Any", given)),
        Spec.of("db", ["redis-server"]).updated,
    ]
    for make in makes:
        with pytest.raises(SpecError) as caught:
            make(**{word: "value"})
        assert str(caught.value).startswith(f"service 'db': there is no option {word!r}; ")
        assert ours in str(caught.value)
        assert (caught.value.option, caught.value.value) == (word, "value")


def test_no_option_of_ours_is_a_foreign_word() -> None:
    assert set() == OPTIONS & set(WORDS)

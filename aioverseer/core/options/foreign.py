"""Words of other tools for options: each is answered with the way to say it here."""

from __future__ import annotations

__all__ = ["WORDS", "answer_to"]

_ARGUMENTS = "pass the program and each argument on its own after the name, as in add('web', 'python', '-m', 'app')"
_SHELL = "there is no shell: pass the program and each argument on its own, or 'sh', '-c', 'a | b' for a script"
_SEVERAL = "write overseer.add_instances('web', ..., instances=4)"
_RESTART = "write restart=Restart('always'), Restart('on-failure') or Restart('never')"
_BUDGET = "write restart=Restart(max_restarts=5, within=60)"
_DELAYS = "write restart=Restart(backoff=Backoff(min=1, max=30))"
_CODES = "write restart=Restart(success_codes={0, 2}), or prevent_codes or force_codes of it"
_STEADY = "write restart=Restart(reset_after=10), and ready= for the moment when it can do its work"
_STOP = "write stop=Stop(signal.SIGINT, timeout=10)"
_SCOPE = "write stop=Stop(scope='tree') to signal all that it has started, or scope='leader' for the program alone"
_ORDER = "write after='db', or after={'migrate': 'success'}"
_BEFORE = "write after= in the other service, with the name of this one"
_START = "nothing is started by add: call start('web') or start_all(), and delay_start=2 delays it"
_ENV = "write env={'A': '1'} for the whole environment, or extra_env={'A': '1'} to add to it"
_ENV_FILE = "read the file yourself, and pass its values as extra_env={'A': '1'}"
_CWD = "write cwd='/srv/app'"
_USER = "write user='name' or user='name:group'"
_OUTPUT = "write output='read', 'inherit' or 'null', and log=LogFile('web.log') for a file"
_LOG = "write log=LogFile('web.log'), which rotates by size or time"
_MERGE = "write merge_stderr=True"
_TEXT = "write encoding='utf-8', or encoding=None for bytes"
_INPUT = "write stdin='pipe', or stdin='some text'"
_READY = "write ready=ready.tcp(8000), or another probe of aioverseer.ready, and ready_timeout=30"
_ALIVE = "write alive=Alive(ready.http('http://127.0.0.1:8000/health'), every=10)"
_LIMITS = "write rlimits={'nofile': (1024, 4096)}"
_MEMORY = "write memory_max=512 * 1024 * 1024, in bytes"
_CPU = "write cpu_max=0.5, in processors"
_TASKS = "write pids_max=100"
_TERMINAL = "write pty=True"
_LEFT = "write leftovers='kill', 'keep' or 'report'"
_MAIN_PID = "write main_pid=PidFile('/run/web.pid'), or main_pid='notify' for a program that sends MAINPID="
_HOOK = "write prepare= or cleanup=: an async function or a list of words, before or after each run"
_TIMEOUT = "write ready_timeout=30 for the start, stop=Stop(timeout=10) for the stop, or max_runtime=600 for a run"
_SCHEDULE = "write schedule=Cron('30 2 * * *'), or schedule=Every(300)"
_CHECK = "call check() of the Status at the end: it raises for a failure"
_NAME = "the name is the first argument: add('web', 'python', '-m', 'app')"
_OWN_SESSION = "each program has a session and a group of its own already"
_DESCRIPTORS = "a program gets no descriptors but its standard streams, those of its probes, and listen="
_SOCKETS = "write listen={'http': listen.tcp(8000)} with aioverseer.listen: the program gets it as descriptor 3"
_ON_DEMAND = (
    "write on_demand=True with listen=, for a start at the first connection, or RequestChannel(service, ..., "
    "on_demand=True, idle_timeout=60) for one at the first question"
)
_PREEXEC = "write user=, umask=, nice= or rlimits=: no function runs between fork and exec"
_RELOAD = "write reload=signal.SIGHUP or reload=['nginx', '-s', 'reload'], and call reload('web')"
_RECYCLE = "write recycle=Recycle(memory=512 * 2**20), or age= in seconds"
_WATCH = "write watch=Watch('src', exclude=('*.log',), debounce=0.3)"
_GROUP = "write group='name', and overseer.group('name', 'one_for_all') for a shared fate"

WORDS: dict[str, str] = {
    word: answer
    for words, answer in (
        ("command cmd args arguments argv0 script interpreter executable entrypoint exec execstart", _ARGUMENTS),
        ("program", _ARGUMENTS),
        ("argv", f"there are no arguments by name: {_ARGUMENTS}"),
        ("shell shellargs", _SHELL),
        ("numprocs numprocesses numprocsstart concurrency formation replicas scale workers", _SEVERAL),
        ("autorestart respawn restartpolicy restartmode unlessstopped", _RESTART),
        ("startretries maxrestarts maxretry maxretries retries restarttries retrytimes startlimitburst", _BUDGET),
        ("startlimitinterval startlimitintervalsec restartlimit restartmaxattempts", _BUDGET),
        ("restartsec restartdelay expbackoffrestartdelay backoff restartsteps restartmaxdelaysec", _DELAYS),
        ("exitcodes stopexitcodes successexitstatus restartpreventexitstatus restartforceexitstatus", _CODES),
        ("startsecs minuptime", _STEADY),
        ("stopsignal killsignal gracefultimeout killtimeout stopwaitsecs stopgraceperiod stoptimeout", _STOP),
        ("timeoutstopsec terminationgraceperiodseconds graceperiod sendsigkill finalkillsignal", _STOP),
        ("stopasgroup killasgroup killmode stopchildren treekill", _SCOPE),
        ("dependson requires wants requisite bindsto waitfor needs depends", _ORDER),
        ("before requiredby wantedby", _BEFORE),
        ("priority warmupdelay autostart startdelay startin enabled", _START),
        ("environ environment envvars passenvironment unsetenvironment copyenv", _ENV),
        ("envfile environmentfile dotenv", _ENV_FILE),
        ("directory workingdir workingdirectory workdir chdir dir", _CWD),
        ("uid gid runas", _USER),
        ("supplementarygroups groupadd", "write extra_groups=['adm']"),
        ("standardoutput standarderror captureoutput capture", _OUTPUT),
        ("stdoutlogfile stderrlogfile logfile outfile errorfile outlog stdoutstream stderrstream logging", _LOG),
        ("stdoutlogfilemaxbytes stdoutlogfilebackups stderrlogfilemaxbytes stderrlogfilebackups logdriver", _LOG),
        ("redirectstderr mergelogs combinelogs", _MERGE),
        ("text universalnewlines", _TEXT),
        (
            "bufsize limit maxline",
            "write line_limit=16384 for a line, and queue_size=1000 for the lines kept",
        ),
        ("input standardinput stdinopen stdindata", _INPUT),
        ("readinessprobe startupprobe waitready listentimeout timeoutstartsec startperiod notifyaccess", _READY),
        ("type", "write ready=ready.notify() for a program that calls sd_notify, and none for a simple one"),
        ("healthcheck health livenessprobe watchdog watchdogsec", _ALIVE),
        ("ulimits ulimit limitnofile limitnproc limitcore rlimitnofile rlimitnproc rlimitcore", _LIMITS),
        ("memlimit memory memorylimit memorymax maxmemory", _MEMORY),
        ("maxmemoryrestart maxrequests runtimemax", _RECYCLE),
        ("cpuquota cpu cpulimit", _CPU),
        ("pidslimit tasksmax pids", _TASKS),
        ("niceness renice", "write nice=10"),
        ("oomscoreadjust oomscore oomkilldisable", "write oom_score_adj=500"),
        ("cpuaffinity affinity cpuset cpusetcpus", "write cpus=[0, 1], the numbers of processors"),
        ("ioschedulingclass ioschedulingpriority ionice iopriority", "write io_class='idle' or 'best-effort:7'"),
        ("nonewprivileges nonewprivs securityopt", "write no_new_privileges=True"),
        ("ambientcapabilities capabilities capadd", "write ambient_capabilities=['net_bind_service']"),
        ("tty usepty terminal", _TERMINAL),
        ("daemon daemonize detach detached remainafterexit", _LEFT),
        ("pidfile forking mainpid guessmainpid", _MAIN_PID),
        ("execstartpre execstartpost execstoppost hooks prestart poststart beforestart onstart", _HOOK),
        ("execstop onstop prestop", _STOP),
        ("execreload sendhup", _RELOAD),
        ("ignorewatch watchpatterns watchdelay", _WATCH),
        ("timeout", _TIMEOUT),
        ("runtimemaxsec activedeadlineseconds jobtimeout", "write max_runtime=600"),
        ("cron crontab oncalendar timer interval every period cronrestart onunitactivesec", _SCHEDULE),
        ("check", _CHECK),
        ("name processname containername servicename title", _NAME),
        ("startnewsession processgroup setsid restoresignals", _OWN_SESSION),
        ("passfds closefds inheritfds", _DESCRIPTORS),
        ("usesockets sockets socket listenstream filedescriptorname", _SOCKETS),
        ("preexecfn", _PREEXEC),
        ("idletimeout lazy socketactivation accept", _ON_DEMAND),
        ("groupname label labels namespace partof", _GROUP),
        (
            "build image ports volumes networks",
            "run it as a program: add('db', 'docker', 'run', '--rm', ...)",
        ),
    )
    for word in words.split()
}
"""Answers by the words of supervisord, compose, circus, pm2, systemd, Kubernetes and subprocess.

A word is in small letters, without dashes and underscores.
"""


def answer_to(name: str) -> str | None:
    """Return what to write in place of an option of another tool.

    Args:
        name: Name of an option that does not exist here, in any spelling.

    Returns:
        The answer, or None for an unknown word.
    """
    return WORDS.get(name.lower().replace("_", "").replace("-", ""))

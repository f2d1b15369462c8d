"""Programs below wrappers, stopped many times: how many of them could not save."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path

from aioverseer import Overseer, Restart
from aioverseer.core.options.containment import AskedContainment

__all__ = ["KINDS", "LEVELS", "lost_by"]

LEVELS: tuple[AskedContainment, ...] = ("basic", "guarded", "strict", "pidns")

PYTHON = """
import signal, sys, time
def save(number, frame):
    time.sleep(0.3)
    open(sys.argv[1], 'a').write('x')
    sys.exit()
signal.signal(signal.SIGTERM, save)
print('up', flush=True)
time.sleep(60)
"""

NODE = """
process.on('SIGTERM', () => setTimeout(() => {
  require('fs').appendFileSync(process.argv[2], 'x'); process.exit(0)
}, 300));
console.log('up'); setInterval(() => {}, 1000);
"""

RUNS = "import subprocess, sys; sys.exit(subprocess.run(sys.argv[1:]).returncode)"

KINDS = ("shell", "start script", "session", "python", "ends by itself", "npm")
"""Kinds of wrappers. A service that ends by itself is not stopped; the others are."""


def command(kind: str, folder: Path, saved: Path) -> list[str] | None:
    """Return the command line of a wrapper and its program; None where this machine lacks it."""
    program = [sys.executable, "-I", "-S", "-c", PYTHON, str(saved)]
    match kind:
        case "shell":
            return ["sh", "-c", '"$@"; echo bye', "sh", *program]
        case "start script":
            return ["sh", "-c", '"$@" & wait', "sh", *program]
        case "session":
            return ["sh", "-c", 'setsid "$@"; echo bye', "sh", *program]
        case "python":
            return [sys.executable, "-I", "-S", "-c", RUNS, *program]
        case "ends by itself":
            return ["sh", "-c", 'exec 3<&0; "$@" & read -r line <&3; exit 1', "sh", *program]
        case _:
            if shutil.which("npm") is None:
                return None
            (folder / "app.js").write_text(NODE)
            scripts = {"start": f"node app.js {saved}"}
            (folder / "package.json").write_text(json.dumps({"name": "app", "version": "1.0.0", "scripts": scripts}))
            return ["npm", "start"]


async def lost_by(level: AskedContainment, kind: str, rounds: int) -> int | None:
    """Return how many programs could not save; None where this machine lacks the wrapper."""
    lost = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        saved = folder / "saved"
        words = command(kind, folder, saved)
        if words is None:
            return None
        async with Overseer(containment=level) as overseer:
            never = Restart("never")
            service = overseer.add("app", *words, cwd=folder, stdin="pipe", restart=never, drain_timeout=1)
            for _ in range(rounds):
                saved.write_text("")
                lines = service.lines()
                await service.start()
                while str((await lines.get()).text) != "up":
                    pass
                if kind == "ends by itself":
                    await service.write("\n")
                    await service.wait()
                else:
                    await service.stop()
                lost += saved.read_text() != "x"
    return lost

"""Services of other supervisors' files run as they do there."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from aioverseer.config import load

ANSWERS = """
import socket
listener = socket.socket(fileno=0)
while True:
    connection, _ = listener.accept()
    connection.sendall(b"hello")
    connection.close()
"""
TELLS = """
import json, os, sys
shown = {name: os.environ[name] for name in sorted(os.environ) if name.startswith("T_")}
print(json.dumps([sys.argv[1:], os.getcwd(), shown]))
"""


async def test_a_fastcgi_program_of_supervisord_has_the_socket_as_its_input(tmp_path: Path) -> None:
    (tmp_path / "answers.py").write_text(ANSWERS)
    path = tmp_path / "supervisord.conf"
    path.write_text(
        f"[fcgi-program:web]\ncommand={sys.executable} %(here)s/answers.py\nsocket=unix://{tmp_path}/web.sock\nnumprocs=2\n"
        "process_name=%(process_num)d\n"
    )
    config = load(path, environ={})
    async with config.make_overseer() as overseer:
        await overseer.plan(config).apply()
        for _ in range(3):
            reader, writer = await asyncio.open_unix_connection(tmp_path / "web.sock")
            assert await reader.read() == b"hello"
            writer.close()


async def test_programs_of_supervisord_get_their_words_folder_and_variables(tmp_path: Path) -> None:
    (tmp_path / "tells.py").write_text(TELLS)
    (tmp_path / "below").mkdir()
    path = tmp_path / "supervisord.conf"
    path.write_text(
        f"[program:web]\ncommand={sys.executable} %(here)s/tells.py 'two words' %(process_num)02d %(ENV_T_A)s"
        " $X ${X} {id}\n"
        "process_name=%(process_num)02d\nnumprocs=2\ndirectory=%(here)s/below\nautorestart=false\n"
        'environment=T_A="1,2",T_B="%(ENV_OUTER)s"\n'
        "stdout_logfile=%(here)s/%(program_name)s-%(process_num)d.log\n"
    )
    config = load(path, environ={"OUTER": "o p"})
    async with config.make_overseer() as overseer:
        await overseer.plan(config).apply()
        await overseer.supervise_all()
    for number in range(2):
        words, folder, variables = json.loads((tmp_path / f"web-{number}.log").read_text())
        assert words == ["two words", f"0{number}", "1,2", "$X", "${X}", "{id}"]
        assert folder == str(tmp_path / "below")
        assert variables == {"T_A": "1,2", "T_B": "o p"}


async def test_a_command_of_systemd_gets_variables_from_files(tmp_path: Path) -> None:
    (tmp_path / "tells.py").write_text(TELLS)
    (tmp_path / "web.env").write_text("OPTS=-a -b\nONE='x y'\n")
    path = tmp_path / "web.service"
    path.write_text(
        f"[Service]\nType=oneshot\nEnvironmentFile={tmp_path}/web.env\nEnvironment=T_A=%N\nWorkingDirectory={tmp_path}\n"
        f'ExecStart={sys.executable} {tmp_path}/tells.py $OPTS ${{ONE}}:$$ "$NONE" *\n'
        f"StandardOutput=append:{tmp_path}/web.log\n"
    )
    config = load(path, environ={})
    async with config.make_overseer() as overseer:
        await overseer.plan(config).apply()
        await overseer.supervise_all()
    words, folder, variables = json.loads((tmp_path / "web.log").read_text())
    assert words == ["-a", "-b", "x y:$", "*"]
    assert (folder, variables) == (str(tmp_path), {"T_A": "web"})

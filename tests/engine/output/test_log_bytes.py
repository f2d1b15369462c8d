"""Log files keep the bytes of a program: nothing is added, taken or replaced."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioverseer import Backoff, LogFile, Overseer, Restart
from aioverseer.core.text.lines import RawLineSplitter, can_split_bytes
from tests.support.programs import child

WRITER = child("import os, sys\nos.write(int(sys.argv[2]), bytes.fromhex(sys.argv[1]))")

OUTPUTS = {
    "a carriage return before each newline": b"one\r\ntwo\r\n",
    "no newline at the end": b"one\ntwo",
    "only a carriage return at the end": b"one\r",
    "a lone carriage return": b"10%\r20%\r\n",
    "broken UTF-8": b"\xff\xfe\n\xc3",
    "a NUL": b"a\0b\n\0",
    "empty lines": b"\n\n\r\n\n",
    "a line above the limit": b"x" * 100 + b"\r\n" + b"y" * 50,
    "characters cut by the limit": "ü".encode() * 60 + b"\n",
    "a character that begins the next piece": b"x" * 15 + "€".encode() * 30,
    "other ends of lines": "a\u2028b\x0bc\x0cd\x85\n".encode(),
}


async def written(path: Path, data: bytes, *, log: LogFile | None = None, stream: int = 1, **options: Any) -> None:
    """Run a program that writes these bytes, with a log file."""
    async with Overseer() as overseer:
        argv = (*WRITER, data.hex(), str(stream))
        overseer.add("web", *argv, log=log or LogFile(path), line_limit=16, **options)
        await overseer.supervise("web")


@pytest.mark.parametrize("data", OUTPUTS.values(), ids=OUTPUTS)
async def test_a_log_file_has_the_bytes_of_the_program(tmp_path: Path, data: bytes) -> None:
    """In every encoding, with other readers of the lines, and from both streams."""
    path = tmp_path / "log"
    for stream, encoding in ((1, "utf-8"), (2, "latin-1"), (1, None), (1, "shift_jis"), (1, "utf-8-sig")):
        await written(path, data, stream=stream, encoding=encoding, buffered=stream == 1)
        assert data == path.read_bytes()
        path.unlink()


@pytest.mark.parametrize("data", OUTPUTS.values(), ids=OUTPUTS)
async def test_rotated_files_together_have_the_bytes(tmp_path: Path, data: bytes) -> None:
    """Lines that no file can hold are cut, and nothing is added there."""
    path = tmp_path / "log"
    await written(path, data * 3, log=LogFile(path, max_bytes=32, keep=900))
    names = sorted(os.listdir(tmp_path), key=lambda name: -int(name.partition(".")[2] or 0))
    assert data * 3 == b"".join((tmp_path / name).read_bytes() for name in names)
    assert len(names) > len(data) * 3 // 64


async def test_a_line_without_an_end_is_ended_when_another_follows(tmp_path: Path) -> None:
    """The next run, another host's run and the other stream begin a line of their own."""
    path = tmp_path / "log"
    policy = Restart("always", max_restarts=1, backoff=Backoff(0, 0))
    await written(path, b"one", restart=policy)
    assert path.read_bytes() == b"one\none"
    await written(path, b"two\n")
    assert path.read_bytes() == b"one\none\ntwo\n"
    async with Overseer() as overseer:
        overseer.add("sh", "sh", "-c", "printf out; exec >&-; echo err >&2", log=LogFile(path))
        await overseer.supervise("sh")
    assert path.read_bytes().split(b"\n")[3:] in ([b"out", b"err", b""], [b"err", b"out"])


async def test_reopening_adds_nothing_in_the_middle_of_a_line(tmp_path: Path) -> None:
    """Neither in the old file nor in the new one."""
    path = tmp_path / "log"
    for moved in (False, True):
        async with Overseer() as overseer:
            service = overseer.add("cat", "cat", stdin="pipe", log=LogFile(path), line_limit=16)
            lines = service.lines(overflow="block")
            await service.start()
            await service.write(b"0123456789" * 2)
            assert (await lines.get()).continued
            await service.flush_log()
            if moved:
                path.rename(tmp_path / "old")
            service.reopen_log()
            await service.write(b"abcdefghij" * 2 + b"\n")
            await service.write_eof()
            await service.wait()
        old = (tmp_path / "old").read_bytes() if moved else b""
        assert old + path.read_bytes() == b"0123456789" * 2 + b"abcdefghij" * 2 + b"\n"
        path.unlink()


async def test_a_prefix_is_a_format_and_the_line_keeps_its_bytes(tmp_path: Path) -> None:
    """Each line begins with the prefix and ends with a newline."""
    path = tmp_path / "log"
    async with Overseer(log=LogFile(path)) as overseer:
        overseer.add("web", *WRITER, b"a\r\n\xff\n\nlast".hex(), "1")
        await overseer.supervise("web")
    assert path.read_bytes() == b"web | a\r\nweb | \xff\nweb | \nweb | last\n"
    path.unlink()
    await written(path, b"\xff\r\nlast", log=LogFile(path, timestamps=True))
    assert [line.partition(b" ")[2] for line in path.read_bytes().split(b"\n")] == [b"\xff\r", b"last", b""]


async def test_a_terminal_does_not_add_carriage_returns_to_the_log(tmp_path: Path) -> None:
    """The program has written a newline, and the kernel has made two bytes of it."""
    path = tmp_path / "log"
    async with Overseer() as overseer:
        overseer.add("echo", "echo", "hello", pty=True, log=LogFile(path))
        await overseer.supervise("echo")
    assert path.read_bytes() == b"hello\n"


async def test_text_whose_newline_has_several_bytes_is_written_as_utf_8(tmp_path: Path) -> None:
    """Such bytes cannot be mixed with other lines."""
    path = tmp_path / "log"
    await written(path, "ü\nb\n".encode("utf-16-le"), encoding="utf-16-le")
    assert path.read_text(encoding="utf-8") == "ü\nb\n"
    wide = ("utf-16", "utf-16-be", "utf-32", "cp037")
    narrow = ("utf-8", "utf-8-sig", "latin-1", "gbk", "iso2022_jp", "utf-7", None)
    assert ([False] * 4, [True] * 7) == ([*map(can_split_bytes, wide)], [*map(can_split_bytes, narrow)])


async def test_json_lines_hold_text(tmp_path: Path) -> None:
    """In the encoding of the service, without the end of the line."""
    path = tmp_path / "log"
    await written(path, b"\xe9\r\n", log=LogFile(path, format="json"), encoding="latin-1")
    assert '"text": "é"' in path.read_text(encoding="utf-8")


@given(
    pieces=st.lists(st.sampled_from([b"a", b"\r", b"\n", b"\r\n", b"\0", b"\xff", "ü".encode(), b"0123456789"])),
    cuts=st.lists(st.integers(1, 9), min_size=1),
    limit=st.integers(4, 20),
    encoding=st.sampled_from(["utf-8", "latin-1", None]),
)
def test_raw_lines_are_the_bytes_however_they_are_cut(
    pieces: list[bytes], cuts: list[int], limit: int, encoding: str | None
) -> None:
    """Lines and pieces are the same for any chunks, and the joined ones are what was written."""
    data = b"".join(pieces)

    def split(sizes: list[int]) -> list[bytes]:
        splitter = RawLineSplitter(encoding=encoding, line_limit=limit)
        found: list[bytes] = []
        start = number = 0
        while start < len(data):
            stop = start + sizes[number % len(sizes)]
            found += splitter.feed(data[start:stop])
            start, number = stop, number + 1
        return found + splitter.finish()

    lines = split(cuts)
    ends = [b"" if type(line) is not bytes else b"\n" for line in lines]
    assert data == b"".join(line + end for line, end in zip(lines, ends, strict=True))
    assert all(len(line) <= limit for line in lines)
    assert lines == split([len(data) + 1])

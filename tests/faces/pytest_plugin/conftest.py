"""Tests of the pytest plugin run pytest in folders of their own."""

from __future__ import annotations

from importlib.metadata import version

import pytest

SERVER = """
    import socket, sys

    SERVER = [sys.executable, "-S", "-u", __file__]

    def ask(port, word):
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(word)
            return connection.recv(100)

    if __name__ == "__main__":
        listening = socket.create_server(("127.0.0.1", int(sys.argv[1])))
        print("listening")
        while True:
            other, _ = listening.accept()
            word = other.recv(100)
            if word == b"die":
                print("told to die")
                sys.exit(3)
            other.sendall(word.upper())
            other.close()
"""
"""A module for tests: a server that answers in capitals, and exits on the word "die"."""


@pytest.fixture
def suite(pytester: pytest.Pytester) -> pytest.Pytester:
    """A folder for tests that can import the server."""
    pytester.makepyfile(server=SERVER)
    # pytest-asyncio before 1.0 leaves event loops and their sockets open, even without this library.
    leaks = (
        ("ignore:unclosed:ResourceWarning", "ignore:pytest-asyncio detected an unclosed event loop:DeprecationWarning")
        if version("pytest-asyncio").startswith("0.")
        else ()
    )
    head = """
    [pytest]
    addopts = -p no:hypothesispytest
    asyncio_mode = strict
    asyncio_default_fixture_loop_scope = function
    filterwarnings ="""
    # The plugin of Hypothesis doubles the start-up time, and no test of these suites uses it.
    pytester.makeini("\n        ".join([head, "error", "ignore::pytest.PytestConfigWarning", *leaks]))
    return pytester

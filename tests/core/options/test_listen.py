"""The option ``listen``: names, addresses, and probes that such sockets make meaningless."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from aioverseer import Alive, Process, Spec, SpecError, listen, ready


def spec(**options: Any) -> Spec:
    """A service named web."""
    return Spec.of("web", ["serve"], **options)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: listen.tcp(0), "port=0 is no port"),
        (lambda: listen.tcp(65536), "port=65536 is no port"),
        (lambda: listen.tcp("80"), "port='80' is no port"),  # type: ignore[arg-type]  # wrong on purpose
        (lambda: listen.tcp(80, host="example.org"), "host='example.org' is no address of this machine"),
        (lambda: listen.unix(""), "path='' is no path"),
        (lambda: listen.unix("~/x"), "begins with ~"),
        (lambda: listen.unix("x", mode=0o1777), "mode=1023 is no mode"),
        (lambda: listen.unix("@x", mode=0o600), "has no mode"),
        (lambda: listen.inherited(""), "name='' is no text"),
    ],
)
def test_impossible_address_is_refused(make: Any, words: str) -> None:
    with pytest.raises(SpecError) as caught:
        make()
    assert words in str(caught.value)
    assert caught.value.option == "listen"


@pytest.mark.parametrize("name", ["", "a:b", "a\n", "ä", "x" * 256, 3])
def test_name_that_no_variable_can_pass_on_is_refused(name: Any) -> None:
    with pytest.raises(SpecError, match=r"listen=.* has the name"):
        spec(listen={name: listen.tcp(8000)})


@pytest.mark.parametrize("value", [8000, listen.tcp(8000), {"http": 8000}, [listen.tcp(8000)]])
def test_value_that_is_no_dict_of_sockets_is_refused(value: Any) -> None:
    with pytest.raises(SpecError, match=r"listen.*listen\.tcp\(8000\)"):
        spec(listen=value)


def test_one_socket_under_two_names_is_refused() -> None:
    with pytest.raises(SpecError, match="under two names"):
        spec(listen={"a": listen.tcp(8000), "b": listen.tcp(8000)})


def test_sockets_keep_their_order_and_are_pickled() -> None:
    given = {"b": listen.tcp(8000), "a": listen.unix("/run/a"), "c": listen.inherited("c.socket")}
    held = spec(listen=given).listen
    given.clear()
    assert ["b", "a", "c"] == list(held)
    assert ["tcp 127.0.0.1:8000", "unix /run/a", "inherited c.socket"] == list(map(str, held.values()))
    assert spec(listen=held) == pickle.loads(pickle.dumps(spec(listen=held)))  # our own


def test_addresses_of_one_socket_are_equal() -> None:
    assert listen.tcp(8000, host="localhost") == listen.tcp(8000)
    assert listen.tcp(8000, host="0:0::1") == listen.tcp(8000, host="::1")
    assert "tcp [::1]:8000" == str(listen.tcp(8000, host="::1"))


@pytest.mark.parametrize(
    ("held", "probe"),
    [
        (listen.tcp(8000), ready.tcp(8000)),
        (listen.tcp(8000), ready.tcp(8000, owner="any")),
        (listen.tcp(8000, host="0.0.0.0"), ready.tcp(8000, "localhost")),  # bound by nobody
        (listen.tcp(8000, host="::"), ready.tcp(8000, "::1")),
        (listen.tcp(8000), ready.line("up") & ready.tcp(8000)),
        (listen.unix("/run/a"), ready.unix("/run/a")),
    ],
)
def test_probe_that_a_held_socket_answers_is_refused(held: Any, probe: Any) -> None:
    with pytest.raises(SpecError, match=r"ready=.* says nothing about the program.*listen\['http'\]") as caught:
        spec(listen={"http": held}, ready=probe)
    assert caught.value.option == "ready"
    with pytest.raises(SpecError, match=r"alive=.* says nothing") as caught:
        spec(listen={"http": held}, alive=Alive(probe if "line" not in str(probe) else ready.tcp(8000)))
    assert caught.value.option == "alive"


@pytest.mark.parametrize(
    "probe",
    [
        ready.tcp(8001),
        ready.tcp(8000, "::1"),
        ready.tcp(8000, "db.internal"),
        ready.unix("/run/b"),
        ready.http("http://127.0.0.1:8000/"),
        ready.notify(),
        ready.fd(5),
        ready.line("up"),
    ],
)
def test_probe_that_tells_of_the_program_is_taken(probe: Any) -> None:
    assert probe == spec(listen={"http": listen.tcp(8000), "a": listen.unix("/run/a")}, ready=probe).ready


def test_http_probe_of_a_shared_socket_is_refused() -> None:
    """Any of the instances may answer."""
    sockets = {"http": listen.tcp(8000)}
    with pytest.raises(SpecError, match="all instances share that socket"):
        spec(listen=sockets, instances=2, ready=ready.http("http://localhost:8000/"))
    spec(listen=sockets, instances=2, ready=ready.http("http://localhost:8001/"))


def test_descriptor_of_a_socket_is_refused_for_readiness() -> None:
    sockets = {"http": listen.tcp(8000), "admin": listen.tcp(8001)}
    with pytest.raises(SpecError, match=r"the descriptor of a socket of listen=: pass ready\.fd\(5\)"):
        spec(listen=sockets, ready=ready.fd(4))
    many = {f"s{number}": listen.tcp(9000 + number) for number in range(7)}
    with pytest.raises(SpecError, match="take another probe"):
        spec(listen=many, ready=ready.fd(9))


def test_a_lone_process_holds_nothing() -> None:
    with pytest.raises(SpecError, match=r"listen=.* is for a Service"):
        Process("serve", listen={"http": listen.tcp(8000)})


@pytest.mark.parametrize(
    ("data", "held"),
    [
        ("127.0.0.1:8000", listen.tcp(8000)),
        ("[::1]:8000", listen.tcp(8000, host="::1")),
        ("localhost:8000", listen.tcp(8000)),
        ("/run/web.sock", listen.unix("/run/web.sock")),
        ("@web", listen.unix("@web")),
        ({"tcp": 8000, "host": "::"}, listen.tcp(8000, host="::")),
        ({"unix": "web.sock", "mode": "660"}, listen.unix("web.sock", mode=0o660)),
        ({"inherited": "web.socket"}, listen.inherited("web.socket")),
    ],
)
def test_files_name_a_socket_by_its_address(data: Any, held: Any) -> None:
    given = Spec.from_dict({"id": "web", "command": ["serve"], "listen": {"http": data}})
    assert {"http": held} == dict(given.listen)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("8000", r'listen\.http is no address: write for example "127\.0\.0\.1:8000"'),
        ("::1:8000:x", "is no address: write"),
        ({"udp": 8000}, r"listen\.http is no socket: write for example .* or \{ tcp = 8000 \}"),
        ({"unix": "x", "mode": "9"}, "is no mode: write octal digits"),
        ({"tcp": 0}, r"listen\.http\.tcp is too low: write 1 to 65535"),
    ],
)
def test_data_that_is_no_socket_is_refused(data: Any, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        Spec.from_dict({"id": "web", "command": ["serve"], "listen": {"http": data}})


@pytest.mark.parametrize("path", ["/" + "a" * 107, "@" + "a" * 107, "/" + "ä" * 54])
def test_a_path_longer_than_an_address_is_refused(path: str) -> None:
    with pytest.raises(SpecError, match="has more than 107 bytes"):
        listen.unix(path)
    listen.unix(path[1:])  # a relative path is known when the socket is made
    listen.unix("/" + "a" * 106)

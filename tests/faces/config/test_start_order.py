"""The order of starts, drawn as a tree and as a graph."""

from __future__ import annotations

from aioverseer import After, Cron, Every, Restart, Spec, listen, ready
from aioverseer.config.start_order import draw_graph, draw_tree

SHOP = [
    Spec.of("web", ["web"], instances=4, after={"redis": "ready", "migrate": "success"}, ready=ready.notify()),
    Spec.of("redis", ["redis-server"], ready=ready.tcp(6399)),
    Spec.of("migrate", ["migrate"], after="redis", restart=Restart("never")),
    Spec.of("worker", ["worker"], after=[After("redis", on_restart="restart"), After("mail", hard=False)]),
    Spec.of("watcher", ["watcher"], after={"web.0": "started"}),
    Spec.of("nightly", ["report"], schedule=Cron("30 2 * * *")),
    Spec.of("often", ["report"], schedule=Every(300)),
    Spec.of("rare", ["rare"], listen={"http": listen.tcp(8000)}, on_demand=True),
]


def test_service_stands_below_the_last_one_that_it_waits_for() -> None:
    """Once, whatever the order of the file, with all its conditions."""
    assert draw_tree(SHOP).splitlines() == [
        "redis             ready by tcp 127.0.0.1:6399",
        "├─ migrate        after redis is ready",
        "│  └─ web (4)     after redis is ready and migrate has succeeded; ready by READY=1 on NOTIFY_SOCKET",
        "│     └─ watcher  after web.0 has started",
        "└─ worker         after redis is ready (and restarts with it) and mail is ready (not in this file)",
        "nightly           runs at '30 2 * * *'",
        "often             runs every 300 s",
        "rare              starts at the first connection",
    ]


def test_tree_needs_no_more_than_ascii() -> None:
    lines = [line.partition("  ")[0] for line in draw_tree(SHOP, fancy=False).splitlines()]
    assert lines[:5] == ["redis", "|- migrate", "|", "|", "`- worker"]
    assert "`- web (4)" in draw_tree(SHOP, fancy=False)
    assert draw_tree(SHOP, fancy=False).isascii()


def test_soft_dependency_is_named_as_such() -> None:
    specs = [Spec.of("a", ["a"]), Spec.of("b", ["b"], after=[After("a", "finished", hard=False)])]
    assert draw_tree(specs).splitlines()[1] == "└─ b  after a has ended (if it can be)"


def test_graph_has_an_arrow_for_each_condition() -> None:
    """Names are labels, so that any of them is safe; a soft dependency is dotted."""
    specs = [
        Spec.of("end", ["a"]),
        Spec.of('b"#', ["b"], after=[After("end", "success", hard=False), After("elsewhere", hard=False)]),
        Spec.of("c", ["c"], instances=2, after="end"),
        Spec.of("d", ["d"], after="c.1"),
    ]
    assert draw_graph(specs).splitlines() == [
        "flowchart TD",
        '    s0["end"]',
        '    s1["b#quot;#35;"]',
        '    s2["c (2)"]',
        '    s3["d"]',
        "    s0 -.->|success| s1",
        "    s0 -->|ready| s2",
        "    s2 -->|ready| s3",
    ]


def test_long_chain_and_a_circle_are_drawn() -> None:
    """Neither ends in a RecursionError; each service stands once."""
    chain = [Spec.of(f"s{n}", ["a"], after=f"s{n - 1}" if n else ()) for n in range(1500)]
    assert len(draw_tree(chain).splitlines()) == 1500
    circle = [Spec.of("a", ["a"], after="b"), Spec.of("b", ["b"], after="a"), Spec.of("c", ["c"], after="b")]
    assert sorted(line.strip("└─ ")[0] for line in draw_tree(circle).splitlines()) == ["a", "b", "c"]
    assert draw_tree([]) == ""

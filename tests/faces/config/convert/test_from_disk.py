"""Files of other supervisors on the disk: ``load`` and ``convert_file`` find what stands beside them."""

from __future__ import annotations

from pathlib import Path

from aioverseer.config import convert_file, load


def write(folder: Path, texts: dict[str, str]) -> None:
    for name, text in texts.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)


UNITS = {
    "web.service": "[Unit]\nAfter=db.service\n[Service]\nExecStart=/bin/web --at=%t\n",
    "web.service.d/env.conf": "[Service]\nEnvironment=STAGE=test\n",
    "web.socket": "[Socket]\nListenStream=8080\n",
    "db.service": "[Service]\nExecStart=/bin/db\nRestart=always\n",
}


def test_a_folder_of_units_is_loaded(tmp_path: Path) -> None:
    write(tmp_path, UNITS | {"notes.txt": "nothing of the kind"})
    config = load(tmp_path, environ={})
    specs = {spec.id: spec for spec in config}
    assert sorted(specs) == ["db", "web"]
    assert specs["web"].argv == ("/bin/web", "--at=/run")
    assert [after.name for after in specs["web"].after] == ["db"]
    assert specs["web"].on_demand
    assert specs["db"].restart.when == "always"
    assert sorted(config.files) == sorted(str(tmp_path / name) for name in UNITS)
    assert config.notes == convert_file(tmp_path).notes


def test_the_hooks_of_units_are_loaded(tmp_path: Path) -> None:
    more = {
        "db.service": "[Unit]\nOnFailure=tell@%n.service\n[Service]\nExecStart=/bin/db\n",
        "tell@.service": "[Service]\nExecStart=/bin/tell %i\n",
    }
    write(tmp_path, UNITS | more)
    config = load(tmp_path, environ={})
    assert sorted(spec.id for spec in config) == ["db", "web"]
    assert len(config.hooks) == 1
    assert "/bin/tell" in str(config.hooks[0])


def test_a_unit_is_loaded_with_its_socket_and_drop_in_files(tmp_path: Path) -> None:
    write(tmp_path, UNITS)
    config = load(tmp_path / "web.service", environ={})
    (web,) = config
    assert web.extra_env == {"STAGE": "test"}
    assert list(web.listen) == ["web.socket"]


def test_a_unit_that_stands_alone_is_loaded(tmp_path: Path) -> None:
    write(tmp_path, {"db.service": UNITS["db.service"]})
    assert [spec.argv for spec in load(tmp_path / "db.service", environ={})] == [("/bin/db",)]


def test_the_includes_of_supervisord_are_loaded(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "supervisord.conf": "[supervisord]\n[include]\nfiles = conf.d/*.conf\n",
            "conf.d/web.conf": "[program:web]\ncommand=%(here)s/web %(ENV_STAGE)s\nautostart=false\n",
            "conf.d/db.conf": "[program:db]\ncommand=%(here)s/db %(ENV_STAGE)s\n",
        },
    )
    (db,) = load(tmp_path / "supervisord.conf", environ={"STAGE": "two words"})
    assert db.argv == (f"{tmp_path}/db", "two words")
    assert sorted(convert_file(tmp_path / "supervisord.conf").data["services"]) == ["db", "web"]

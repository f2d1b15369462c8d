"""Texts of YAML files."""

from __future__ import annotations

import time

import yaml

from aioverseer.config.export.yaml_text import yaml_documents


def test_long_text_takes_no_time_that_grows_with_its_ways_to_be_split() -> None:
    """A command on a shell's input is one text, and the last character puts it in quotes."""
    text = "a" * 5000 + "!"
    begun = time.process_time()
    written = yaml_documents([{"command": text}], comment="x")
    assert time.process_time() - begun < 1
    assert yaml.safe_load(written) == {"command": text}

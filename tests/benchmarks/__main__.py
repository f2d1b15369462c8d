"""The command ``python tests/benchmarks``."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[2])

from tests.benchmarks.runner import main  # noqa: E402  # the line above puts it on the path

raise SystemExit(main())

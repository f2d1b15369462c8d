"""``python tests/benchmarks``: see ``runner.py``."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[2])

from tests.benchmarks.runner import main  # noqa: E402  # found by the line above

raise SystemExit(main())

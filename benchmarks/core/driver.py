"""
Our own product in the benchmark, started as any driver is, in its own folder.

All else is imported once the repository is on the path.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    import_module("benchmarks.core.session").main()

#!/usr/bin/env python3
"""
Start, test, examine or reset the whole product on a machine with only Python.

`python3 dev.py --help` lists the commands. The work is done in `config/dev`.
"""

from __future__ import annotations

import sys

if sys.version_info < (3, 11):  # noqa: UP036
    sys.exit(
        f"dev.py needs Python 3.11 or newer, and {sys.executable} is "
        f"{sys.version_info[0]}.{sys.version_info[1]}. "
        "Run it with a newer one, for example: python3.11 dev.py up"
    )

from config.dev.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

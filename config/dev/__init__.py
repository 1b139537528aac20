"""
From nothing to a running system, with the standard library alone.

`dev.py` runs these modules under whatever Python the machine has, before anything
is installed, so none of them may import a third-party package or Django.
"""

from __future__ import annotations

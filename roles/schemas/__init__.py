"""
JSON Schema, Draft 2020-12, for schemas and values that strangers send.

    schema_problems({"type": "strng"})           # what is wrong with a schema
    value_problems({"type": "string"}, 5)        # where a value does not fit it

Both take bounded time: patterns run in linear time, references stay inside the
schema, and every comparison is paid for in steps. The usual library promises none
of that; the tests hold this one against it.
"""

from __future__ import annotations

from .fitting import value_problems
from .usable import schema_problems

__all__ = ["schema_problems", "value_problems"]

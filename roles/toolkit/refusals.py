"""Hand the errors of the domain to callers of tools, as REST hands them to clients."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from roles.problems import InvalidDocument, Problem
from roles.toolkit.base import ToolRefused


@contextmanager
def refusing(
    codes: Mapping[type[Exception], str] | None = None, *, below: str = ""
) -> Iterator[None]:
    """
    Raise ToolRefused for a document that is wrong, and for errors that have a code.

    Pointers begin with `below`: where the document stands among the arguments.
    """
    known: dict[type[Exception], str] = {
        InvalidDocument: "invalid",
        **(codes or {}),
    }
    try:
        yield
    except tuple(known) as error:
        found: list[Problem] = getattr(error, "problems", [])
        problems = [replace(each, pointer=below + each.pointer) for each in found]
        code = next(known[kind] for kind in known if isinstance(error, kind))
        raise ToolRefused(str(error), code=code, problems=problems) from error

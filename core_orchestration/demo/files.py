"""Read the demo's own data files, and no others, as the first step of a workflow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from roles.functions import FunctionFailed, function

DATA = Path(__file__).parent / "data"


@function("demo.read_file")
def read_file(given: dict[str, Any]) -> dict[str, Any]:
    """Return the text of one of the demo's data files, named by `file`."""
    known = sorted(path.name for path in DATA.iterdir() if path.is_file())
    name = given.get("file")
    if name not in known:
        raise FunctionFailed(
            f"There is no demo file {name!r}; there are: {', '.join(known)}.",
            type="unknown_file",
        )
    text = (DATA / name).read_text(encoding="utf-8")
    return {"file": name, "bytes": len(text.encode()), "text": text}

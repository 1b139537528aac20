"""An input to try an orchestration with."""

from __future__ import annotations

from typing import Any

from core_orchestration.models import Orchestration


def example_input(orchestration: Orchestration) -> Any:
    """Take the first example that the input's schema gives, else an empty object."""
    examples = (orchestration.input_schema or {}).get("examples")
    return examples[0] if isinstance(examples, list) and examples else {}

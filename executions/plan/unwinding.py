"""
What is done after a failure: finished steps are undone, and `on_failure` is run.

Both are bodies beside the top's: their first step undoes, with a frame for each run
that it undoes, and what follows it is the orchestration's own `on_failure`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from core_orchestration.definition import Definition, Step
from executions.paths import ROLLBACK, UNDO

UNDO_TYPE = "undo"


def steps_beside(definition: Definition, pseudo: str) -> tuple[Step, ...]:
    """Return the steps of the body beside the top that is called so."""
    undoing = tuple(_undoing(definition.steps))
    first = Step(
        key=UNDO, name="Undo", step_type=UNDO_TYPE, steps=undoing, on_error="continue"
    )
    after = () if pseudo == ROLLBACK else definition.on_failure
    return (first, *after) if undoing else after


def unwinds(definition: Definition) -> bool:
    """Tell whether anything is to be done after a failure."""
    return bool(definition.on_failure) or can_undo(definition)


def can_undo(definition: Definition) -> bool:
    """Tell whether any step says how it is undone."""
    return bool(undoable(definition))


def undoable(definition: Definition) -> list[str]:
    """List the keys of the steps that say how they are undone."""
    return [step.branch for step in _undoing(definition.steps) if step.branch]


def _undoing(steps: Sequence[Step]) -> Iterator[Step]:
    """Make a step for each that can be undone; its `branch` is that one's key."""
    for step in steps:
        if step.compensate is not None:
            yield Step(
                key=f"undo_{step.key}",
                name=f"Undo {step.name}",
                branch=step.key,
                role_id=step.compensate.get("role_id"),
                role_name=step.compensate.get("role_name"),
                input_mapping=step.compensate.get("input_mapping"),
                max_retries=step.max_retries,
                retry_delay_ms=step.retry_delay_ms,
                retry_backoff=step.retry_backoff,
                retry_max_delay_ms=step.retry_max_delay_ms,
                retry_jitter=step.retry_jitter,
                timeout_ms=step.timeout_ms,
            )
        yield from _undoing(step.steps)

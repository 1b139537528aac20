"""
`reckon`: what patterns work out between their calls, and templates cannot say.

The functions are pure, and known by name; no user writes such a step. What they read is
what the steps before came to, so that only their outputs are recorded.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from executions import lifecycle
from executions.bodies import Fault
from executions.database import one_transaction
from executions.native.ending import fail, settle
from executions.native.place import Place
from executions.native.upshot import NOTHING, Upshot
from executions.runs import run_of
from roles.problems import kind_of, listing, quoted

Given = Mapping[str, Any]
_LONGEST_VOTE = 60  # as a message shows it


def begin(at: Place) -> Upshot:
    """Work it out, and end at once."""
    function = FUNCTIONS[at.planned.step.config["function"]]
    given = at.render("arguments")
    value, error = None, None
    try:
        value = function(given)
    except Fault as fault:
        error = {"type": fault.type, "message": fault.message}
    with one_transaction():
        claim = lifecycle.begin_waiting(run_of(at.address, at.planned))
        if claim is None:
            return NOTHING
        return settle(at, claim, value) if error is None else fail(at, claim, error)


def value(given: Any) -> Any:
    """Give what was given."""
    return given


def accepted(given: Given) -> Given:
    """Give a result, if it was accepted."""
    if not given["accepted"]:
        raise Fault(
            "not_accepted",
            f"After {given['revisions']:,} revisions the result is not accepted; raise "
            "max_revisions, or have on_limit continue with what there is.",
        )
    return given


# --- thoughts -------------------------------------------------------------------------


def sprouts(given: Given) -> list[Given]:
    """List what is to be thought of next: so many thoughts upon each of the beam."""
    beam = given["beam"]
    paths = [[]] if beam is None else [thought["path"] for thought in beam]
    numbers = range(1, given["breadth"] + 1)
    return [{"path": path, "number": number} for path in paths for number in numbers]


def thought(given: Given) -> Given:
    """Put a thought, its score and the way to it together."""
    score = _number(given["scored"], "score", "The scorer's output")
    own = given["thought"]
    return {"thought": own, "score": score, "path": [*given["path"], own]}


def select(given: Given) -> list[Given]:
    """Keep the best thoughts; of equal ones those that were thought of first."""
    least, thoughts = given["threshold"], given["thoughts"]
    left = [each for each in thoughts if least is None or each["score"] >= least]
    if not left:
        best = max(each["score"] for each in thoughts)
        raise Fault(
            "no_thought_left",
            f"None of {len(thoughts):,} thoughts reached the threshold {least}; the "
            f"best scored {best}. Lower the threshold, or have more thoughts.",
        )
    return sorted(left, key=lambda each: -each["score"])[: given["beam"]]


# --- debates --------------------------------------------------------------------------


def debate_round(given: Given) -> Given:
    """Put a round together, with the score that the critic gave."""
    score = _number(given["criticism"], given["field"], "The critic's output")
    return {
        "result": given["result"],
        "criticism": given["criticism"],
        "score": score,
    }


# --- votes ----------------------------------------------------------------------------


def tally(given: Given) -> Given:
    """Count votes; without a winner, do what `tie_break` says."""
    samples = given["samples"]
    cast = [
        _picked(sample, given["field"], f"The voter's output number {place}")
        for place, sample in enumerate(samples, start=1)
    ]
    votes, first = _counted(cast)
    top = [vote for vote, count in votes.items() if count == max(votes.values())]
    decided = len(top) == 1 and votes[top[0]] >= given["quorum"]
    winner = first[top[0]] if decided or given["tie_break"] == "first" else None
    result = {"winner": winner, "votes": votes, "samples": samples}
    if given["tie_break"] == "role":
        return {**result, "decided": decided}
    if not decided and given["tie_break"] == "fail":
        raise _no_quorum(votes, given["quorum"])
    return result


def elect(given: Given) -> Given:
    """Let another role's choice win where the votes decided nothing."""
    counted = dict(given["tally"])
    if not counted.pop("decided"):
        whose = "The tie_breaker's output"
        counted["winner"] = _picked(given["choice"], given["field"], whose)
    return counted


def _counted(cast: list[Any]) -> tuple[dict[str, int], dict[str, Any]]:
    """Count votes by how they are written, most first, and keep the first of each."""
    counts: dict[str, int] = {}
    first: dict[str, Any] = {}
    for each in cast:
        written = _written(each)
        counts[written] = counts.get(written, 0) + 1
        first.setdefault(written, each)
    ranked = sorted(counts.items(), key=lambda pair: -pair[1])
    return dict(ranked), first


def _written(vote: Any) -> str:
    if isinstance(vote, str):
        return vote
    return json.dumps(vote, ensure_ascii=False, sort_keys=True)


def _no_quorum(votes: Mapping[str, int], quorum: int) -> Fault:
    shown = listing(
        f"{count} for {vote[:_LONGEST_VOTE]}" for vote, count in votes.items()
    )
    return Fault(
        "no_quorum",
        f"No vote alone has the quorum of {quorum}; there were {shown}. Take more "
        "samples, lower the quorum, or set tie_break.",
    )


# --- what calls came to ---------------------------------------------------------------


def _picked(found: Any, field: str | None, whose: str) -> Any:
    """Take a field, which may be a path, of what a role came to."""
    for name in field.split(".") if field else ():
        if not isinstance(found, Mapping) or name not in found:
            raise Fault("bad_output", f"{whose} has no field {quoted(field or '')}.")
        found = found[name]
    return found


def _number(found: Any, field: str, whose: str) -> float:
    score = _picked(found, field, whose)
    if isinstance(score, bool) or not isinstance(score, int | float):
        detail = f"{whose} must have a number as {field}, not {kind_of(score)}."
        raise Fault("bad_score", detail)
    return score


FUNCTIONS: Mapping[str, Callable[[Any], Any]] = {
    "accepted": accepted,
    "elect": elect,
    "round": debate_round,
    "select": select,
    "sprouts": sprouts,
    "tally": tally,
    "thought": thought,
    "value": value,
}

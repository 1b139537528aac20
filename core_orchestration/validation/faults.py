"""Why a name that some step makes cannot be read at a place: a code and a sentence."""

from __future__ import annotations

from core_orchestration.language import Reference
from roles.problems import listing, quoted

from .placed import Placed
from .scopes import HOME_OF_ROOT, Body, Place

Fault = tuple[str, str]


def only_within(reference: Reference, root: str) -> Fault:
    """Say where `loop`, `item` and `index` are, which are not here."""
    return "unknown_reference", (
        f"{quoted(reference)} can never resolve here: {root} is only there inside a "
        f"{HOME_OF_ROOT[root]}'s body."
    )


def too_early(name: str, reference: Reference, level: Place, place: Place) -> Fault:
    """Say when a name is made that, at this level around the place, is not yet."""
    is_own_key = level.step is not None and name == level.step.key
    if is_own_key and level is not place:
        return "forward_reference", (
            f"{quoted(reference)} is what the step comes to that this one is inside "
            "of, which is not over yet; read it in a later step."
        )
    if is_own_key:
        return "self_reference", (
            f"{quoted(reference)} is the step's own output, which is not there "
            "yet; its output_mapping reads it as output."
        )
    if level.body.made[name] == level.block:
        return "sibling_reference", (
            f"{quoted(reference)} is made in the same block, whose steps run at "
            "the same time; read it in a later step."
        )
    return "forward_reference", (
        f"{quoted(reference)} is only made by a later step; move that step before "
        "this one."
    )


def inside_another(reference: Reference, place: Place, maker: Body) -> Fault:
    """Say what to read in place of a name that is made inside another body."""
    around = list(place.levels())
    holder = _outermost_holder(maker, {level.body for level in around})
    if holder is place.step:
        advice = (
            "this step's own body; only the steps there, and the until of a loop, "
            "can read it."
        )
    elif any(level.step is holder for level in around):
        advice = (
            f"another branch of {quoted(holder.key)}; branches do not see each other, "
            "so make it before that step."
        )
    else:
        advice = (
            f"the body of {quoted(holder.key)}, where alone it can be read; read "
            f"context.{holder.key} in a step after it, or what its output_mapping "
            "writes."
        )
    return "inner_reference", f"{quoted(reference)} is made in {advice}"


def only_after_failure(reference: Reference) -> Fault:
    """Say where `context.failure` is, which is not here."""
    return "unknown_reference", (
        f"{quoted(reference)} can never resolve here: context.failure is only there "
        "in the steps of on_failure."
    )


def made_after_failure(reference: Reference) -> Fault:
    """Say why what the steps of `on_failure` make cannot be read by the others."""
    return "forward_reference", (
        f"{quoted(reference)} is made by a step of on_failure, which runs only after "
        "all of steps; only later steps of on_failure can read it."
    )


def not_inside(
    reference: Reference, whole: str, names: tuple[str, ...], name: object
) -> str:
    """Say what there is in a part of the scope whose names are all known."""
    return (
        f"{quoted(reference)} can never resolve: {whole} has {listing(names)}, and no "
        f"{quoted(name)}."
    )


def _outermost_holder(maker: Body, known: set[Body]) -> Placed:
    """Find the step that holds the maker in one of the known bodies."""
    place = maker.outer
    while place is not None and place.body not in known and place.body.outer:
        place = place.body.outer
    if place is None or place.step is None:
        raise LookupError("The maker's body is held by no step.")
    return place.step

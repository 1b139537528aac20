"""
Choose a model by a role's constraints, and say why each other one was not chosen.

Pure, and the same for every order of the catalogue. What is not known of a model fails
the constraint that asks for it. A pinned model is chosen whatever it is; what it lacks
stands in `why`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from roles.catalogue.candidates import Candidate, named
from roles.runners.constraints import Constraints
from roles.runners.hosting import Needs

_LAST = Decimal("Infinity")


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The model to ask, those to ask in its place, and a reason for every other."""

    chosen: Candidate | None
    fallbacks: Sequence[Candidate] = ()
    rejected: Mapping[str, str] = field(default_factory=dict)
    why: str
    nearest: str = ""  # where none fits: the model with the fewest reasons against it


def choose(
    catalogue: Sequence[Candidate],
    constraints: Constraints,
    needs: Needs,
    default: str,
) -> Choice:
    """
    Choose among models with distinct names; `default` is asked if nothing is asked for.

    Each model of the catalogue is chosen, a fallback, or rejected with a reason.
    """
    if constraints.pinned is not None:
        return _named(
            catalogue, constraints, needs, constraints.pinned, "The role pins"
        )
    if constraints.leaves_it_open:
        return _named(catalogue, constraints, needs, default, "The installation uses")
    return _narrowed(catalogue, constraints, needs)


def _named(
    catalogue: Sequence[Candidate],
    constraints: Constraints,
    needs: Needs,
    name: str,
    words: str,
) -> Choice:
    known = {each.name: each for each in catalogue}
    chosen = known.get(name) or named(name)
    doubts = list(_faults(chosen, constraints, needs))
    if name not in known:
        doubts.insert(0, "the catalogue does not know it")
    why = f"{words} {name}."
    if doubts:
        why += f" Beware: {'; '.join(dict.fromkeys(doubts))}."
    reason = f"{words.lower()} {name}"
    rejected = {each: reason for each in sorted(known) if each != name}
    return Choice(chosen=chosen, rejected=rejected, why=why)


def _narrowed(
    catalogue: Sequence[Candidate], constraints: Constraints, needs: Needs
) -> Choice:
    faults = {
        each.name: list(_faults(each, constraints, needs))
        for each in sorted(catalogue, key=lambda model: model.name)
    }
    fitting = sorted(
        (each for each in catalogue if not faults[each.name]),
        key=lambda model: _rank(model, constraints),
    )
    rejected = {name: "; ".join(found) for name, found in faults.items() if found}
    for name in constraints.preferred:
        if name not in faults:
            rejected[name] = "the catalogue does not know it"
    if not fitting:
        nearest = min(faults, key=lambda name: (len(faults[name]), name), default="")
        return Choice(
            chosen=None,
            rejected=dict(sorted(rejected.items())),
            why="No model fits.",
            nearest=nearest,
        )
    most = constraints.max_fallbacks if constraints.allow_fallback else 0
    chosen, fallbacks, others = fitting[0], fitting[1 : most + 1], fitting[most + 1 :]
    rejected |= {each.name: _behind(chosen, constraints) for each in others}
    return Choice(
        chosen=chosen,
        fallbacks=tuple(fallbacks),
        rejected=dict(sorted(rejected.items())),
        why=_why(chosen, constraints, len(fitting)),
    )


def _faults(model: Candidate, asked: Constraints, needs: Needs) -> Iterator[str]:
    """Name all that speaks against a model."""
    yield from _unavailable(model, asked)
    if asked.providers and model.provider not in asked.providers:
        yield f"its provider is not among {', '.join(asked.providers)}"
    if model.name in asked.exclude:
        yield "the role excludes it"
    if asked.tier is not None and model.tier != asked.tier:
        yield f"its tier is {model.tier or 'unknown'}, not {asked.tier}"
    yield from _unable(model, asked, needs)
    yield from _dear("input", model.input_price, asked.max_input_price)
    yield from _dear("output", model.output_price, asked.max_output_price)


def _unavailable(model: Candidate, asked: Constraints) -> Iterator[str]:
    if not model.is_active:
        yield "it is not active"
    if model.is_deprecated:
        yield "it is deprecated"
    if model.missing:
        yield model.missing
    if model.is_demo and not _is_wanted(model, asked):
        yield "demo models are only for roles that name them"


def _is_wanted(model: Candidate, asked: Constraints) -> bool:
    """Tell whether a demo model was asked for: it must not win for being free."""
    if asked.leaves_it_open or asked.pinned is not None:
        return True  # a name led here
    return model.name in asked.preferred or model.provider in asked.providers


def _unable(model: Candidate, asked: Constraints, needs: Needs) -> Iterator[str]:
    for capability in sorted({*asked.capabilities, *needs.capabilities}):
        if model.capabilities is None:
            yield f"whether it has {capability} is unknown"
        elif capability not in model.capabilities:
            yield f"it has no {capability}"
    least = max(asked.min_context_tokens or 0, needs.context_tokens)
    if least and model.context_tokens is None:
        yield f"its context is unknown, and {least} tokens are needed"
    elif least and model.context_tokens is not None and model.context_tokens < least:
        yield f"its context is {model.context_tokens} tokens, less than {least}"


def _dear(what: str, price: Decimal | None, most: Decimal | None) -> Iterator[str]:
    if most is None:
        return
    if price is None:
        yield f"its {what} price is unknown, and the ceiling is {most:f} USD"
    elif price > most:
        yield f"its {what} price is {_money(price)} USD, above {most:f}"


def _rank(model: Candidate, asked: Constraints) -> tuple[object, ...]:
    """Order models that fit: preferred ones, then the best for what is optimised."""
    price = model.blended_price
    by_price = _LAST if price is None else price
    by_quality = -(-1 if model.quality is None else model.quality)
    by_context = -(model.context_tokens or 0)
    place = (
        asked.preferred.index(model.name)
        if model.name in asked.preferred
        else len(asked.preferred)
    )
    orders: Mapping[str, tuple[object, ...]] = {
        "price": (by_price, by_quality, by_context),
        "quality": (by_quality, by_price, by_context),
        "context": (by_context, by_price, by_quality),
    }
    return (place, *orders[asked.optimise], model.name)


def _why(chosen: Candidate, asked: Constraints, fitting: int) -> str:
    many = "1 model fits" if fitting == 1 else f"{fitting} models fit"
    if chosen.name in asked.preferred:
        return f"{many}; {chosen.name} comes first among the preferred."
    facts = {
        "price": f"the lowest price ({_money(chosen.blended_price)} USD for a million "
        "tokens, three in for one out)",
        "quality": f"the highest quality ({_known(chosen.quality)})",
        "context": f"the longest context ({_known(chosen.context_tokens)} tokens)",
    }
    return f"{many}; {chosen.name} has {facts[asked.optimise]}."


def _behind(chosen: Candidate, asked: Constraints) -> str:
    fallbacks = asked.max_fallbacks if asked.allow_fallback else 0
    also = f" and {fallbacks} as fallbacks" if fallbacks else ""
    return f"it fits, but {chosen.name}{also} come first by {asked.optimise}"


def _money(price: Decimal | None) -> str:
    """Write a price without the zeros that the database keeps."""
    if price is None:
        return "unknown"
    text = f"{price:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _known(fact: int | None) -> str:
    return "unknown" if fact is None else str(fact)

"""
Choose a role's models out of the catalogue, and put on record why.

The catalogue is read at most every few seconds by each process, and a choice is made
once for as long: a step that asks again costs no statement. The installation's demo
models need no catalogue at all.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from pydantic import ValidationError

from roles.catalogue.candidates import Candidate, blended, demo_models, named
from roles.catalogue.choosing import Choice, choose
from roles.catalogue.credentials import credentials_of
from roles.catalogue.reading import current, kept
from roles.models import ModelChoice, content_digest
from roles.problems import listing
from roles.runners import RoleSpec, RunnerError
from roles.runners.constraints import Constraints, constraint_problems, parse
from roles.runners.hosting import Needs, Offer, Selection
from roles.runners.model_names import DEMO

MOST_DIGESTS = 10_000

Key = tuple[str, Needs, str]

_recorded: set[str] = set()


def select(role: RoleSpec, needs: Needs, default: str) -> Selection:
    """
    Return the models to ask for a role; what it needs by itself is added to `needs`.

    Raises RunnerError, of type `no_model_fits` with the nearest miss. May use the
    database; `remembered` never does.
    """
    if (known := remembered(role, needs, default)) is not None:
        return known
    asked, needs = _asked(role), needs_of(role, needs)
    here = current(asked.names)
    choice = choose(here.models, asked, needs, default)
    if choice.chosen is None:
        raise RunnerError(misfit(choice), type="no_model_fits", retryable=False)
    digest = record(body_of(choice, asked, needs, default))
    selection = Selection(offers=_offers(choice), digest=digest)
    here.selections[_key(role, needs, default)] = selection
    return selection


def explained(role: RoleSpec, default: str) -> dict[str, Any]:
    """Say which model a role would get now, and why, without asking or noting it."""
    asked, needs = _asked(role), needs_of(role, Needs())
    choice = choose(current().models, asked, needs, default)
    body = body_of(choice, asked, needs, default)
    return body if choice.chosen else {**body, "why": misfit(choice)}


def remembered(role: RoleSpec, needs: Needs, default: str) -> Selection | None:
    """Return what `select` would, if that takes no statement; None otherwise."""
    if name := _demo_name(_asked(role), default):
        free = {each.name: each for each in demo_models()}
        return Selection(offers=(_offer(free.get(name) or named(name), {}),))
    here = kept()
    if here is None:
        return None
    return here.selections.get(_key(role, needs_of(role, needs), default))


def cheaper(selection: Selection) -> Selection:
    """Put the models of a selection in the order of their prices, unknown ones last."""
    return replace(selection, offers=tuple(sorted(selection.offers, key=_by_price)))


def needs_of(role: RoleSpec, needs: Needs) -> Needs:
    """Add what the role itself takes: tools, and answers that fit a schema."""
    own = {"tools"} if role.needs_tools else set()
    if role.output_schema:
        own.add("structured_output")
    return Needs(
        capabilities=needs.capabilities | own,
        context_tokens=rounded(needs.context_tokens),
    )


def rounded(tokens: int) -> int:
    """Round up to two digits: not every conversation needs a choice of its own."""
    step = int(10 ** max(0, len(str(tokens)) - 2))
    return -(-tokens // step) * step


def misfit(choice: Choice) -> str:
    """Say why no model fits: the reasons with their counts, and the nearest miss."""
    counts: dict[str, int] = {}
    for reasons in choice.rejected.values():
        for reason in reasons.split("; "):
            counts[reason] = counts.get(reason, 0) + 1
    most = sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    text = f"None of {len(choice.rejected)} models fits the role's model_constraints: "
    text += listing(f"{reason} ({count})" for reason, count in most)
    if choice.nearest:
        text += f". The nearest is {choice.nearest}: {choice.rejected[choice.nearest]}"
    return f"{text}."


def body_of(
    choice: Choice, asked: Constraints, needs: Needs, default: str
) -> dict[str, Any]:
    """Write a choice as it is kept and shown."""
    return {
        "chosen": choice.chosen and choice.chosen.name,
        "fallbacks": [each.name for each in choice.fallbacks],
        "why": choice.why,
        "rejected": dict(choice.rejected),
        "model_constraints": asked.model_dump(mode="json", exclude_defaults=True),
        "needs": {
            "capabilities": sorted(needs.capabilities),
            "context_tokens": needs.context_tokens,
        },
        "default": default,
    }


def record(body: Mapping[str, Any]) -> str:
    """Keep a choice, once for each distinct one; return its digest."""
    digest = content_digest(body)
    if digest not in _recorded:
        row = ModelChoice(digest=digest, body=body)
        ModelChoice.objects.bulk_create([row], ignore_conflicts=True)
        if len(_recorded) >= MOST_DIGESTS:
            _recorded.clear()
        _recorded.add(digest)
    return digest


def _by_price(offer: Offer) -> tuple[Decimal, str]:
    price = blended(offer.input_price, offer.output_price)
    return Decimal("Infinity") if price is None else price, offer.name


def _asked(role: RoleSpec) -> Constraints:
    try:
        return parse(role.model_constraints)
    except ValidationError:
        place, sentence = constraint_problems(role.model_constraints)[0]
        raise RunnerError(
            f"The role's model is not to be told, {place}: {sentence}",
            type="agent_misconfigured",
            retryable=False,
        ) from None


def _demo_name(asked: Constraints, default: str) -> str | None:
    """Name the demo model that is meant, if one is."""
    name = asked.pinned or (default if asked.leaves_it_open else "")
    return name if name.startswith(f"{DEMO}:") else None


def _key(role: RoleSpec, needs: Needs, default: str) -> Key:
    return json.dumps(role.model_constraints, sort_keys=True), needs, default


def _offers(choice: Choice) -> tuple[Offer, ...]:
    models = [each for each in (choice.chosen, *choice.fallbacks) if each is not None]
    credentials = credentials_of(models)
    return tuple(_offer(each, credentials) for each in models)


def _offer(model: Candidate, credentials: Mapping[str, str]) -> Offer:
    return Offer(
        name=model.name,
        provider=model.provider,
        model=model.model,
        api=model.api,
        base_url=model.base_url,
        credential=credentials.get(model.credential_name, ""),
        credential_name=model.credential_name,
        context_tokens=model.context_tokens,
        max_output_tokens=model.max_output_tokens,
        input_price=model.input_price,
        cached_input_price=model.cached_input_price,
        output_price=model.output_price,
    )

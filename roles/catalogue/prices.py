"""What calls cost, by the catalogue's prices; an unknown price is None, never zero."""

from __future__ import annotations

from decimal import Decimal

from roles.runners.hosting import CallUsage, Estimate, Offer

MILLION = 1_000_000


def cost(offer: Offer, usage: CallUsage) -> Decimal | None:
    """
    Return what a call cost in USD; None if the model's price is not known.

    Tokens read from a cache are among the input's, those of reasoning the output's.
    """
    if offer.input_price is None or offer.output_price is None:
        return None
    cached = min(usage.cached_tokens, usage.input_tokens)
    for_cached = offer.cached_input_price
    if for_cached is None:
        for_cached = offer.input_price
    total = (
        (usage.input_tokens - cached) * offer.input_price
        + cached * for_cached
        + usage.output_tokens * offer.output_price
    )
    return total / MILLION


def ceiling(offer: Offer, estimate: Estimate) -> Decimal | None:
    """Return the most that a call may cost in USD: nothing of it out of a cache."""
    return cost(
        offer,
        CallUsage(
            input_tokens=estimate.input_tokens, output_tokens=estimate.output_tokens
        ),
    )

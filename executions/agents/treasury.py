"""An agent's calls: whether a model may be asked, and the money for it."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from executions import lifecycle
from executions.agents.scene import Scene
from executions.lifecycle import Claim
from executions.spending import budgets
from executions.spending.budgets import Verdict
from executions.spending.ledger import Call
from roles import breakers
from roles.breakers import Admission
from roles.catalogue import prices, selecting
from roles.runners import RoleSpec, RunnerError
from roles.runners.hosting import (
    Busy,
    CallUsage,
    Estimate,
    Offer,
    Parked,
    Permit,
    Selection,
)

# A reservation counts as spent after the attempt's time and this, in seconds.
_MARGIN_S = 60.0
# Nobody tells of a price that has come to be known.
_UNPRICED_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Treasury:
    """Lets one attempt call models; most of this waits for the database."""

    claim: Claim
    role: RoleSpec
    scene: Scene
    selection: Selection

    def begin_at_once(self, offer: Offer) -> Permit | None:
        """Give the leave that takes no statement: no breaker is open, no budget made."""
        if breakers.is_known_closed(offer.key) and budgets.known_to_be_none():
            return Permit(offer=offer, call_id=str(uuid7()))
        return None

    def begin(self, offer: Offer, estimate: Estimate) -> Permit:
        """
        Give leave to ask a model, or a cheaper one where a budget wants that.

        Raises Busy when it is to be left alone or calls under way may leave some money,
        Parked or RunnerError `budget_exceeded` when there is none.
        """
        permit, verdict = self._permit(offer, estimate, _admitted(offer))
        if verdict.cheaper:
            for other in self._cheaper_than(offer):
                if (admission := _leave(other)) is not None:
                    self._give_back(permit)
                    permit, verdict = self._permit(other, estimate, admission)
                    break
        return permit

    def paid(self, permit: Permit, usage: CallUsage, messages: Sequence[Any]) -> Call:
        """Spell a call that was answered, for the ledger."""
        run, offer = self.claim.run, permit.offer
        return Call(
            call_id=UUID(permit.call_id),
            execution_id=run.execution_id,
            step_run_id=run.id,
            path=run.path,
            attempt=self.claim.attempt,
            fence=self.claim.fence,
            orchestration_id=self.scene.orchestration_id,
            role_id=UUID(self.role.id),
            role_name=self.role.name,
            api_key_id=self.scene.api_key_id,
            created_by_id=self.scene.user_id,
            provider=offer.provider,
            model=offer.name,
            choice=self.selection.digest,
            usage=usage,
            cost=prices.cost(offer, usage),
            messages=list(messages),
        )

    def fail(
        self, permit: Permit, detail: str, *, busy: bool, retry_after_s: float | None
    ) -> None:
        """Give a permit back; a provider that asks for it is left alone by everybody."""
        self._give_back(permit)
        key = permit.offer.key
        if busy:
            breakers.trip(
                key, detail, retry_after_s, is_probe=permit.is_probe, chance=_chance()
            )
        elif permit.is_probe:
            breakers.close(key)

    def _permit(
        self, offer: Offer, estimate: Estimate, admission: Admission
    ) -> tuple[Permit, Verdict]:
        call_id = uuid7()
        verdict = self._reserve(call_id, offer, estimate)
        permit = Permit(
            offer=offer,
            call_id=str(call_id),
            reserved=verdict.reserved,
            is_probe=admission.is_probe,
        )
        return permit, verdict

    def _reserve(self, call_id: UUID, offer: Offer, estimate: Estimate) -> Verdict:
        verdict = budgets.reserve(
            call_id=call_id,
            step_run_id=self.claim.run.id,
            fence=self.claim.fence,
            budgets=budgets.applying(self._place),
            money=prices.ceiling(offer, estimate),
            tokens=estimate.input_tokens + estimate.output_tokens,
            requests=1,
            seconds=max(self.claim.left_s, 0.0) + _MARGIN_S,
        )
        if not verdict.reserved:
            raise _refusal(verdict)
        for crossing in verdict.crossed:
            told = {"budget": str(crossing.budget), "detail": crossing.detail}
            lifecycle.tell(self.claim.run, "budget_low", told)
        return verdict

    @property
    def _place(self) -> budgets.Scene:
        return budgets.Scene(
            role_id=UUID(self.role.id),
            orchestration_id=self.scene.orchestration_id,
            api_key_id=self.scene.api_key_id,
            execution_ids=self.scene.lineage,
        )

    def _cheaper_than(self, offer: Offer) -> Iterator[Offer]:
        for other in selecting.cheaper(self.selection).offers:
            if other.name == offer.name:
                return
            yield other

    @staticmethod
    def _give_back(permit: Permit) -> None:
        if permit.reserved:
            budgets.release([UUID(permit.call_id)])


def _admitted(offer: Offer) -> Admission:
    admission = breakers.admit(offer.key, chance=_chance())
    if admission.after_s is not None:
        raise Busy(f"{offer.name}: {admission.detail}", after_s=admission.after_s)
    return admission


def _leave(offer: Offer) -> Admission | None:
    admission = breakers.admit(offer.key, chance=_chance())
    return admission if admission.after_s is None else None


def _chance() -> float:
    return random.random()  # noqa: S311  (spreads those who wait, hides nothing)


def _refusal(verdict: Verdict) -> Exception:
    if verdict.answer != "wait" and verdict.on_hard == "fail":
        return RunnerError(verdict.detail, type="budget_exceeded", retryable=False)
    return Parked(
        verdict.detail,
        kind="budget",
        after_s=_UNPRICED_S if verdict.answer == "unpriced" else verdict.after_s,
        budget=str(verdict.budget or ""),
    )

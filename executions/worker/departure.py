"""Where executions of one version set out together: their first steps, claimed at once."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from uuid import UUID

from executions import dispatch, lifecycle, pinned, situation
from executions.database import UNREACHABLE
from executions.lifecycle import Claim, NewRun
from executions.plan import PlannedStep
from executions.signatures import Address
from executions.situation import Situation
from executions.worker import beginning
from executions.worker.abreast import Traveller
from executions.worker.leases import this_worker
from executions.worker.patience import insist, insist_and_tell
from executions.worker.prepare import prepare
from executions.worker.walk import Walk

log = logging.getLogger(__name__)

LONGEST_S = 0.5  # how long they may walk together


def set_out(
    addresses: Sequence[Address], path: str, *, pool: str = "cpu"
) -> list[Traveller]:
    """
    Claim the step at `path` of each; who cannot begin it just so gets a message.

    Raises OperationalError or InterfaceError, and has done nothing, when the database
    is away.
    """
    plan = pinned.plan(addresses[0].version)
    first = plan.by_path[path]
    ids = [UUID(address.execution) for address in addresses]
    known = situation.read_each(ids, plan, first)
    setting_out: dict[UUID, tuple[Address, Situation, NewRun]] = {}
    for address, execution_id in zip(addresses, ids, strict=True):
        one = known.get(execution_id)
        if one is None or not one.is_current(address.epoch):
            if one and one.cancelling:
                lifecycle.finish_cancel(execution_id)
        elif run := _plain_run(address, first, one):
            setting_out[run.id] = (address, one, run)
        else:
            dispatch.send(plan, first.block.index, address, pins=one.role_pins)
    started = all(one.status == "running" for _, one, _ in setting_out.values())
    try:
        runs = [run for _, _, run in setting_out.values()]
        claims = claimed(runs, started=started)
    except UNREACHABLE:
        raise
    except Exception:
        log.exception("%d executions set out singly.", len(setting_out))
        for address, one, _ in setting_out.values():
            dispatch.send(plan, first.block.index, address, pins=one.role_pins)
        return []
    return [
        traveller(*setting_out[claim.run.id][:2], claim, pool=pool) for claim in claims
    ]


def traveller(
    address: Address, known: Situation, claim: Claim, *, pool: str
) -> Traveller:
    """Let a walk begin with a step that is claimed."""
    known.status = "running"
    walk = Walk.of(address, path=claim.run.path, pool=pool)
    walk.warm_s, walk.in_company = LONGEST_S, True
    return Traveller(
        walk=walk, steps=walk.steps(claim, known), known=known, claim=claim
    )


def claimed(runs: Sequence[NewRun], *, started: bool) -> list[Claim]:
    """Claim what is to be had, also if the database's answer is lost."""
    if not runs:
        return []
    claims, repeated = insist_and_tell(
        lambda: lifecycle.claim_many(runs, started=started)
    )
    if not repeated:
        return claims
    # A reply was lost; what it told is on record, unless the lease was lost, too.
    mine = this_worker().identity() == runs[0].worker
    return insist(lambda: lifecycle.claims_of(runs)) if mine else []


def _plain_run(
    address: Address, planned: PlannedStep, known: Situation
) -> NewRun | None:
    """Make the step ready; None if it has a history, or is not to be run."""
    plan = pinned.plan(address.version)
    if planned.path in known.rows or beginning.standing(plan, planned, known):
        return None
    prepared = prepare(address, plan, planned, known)
    return None if prepared.skip or prepared.refusal else prepared.run

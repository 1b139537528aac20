"""Publish orchestrations as immutable versions, and read them back for the engine."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models import Max

from core_orchestration.definition import Definition, parse, to_json
from core_orchestration.models import Orchestration, OrchestrationVersion
from roles.models import Role, content_digest

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser


@transaction.atomic
def publish(
    orchestration: Orchestration,
    snapshot: dict[str, Any],
    *,
    by: AbstractBaseUser | None = None,
) -> OrchestrationVersion:
    """
    Make `snapshot` what new executions run; an unchanged one keeps its version.

    `snapshot` is what `definition.to_json` made of a valid definition. Publishers of
    one orchestration queue at its row, so that numbers have neither gaps nor twins.
    """
    Orchestration.objects.select_for_update().get(pk=orchestration.pk)
    digest = content_digest(snapshot)
    version = orchestration.versions.order_by("-number").first()
    if version is None or not _says(version, digest):
        version = OrchestrationVersion.objects.create(
            orchestration=orchestration,
            number=_last_number(orchestration) + 1,
            definition=snapshot,
            digest=digest,
            created_by_id=by.pk if by else None,
        )
    Orchestration.objects.filter(pk=orchestration.pk).update(published=version)
    orchestration.published = version
    return version


def _says(version: OrchestrationVersion, digest: str) -> bool:
    """
    Tell whether a version is what `digest` was made of.

    A version that an earlier release published lacks the fields that steps got since;
    their defaults stand for them, as they do when it is run.
    """
    if version.digest == digest:
        return True
    return content_digest(to_json(parse(version.definition))) == digest


def publisher_sees(version_id: str, role_id: str) -> bool:
    """Tell whether a role may be named by who published a version, if anybody did."""
    version = OrchestrationVersion.objects.only("created_by").get(pk=version_id)
    if version.created_by is None:
        return True
    return Role.objects.visible_to(version.created_by).filter(pk=role_id).exists()


def _last_number(orchestration: Orchestration) -> int:
    return orchestration.versions.aggregate(last=Max("number"))["last"] or 0


@lru_cache(maxsize=256)
def load(version_id: str) -> Definition:
    """Return a version's definition; versions never change, so they are kept."""
    snapshot = OrchestrationVersion.objects.values_list("definition", flat=True).get(
        pk=version_id
    )
    return parse(snapshot)

"""What a step names must exist: its role, the orchestration that it runs."""

from __future__ import annotations

from core_orchestration.reasoning import ROLE_FIELDS
from roles.problems import listing, quoted

from .directory import OrchestrationDirectory, RoleDirectory, normal_id
from .placed import Placed
from .report import Report

_WAYS = ("role_id", "role_name")


def refuse_role(step: Placed, report: Report) -> None:
    for name in _WAYS:
        if step.sent.get(name) is not None:
            where = ", or name it in a step of the body" if step.holds_body else ""
            if step.step_type in ROLE_FIELDS:
                where = (
                    f", and set {listing(ROLE_FIELDS[step.step_type])} in its config"
                )
            detail = (
                f"A step of the type {quoted(step.step_type)} is done without a role; "
                f"leave it out{where}."
            )
            report.add(step.at(name), "unexpected_role", detail)


def check_role(
    step: Placed, roles: RoleDirectory, report: Report, *, whose: str = "The step"
) -> None:
    """Report a role that is missing, named twice or unknown."""
    role_id, role_name = step.sent.get("role_id"), step.sent.get("role_name")
    if role_id is not None and role_name is not None:
        detail = "Name the role by role_id or by role_name, not by both."
        report.add(step.at("role_id"), "ambiguous_role", detail)
    elif role_id is None and role_name is None:
        detail = f"{whose} has no role; name one with role_name or role_id."
        report.add(step.pointer, "missing_role", detail)
    _check_role_exists(step, roles, report)


def check_roles_within(step: Placed, roles: RoleDirectory, report: Report) -> None:
    """Report roles in the config of a pattern that are missing or unknown."""
    for field in ROLE_FIELDS.get(step.step_type, ()):
        named = step.settings.get(field)
        if isinstance(named, str):
            _check_name(named, step.at("config", field), roles, report)
        elif named is not None:
            sound = frozenset(name for name in _WAYS if named.get(name) is not None)
            at = step.at("config", field)
            role = Placed(sent=named, pointer=at, key="", order=0, sound=sound)
            check_role(role, roles, report, whose=f"The {field}")


def _check_role_exists(step: Placed, roles: RoleDirectory, report: Report) -> None:
    role_id, name = step.get("role_id"), step.get("role_name")
    if role_id is not None and normal_id(role_id) is None:
        hint = " For a name, use role_name." if role_id in roles.names else ""
        detail = f"{quoted(role_id)} is not a role's id, which is a UUID.{hint}"
        report.add(step.at("role_id"), "unknown_role", detail)
    elif role_id is not None and not roles.has_id(role_id):
        detail = f"There is no role with the id {quoted(role_id)}."
        report.add(step.at("role_id"), "unknown_role", detail)
    if name is not None:
        _check_name(name, step.at("role_name"), roles, report)


def _check_name(name: str, pointer: str, roles: RoleDirectory, report: Report) -> None:
    if name not in roles.names:
        hint = report.suggest(name, roles.names)
        detail = f"There is no role named {quoted(name)}.{hint}"
        report.add(pointer, "unknown_role", detail)


def check_orchestration(
    step: Placed, known: OrchestrationDirectory, report: Report
) -> None:
    """Report that the orchestration which a step is to run, or its version, is not."""
    if step.step_type != "orchestration":
        return
    name = step.settings.get("orchestration_name")
    if name is not None and name not in known.names:
        hint = report.suggest(name, known.names)
        detail = f"There is no orchestration named {quoted(name)}.{hint}"
        at = step.at("config", "orchestration_name")
        report.add(at, "unknown_orchestration", detail)
    _check_id(step, known, report)
    _check_version(step, known, report)


def _check_id(step: Placed, known: OrchestrationDirectory, report: Report) -> None:
    given = step.settings.get("orchestration_id")
    if given is None or normal_id(given) in known.ids:
        return
    detail = f"There is no orchestration with the id {quoted(given)}."
    if normal_id(given) is None:
        hint = " For a name, use orchestration_name." if given in known.names else ""
        detail = f"{quoted(given)} is not an orchestration's id, which is a UUID.{hint}"
    report.add(step.at("config", "orchestration_id"), "unknown_orchestration", detail)


def _check_version(step: Placed, known: OrchestrationDirectory, report: Report) -> None:
    wanted, settings = step.settings.get("version"), step.settings
    name, given = settings.get("orchestration_name"), settings.get("orchestration_id")
    newest = known.newest_of(name, given)
    if wanted is None or newest is None or wanted <= newest:
        return
    there = f"the newest is {newest:,}" if newest else "none has been published"
    detail = f"There is no version {wanted:,} of this orchestration; {there}."
    report.add(step.at("config", "version"), "unknown_version", detail)

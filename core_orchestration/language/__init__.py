"""
The little language of orchestrations: templates and conditions over plain data.

Template.parse({"q": "{{ context.input.query }}"}).render(scope)
Condition.parse({"field": "output.score", "operator": ">", "value": 1}).holds(scope)
"""

from __future__ import annotations

from roles.problems import Problem

from .conditions import (
    Condition,
    ConditionSyntaxError,
    condition_problems,
    read_condition,
)
from .paths import Reference, TemplateRenderError
from .templates import (
    Reading,
    Template,
    TemplateProblem,
    TemplateSyntaxError,
    read_template,
)

__all__ = [
    "Condition",
    "ConditionSyntaxError",
    "Problem",
    "Reading",
    "Reference",
    "Template",
    "TemplateProblem",
    "TemplateRenderError",
    "TemplateSyntaxError",
    "condition_problems",
    "read_condition",
    "read_template",
]

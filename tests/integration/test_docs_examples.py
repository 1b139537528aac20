"""The examples of docs/: every JSON document in them is taken as it stands there."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from roles import keys
from roles.models import Role

pytestmark = pytest.mark.django_db(transaction=True)

DOCS = Path(__file__).parents[2] / "docs"
# What is named is made before: secrets, then servers, then agents.
PAGES = ("security.md", "mcp.md", "agents.md")
MADE, DONE = 201, 200
# Where an example belongs, by the fields that tell it from others.
PLACES: Mapping[tuple[str, ...], str] = {
    ("kind",): "roles/",
    ("steps",): "orchestrations/",
    ("scope",): "budgets/",
    ("name", "value"): "secrets/",
    ("name", "url"): "mcp-servers/",
    ("name", "command"): "mcp-servers/",
    ("provider", "model"): "models/",
    ("model_constraints", "needs_tools"): "models/choose/",
}
MakeRole = Callable[..., Role]


@pytest.fixture
def root(db: None) -> APIClient:
    """Ask as staff: some of the examples are for them alone."""
    client = APIClient(raise_request_exception=False)
    eve = User.objects.create_user("eve", is_staff=True)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {keys.issue(eve, 'docs')[1]}")
    return client


def examples() -> Iterator[tuple[str, dict[str, Any]]]:
    """Return the JSON blocks of all pages, each with where it belongs."""
    for page in PAGES:
        text = (DOCS / page).read_text()
        for block in re.findall(r"^```json\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
            document = json.loads(block)
            if "mcpServers" not in document:
                yield place_of(document), document


def place_of(document: Mapping[str, Any]) -> str:
    fitting = (where for fields, where in PLACES.items() if set(fields) <= {*document})
    return next(fitting)


def test_every_example_is_accepted(root: APIClient, make_role: MakeRole) -> None:
    role = make_role("Shouter")
    seen = set()
    for where, document in examples():
        given = document | ({"scope_id": str(role.pk)} if "scope" in document else {})
        answer = root.post(f"/api/v1/{where}", given, format="json")
        wanted = DONE if where == "models/choose/" else MADE
        assert answer.status_code == wanted, (document, answer.json())
        seen.add(where)
    assert seen == set(PLACES.values())

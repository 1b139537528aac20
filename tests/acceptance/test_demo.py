"""The demo on real workers, its documents posted as a client would post them."""

from __future__ import annotations

from typing import Any

import pytest

from core_orchestration.demo.seed import documents, role_documents
from tests.acceptance.system import System, logs_by_key

pytestmark = pytest.mark.acceptance

Demo = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def demo(system: System) -> Demo:
    for document in role_documents():
        system.post("roles/", document, status=201)
    return {
        document["name"]: system.post("orchestrations/", document, status=201)
        for document in documents()
    }


def run(system: System, demo: Demo, name: str, example: int = 0) -> dict[str, Any]:
    given = demo[name]["input_schema"]["examples"][example]
    ended = system.finished(system.execute(demo[name], given), seconds=60)
    assert ended["status"] == "completed", ended["error"]
    return ended


def statuses(execution: dict[str, Any]) -> dict[str, str]:
    return {key: log["status"] for key, log in logs_by_key(execution).items()}


def test_data_processing_ends_with_totals_that_are_proved(
    system: System, demo: Demo
) -> None:
    output = run(system, demo, "Data Processing")["output"]
    assert (output["orders"], len(output["rejected"])) == (108, 10)
    assert output["revenue"] == 81926.75
    assert output["revenue"] == pytest.approx(sum(output["by_region"].values()))
    assert output["validated"] is True
    assert all(check["passed"] for check in output["checks"])


def test_data_processing_of_a_file_that_is_not_there_names_the_step(
    system: System, demo: Demo
) -> None:
    ended = system.finished(
        system.execute(demo["Data Processing"], {"file": "nothing.csv"})
    )
    assert ended["status"] == "failed"
    assert ended["error"]["step_key"] == "extract"
    assert ended["error"]["type"] == "unknown_file"


def test_map_reduce_counts_what_one_reader_counts(system: System, demo: Demo) -> None:
    output = run(system, demo, "Map Reduce")["output"]
    assert output["words"] == 373
    assert output["top"][0] == {"word": "harbour", "count": 7}


def test_code_generation_releases_what_passed(system: System, demo: Demo) -> None:
    ended = run(system, demo, "Code Generation")
    assert ended["output"]["checks"] == {"passed": True, "errors": [], "warnings": []}
    assert ended["output"]["released"].startswith("salesorder-")
    assert "ordered_on: date" in ended["output"]["code"]
    assert ended["output"]["review"]


def test_research_cites_every_source_once(system: System, demo: Demo) -> None:
    output = run(system, demo, "Research Assistant")["output"]
    ids = [each["id"] for each in output["references"]]
    assert {name.partition("-")[0] for name in ids} == {"handbook", "incident", "study"}
    assert len(ids) == len(set(ids))
    assert "\n\nSources\n[1] " in output["answer"]


def test_content_is_checked_three_ways_and_published(
    system: System, demo: Demo
) -> None:
    output = run(system, demo, "Content Creation")["output"]
    assert output["slug"] == "why-a-harbour-needs-two-pilot-boats"
    assert output["html"].startswith("<article>")
    assert set(output["suggestions"]) == {"search_words", "facts", "tone"}


@pytest.mark.parametrize(
    ("example", "category"), [(0, "billing"), (1, "technical"), (2, "other")]
)
def test_a_ticket_goes_to_the_one_specialist_for_it(
    system: System, demo: Demo, example: int, category: str
) -> None:
    ended = run(system, demo, "Customer Support", example)
    found = statuses(ended)
    answered = [
        key for key in ("billing", "technical", "other") if found[key] == "completed"
    ]
    assert answered == [category] == [ended["output"]["category"]]
    assert list(found.values()).count("skipped") == 2
    assert ended["output"]["follow_up"]["reference"].startswith("T-")


@pytest.mark.parametrize(("example", "revisions"), [(0, 1), (1, 0)])
def test_work_is_revised_only_when_something_is_missing(
    system: System, demo: Demo, example: int, revisions: int
) -> None:
    output = run(system, demo, "Planner Executor Reviewer", example)["output"]
    assert (output["accepted"], output["revisions"]) == (True, revisions)
    assert "rollback" in output["result"]
    assert output["review"]["missing"] == []


def test_the_number_is_found_that_lies_beyond_worse_ones(
    system: System, demo: Demo
) -> None:
    output = run(system, demo, "Tree of Thoughts")["output"]
    assert (output["number"], output["off_by"]) == (47, 0)
    assert [each["operation"] for each in output["path"]] == [
        "* 3",
        "+ 5",
        "* 3",
        "+ 5",
    ]


def test_a_headline_is_talked_down(system: System, demo: Demo) -> None:
    output = run(system, demo, "Debate")["output"]
    assert (output["score"], output["rounds"]) == (10, 5)
    assert output["result"] == "why the pilot boat is in every harbour"
    assert output["verdict"].startswith("[demo]")


def test_most_readers_name_the_category(system: System, demo: Demo) -> None:
    output = run(system, demo, "Vote")["output"]
    assert output == {"category": "billing", "votes": {"billing": 3, "technical": 2}}
    assert run(system, demo, "Vote", 1)["output"]["category"] == "other"

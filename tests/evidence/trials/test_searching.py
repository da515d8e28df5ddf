"""An audit that nobody gave a region searches: within its budget, once, and with the same result when it goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import seewhy
from seewhy.evidence.audit import run_audit
from seewhy.evidence.factors.boxes import Box
from seewhy.evidence.results.folder import default_audit_folder
from seewhy.evidence.trials.budget import planned
from seewhy.evidence.trials.design import AuditDesign, design_audit
from seewhy.evidence.trials.places import Places
from seewhy.evidence.trials.request import request
from seewhy.evidence.trials.scorer import Scorer
from seewhy.evidence.trials.searching import least_budget, searched_for, usual_trials, with_places
from seewhy.learn.parts import with_all_images
from tests.small_images import Reader, classifier_of, write_images, write_masks

SIDE = 32
TOP = Box(0, 2, 0, 16)
FOUND = "patch top"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures whose background goes with the class, and their cores; the network reads the core and their top."""
    folder = tmp_path_factory.mktemp("searching")
    write_masks(folder / "core", write_images(folder / "data", counts={"train": 50, "valid": 50}, aligned=1.0))
    return folder


def design_of(home: Path, **asked: Any) -> AuditDesign:
    asked = {"regions": [f"core={home / 'core'}", "search"], "core": "core", "properties": "none", **asked}
    asked |= {"recipients": 40, "donors": 50}
    model = classifier_of(Reader(core=20.0, tint=20.0, seen=TOP.mask(SIDE, SIDE)[0]))
    return design_audit(model, home / "data", request(**asked), batch_size=50)


@pytest.fixture(scope="module")
def design(home: Path) -> AuditDesign:
    return design_of(home)


@pytest.fixture(scope="module")
def whole(home: Path, design: AuditDesign) -> dict[str, bytes]:
    run_audit(design, folder=home / "whole")
    return files_of(home / "whole")


def files_of(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file() and path.name not in ("manifest.json", ".lock"))
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def interrupted(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_where_no_region_is_named_places_are_searched_for() -> None:
    assert "search" in request().regions and "zones" in request().regions


def test_what_is_found_is_in_the_folder(home: Path, whole: dict[str, bytes]) -> None:
    stored = json.loads(whole["places.json"])
    (place,) = stored["places"]
    assert place["name"] == FOUND and len(stored["proposed_by"]) == 50 and stored["trials"] > 0
    told = json.loads(whole["findings.json"])
    assert FOUND in {finding["factor"] for finding in told["findings"]} and stored["note"] in told["notes"]


@pytest.mark.parametrize("method", ["scored", "run"])
def test_an_audit_that_is_stopped_while_it_searches_or_after_goes_on_with_the_same(
    design: AuditDesign, whole: dict[str, bytes], tmp_path: Path, method: str
) -> None:
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Scorer, method, interrupted)
        run_audit(design, folder=tmp_path / "run")
    assert (tmp_path / "run" / "places.json").exists() is (method == "run")
    run_audit(design, folder=tmp_path / "run")
    assert files_of(tmp_path / "run") == whole


def test_what_a_folder_holds_is_not_searched_for_again(
    home: Path, design: AuditDesign, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Scorer, "scored", interrupted)
    run_audit(design, folder=home / "whole")
    assert files_of(home / "whole") == whole


def test_in_memory_it_is_the_same_and_its_folder_has_the_same_name(
    design: AuditDesign, whole: dict[str, bytes], tmp_path: Path
) -> None:
    audit = run_audit(design)
    assert files_of(audit.save(tmp_path / "saved")) == whole
    assert default_audit_folder(audit.design, None) == default_audit_folder(design, None)


def test_the_trials_of_the_search_count_in_the_budget(design: AuditDesign) -> None:
    for budget in (least_budget(design), 2 * least_budget(design)):
        found = searched_for(design, budget)
        assert found.places is not None and 0 < found.places.n_trials <= budget / 3
        assert found.places.n_trials + found.schedule.n_trials <= budget
        assert found.budget_left == budget - found.places.n_trials


def test_a_budget_that_does_not_reach_it_says_which_one_does(design: AuditDesign) -> None:
    budget = least_budget(design) - 100
    found = searched_for(design, budget)
    assert found.places == Places(found.notes[-1]) and f"--budget {least_budget(design)}" in found.notes[-1]
    assert found.budget_left == budget
    plan = planned(design, budget)["search"]
    assert not plan["reached"] and plan["budget"] == least_budget(design)


def test_the_plan_counts_the_search(design: AuditDesign) -> None:
    plan, budget = planned(design, None), 10 * least_budget(design)
    assert plan["search"]["trials"] == usual_trials(design) > 0 and plan["search"]["reached"]
    assert planned(design, budget)["search"]["trials"] + planned(design, budget)["trials"] <= budget


def test_a_name_that_is_taken_is_given_to_no_place(home: Path) -> None:
    design = design_of(home, regions=[f"core={home / 'core'}", f"{FOUND}={home / 'core'}", "search"])
    found = searched_for(design, None)
    assert found.places is not None and [*found.places.boxes] == [f"{FOUND} 2"]


def test_places_are_the_same_after_they_were_stored(design: AuditDesign) -> None:
    places = searched_for(design, None).places
    assert places is not None and Places.from_stored(json.loads(json.dumps(places.as_stored()))) == places


def test_a_repair_knows_the_places_and_who_proposed_them(design: AuditDesign) -> None:
    found = searched_for(design, None)
    anew = with_all_images(found)
    assert {factor.name for factor in anew.factors} == {factor.name for factor in found.factors}
    sample, places = anew.audited, found.places
    assert places is not None
    proposed = [image.id in places.proposers for image in sample.images]
    assert (~sample.found[FOUND]).tolist() == proposed and sum(proposed) == 50


def test_the_number_of_tests_is_the_same_whatever_was_found(design: AuditDesign) -> None:
    few, none = (run_audit(with_places(design, places)) for places in (searched_for(design, None).places, none_found()))
    assert few.cases.n_tests == none.cases.n_tests


def none_found() -> Places:
    return Places("none", n_places=3, n_trials=300)


def test_few_images_are_not_searched_and_say_so(home: Path) -> None:
    audit = seewhy.audit(
        classifier_of(Reader(core=20.0)), home / "data", properties="none", limit=60, recipients=20, progress=False
    )
    assert any(note.startswith("No place was searched for") for note in audit.facts["notes"])

import dataclasses
import json
from typing import Any

import pytest

from common.errors import EngineUnavailableError, OptionError
from common.types import Size
from studio.page.calls.plan import PlanCalls
from studio.page.visits import Visit, Visits
from studio.service.fusion_service import FusionService
from studio.service.wish import Photo


@pytest.fixture
def visit() -> Visit:
    return Visit("visitor", "tab-of-a-page")


@pytest.fixture
def plan(service: FusionService, visit: Visit):
    """Asks for the plan of a wish; answers plain data."""
    calls = PlanCalls(service, Visits(60.0))

    def ask(
        target: Photo | None = None,
        sources: tuple[Photo, ...] = (),
        faces: tuple[tuple[int | None, int], ...] = ((None, 0),),
        **controls: object,
    ) -> dict[str, Any]:
        wish = {
            "target": None if target is None else visit.keep(target),
            "sources": [visit.keep(photo) for photo in sources],
            "faces": faces if target else (),
            "controls": controls,
        }
        answer = calls.plan(visit, {"wish": wish})
        assert json.loads(json.dumps(answer)) == answer
        return answer

    return ask


def test_without_photographs_only_the_engine_is_told(plan) -> None:
    told = plan()
    assert (told["sizes"], told["size"], told["estimate"], told["problem"]) == (
        {},
        None,
        None,
        None,
    )
    engine = told["engine"]
    assert (engine["name"], engine["device"], engine["composites"]) == ("mesh", "cpu", False)
    assert engine["expressions"] == ["target", "source"]
    assert "Mesh" in engine["text"]["en"]
    assert "Mesh" in engine["text"]["zh"]
    assert list(told["missing"]) == ["modelscope"]
    assert told["missing"]["modelscope"]["en"].startswith("ModelScope cannot run here. ")
    assert told["missing"]["modelscope"]["zh"].startswith("ModelScope 无法在此运行")


def test_a_target_alone_has_sizes(plan, demo) -> None:
    told = plan(dataclasses.replace(demo[0], size=Size(3000, 2000)), resolution="640x480")
    assert told["sizes"] == {
        "original": [3000, 2000],
        "512": [512, 341],
        "1024": [1024, 683],
        "2048": [2048, 1365],
        "4096": [4096, 2731],
        "auto": None,
        "640x480": [640, 427],
    }
    assert told["size"] == [640, 427]
    assert told["estimate"] is None


def test_sizes_follow_the_frame(plan, demo) -> None:
    told = plan(demo[0], resolution="1024", fit="pad")
    assert told["sizes"]["1024"] == told["size"] == [1024, 1024]


def test_a_size_above_the_limit_says_so(plan, demo) -> None:
    told = plan(demo[0], demo[1:], resolution="9000x9000")
    assert told["sizes"]["9000x9000"] == {"too_large": True}
    assert told["size"] is None
    assert told["estimate"] is None
    assert "more than the limit of 50 megapixels" in told["problem"]["en"]


def test_a_complete_wish_has_a_size_and_a_time(plan, demo) -> None:
    told = plan(demo[0], demo[1:], resolution="1024")
    assert told["size"] == [1024, 1024]
    assert told["problem"] is None
    expected = told["estimate"]
    assert 0 < expected["low"] < expected["seconds"] < expected["high"]
    assert expected["runs"] == 0


def test_auto_tells_what_it_would_choose_now(plan, demo) -> None:
    told = plan(demo[0], demo[1:], resolution="auto")
    assert told["sizes"]["auto"] is None
    assert told["size"][0] >= 512


def test_what_the_start_would_refuse_is_told_before(plan, demo, service, two_heads) -> None:
    path = service.storage.new_file("pair.jpg")
    two_heads.save(path)
    pair = service.look_at(path).result()
    far = ((None, 0), (None, 1))
    told = plan(pair, demo[1:], far, resolution="64x600", fit="crop")
    assert told["problem"] is not None
    assert told["estimate"] is None
    assert plan(pair, demo[1:], ((None, 0),), resolution="64x64", fit="crop")["problem"] is None


def test_a_picture_without_a_face_has_sizes_but_no_time(plan, demo) -> None:
    told = plan(demo[0], (dataclasses.replace(demo[1], faces=()),), resolution="512")
    assert (told["size"], told["estimate"], told["problem"]) == ([512, 512], None, None)


def test_an_engine_that_cannot_run_is_the_problem(plan, demo) -> None:
    told = plan(demo[0], demo[1:], engine="modelscope")
    assert told["engine"]["name"] == "modelscope"
    assert told["problem"] == told["engine"]["problem"]
    assert told["problem"]["en"].startswith("ModelScope cannot run here. ")


def test_an_engine_that_gives_up_on_loading_is_the_problem(
    plan, demo, service: FusionService, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(wanted: str) -> None:
        raise EngineUnavailableError(f"engine {wanted} has no room; use engine mesh")

    monkeypatch.setattr(service.engines, "get", refuse)
    told = plan(demo[0], demo[1:])
    assert "has no room" in told["problem"]["en"]


def test_no_answer_tells_where_files_are(plan, demo, service: FusionService) -> None:
    told = plan(demo[0], demo[1:], resolution="20000x20000", format="webp")
    assert str(service.storage.directory) not in json.dumps(told)


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"wish": {"controls": {}, "more": 1}},
        {"wish": {"target": 5, "controls": {}}},
        {"wish": {"controls": {"glow": 1}}},
        {"wish": {"target": "unknown", "controls": {}}},
        {"wish": {"faces": [[0]], "controls": {}}},
    ],
)
def test_what_the_page_does_not_send_is_refused(
    service: FusionService, visit: Visit, data: dict[str, Any]
) -> None:
    with pytest.raises(OptionError):
        PlanCalls(service, Visits(60.0)).plan(visit, data)


def test_a_face_that_is_not_there_is_the_problem(plan, demo) -> None:
    told = plan(demo[0], demo[1:], ((None, 7),))
    assert told["problem"]["en"].startswith("A face was chosen that is not in the photographs")

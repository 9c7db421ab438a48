"""Requests reject what they cannot mean; results say what was done."""

import dataclasses
import json
from pathlib import Path

import pytest

from common.errors import OptionError
from common.types import Size
from fusion.request import (
    Blend,
    Detection,
    FaceSelection,
    Finish,
    FusionRequest,
    FusionResult,
    Network,
    Output,
    face_report,
)
from tests.fusion.pictures import Fusion


@pytest.mark.parametrize(
    ("text", "every", "pairs"),
    [
        ("largest", False, ()),
        ("", False, ()),
        (" Largest ", False, ()),
        ("all", True, ()),
        ("ALL", True, ()),
        ("0", False, ((None, 0),)),
        ("0, 2", False, ((None, 0), (None, 2))),
        ("1:0", False, ((1, 0),)),
        ("1:0,0:2", False, ((1, 0), (0, 2))),
        ("3,1:0", False, ((None, 3), (1, 0))),
    ],
)
def test_faces_are_chosen_in_words(
    text: str, every: bool, pairs: tuple[tuple[int | None, int], ...]
) -> None:
    assert FaceSelection.parse(text) == FaceSelection(every, pairs)


@pytest.mark.parametrize(
    "text", ["some", "-1", "0,", "1:", ":1", "0:1:2", "1.5", "0;1", "²", "all,0", "0-2"]
)
def test_other_words_are_refused_with_what_would_do(text: str) -> None:
    with pytest.raises(OptionError, match="use largest, all, target indices") as caught:
        FaceSelection.parse(text)
    assert repr(text) in caught.value.message


@pytest.mark.parametrize("text", ["0,0", "1:0,0:0", "0,1:0"])
def test_a_target_face_is_named_once(text: str) -> None:
    with pytest.raises(OptionError, match="names a target face twice"):
        FaceSelection.parse(text)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Blend(ratio=1.01), r"ratio 1\.01 is outside 0 to 1"),
        (lambda: Blend(ratio=-0.1), r"ratio -0\.1 is outside 0 to 1"),
        (lambda: Blend(ratio=float("nan")), "ratio nan is outside 0 to 1"),
        (lambda: Blend(mode="soft"), "mode 'soft' is not known; use one of: normal, blend, over"),
        (lambda: Blend(shape=1.2), r"shape 1\.2 is outside 0 to 1"),
        (lambda: Blend(shape=float("nan")), "shape nan is outside 0 to 1"),
        (lambda: Blend(expression="both"), "'both' is not known; use one of: target, source"),
        (lambda: Finish(smooth=-0.1), r"smooth -0\.1 is outside 0 to 1"),
        (lambda: Finish(sharpen=2), "sharpen 2 is outside 0 to 1"),
        (lambda: Finish(brightness=0.6), r"brightness 0\.6 is outside -0\.5 to 0\.5"),
        (lambda: Finish(contrast=-0.6), r"contrast -0\.6 is outside -0\.5 to 0\.5"),
        (lambda: Finish(saturation=1), r"saturation 1 is outside -0\.5 to 0\.5"),
        (lambda: Finish(scope="skin"), "scope 'skin' is not known; use one of: image, face"),
        (lambda: FusionRequest(Path("t.png"), (), Output(Path("o.png"))), "at least one source"),
        (lambda: Network("mixed"), "composite 'mixed' is not known; use one of: studio, official"),
        (lambda: Network(boost=3), "boost 3 is not possible; use one of: auto, 1, 2, 4"),
        (lambda: Network(boost=0), "boost 0 is not possible"),
        (lambda: Network(enhance=1.1), r"enhance 1\.1 is outside 0 to 1"),
        (lambda: Network(enhance=float("nan")), "enhance nan is outside 0 to 1"),
        (lambda: Network("official", boost=1), "official has no boost .* leave both out"),
        (lambda: Network("official", enhance=0.0), "official has no boost .* leave both out"),
        (lambda: Detection(threshold=0.05), r"threshold 0\.05 is outside 0\.1 to 0\.9"),
        (lambda: Detection(threshold=float("inf")), "threshold inf is outside"),
        (lambda: Detection(min_face=23), "min-face 23 is outside 24 to 100000"),
        (lambda: Output(Path("o.png"), quality=0), "quality 0 is outside 1 to 100"),
        (lambda: Output(Path("o.png"), quality=101), "quality 101 is outside 1 to 100"),
    ],
)
def test_values_outside_their_range(make: object, says: str) -> None:
    assert callable(make)
    with pytest.raises(OptionError, match=says):
        make()


def test_values_at_the_ends_of_their_range() -> None:
    assert [Blend(ratio).ratio for ratio in (0, 1)] == [0, 1]
    assert [Detection(value).threshold for value in (0.1, 0.9)] == [0.1, 0.9]
    assert Detection(min_face=24).min_face == 24
    assert [Output(Path("o.png"), quality=value).quality for value in (1, 100)] == [1, 100]
    assert [Finish(brightness=value).brightness for value in (-0.5, 0.5)] == [-0.5, 0.5]
    assert [Blend(shape=value).shape for value in (0, 1)] == [0, 1]
    assert [Network(boost=value).boost for value in (None, 1, 2, 4)] == [None, 1, 2, 4]
    assert [Network(enhance=value).enhance for value in (None, 0.0, 1.0)] == [None, 0.0, 1.0]


def test_requests_are_frozen_values() -> None:
    request = FusionRequest(Path("t.png"), (Path("s.png"),), Output(Path("o.png")))
    assert request == FusionRequest(Path("t.png"), (Path("s.png"),), Output(Path("o.png")))
    assert hash(request) == hash(dataclasses.replace(request))
    with pytest.raises(dataclasses.FrozenInstanceError):
        request.target = Path("other.png")  # type: ignore[misc]


def test_a_result_as_the_command_lines_json(fusion: Fusion) -> None:
    face = fusion.target.face
    result = FusionResult(
        request=FusionRequest(
            Path("t.jpg"),
            (Path("s.jpg"), Path("r.jpg")),
            Output(Path("folder/o.png")),
            Blend(0.4, "blend", 0.2, "source"),
        ),
        size=Size(640, 480),
        format="png",
        engine="mesh",
        device="cpu",
        engine_reason="there is no GPU",
        faces=((face, True), (face, False)),
        seconds={"total": 1.23456, "read": 0.1},
        peak_rss_mb=123.456,
        written="grafted",
        notes=("two",),
        warnings=("one",),
    )
    report = json.loads(json.dumps(result.as_dict()))
    assert report["faces"] == [
        {
            "index": 0,
            "box": [face.box.x, face.box.y, face.box.width, face.box.height],
            "score": round(face.score, 3),
            "yaw": round(face.pose.yaw, 1),
            "pitch": round(face.pose.pitch, 1),
            "roll": round(face.pose.roll, 1),
            "used": used,
        }
        for used in (True, False)
    ]
    del report["faces"]
    assert report == {
        "output": "folder/o.png",
        "width": 640,
        "height": 480,
        "format": "png",
        "engine": "mesh",
        "device": "cpu",
        "engine_reason": "there is no GPU",
        "ratio": 0.4,
        "mode": "blend",
        "shape": 0.2,
        "expression": "source",
        "sources": ["s.jpg", "r.jpg"],
        "seconds": {"total": 1.2346, "read": 0.1},
        "peak_rss_mb": 123.5,
        "written": "grafted",
        "notes": ["two"],
        "warnings": ["one"],
    }
    assert "used" not in face_report(face)


def test_a_graft_keeps_the_targets_quality() -> None:
    with pytest.raises(OptionError, match="keeps the target's quality"):
        Output(Path("o.jpg"), quality=90, graft="always")
    assert Output(Path("o.jpg"), quality=90).graft == "auto"


def test_a_blend_at_another_ratio_is_otherwise_the_same() -> None:
    blend = Blend(0.4, "overlay", 0.2, "source", False, Network(boost=2, enhance=0.5))
    assert blend.at(0.9) == dataclasses.replace(blend, ratio=0.9)
    assert blend.at(0.4) == blend
    with pytest.raises(OptionError, match=r"ratio 1\.5 is outside"):
        blend.at(1.5)


def test_a_network_is_left_to_the_engine_unless_it_is_asked_for() -> None:
    assert Blend().network == Network() == Network("studio", None, None)

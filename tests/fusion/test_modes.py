"""Modes: the formula of overlay, what blend leaves to the target, and where both stop."""

from typing import Any

import cv2
import numpy as np
import pytest

from common.types import FloatArray
from fusion.compositing.modes import held_back, overlay
from fusion.request import MODES
from preprocess import face_topology as topology
from tests.fusion.faces import width_of
from tests.fusion.pictures import Fusion, Pixels


@pytest.mark.parametrize(
    ("base", "source", "expected"),
    [
        # B(Cb, Cs) = HardLight(Cs, Cb): 2 Cb Cs up to a base of one half, then a screen.
        (0.0, 0.7, 0.0),
        (0.25, 0.5, 0.25),
        (0.25, 0.8, 0.4),
        (0.5, 0.3, 0.3),
        (0.75, 0.5, 0.75),
        (0.75, 0.2, 0.6),
        (0.6, 1.0, 1.0),
        (1.0, 0.1, 1.0),
    ],
)
def test_overlay_is_the_standards(base: float, source: float, expected: float) -> None:
    values = [np.full((1, 1, 3), value, np.float32) for value in (base, source)]
    assert overlay(*values) == pytest.approx(expected, abs=1e-6)


def test_overlay_has_no_step_at_the_middle_and_stays_a_picture() -> None:
    base = np.linspace(0, 1, 2001, dtype=np.float32)[:, None, None]
    source = np.linspace(0, 1, 21, dtype=np.float32)[None, :, None]
    laid = overlay(base, source)
    assert laid.min() >= 0
    assert laid.max() <= 1
    assert np.abs(np.diff(laid, axis=0)).max() < 1.1e-3  # twice the base's step at most


def wave(period: float) -> FloatArray:
    x = np.arange(512, dtype=np.float32)
    return np.repeat(np.sin(2 * np.pi * x / np.float32(period))[None, :, None], 64, axis=0)


def test_the_coarser_a_band_the_more_of_it_is_the_targets() -> None:
    """Waves over a face 200 px wide, and an even difference of tone."""
    middle = np.s_[32, 128:384]
    held = [
        float(np.abs(held_back(wave(period), 200.0)[middle]).max()) for period in (4, 16, 48, 200)
    ]
    assert held == sorted(held)
    assert held[0] < 0.02  # details come in full
    assert held[-1] > 0.5
    even = held_back(np.full((64, 64, 3), 0.1, np.float32), 200.0)
    assert even == pytest.approx(0.07, abs=1e-4)
    assert not held_back(np.zeros((64, 64, 3), np.float32), 200.0).any()


def blush(pixels: Pixels, landmarks: FloatArray) -> Pixels:
    """Red cheeks."""
    red = np.zeros(pixels.shape[:2], np.float32)
    for cheek in (205, 425):
        centre = np.rint(landmarks[cheek, :2]).astype(int).tolist()
        cv2.circle(red, centre, round(0.07 * width_of(landmarks)), 1.0, -1)
    red = cv2.GaussianBlur(red, (0, 0), 0.03 * width_of(landmarks))[..., None]
    return np.asarray(np.rint(pixels * (1 - red * np.array([0.1, 0.5, 0.4]))), np.uint8)


@pytest.fixture(scope="module")
def seen(fusion: Fusion) -> dict[str, Any]:
    """A source with red cheeks in every mode, the target alone, and the opacity."""
    red = fusion.painted(source=blush)
    field = red.field()
    return {
        **{mode: red.render(red.field(mode=mode)) for mode in MODES},
        "target": fusion.moved(field),
        "opacity": field.opacity(fusion.whole, fusion.size),
    }


def test_blend_keeps_the_tone_nearer_the_target_and_the_detail_the_sources(
    fusion: Fusion, seen: dict[str, Any]
) -> None:
    width = float(np.ptp(fusion.target.face.landmarks[topology.FACE_OVAL, :2], axis=0).max())
    inside = seen["opacity"] > 0.95

    def apart(mode: str, other: str, sigma: float, *, fine: bool) -> float:
        pair = [seen[mode], seen[other]]
        soft = [cv2.GaussianBlur(one, (0, 0), sigma) for one in pair]
        bands = [one - low for one, low in zip(pair, soft, strict=True)] if fine else soft
        return float(np.abs(bands[0] - bands[1])[inside].mean())

    tone = [apart(mode, "target", 0.04 * width, fine=False) for mode in ("blend", "normal")]
    assert tone[0] < 0.75 * tone[1]  # measured 0.0092 and 0.0159
    assert apart("blend", "normal", 1.5, fine=True) < 0.0012  # measured 0.0007
    assert apart("blend", "target", 1.5, fine=True) > 0.008  # measured 0.0108


def test_overlay_lets_the_target_show_through(seen: dict[str, Any]) -> None:
    """Where the opacity is full it is the formula over what mode normal shows, grain aside."""
    full = seen["opacity"] == 1
    expected = overlay(seen["target"], seen["normal"])
    assert np.abs(seen["overlay"] - expected)[full].mean() < 0.006  # measured 0.003
    assert np.abs(seen["overlay"] - seen["normal"])[full].mean() > 0.05
    other = overlay(seen["normal"], seen["target"])  # the wrong way round
    apart = (np.abs(expected - other).max(axis=2) > 0.02) & full
    assert apart.sum() > 50
    errors = [np.abs(seen["overlay"] - one)[apart].mean() for one in (expected, other)]
    assert errors[0] < 0.3 * errors[1]  # measured a twentieth


@pytest.mark.parametrize("mode", MODES)
def test_no_mode_changes_anything_beside_the_face(seen: dict[str, Any], mode: str) -> None:
    near = cv2.dilate((seen["opacity"] > 0).astype(np.uint8), np.ones((5, 5))) > 0
    assert np.abs(seen[mode] - seen["target"])[~near].max() < 2e-5  # measured 6e-6
    assert (seen[mode] != seen["target"])[near].any(axis=-1).mean() > 0.8

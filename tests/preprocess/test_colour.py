"""Colours between profiles, and faces on pictures of inks."""

from __future__ import annotations

import io
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvips
from PIL import Image, ImageCms

from preprocess.colour import cmyk_patch, flatten, to_profile, to_srgb
from tests.preprocess.pictures import Pixels, as_vips, grey_profile, photo

DEPTHS = [8, 16]


def profile_of(name: str) -> bytes:
    """One of libvips' own profiles: 'srgb', 'p3' or 'cmyk'."""
    picture = as_vips(photo(8, 8)).icc_transform(name, input_profile="srgb")
    return bytes(picture.get("icc-profile-data"))


def wide_profile(gamma: float = 2.2) -> bytes:
    """An RGB profile with AdobeRGB's primaries (1998 specification), D50 adapted."""

    def s15(*values: float) -> bytes:
        return struct.pack(f">{len(values)}i", *(round(value * 65_536) for value in values))

    def xyz(*values: float) -> bytes:
        return b"XYZ \0\0\0\0" + s15(*values)

    curve = b"curv\0\0\0\0" + struct.pack(">IHH", 1, round(gamma * 256), 0)
    name = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"wide\0" + bytes(78)
    tags = {
        b"wtpt": xyz(0.9642, 1.0, 0.8249),
        b"rXYZ": xyz(0.60974, 0.31111, 0.01947),
        b"gXYZ": xyz(0.20528, 0.62567, 0.06087),
        b"bXYZ": xyz(0.14919, 0.06322, 0.74457),
        b"rTRC": curve,
        b"gTRC": curve,
        b"bTRC": curve,
        b"cprt": b"text\0\0\0\0none\0\0\0\0",
        b"desc": name + bytes(-len(name) % 4),
    }
    table, body, start = b"", b"", 132 + 12 * len(tags)
    for tag, data in tags.items():
        table += tag + struct.pack(">II", start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    head = struct.pack(">I", start + len(body)) + bytes(4) + struct.pack(">I", 0x02400000)
    head += b"mntrRGB XYZ " + bytes(12) + b"acsp" + bytes(28) + s15(0.9642, 1.0, 0.8249)
    return head + bytes(128 - len(head)) + struct.pack(">I", len(tags)) + table + body


def with_profile(image: Any, profile: bytes) -> Any:
    image = image.copy()
    image.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
    return image


def littlecms(pixels: Pixels, source: bytes | None, goal: bytes | None) -> Pixels:
    """The same conversion by Pillow; None is sRGB."""

    def opened(profile: bytes | None) -> Any:
        if profile is None:
            return ImageCms.createProfile("sRGB")
        return ImageCms.ImageCmsProfile(io.BytesIO(profile))

    result = ImageCms.profileToProfile(
        Image.fromarray(pixels),
        opened(source),
        opened(goal),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    return np.asarray(result)


@pytest.fixture(scope="module")
def smooth() -> Pixels:
    """Colours inside sRGB without noise, so that tables' interpolation stays comparable."""
    picture = Image.fromarray(photo(32, 24)).resize((96, 72), Image.Resampling.BICUBIC)
    return np.asarray(picture)


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("name", ["wide", "p3", "srgb"])
def test_a_source_comes_in_the_targets_numbers(smooth: Pixels, name: str, depth: int) -> None:
    goal = wide_profile() if name == "wide" else profile_of(name)
    expected = littlecms(smooth, None, goal).astype(float)
    result = to_profile(as_vips(smooth), goal, depth)
    assert result.format == ("ushort" if depth == 16 else "uchar")
    assert result.bands == 3
    assert "icc-profile-data" not in result.get_fields()
    difference = np.abs(result.numpy() / (257 if depth == 16 else 1) - expected)
    assert difference.max() <= 1.6  # both round; measured 1.0


@pytest.mark.parametrize("depth", DEPTHS)
def test_the_sources_own_profile_is_honoured(smooth: Pixels, depth: int) -> None:
    wide = with_profile(as_vips(smooth), wide_profile())
    for goal in (None, profile_of("p3")):
        expected = littlecms(smooth, wide_profile(), goal).astype(float)
        result = to_profile(wide, goal, depth).numpy() / (257 if depth == 16 else 1)
        assert np.abs(result - expected).max() <= 1.6


@pytest.mark.parametrize("depth", DEPTHS)
def test_the_same_profile_keeps_the_numbers(depth: int) -> None:
    pixels = photo(64, 48, 3, depth)
    result = to_profile(with_profile(as_vips(pixels), wide_profile()), wide_profile(), depth)
    assert np.array_equal(result.numpy(), pixels)
    plain = to_profile(as_vips(pixels), None, depth)
    assert np.array_equal(plain.numpy(), pixels)


def test_there_and_back_is_the_same() -> None:
    pixels = photo(64, 48, 3, 16)
    there = to_profile(as_vips(pixels), wide_profile(), 16)
    back = to_profile(with_profile(there, wide_profile()), None, 16)
    inside = (pixels > 2000) & (pixels < 63_000)
    difference = np.abs(back.numpy().astype(int) - pixels)[inside]
    assert difference.mean() < 10  # of 65535; measured 3.9
    assert np.quantile(difference, 0.999) < 130  # measured 66


@pytest.mark.parametrize(
    "profile", [b"junk", b"", wide_profile()[:150], wide_profile()[:132] + bytes(900)]
)
def test_a_profile_that_cannot_be_used_stands_for_srgb(smooth: Pixels, profile: bytes) -> None:
    assert np.array_equal(to_profile(as_vips(smooth), profile, 8).numpy(), smooth)
    own = with_profile(as_vips(smooth), profile or b"x")
    assert np.array_equal(to_profile(own, None, 8).numpy(), smooth)
    assert np.array_equal(to_srgb(own).numpy(), smooth)
    assert np.array_equal(to_profile(own, profile_of("srgb"), 8).numpy(), smooth)


def test_a_cmyk_profile_is_no_goal_for_three_channels(smooth: Pixels) -> None:
    assert np.array_equal(to_profile(as_vips(smooth), profile_of("cmyk"), 8).numpy(), smooth)


@pytest.mark.parametrize("depth", DEPTHS)
def test_grey_pictures_give_three_equal_channels(depth: int) -> None:
    pixels = photo(64, 48, 1, depth)
    for goal in (None, wide_profile()):
        result = to_profile(as_vips(pixels), goal, depth).numpy().astype(int)
        assert result.shape == (48, 64, 3)
        assert np.ptp(result, axis=2).max() <= (1 if depth == 8 else 120)
    assert np.array_equal(to_profile(as_vips(pixels), None, depth).numpy()[..., :1], pixels)


def test_a_grey_profile_is_a_goal(smooth: Pixels) -> None:
    """Its numbers are the root of the light (see `grey_profile`): 137 of sRGB become 128."""
    grey = np.full((24, 32, 3), 137, np.uint8)
    result = to_profile(as_vips(grey), grey_profile(), 8).numpy()
    assert result.shape == (24, 32, 3)
    assert np.abs(result.astype(int) - 128).max() <= 1
    own = with_profile(as_vips(photo(64, 48, 1)), grey_profile())
    kept = to_profile(own, grey_profile(), 8).numpy()
    assert np.array_equal(kept[..., :1], photo(64, 48, 1))


def test_inks_with_and_without_a_profile_become_colours(smooth: Pixels) -> None:
    inks = as_vips(smooth).icc_transform("cmyk", input_profile="srgb", intent="relative")
    plain = inks.copy()
    plain.remove("icc-profile-data")
    for image in (inks, plain):
        for result in (to_srgb(image), to_profile(image, None, 8)):
            difference = np.abs(result.numpy().astype(int) - smooth)
            assert difference.mean() < 6  # what a press cannot print is lost; measured 5.2


def test_the_blackest_ink_is_black_on_the_screen() -> None:
    ink = as_vips(np.full((8, 8, 4), 255, np.uint8)).copy(interpretation="cmyk")
    assert to_srgb(ink).numpy().max() <= 24  # measured 20, in blue; 0 in the others


def test_transparent_inks_are_laid_on_paper() -> None:
    inks = np.zeros((8, 8, 5), np.uint8)
    inks[:] = (200, 10, 10, 30, 0)
    ink = pyvips.Image.new_from_array(inks).copy(interpretation="cmyk")
    assert flatten(ink, 255).numpy().max() == 0
    assert flatten(ink, 128).numpy()[0, 0].tolist() == [0, 0, 0, 127]


# --- patches on inks ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def printed(smooth: Pixels) -> tuple[Pixels, Pixels]:
    """Inks as a separation with much black made them, and their sRGB colours."""
    inks = as_vips(smooth).icc_transform("cmyk", input_profile="srgb", intent="relative")
    numbers = inks.numpy().copy()
    numbers[..., 3] = np.clip(numbers[..., 3].astype(int) + 9, 0, 255)  # not what lcms would do
    image = as_vips(numbers).copy(interpretation="cmyk")
    return numbers, to_srgb(image).numpy()


def test_inks_that_do_not_change_are_the_same_numbers(printed: tuple[Pixels, Pixels]) -> None:
    stored, colours = printed
    for profile in (None, profile_of("cmyk"), b"junk", wide_profile()):
        result = cmyk_patch(stored, colours, colours, profile)
        assert np.array_equal(result, stored)
        assert result is not stored
    changed = colours.copy()
    changed[10:20, 5:30] = 255 - changed[10:20, 5:30]
    result = cmyk_patch(stored, colours, changed, None)
    outside = np.ones(stored.shape[:2], bool)
    outside[10:20, 5:30] = False
    assert np.array_equal(result[outside], stored[outside])
    assert not np.array_equal(result, stored)


@pytest.mark.parametrize("profile", [None, "cmyk"])
def test_changed_inks_look_as_wanted(printed: tuple[Pixels, Pixels], profile: str | None) -> None:
    stored, colours = printed
    change = np.array([14, -9, 6])
    wanted = np.clip(colours + change, 0, 255).astype(np.uint8)
    blob = None if profile is None else profile_of(profile)
    result = cmyk_patch(stored, colours, wanted, blob)
    seen = to_srgb(as_vips(result).copy(interpretation="cmyk")).numpy().astype(int)
    before = np.abs(colours.astype(int) - wanted).mean()
    after = np.abs(seen - wanted).mean()
    assert after < before / 20  # measured 0.17 after 9.7


def renamed(profile: bytes, tag: bytes) -> bytes:
    """A profile that lacks a table, here by another name."""
    assert profile.count(tag) == 1
    return profile.replace(tag, b"gone")


@pytest.mark.parametrize("tags", [[b"B2A0", b"B2A1", b"B2A2"], [b"A2B0", b"A2B1", b"A2B2"]])
def test_what_a_profile_lacks_is_taken_from_the_usual_one(
    printed: tuple[Pixels, Pixels], tags: list[bytes]
) -> None:
    profile = profile_of("cmyk")
    for tag in tags:
        profile = renamed(profile, tag)
    stored, colours = printed
    for blob in (profile, profile[:700]):
        result = cmyk_patch(stored, colours, 255 - colours, blob)
        assert np.array_equal(result, cmyk_patch(stored, colours, 255 - colours, None))


def test_large_patches_on_inks_take_little_memory() -> None:
    shape = (1500, 2000)  # three times as many pixels as would fit at once in what is allowed
    stored = np.zeros((*shape, 4), np.uint8)
    before, after = np.full((*shape, 3), 250, np.uint8), np.full((*shape, 3), 200, np.uint8)
    cmyk_patch(stored[:1], before[:1], after[:1], None)  # prepares the transforms
    tracemalloc.start()
    result = cmyk_patch(stored, before, after, None)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert np.ptp(result, axis=(0, 1)).max() == 0  # no seams
    assert result[0, 0].max() > 0
    assert peak - result.nbytes < 34e6  # measured 28: a dozen arrays of a piece


def test_a_file_of_inks_gets_the_colours_that_were_meant(tmp_path: Path) -> None:
    """Adobe stores the inks of JPEGs inverted; what libvips gives and takes has 0 for no ink."""
    paper = np.zeros((32, 48, 4), np.uint8)
    paper[:, 24:, 1] = 200
    Image.fromarray(paper, "CMYK").save(tmp_path / "a.jpg", quality=95)
    assert b"Adobe" in (tmp_path / "a.jpg").read_bytes()
    image = pyvips.Image.jpegload(str(tmp_path / "a.jpg"))
    stored = image.numpy().copy()
    assert np.abs(stored.astype(int) - paper).max() <= 3
    before = to_srgb(image).numpy()
    after = before.copy()
    after[:, :24] = [128, 128, 128]
    result = as_vips(cmyk_patch(stored, before, after, None)).copy(interpretation="cmyk")
    result.jpegsave(str(tmp_path / "out.jpg"), Q=95)
    with Image.open(tmp_path / "out.jpg") as picture:
        assert picture.mode == "CMYK"
        inks = np.asarray(picture).astype(int)
    assert np.abs(inks[:, 28:] - paper[:, 28:]).max() <= 4
    assert inks[:, 2:20].sum(axis=2).min() > 100
    seen = to_srgb(pyvips.Image.jpegload(str(tmp_path / "out.jpg"))).numpy().astype(int)
    assert np.abs(seen[4:28, 4:20] - 128).mean() < 3  # measured 1

"""Reading: size, orientation, depth, channels, scale and colour."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import pyvips
from PIL import Image, ImageCms, ImageOps

from common.errors import FileMissingError
from common.types import Region, Size
from preprocess.image_file import ImageFile
from tests.preprocess.pictures import Pixels, as_vips, encoded, photo, save_png
from tests.preprocess.renditions import rendered

KINDS = [(1, 8), (2, 8), (3, 8), (4, 8), (1, 16), (2, 16), (3, 16), (4, 16)]


def open_file(path: Path) -> ImageFile:
    return ImageFile.open(path, max_megapixels=390)


def colours(pixels: Pixels) -> Pixels:
    """What `read` must give for stored pixels at their own size."""
    return pixels[..., :3] if pixels.shape[2] >= 3 else np.repeat(pixels[..., :1], 3, axis=2)


def turned(pixels: Pixels, orientation: int) -> Pixels:
    """The upright picture, by Pillow's reading of the EXIF tag."""
    picture = Image.fromarray(np.arange(pixels[..., 0].size).reshape(pixels.shape[:2]).astype("i4"))
    picture.getexif()[0x0112] = orientation
    places = np.asarray(ImageOps.exif_transpose(picture))
    return pixels.reshape(-1, pixels.shape[2])[places]


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".txt", ""])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_content_decides_the_format(tmp_path: Path, kind: str, suffix: str) -> None:
    path = tmp_path / f"picture{suffix}"
    path.write_bytes(encoded(photo(40, 30), kind))
    image = open_file(path)
    assert (image.format, image.size, image.depth) == (kind.lower(), Size(40, 30), 8)
    assert not image.has_alpha
    assert not image.has_profile


@pytest.mark.parametrize(("channels", "depth"), KINDS)
def test_stored_numbers_come_out_exactly(tmp_path: Path, channels: int, depth: int) -> None:
    pixels = photo(70, 50, channels, depth)
    image = open_file(save_png(tmp_path / "a.png", pixels))
    assert (image.depth, image.has_alpha) == (depth, channels in (2, 4))
    region = Region(11, 7, 40, 33)
    read = rendered(image, image.size, region)
    assert read.dtype == pixels.dtype
    assert np.array_equal(read, colours(pixels)[7:40, 11:51])
    assert read.flags.c_contiguous


def test_palette_and_one_bit_pictures_are_expanded(tmp_path: Path) -> None:
    rgb = Image.fromarray(photo(40, 30))
    palette, one_bit = rgb.quantize(20), rgb.convert("1")
    for picture in (palette, one_bit):
        picture.save(tmp_path / "p.png")
        image = open_file(tmp_path / "p.png")
        assert image.depth == 8
        assert np.array_equal(
            rendered(image, image.size, Region.whole(image.size)), picture.convert("RGB")
        )


def test_jpeg_and_webp_numbers_are_the_decoders(tmp_path: Path) -> None:
    for kind in ("JPEG", "WEBP"):
        content = encoded(photo(80, 60), kind, quality=90)
        (tmp_path / "a").write_bytes(content)
        image = open_file(tmp_path / "a")
        expected = np.asarray(Image.open(tmp_path / "a").convert("RGB")).astype(int)
        # Two builds of the same decoder may round a chroma sample differently.
        assert np.abs(rendered(image, image.size, Region.whole(image.size)) - expected).max() <= 2


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_every_orientation_is_turned_upright(tmp_path: Path, kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    exact = {"JPEG": {"quality": 95}, "PNG": {}, "WEBP": {"lossless": True}}[kind]
    (tmp_path / "a").write_bytes(encoded(photo(72, 40), kind, exif=exif, **exact))
    expected = np.asarray(ImageOps.exif_transpose(Image.open(tmp_path / "a")).convert("RGB"))
    image = open_file(tmp_path / "a")
    assert (image.size.height, image.size.width) == expected.shape[:2]
    for region in (Region.whole(image.size), Region(3, 5, 20, 31)):
        rows, columns = region.within(Region(0, 0, 0, 0))
        for read in (rendered(image, image.size, region), image.read_srgb(region)):
            assert np.abs(read.astype(int) - expected[rows, columns]).max() <= 2
    strips = np.concatenate([rows for _, rows in image.strips(image.size, 16, 0)])
    assert np.array_equal(strips, image.read_srgb(Region.whole(image.size)))


@pytest.mark.parametrize("orientation", [0, 9, 77])
def test_an_orientation_that_does_not_exist_means_upright(tmp_path: Path, orientation: int) -> None:
    pixels = photo(40, 30)
    image = open_file(save_png(tmp_path / "a.png", pixels, orientation))
    assert np.array_equal(rendered(image, image.size, Region(0, 0, 40, 30)), pixels)


@pytest.mark.parametrize("at", [Size(211, 157), Size(90, 30), Size(223, 224)])
@pytest.mark.parametrize("orientation", [1, 6, 7])
@pytest.mark.parametrize(("channels", "depth"), KINDS)
def test_a_region_is_cut_from_the_scaled_whole(
    tmp_path: Path, channels: int, depth: int, orientation: int, at: Size
) -> None:
    image = open_file(save_png(tmp_path / "a.png", photo(300, 224, channels, depth), orientation))
    whole = rendered(image, at, Region.whole(at))
    assert whole.shape == (at.height, at.width, 3)
    assert whole.dtype == (np.uint16 if depth == 16 else np.uint8)
    for region in (Region(5, 9, 31, 17), Region(at.width - 40, at.height - 13, 40, 13)):
        rows, columns = region.within(Region.whole(at))
        assert np.array_equal(rendered(image, at, region), whole[rows, columns])
    whole = image.read_srgb(Region.whole(at), at)
    assert np.array_equal(image.read_srgb(Region(5, 9, 31, 17), at), whole[9:26, 5:36])


@pytest.mark.parametrize("width", [512, 1000, 1024])
@pytest.mark.parametrize("goal", [100, 250, 333, 900, 1024, 1500, 4096])
def test_scaling_keeps_pixel_centres_in_place(tmp_path: Path, width: int, goal: int) -> None:
    ramp = np.linspace(5000, 60000, width).round().astype(np.uint16)
    image = open_file(save_png(tmp_path / "ramp.png", np.tile(ramp[None, :, None], (64, 1, 1))))
    at = Size(goal, 64)
    read = rendered(image, at, Region(0, 32, goal, 1))[0, :, 0].astype(float)
    places = (np.arange(goal) + 0.5) * width / goal - 0.5
    expected = np.interp(places, np.arange(width), ramp)
    inner = slice(goal // 10, -goal // 10)
    step = 55_000 / width
    # libvips looks kernels up in 64ths of a pixel; what is enlarged is light, not numbers.
    assert np.abs(read - expected)[inner].max() <= step / 64 * max(1, width / goal) + 1.2


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("side", [37, 400])
def test_overshoot_at_edges_is_clipped_and_does_not_wrap(
    tmp_path: Path, depth: int, side: int
) -> None:
    deepest = 65535 if depth == 16 else 255
    pixels = np.zeros((100, 100, 3), np.uint16 if depth == 16 else np.uint8)
    pixels[:, 50:] = deepest
    read = rendered(open_file(save_png(tmp_path / "a.png", pixels)), Size(side, side))
    dark, light = read[:, : side // 2 - 3], read[:, side // 2 + 3 :]
    assert dark.max() < 0.1 * deepest
    assert light.min() > 0.9 * deepest
    assert (read.min(), read.max()) == (0, deepest)


def test_shrinking_averages_and_does_not_skip(tmp_path: Path) -> None:
    board = (np.indices((512, 512)).sum(axis=0) % 2 * 255).astype(np.uint8)
    image = open_file(save_png(tmp_path / "a.png", np.repeat(board[..., None], 3, axis=2)))
    read = rendered(image, Size(64, 64), Region(8, 8, 48, 48))
    assert np.abs(read.astype(int) - 127.5).max() <= 2


@pytest.mark.parametrize("side", [640, 641, 647, 655])
def test_a_jpeg_decoded_smaller_is_the_picture_reduced(tmp_path: Path, side: int) -> None:
    pixels = photo(side, side)
    (tmp_path / "a.jpg").write_bytes(encoded(pixels, "JPEG", quality=98, subsampling=0))
    save_png(tmp_path / "a.png", pixels)
    whole = Region(0, 0, 100, 100)
    fast, slow = (
        rendered(open_file(tmp_path / name), Size(100, 100), whole).astype(int)
        for name in ("a.jpg", "a.png")
    )
    assert np.abs(fast - slow).mean() < 1.0  # measured 0.4


def test_hidden_colours_do_not_bleed_through_scaling(tmp_path: Path) -> None:
    pixels = np.zeros((200, 200, 4), np.uint8)
    pixels[:, :100] = (0, 200, 0, 255)
    pixels[:, 100:] = (255, 0, 0, 0)
    for side in (67, 333):
        at = Size(side, side)
        image = open_file(save_png(tmp_path / "a.png", pixels))
        opaque = rendered(image, at, Region(0, 0, side // 2, side))
        assert opaque[..., 0].max() == 0
        assert np.abs(opaque[..., 1].astype(int) - 200).max() <= 1


def p3_picture(path: Path, pixels: Pixels) -> Path:
    """The same colours as the sRGB ``pixels``, as numbers of Display P3 with its profile."""
    as_vips(pixels).icc_transform("p3", input_profile="srgb").pngsave(str(path))
    return path


def test_srgb_applies_the_profile_and_stored_numbers_do_not(tmp_path: Path) -> None:
    pixels = photo(64, 48)
    image = open_file(p3_picture(tmp_path / "p3.png", pixels))
    whole = Region.whole(image.size)
    assert image.has_profile
    stored = rendered(image, image.size, whole).astype(int)
    assert np.array_equal(stored, pyvips.Image.new_from_file(str(tmp_path / "p3.png")).numpy())
    assert np.abs(stored - pixels).max() > 10
    assert np.abs(image.read_srgb(whole).astype(int) - pixels).max() <= 3
    strips = np.concatenate([rows for _, rows in image.strips(image.size, 20, 0)])
    assert np.array_equal(strips, image.read_srgb(whole))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_broken_profile_is_ignored(tmp_path: Path, channels: int) -> None:
    pixels = photo(64, 48, channels)
    broken = b"no profile at all" * 20
    picture = pixels if channels == 3 else pixels[..., 0]
    (tmp_path / "a.jpg").write_bytes(encoded(picture, "JPEG", icc_profile=broken))
    image = open_file(tmp_path / "a.jpg")
    whole = Region.whole(image.size)
    assert image.has_profile
    assert np.array_equal(image.read_srgb(whole), rendered(image, image.size, whole))


def test_srgb_of_a_profile_for_other_channels(tmp_path: Path) -> None:
    """An RGB profile in a grey file, as some cameras and converters leave it."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    content = encoded(photo(64, 48, 1)[..., 0], "PNG", icc_profile=profile)
    (tmp_path / "a.png").write_bytes(content)
    image = open_file(tmp_path / "a.png")
    read = image.read_srgb(Region.whole(image.size))
    assert (
        np.abs(read.astype(int) - rendered(image, image.size, Region.whole(image.size))).max() <= 1
    )


def test_srgb_of_16_bits_is_the_nearest_of_8(tmp_path: Path) -> None:
    for channels in (1, 3):
        pixels = photo(64, 48, channels, 16)
        image = open_file(save_png(tmp_path / "a.png", pixels))
        expected = np.round(colours(pixels) / 257).astype(np.uint8)
        assert np.array_equal(image.read_srgb(Region(0, 0, 64, 48)), expected)


@pytest.mark.parametrize(("channels", "depth"), [(2, 8), (4, 8), (2, 16), (4, 16)])
def test_srgb_lays_transparency_on_mid_grey(tmp_path: Path, channels: int, depth: int) -> None:
    deepest = 65535 if depth == 16 else 255
    pixels = photo(64, 48, channels, depth)
    pixels[:24, :, -1], pixels[24:, :, -1] = 0, deepest
    image = open_file(save_png(tmp_path / "a.png", pixels))
    read = image.read_srgb(Region(0, 0, 64, 48)).astype(int)
    assert np.all(read[:24] == 128)
    assert np.abs(read[24:] - colours(pixels)[24:] / (deepest / 255)).max() <= 1


def test_cmyk_becomes_srgb(tmp_path: Path) -> None:
    pixels = np.zeros((48, 64, 3), np.uint8)
    pixels[:, :32], pixels[:, 32:] = (255, 255, 255), (0, 0, 0)
    Image.fromarray(pixels).convert("CMYK").save(tmp_path / "c.jpg", quality=95)
    image = open_file(tmp_path / "c.jpg")
    whole = Region.whole(image.size)
    assert not image.has_alpha
    for read in (rendered(image, image.size, whole), image.read_srgb(whole)):
        assert read.shape == (48, 64, 3)
        assert read[:, :30].min() > 250
        assert read[:, 34:].max() < 60
    assert rendered(image, Size(16, 12), Region(0, 0, 16, 12)).shape == (12, 16, 3)


@pytest.mark.parametrize(("height", "overlap"), [(9, 0), (24, 16), (64, 0), (64, 20), (5000, 9)])
@pytest.mark.parametrize("at", [Size(600, 803), Size(431, 577), Size(61, 82)])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_strips_make_up_the_picture(
    tmp_path: Path, kind: str, at: Size, height: int, overlap: int
) -> None:
    (tmp_path / "a").write_bytes(encoded(photo(600, 803), kind))
    image = open_file(tmp_path / "a")
    expected = image.read_srgb(Region.whole(at), at)
    tops = []
    for top, rows in image.strips(at, height, overlap):
        assert len(rows) == min(height, at.height - top)
        assert np.array_equal(rows, expected[top : top + height])
        tops.append(top)
    assert tops[0] == 0
    assert set(np.diff(tops)) <= {height - overlap}
    assert top + len(rows) == at.height


@pytest.mark.parametrize("orientation", [3, 8])
def test_strips_of_a_turned_picture_with_alpha(tmp_path: Path, orientation: int) -> None:
    image = open_file(save_png(tmp_path / "a.png", photo(90, 70, 4), orientation))
    at = Size(image.size.width // 2, image.size.height // 2)
    expected = image.read_srgb(Region.whole(at), at)
    for top, rows in image.strips(at, 12, 5):
        assert np.array_equal(rows, expected[top : top + 12])


def test_a_large_turned_picture_goes_through_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("preprocess.image_pipeline._HELD_IN_MEMORY", 1000)
    pixels = photo(90, 70)
    image = open_file(save_png(tmp_path / "a.png", pixels, 6))
    strips = np.concatenate([rows for _, rows in image.strips(image.size, 16, 0)])
    assert np.array_equal(strips, turned(pixels, 6))


def test_strips_may_be_left_early(tmp_path: Path) -> None:
    image = open_file(save_png(tmp_path / "a.png", photo(300, 400)))
    for top, _ in image.strips(image.size, 50, 10):
        if top >= 80:
            break
    assert np.array_equal(rendered(image, image.size, Region(0, 0, 9, 9)), photo(300, 400)[:9, :9])


def test_regions_outside_are_refused(tmp_path: Path) -> None:
    image = open_file(save_png(tmp_path / "a.png", photo(40, 30)))
    for region in (Region(-1, 0, 5, 5), Region(36, 0, 5, 5), Region(0, 0, 0, 5)):
        with pytest.raises(ValueError, match="outside"):
            rendered(image, image.size, region)
        with pytest.raises(ValueError, match="outside"):
            image.read_srgb(region, Size(40, 30))
    with pytest.raises(ValueError, match="overlap"):
        next(image.strips(image.size, 10, 10))


def test_a_copy_that_fails_is_told(tmp_path: Path) -> None:
    save_png(tmp_path / "a.png", photo(40, 30))
    image = open_file(tmp_path / "a.png")
    image.copy_to(tmp_path / "b.png")
    assert (tmp_path / "b.png").read_bytes() == (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").unlink()
    with pytest.raises(FileMissingError, match=r"a\.png cannot be read"):
        image.copy_to(tmp_path / "c.png")
    assert [path.name for path in tmp_path.iterdir()] == ["b.png"]


FULL = """
import resource, signal, sys
import subprocess
import sys
from pathlib import Path
from common.errors import DiskFullError
from preprocess.image_file import ImageFile
image = ImageFile.open(Path(sys.argv[1]), max_megapixels=390)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    image.copy_to(Path(sys.argv[2]))
except DiskFullError as error:
    print(error.message)
"""


def test_a_copy_onto_a_full_disk_is_told(tmp_path: Path) -> None:
    save_png(tmp_path / "a.png", photo(40, 30))
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path / "a.png"), str(tmp_path / "b.png")],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "the disk is full" in done.stdout
    assert "b.png" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]

"""From file to file through rendering and delivery: what is not fused is not touched.

The field is a disc of plain colours, so that it is known which pixels may change; files are
written and read by libvips, Pillow and jpegtran without any of the studio's own code.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvips
import tifffile
from PIL import Image

from common.errors import MemoryLimitError, OptionError
from common.progress import Progress
from common.types import FloatArray, Region, Size
from fusion.field import Backdrop
from fusion.memory import Budget
from fusion.rendering import changing, render
from preprocess import delivery as delivery_module
from preprocess.delivery import Delivered, Job, Wishes, plan_delivery
from preprocess.frame import Frame, plan_frame
from preprocess.image_file import ImageFile
from preprocess.resolution import Resolution
from tests.preprocess.pictures import Pixels, grey_profile, photo

SIZE = Size(150, 110)
DESCRIPTION, ORIENTATION, X_RESOLUTION = 0x010E, 0x0112, 0x011A
BUDGET = Budget(4000.0)


@dataclass(frozen=True)
class Disc:
    """A field that lays a plain colour over a soft disc, at any scale."""

    picture: Size
    x: float
    y: float
    radius: float

    def bounds(self, at: Size) -> Region:
        factor = at.width / self.picture.width
        middle = np.array([[self.x, self.y]]) * factor
        return Region.around(middle, self.radius * factor).clip(at)

    def opacity(self, region: Region, at: Size) -> FloatArray:
        factor = at.width / self.picture.width
        rows, columns = np.mgrid[region.y : region.bottom, region.x : region.right]
        away = np.hypot((columns + 0.5) / factor - self.x, (rows + 0.5) / factor - self.y)
        return np.clip((self.radius - away) / 8, 0, 1).astype(np.float32)

    def reach(self, at: Size) -> int:  # noqa: ARG002 - of the protocol
        return 0

    def render(self, under: Backdrop, region: Region, at: Size) -> FloatArray:
        tile = under.read(region)
        weight = self.opacity(region, at)[..., None]
        colour = np.array([0.8, 0.5, 0.3], np.float32)
        return np.where(weight > 0, tile + weight * (colour - tile), tile)


def deliver(
    target: Path,
    output: Path,
    *,
    resolution: str = "original",
    fit: str = "keep",
    quality: int | None = None,
    graft: str = "auto",
    budget: Budget = BUDGET,
) -> tuple[Delivered, Disc, Frame]:
    """What the pipeline does once the fields are there."""
    image = ImageFile.open(target, max_megapixels=390)
    frame = plan_frame(image.size, Resolution.parse(resolution), fit, [], 390)
    disc = Disc(image.size, image.size.width * 0.55, image.size.height * 0.45, 30.0)
    window = frame.window.clip(frame.at)
    regions = changing([disc], frame.at, window)
    turn = image.header.orientation
    stored = tuple(turn.stored_region(region, frame.at) for region in regions)
    wishes = Wishes(output, quality, graft)
    with (
        plan_delivery(Job(image, frame, stored), wishes, budget.spare_mb()) as delivery,
        image.rendition(frame.at, Progress()) as base,
    ):
        patches = render(base, [disc], regions, budget, Progress())
        return delivery.write(base, patches, Progress()), disc, frame


def stored(path: Path) -> Pixels:
    image = pyvips.Image.new_from_file(str(path))
    return np.asarray(image.numpy().reshape(image.height, image.width, image.bands))


def upright(pixels: Pixels, orientation: int) -> Pixels:
    """By the definition of the EXIF tag (CIPA DC-008, 4.6.4 A)."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    flip_x, flip_y = orientation in (2, 3, 6, 7), orientation in (3, 4, 7, 8)
    return pixels[:: -1 if flip_y else 1, :: -1 if flip_x else 1]


def untouched(disc: Disc, at: Size) -> Pixels:
    return disc.opacity(Region.whole(at), at) == 0


def profile_for(channels: int) -> bytes:
    if channels in (1, 2):
        return grey_profile()
    space = "cmyk" if channels == 5 else "p3"
    image = pyvips.Image.black(8, 8, bands=3).copy(interpretation="srgb")
    blob = image.icc_transform(space, input_profile="srgb").get("icc-profile-data")
    return bytes(blob)


def tagged(pixels: Pixels, orientation: int, profile: bytes | None, inks: bool = False) -> Any:
    image = pyvips.Image.new_from_array(np.ascontiguousarray(pixels))
    grey, deep = pixels.shape[2] < 3, pixels.dtype == np.uint16
    kind = {(0, 0): "srgb", (0, 1): "rgb16", (1, 0): "b-w", (1, 1): "grey16"}[grey, deep]
    image = image.copy(interpretation="cmyk" if inks else kind, xres=300 / 25.4, yres=300 / 25.4)
    image.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    image.set_type(pyvips.GValue.gstr_type, "exif-ifd0-ImageDescription", "A day at sea (x, ASCII)")
    image.set_type(pyvips.GValue.gstr_type, "image-description", "A day at sea")  # of a TIFF
    if profile is not None:
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
    return image


def check_metadata(path: Path, profile: bytes | None, dpi: float = 300) -> None:
    if path.suffix == ".tif":
        with tifffile.TiffFile(path) as file:
            tags = {tag.name: tag.value for tag in file.pages.first.tags}
        found = tags.get("InterColorProfile")
        orientation, description = tags.get("Orientation", 1), tags["ImageDescription"]
        across = tags["XResolution"]
        shown = across[0] / across[1] * (2.54 if tags["ResolutionUnit"] == 3 else 1)
    else:
        with Image.open(path) as picture:
            exif = picture.getexif()
            found = picture.info.get("icc_profile")
            orientation, description = exif.get(ORIENTATION, 1), exif[DESCRIPTION]
            shown = picture.info["dpi"][0] if "dpi" in picture.info else float(exif[X_RESOLUTION])
    assert description == "A day at sea"
    assert orientation == 1
    assert found == profile
    assert shown == pytest.approx(dpi, rel=0.01)


# --- lossless formats ------------------------------------------------------------------------

PNG = {"name": "a.png", "options": {"compression": 1}}
TIFFS = [
    {"name": "lzw.tif", "options": {"compression": "lzw"}},
    {"name": "tiles.tif", "options": {"compression": "deflate", "tile": True}},
    {"name": "big.tif", "options": {"bigtiff": True}},
]


@pytest.mark.parametrize("with_profile", [False, True], ids=["plain", "profile"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 7])
@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("file", [PNG, *TIFFS], ids=lambda file: file["name"])
def test_lossless_files_keep_all_that_is_not_fused(
    tmp_path: Path,
    file: dict[str, Any],
    channels: int,
    depth: int,
    orientation: int,
    with_profile: bool,
) -> None:
    profile = profile_for(channels) if with_profile else None
    pixels = photo(SIZE.width, SIZE.height, channels, depth)
    target, output = tmp_path / file["name"], tmp_path / f"out{Path(file['name']).suffix}"
    tagged(pixels, orientation, profile).write_to_file(str(target), **file["options"])
    done, disc, frame = deliver(target, output)
    assert done == Delivered("encoded")

    result = stored(output)
    before = upright(pixels, orientation)
    same = untouched(disc, frame.at)
    assert result.dtype == before.dtype
    assert result.shape == before.shape
    assert np.array_equal(result[same], before[same])
    colours = channels - (channels in (2, 4))
    inside = disc.opacity(Region.whole(frame.at), frame.at) == 1
    assert (result[inside][:, :colours] != before[inside][:, :colours]).mean() > 0.95
    if channels in (2, 4):
        assert np.array_equal(result[..., -1], before[..., -1])
    check_metadata(output, profile)
    if "tiles" in file["name"]:
        assert pyvips.Image.new_from_file(str(output)).get("tile-width") > 0


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("with_profile", [False, True], ids=["plain", "profile"])
def test_inks_outside_the_face_keep_their_numbers(
    tmp_path: Path, orientation: int, with_profile: bool
) -> None:
    profile = profile_for(5) if with_profile else None
    pixels = photo(SIZE.width, SIZE.height, 4)
    target, output = tmp_path / "a.tif", tmp_path / "out.tif"
    tagged(pixels, orientation, profile, inks=True).tiffsave(str(target), compression="lzw")
    deliver(target, output)
    result = pyvips.Image.new_from_file(str(output))
    assert result.interpretation == "cmyk"
    same = untouched(*_sizes(target, orientation))
    assert np.array_equal(stored(output)[same], upright(pixels, orientation)[same])
    check_metadata(output, profile)


def _sizes(target: Path, orientation: int) -> tuple[Disc, Size]:
    image = ImageFile.open(target, max_megapixels=390)
    assert (image.size == SIZE) == (orientation < 5)
    return Disc(image.size, image.size.width * 0.55, image.size.height * 0.45, 30.0), image.size


@pytest.mark.parametrize("mode", ["1", "P", "L", "LA", "RGB", "RGBA"])
def test_every_mode_of_png_comes_out_with_the_same_values(tmp_path: Path, mode: str) -> None:
    picture = Image.fromarray(photo(SIZE.width, SIZE.height))
    picture = picture.quantize(40) if mode == "P" else picture.convert(mode)
    picture.save(tmp_path / "a.png")
    _, disc, frame = deliver(tmp_path / "a.png", tmp_path / "out.png")
    same = untouched(disc, frame.at)
    kind = "RGBA" if "A" in mode else "RGB"
    before = np.asarray(picture.convert(kind))
    after = np.asarray(Image.open(tmp_path / "out.png").convert(kind))
    assert np.array_equal(after[same], before[same])
    assert (after != before).any()


@pytest.mark.parametrize("depth", [8, 16])
def test_premultiplied_colours_keep_their_numbers_at_soft_edges(tmp_path: Path, depth: int) -> None:
    pixels = photo(SIZE.width, SIZE.height, 4, depth)
    deepest = np.iinfo(pixels.dtype).max
    pixels[..., 3] = np.linspace(0, deepest, SIZE.width).astype(pixels.dtype)
    weighted = pixels.copy()
    product = pixels[..., :3].astype(np.float64) * pixels[..., 3:] / deepest
    weighted[..., :3] = np.rint(product)
    target, output = tmp_path / "a.tif", tmp_path / "out.tif"
    tifffile.imwrite(target, weighted, photometric="rgb", extrasamples=["assocalpha"])
    _, disc, frame = deliver(target, output)
    same = untouched(disc, frame.at)
    assert np.array_equal(tifffile.imread(output)[same], weighted[same])


# --- lossy formats ---------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".avif", ".png", ".tif"])
@pytest.mark.parametrize("source", [".jpg", ".webp", ".png", ".tif"])
def test_metadata_pass_from_every_format_into_every_other(
    tmp_path: Path, source: str, suffix: str, orientation: int
) -> None:
    profile = profile_for(3)
    image = tagged(photo(SIZE.width, SIZE.height), orientation, profile)
    image.write_to_file(str(tmp_path / f"a{source}"))
    done, _, frame = deliver(
        tmp_path / f"a{source}", tmp_path / f"out{suffix}", quality=90, graft="never"
    )
    assert done == Delivered("encoded")
    result = ImageFile.open(tmp_path / f"out{suffix}", max_megapixels=390)
    assert result.size == frame.size
    check_metadata(tmp_path / f"out{suffix}", profile)


@pytest.mark.parametrize(("resolution", "fit"), [("64", "keep"), ("333x250", "pad")])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_metadata_survive_another_size(
    tmp_path: Path, suffix: str, resolution: str, fit: str
) -> None:
    profile = profile_for(3)
    tagged(photo(SIZE.width, SIZE.height), 8, profile).write_to_file(str(tmp_path / f"a{suffix}"))
    wanted = resolution if "x" in resolution else "64x64"
    _, _, frame = deliver(
        tmp_path / f"a{suffix}", tmp_path / f"o{suffix}", resolution=wanted, fit=fit
    )
    result = ImageFile.open(tmp_path / f"o{suffix}", max_megapixels=390)
    assert result.size == frame.size
    check_metadata(tmp_path / f"o{suffix}", profile)


# --- JPEG to JPEG ----------------------------------------------------------------------------


def jpeg(path: Path, orientation: int = 1, size: Size = SIZE, **options: Any) -> Path:
    image = tagged(photo(size.width, size.height), orientation, profile_for(3))
    image.jpegsave(str(path), **options)
    return path


@pytest.fixture
def jpegtran(require_program: Callable[[str], str]) -> str:
    return require_program("jpegtran")


def coefficients(program: str, path: Path, region: Region, folder: Path) -> bytes:
    """Those of whole units: two equal crops are two equal sets of coefficients."""
    crop = f"{region.width}x{region.height}+{region.x}+{region.y}"
    output = folder / "crop.jpg"
    subprocess.run(
        [program, "-copy", "none", "-crop", crop, "-outfile", str(output), str(path)], check=True
    )
    return output.read_bytes()


@pytest.mark.parametrize("interlace", [False, True], ids=["baseline", "progressive"])
@pytest.mark.parametrize("subsampling", ["on", "off"])
def test_blocks_outside_the_face_keep_their_coefficients(
    tmp_path: Path, jpegtran: str, subsampling: str, interlace: bool
) -> None:
    size = Size(320, 240)
    target = jpeg(
        tmp_path / "a.jpg", 1, size, Q=85, subsample_mode=subsampling, interlace=interlace
    )
    output = tmp_path / "out.jpg"
    done, disc, frame = deliver(target, output)
    assert done.written == "grafted"
    assert not done.warnings
    assert done.extra_mb > 0
    bounds = disc.bounds(frame.at)
    unit = 16
    left, top = bounds.x // unit * unit, bounds.y // unit * unit
    right, bottom = -(-bounds.right // unit) * unit, -(-bounds.bottom // unit) * unit
    for region in (
        Region(0, 0, 320, top),
        Region(0, bottom, 320, 240 - bottom),
        Region(0, 0, left, 240),
        Region(right, 0, 320 - right, 240),
    ):
        before = coefficients(jpegtran, target, region, tmp_path)
        assert coefficients(jpegtran, output, region, tmp_path) == before
    inside = Region(left, top, right - left, bottom - top)
    assert coefficients(jpegtran, output, inside, tmp_path) != coefficients(
        jpegtran, target, inside, tmp_path
    )
    check_metadata(output, profile_for(3))
    assert output.stat().st_size == pytest.approx(target.stat().st_size, rel=0.03)
    # What a viewer shows inside is what was rendered.
    middle = stored(output)[round(disc.y), round(disc.x)]
    assert np.abs(middle.astype(int) - np.array([204, 128, 76])).max() <= 6


@pytest.mark.parametrize(("size", "tag"), [(Size(320, 240), 1), (Size(317, 235), 6)])
def test_a_turned_jpeg_is_grafted_upright_or_stays_as_it_lies(
    tmp_path: Path, jpegtran: str, size: Size, tag: int
) -> None:
    target = jpeg(tmp_path / "a.jpg", 6, size, Q=90)
    done, disc, frame = deliver(target, tmp_path / "out.jpg")
    assert done.written == "grafted"
    image = pyvips.Image.new_from_file(str(tmp_path / "out.jpg"))
    assert image.get("orientation") == tag
    assert [note for note in done.notes if "as it lies in the file" in note] == list(done.notes)
    assert bool(done.notes) == (tag == 6)
    shown = upright(stored(tmp_path / "out.jpg"), tag)
    assert shown.shape[:2] == (frame.at.height, frame.at.width)
    same = untouched(disc, frame.at)
    grown = np.zeros_like(same)
    bounds = disc.bounds(frame.at).grow(18).clip(frame.at)
    grown[bounds.within(Region.whole(frame.at))] = True
    before = upright(stored(target), 6)
    # The same coefficients, but a turned block is transformed back in another order.
    apart = np.abs(shown.astype(int) - before)[same & ~grown]
    assert apart.max() <= (3 if tag == 1 else 0)


def test_what_is_asked_for_decides_how_a_jpeg_is_written(tmp_path: Path, jpegtran: str) -> None:
    target, output = jpeg(tmp_path / "a.jpg", Q=71), tmp_path / "out.jpg"
    assert deliver(target, output)[0].written == "grafted"
    assert deliver(target, output, graft="always")[0].written == "grafted"
    for given in ({"graft": "never"}, {"quality": 90}, {"resolution": "75x55"}):
        done, _, _ = deliver(target, output, **given)  # type: ignore[arg-type]
        assert done == Delivered("encoded")
    assert deliver(target, tmp_path / "out.png")[0].written == "encoded"
    for suffix, given in ((".png", {}), (".jpg", {"resolution": "75x55"})):
        with pytest.raises(OptionError, match="jpeg-graft always needs a JPEG target"):
            deliver(target, tmp_path / f"x{suffix}", graft="always", **given)
    assert not (tmp_path / "x.jpg").exists()


def test_a_graft_that_does_not_fit_the_memory_becomes_an_encoding_that_says_so(
    tmp_path: Path, jpegtran: str
) -> None:
    target, output = jpeg(tmp_path / "a.jpg", Q=71), tmp_path / "out.jpg"
    small = Budget(0.0)
    done, _, _ = deliver(target, output, budget=small)
    assert done.written == "encoded"
    (warning,) = done.warnings
    assert "encoded anew at quality 71" in warning
    assert "MB of memory, and 0 MB may be used" in warning
    assert stored(output).shape == stored(target).shape
    with pytest.raises(MemoryLimitError, match="raise max-memory-mb"):
        deliver(target, tmp_path / "x.jpg", graft="always", budget=small)
    assert not (tmp_path / "x.jpg").exists()


def test_without_jpegtran_the_picture_is_encoded_and_the_package_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, output = jpeg(tmp_path / "a.jpg", Q=71), tmp_path / "out.jpg"
    monkeypatch.setenv("PATH", str(tmp_path))
    done, disc, frame = deliver(target, output)
    assert done.written == "encoded"
    assert "libjpeg-turbo-progs" in done.warnings[0]
    same = untouched(disc, frame.at)
    difference = np.abs(stored(output).astype(int) - stored(target))[same]
    assert difference.mean() < 3
    with pytest.raises(OptionError, match="libjpeg-turbo-progs"):
        deliver(target, tmp_path / "x.jpg", graft="always")


@pytest.mark.parametrize(
    "script",
    [
        "#!/bin/sh\necho 'it will not' >&2\nexit 1\n",
        "#!/no/such/interpreter\n",
        "#!/bin/sh\necho 'Insufficient memory (case 4)' >&2\nexit 1\n",
        "#!/bin/sh\nkill -9 $$\n",
    ],
    ids=["fails", "does not start", "out of memory", "killed"],
)
def test_a_graft_that_fails_becomes_an_encoding_that_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    program = tmp_path / "bin" / "jpegtran"
    program.parent.mkdir()
    program.write_text(script, encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    target, output = jpeg(tmp_path / "a.jpg", Q=71), tmp_path / "out.jpg"
    done, _, _ = deliver(target, output)
    assert done.written == "encoded"
    assert "it could not be grafted" in done.warnings[0]
    with pytest.raises((delivery_module.GraftError, MemoryLimitError)):
        deliver(target, tmp_path / "x.jpg", graft="always")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jpg", "bin", "out.jpg"]


# --- memory ----------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", [1, 8])
def test_a_small_budget_changes_where_pixels_lie_and_not_what_they_are(
    tmp_path: Path, orientation: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = photo(500, 420, 3, 16)
    tagged(pixels, orientation, None).pngsave(str(tmp_path / "a.png"))
    deliver(tmp_path / "a.png", tmp_path / "large.png")
    opened: list[Size] = []
    from fusion import rendering

    of_rows = rendering.Scratch.of_rows

    def noted(size: Size, *rest: Any) -> Any:
        opened.append(size)
        return of_rows(size, *rest)

    monkeypatch.setattr(rendering.Scratch, "of_rows", noted)
    deliver(tmp_path / "a.png", tmp_path / "small.png", budget=Budget(0.0))
    assert len(opened) == 1
    assert (tmp_path / "small.png").read_bytes() == (tmp_path / "large.png").read_bytes()


def test_what_can_only_be_coded_whole_is_refused_before_it_fills_the_memory(
    tmp_path: Path,
) -> None:
    tagged(photo(400, 300), 1, None).webpsave(str(tmp_path / "a.webp"))
    with pytest.raises(MemoryLimitError, match=r"out\.avif of 400x300 .* write TIFF, PNG or JPEG"):
        deliver(tmp_path / "a.webp", tmp_path / "out.avif", budget=Budget(0.0))
    assert [path.name for path in tmp_path.iterdir()] == ["a.webp"]
    decoder = ImageFile.open(tmp_path / "a.webp", max_megapixels=390).header.decoder_mb
    assert decoder == pytest.approx(400 * 300 * 8 / 2**20, rel=0.5)

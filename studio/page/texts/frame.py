"""Texts of the page's frame and of what all its parts share."""

from studio.page.texts.language import Table

TEXTS: Table = {
    "title": {"en": "Face Fusion Studio", "zh": "人脸融合工作室"},
    "tagline": {
        "en": "A face into a photograph, at its own resolution.",
        "zh": "把一张脸融入照片，保持照片本来的分辨率。",
    },
    "private": {"en": "Nothing leaves this machine.", "zh": "图片不会离开这台电脑。"},
    "tabs": {"en": "Sections", "zh": "页面"},
    "tab_fuse": {"en": "Fuse", "zh": "融合"},
    "tab_batch": {"en": "Batch", "zh": "批量"},
    "tab_history": {"en": "History", "zh": "历史"},
    "tab_system": {"en": "System", "zh": "系统"},
    "tab_guide": {"en": "Guide", "zh": "指南"},
    "demo": {"en": "Load the demo pair", "zh": "载入示例照片"},
    "language_switch": {"en": "中文", "zh": "English"},
    "language_label": {"en": "把页面切换为中文", "zh": "Switch the page to English"},
    "theme_label": {"en": "Colours: {name}", "zh": "外观：{name}"},
    "theme_system": {"en": "like the system", "zh": "跟随系统"},
    "theme_light": {"en": "light", "zh": "浅色"},
    "theme_dark": {"en": "dark", "zh": "深色"},
    "skip": {"en": "Skip to the content", "zh": "跳到内容"},
    "close": {"en": "Close", "zh": "关闭"},
    "pixels": {"en": "{width} × {height} px", "zh": "{width} × {height} 像素"},
    "seconds": {"en": "{seconds} s", "zh": "{seconds} 秒"},
    "minutes": {"en": "{minutes} min", "zh": "{minutes} 分钟"},
    "unreachable": {
        "en": "The studio did not answer. Check that it is still running, then try again.",
        "zh": "工作室没有响应。请确认它仍在运行，然后重试。",
    },
    "upload_failed": {
        "en": "{name} could not be uploaded: the studio does not answer. Please try again.",
        "zh": "{name} 上传失败：工作室没有响应。请重试。",
    },
    "upload_stopped": {"en": "The upload of {name} was stopped.", "zh": "{name} 的上传已停止。"},
    "upload_too_large": {
        "en": "{name} is larger than the studio accepts.",
        "zh": "{name} 超过了工作室允许的大小。",
    },
    "upload_no_room": {
        "en": "The studio has no room left for {name}. Make room on its disk, or try again later.",
        "zh": "工作室没有足够的空间保存 {name}。请清理磁盘，或稍后再试。",
    },
}

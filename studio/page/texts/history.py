"""Texts of the History tab."""

from studio.page.texts.language import Table

TEXTS: Table = {
    "history_title": {"en": "History", "zh": "历史"},
    "history_lead": {
        "en": "What you made since the studio was started, newest first. Only this browser "
        "sees it.",
        "zh": "工作室启动以来您生成的照片，最新的在最前面。只有这个浏览器能看到。",
    },
    "history_empty_title": {"en": "Nothing here yet", "zh": "还没有记录"},
    "history_empty_text": {
        "en": "Every finished fusion appears here with its settings: to download it again, or to "
        "start the next one from them. Results are deleted after {time}.",
        "zh": "每次融合完成后，照片和所用的设置都会出现在这里，可以再次下载，"
        "也可以沿用这些设置继续融合。结果会在 {time}后删除。",
    },
    "history_empty_button": {"en": "Fuse a photograph", "zh": "去融合照片"},
    "history_hours": {"en": "{hours} h", "zh": "{hours} 小时"},
    "history_days": {"en": "{days} days", "zh": "{days} 天"},
    "history_loading": {"en": "Loading…", "zh": "正在载入…"},
    "history_count": {"en": "{count} results", "zh": "{count} 个结果"},
    "history_count_one": {"en": "1 result", "zh": "1 个结果"},
    "history_picture": {"en": "Result made from {name}", "zh": "由 {name} 融合的结果"},
    "history_no_picture": {"en": "No preview", "zh": "没有预览"},
    "history_from": {"en": "Face from {names}", "zh": "人脸来自 {names}"},
    "history_and": {"en": ", ", "zh": "、"},
    "history_made_in": {
        "en": "{engine} on {device}, {time}",
        "zh": "{engine}，{device}，用时 {time}",
    },
    "history_made_now": {"en": "Made just now", "zh": "刚刚生成"},
    "history_made_when": {"en": "Made {when}", "zh": "{when}生成"},
    "history_gone": {"en": "deleted {when}", "zh": "{when}删除"},
    "history_changed": {"en": "Settings that were changed", "zh": "更改过的设置"},
    "history_usual": {"en": "Usual settings", "zh": "默认设置"},
    "history_on": {"en": "on", "zh": "开"},
    "history_off": {"en": "off", "zh": "关"},
    "history_reuse": {"en": "Reuse settings", "zh": "沿用设置"},
    "history_reuse_name": {"en": "Reuse the settings of {name}", "zh": "沿用 {name} 的设置"},
    "history_download": {"en": "Download", "zh": "下载"},
    "history_download_name": {"en": "Download {name}", "zh": "下载 {name}"},
    "history_delete": {"en": "Delete", "zh": "删除"},
    "history_delete_name": {"en": "Delete {name}", "zh": "删除 {name}"},
    "history_confirm": {"en": "Delete for good?", "zh": "彻底删除吗？"},
    "history_confirm_yes": {"en": "Delete", "zh": "删除"},
    "history_confirm_no": {"en": "Keep", "zh": "保留"},
    "history_deleted": {"en": "{name} is deleted.", "zh": "{name} 已删除。"},
}

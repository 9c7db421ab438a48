"""Words that stand in sentences as values, and what the operating system says."""

WORDS: dict[str, str] = {
    "original": "原始尺寸",
    "target": "目标",
    "source": "来源",
    "floating-point": "浮点",
    "signed": "带符号的",
    "32-bit": "32 位",
    "unknown": "未知",
    "the studio's folder": "工作室的文件夹",
}
"""Each is a plain string of the source or of `studio.page.messages`."""

FROM_OUTSIDE: dict[str, str] = {
    "Permission denied": "没有权限",
    "No such file or directory": "文件或文件夹不存在",
    "No space left on device": "磁盘空间不足",
    "Disk quota exceeded": "超出磁盘配额",
    "Read-only file system": "文件系统为只读",
    "Is a directory": "这是一个文件夹",
    "Not a directory": "这不是文件夹",
    "File name too long": "文件名太长",
    "File too large": "文件太大",
    "Too many open files": "打开的文件太多",
    "Input/output error": "读写出错",
    "Cannot allocate memory": "内存不足",
    "Exec format error": "程序无法在此系统上运行",
}
"""What `OSError.strerror` says, as far as it can be expected."""

"""Reading pictures: what a file is, what is wrong with it, what it lost on the way in."""

SENTENCES: dict[str, str] = {
    # The file.
    "{path} is {what}; name a {accepted} file": (
        "“{path}”是{what}，不能使用；请选择 {accepted} 文件"
    ),
    "a folder": "文件夹",
    "not a regular file": "特殊文件",
    "{path} may not be read; give this user permission or name another {accepted} file": (
        "没有权限读取“{path}”；请修改它的权限，或换一个 {accepted} 文件"
    ),
    "{path} does not exist; name a {accepted} file": ("“{path}”不存在；请重新选择 {accepted} 文件"),
    "{path} is empty; use a {accepted} file": "“{path}”是空文件；请换一个 {accepted} 文件",
    "{path} cannot be read: {reason}": "无法读取“{path}”：{reason}",
    "JPEG, PNG, WebP, TIFF, AVIF, HEIC or GIF": "JPEG、PNG、WebP、TIFF、AVIF、HEIC 或 GIF",
    # Its format.
    "{path} is a {format} picture, which is not accepted; convert it to {accepted}": (
        "“{path}”是 {format} 图片，暂不支持；请先转换为 {accepted}"
    ),
    "camera raw (CR3)": "CR3 RAW",
    "JPEG XL": "JPEG XL",
    "JPEG 2000": "JPEG 2000",
    "{path} is not a picture; use a {accepted} file": ("“{path}”不是图片；请使用 {accepted} 文件"),
    "{path} is a camera raw picture, which is not accepted; develop it to {accepted}": (
        "“{path}”是相机 RAW 文件，暂不支持；请先用 RAW 软件导出为 {accepted}"
    ),
    "{path} is a HEIF picture coded as {codec}, which is not accepted; convert it to {accepted}": (
        "“{path}”是用 {codec} 编码的 HEIF 图片，暂不支持；请先转换为 {accepted}"
    ),
    "HEIC needs the package pillow-heif, which is not installed here; use AVIF or JPEG": (
        "处理 HEIC 需要 pillow-heif，这台电脑上没有安装；请改用 AVIF 或 JPEG"
    ),
    "{path} holds {kind} numbers; accepted are {accepted}": (
        "“{path}”的像素是{kind}数值，暂不支持；支持{accepted}"
    ),
    "1, 8 or 16 bits per channel of whole numbers": "每通道 1、8 或 16 位的整数",
    "{path} has {count} channels that do not make a photograph; accepted are grey, RGB, CMYK and "
    "CIELAB, each with or without one alpha channel": (
        "“{path}”有 {count} 个通道，不是普通照片；支持灰度、RGB、CMYK 和 CIELAB，可带一个透明通道"
    ),
    # Its size.
    "{path} has {width}x{height} pixels ({megapixels} megapixels); at most {limit} megapixels are "
    "accepted": (
        "“{path}”有 {width}×{height} 像素（{megapixels} 百万像素），最多接受 {limit} 百万像素"
    ),
    "{path} has {width}x{height} pixels; each side needs at least {least}": (
        "“{path}”只有 {width}×{height} 像素，每边至少需要 {least} 像素"
    ),
    "{path} has {width}x{height} pixels; each side may have at most {most}": (
        "“{path}”有 {width}×{height} 像素，每边最多 {most} 像素"
    ),
    "{path} is {what} of {size}, which cannot be read in strips and would need up to {needed} GB; "
    "save it as {instead}": (
        "“{path}”是{what}（{size}），只能整张读入，最多需要 {needed} GB 内存；请先另存为{instead}"
    ),
    "a {format} picture": " {format} 图片",
    "an {format} picture": " {format} 图片",
    "a progressive JPEG": "渐进式 JPEG",
    "an interlaced PNG": "隔行扫描的 PNG",
    "a TIFF in large pieces": "分块很大的 TIFF",
    "a PNG or a baseline JPEG": " PNG 或基线 JPEG",
    "a baseline JPEG": "基线 JPEG",
    "a PNG without interlacing": "非隔行扫描的 PNG",
    "a TIFF in strips of few rows or in small tiles": "分块较小的 TIFF",
    "{path} cannot be read in strips and needs up to {needed} MB of memory, and {spare} MB may be "
    "used; raise max-memory-mb, or save it as PNG or baseline JPEG": (
        "“{path}”只能整张读入，最多需要 {needed} MB 内存，而可用的只有 {spare} MB；"
        "请先另存为 PNG 或基线 JPEG，或调高 max-memory-mb"
    ),
    # Its pixels.
    "{path} is damaged or incomplete; use a complete {accepted} file": (
        "“{path}”已损坏或不完整；请换一个完整的 {accepted} 文件"
    ),
    "{path} could not be read: it is damaged or incomplete, or memory or disk space ran out; use a "
    "complete {accepted} file, or try again": (
        "无法读取“{path}”：文件已损坏或不完整，或内存、磁盘空间不足；"
        "请换一个完整的 {accepted} 文件，或重试"
    ),
    "{path} is damaged or not a JPEG picture; use a complete JPEG file": (
        "“{path}”已损坏或不是 JPEG 图片；请换一个完整的 JPEG 文件"
    ),
    "the memory was not enough for {what}; free some, or use a smaller picture": (
        "处理“{what}”时内存不足；请关闭一些程序，或换一张较小的照片"
    ),
    "the disk is full: no room in {folder} for a temporary file of {path}; make room or set TMPDIR "
    "to another folder": (
        "磁盘已满：“{folder}”中放不下“{path}”的临时文件；请清理空间，或将 TMPDIR 设为其他文件夹"
    ),
    # Several pictures in one file.
    "{path} is an animation or a burst; its first frame is used": (
        "“{path}”是动画或连拍，使用其中的第一帧"
    ),
    "{path} has {count} pages; the first one is used": "“{path}”有 {count} 页，使用第一页",
    "{path} holds {count} pictures; its primary one is used": (
        "“{path}”包含 {count} 张图片，使用其中的主图"
    ),
    "{path} is an animation of {count} frames; the first one is used": (
        "“{path}”是 {count} 帧的动画，使用第一帧"
    ),
    # Lost when it is read.
    "CIELAB colours were converted to sRGB": "CIELAB 颜色已转换为 sRGB",
    "CMYK is handled with 8 bits per channel: the target's 16 were reduced": (
        "CMYK 按每通道 8 位处理：目标照片的 16 位已降为 8 位"
    ),
}

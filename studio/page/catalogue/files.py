"""Writing the result: places, formats, what a format cannot hold, metadata, temporary files."""

SENTENCES: dict[str, str] = {
    # The place.
    "the output {path} has no known format; its name must end in one of: {accepted}": (
        "无法识别输出文件“{path}”的格式；文件名须以下列后缀之一结尾：{accepted}"
    ),
    "the output {path} is a folder; name a file": "输出位置“{path}”是文件夹；请指定文件名",
    "the output {path} is not a regular file; name another": (
        "输出位置“{path}”不是普通文件；请换一个文件名"
    ),
    "the output {path} is write-protected; name another": (
        "输出文件“{path}”是只读的；请换一个文件名"
    ),
    "the disk is full: no room for {path}; make room in {folder}": (
        "磁盘已满，放不下“{path}”；请清理“{folder}”所在磁盘的空间"
    ),
    "the output {path} cannot be written: {folder} is not a folder": (
        "无法写入“{path}”：“{folder}”不是文件夹"
    ),
    "the output {path} cannot be written: {folder} is not writable": (
        "无法写入“{path}”：没有权限写入“{folder}”"
    ),
    "the output {path} cannot be written: {reason}": "无法写入“{path}”：{reason}",
    "the output {path} could not be encoded: {reason}": "无法编码“{path}”：{reason}",
    # The format's limits.
    "the output {path} would have {size} pixels, but {format} holds at most {limit} on a side; "
    "write PNG or choose a smaller resolution": (
        "结果将有 {size} 像素，而 {format} 每边最多 {limit} 像素（{path}）；"
        "请改为输出 PNG，或选择较小的输出尺寸"
    ),
    "the output {path} would have {size} pixels ({megapixels} megapixels), but the encoder of "
    "{format} takes such pictures whole, at most {most} megapixels; write JPEG, PNG or TIFF, or "
    "choose a smaller resolution": (
        "结果将有 {size} 像素（{megapixels} 百万像素），而 {format} 最多只能编码 {most} 百万像素"
        "（{path}）；请改为输出 JPEG、PNG 或 TIFF，或选择较小的输出尺寸"
    ),
    "the output {path} of {size} would need {needed} MB of memory, because {format} is encoded "
    "whole, and {spare} MB may be used; write TIFF, PNG or JPEG, choose a smaller resolution, or "
    "raise max-memory-mb": (
        "{format} 须整张编码，{size} 的结果（{path}）需要 {needed} MB 内存，而可用的只有 "
        "{spare} MB；请改为输出 TIFF、PNG 或 JPEG，选择较小的输出尺寸，或调高 max-memory-mb"
    ),
    "this installation of pillow-heif has no HEVC encoder, so HEIC cannot be written; write AVIF "
    "or JPEG": "这台电脑上的 pillow-heif 没有 HEVC 编码器，无法输出 HEIC；请改为输出 AVIF 或 JPEG",
    # What a format cannot hold.
    "CMYK colours were converted to sRGB; JPEG and TIFF keep them": (
        "CMYK 颜色已转换为 sRGB；输出为 JPEG 或 TIFF 可保留 CMYK"
    ),
    "JPEG holds no transparency: the picture was laid on white; PNG, WebP and TIFF keep it": (
        "JPEG 不支持透明，已用白色填充；输出为 PNG、WebP 或 TIFF 可保留透明"
    ),
    "{format} holds 8 bits per channel: the target's 16 were reduced; PNG and TIFF keep them": (
        "{format} 每通道只有 8 位，目标照片的 16 位已降低；输出为 PNG 或 TIFF 可保留 16 位"
    ),
    "{format} holds at most 12 bits per channel: the target's 16 were reduced; PNG and TIFF keep "
    "them": ("{format} 每通道最多 12 位，目标照片的 16 位已降低；输出为 PNG 或 TIFF 可保留 16 位"),
    "{format} holds no IPTC data: the target's were dropped; JPEG and TIFF keep them": (
        "{format} 不能保存 IPTC 信息，目标照片的 IPTC 信息已去除；输出为 JPEG 或 TIFF 可保留"
    ),
    # JPEG blocks.
    "the whole picture was encoded anew at quality {quality}, because {reason}; in a PNG or TIFF "
    "all but the face would stay exactly as it is": (
        "整张照片已按画质 {quality} 重新编码，因为{reason}；"
        "输出为 PNG 或 TIFF 时，人脸以外的像素会保持原样"
    ),
    "the whole picture was encoded at quality {quality}, because all of it changes": (
        "整张照片都有改动，因此已按画质 {quality} 重新编码"
    ),
    "it could not be grafted: {reason}": "无法只替换人脸处的 JPEG 块：{reason}",
    "a graft needs {needed} MB of memory, and {spare} MB may be used": (
        "只替换人脸处的 JPEG 块需要 {needed} MB 内存，而可用的只有 {spare} MB"
    ),
    "jpeg-graft always: {reason}; raise max-memory-mb": (
        "jpeg-graft always：{reason}；请调高 max-memory-mb"
    ),
    "jpeg-graft always: {path} cannot be grafted, because {reason}": (
        "jpeg-graft always：无法只替换“{path}”的部分 JPEG 块，因为{reason}"
    ),
    "jpeg-graft always needs a JPEG target, an output that ends in .jpg or .jpeg, and the original "
    "resolution; use jpeg-graft auto": (
        "jpeg-graft always 要求目标照片是 JPEG、输出以 .jpg 或 .jpeg 结尾，并保持原始尺寸；"
        "请改用 jpeg-graft auto"
    ),
    "jpeg-graft always keeps the target's quality; use it without a quality, or jpeg-graft auto": (
        "jpeg-graft always 沿用目标照片的画质；请不要另设画质，或改用 jpeg-graft auto"
    ),
    "{program} is not installed (Debian's package {package})": (
        "没有安装 {program}（Debian 软件包 {package}）"
    ),
    "the blocks of {path} cannot be replaced: {program} is not installed (Debian's package "
    "{package})": "无法替换“{path}”的 JPEG 块：没有安装 {program}（Debian 软件包 {package}）",
    "{program} does not start: {reason}": "{program} 无法启动：{reason}",
    "{program} cannot replace the blocks of {path}: {reason}": (
        "{program} 无法替换“{path}”的 JPEG 块：{reason}"
    ),
    "it ended with {status}": "程序异常结束（{status}）",
    "the memory was not enough for {program:jpegtran} on {path}; free some, or use a smaller "
    "picture": ("{program} 处理“{path}”时内存不足；请关闭一些程序，或换一张较小的照片"),
    "it is coded arithmetically": "它使用算术编码",
    "it is coded in a rare way (lossless or hierarchical)": "它使用少见的编码方式（无损或分层）",
    "it has {bits} bits per channel": "它每通道有 {bits} 位",
    "it has {count} channels (CMYK or the like)": "它有 {count} 个通道（CMYK 等）",
    "its channels are sampled in a rare way ({factors})": "它的色度采样方式少见（{factors}）",
    "its quantisation tables stand between its scans": "它的量化表位于各次扫描之间",
    "its quantisation tables have steps above {most}": "它的量化步长超过 {most}",
    "{path} changes its quantisation tables between its scans": (
        "“{path}”在各次扫描之间更换了量化表"
    ),
    "what jpegtran wrote of {path} is not a JPEG": "jpegtran 从“{path}”得到的不是 JPEG",
    "jpegtran wrote {found} units of {path} instead of {expected}": (
        "jpegtran 从“{path}”得到了 {found} 个块，应为 {expected} 个"
    ),
    "the picture stays as it lies in the file, with the tag by which viewers turn it: its sides do "
    "not let it be turned without loss": (
        "照片的尺寸不允许无损旋转，因此像素保持文件中的方向，由看图软件按方向标记旋转显示"
    ),
    # Metadata.
    "what the target's file holds behind its picture (a gain map, depth map, preview or video) was "
    "left out: it would show the old face": (
        "目标文件中附带的内容（增益图、深度图、预览或视频）已去除，否则会露出原来的脸"
    ),
    "a second picture in the target's XMP (the original or a depth map) was left out: it would "
    "show the old face": ("目标照片 XMP 中的第二张图片（原图或深度图）已去除，否则会露出原来的脸"),
    "the part of the target's XMP that one segment did not hold was left out": (
        "目标照片的 XMP 信息过长，超出的部分已去除"
    ),
    "the target's content credentials were left out: they sign the old picture": (
        "目标照片的内容凭证已去除：它是为原图签名的"
    ),
    "what the target's file holds behind its picture (a gain map, depth map, preview or video) was "
    "left out with its metadata": (
        "目标文件中附带的内容（增益图、深度图、预览或视频）已随照片信息一并移除"
    ),
    "the tag by which viewers turn the picture is the only one that stays: its sides do not let it "
    "be turned without loss": (
        "照片的尺寸不允许无损旋转，因此只保留方向标记，由看图软件旋转显示；其他照片信息均已移除"
    ),
    "the tag by which viewers turn the picture is the only one that stays: its pixels are as they "
    "were": "像素保持原样，因此只保留方向标记，由看图软件旋转显示；其他照片信息均已移除",
    "the picture was encoded anew to leave its metadata out, although nothing in it changes; PNG "
    "and TIFF would keep every pixel": (
        "照片没有改动，但为了移除照片信息已重新编码；输出为 PNG 或 TIFF 可保留每一个像素"
    ),
    # Temporary files.
    "there is no temporary folder for {what}: {reason}; set TMPDIR to a folder that can be "
    "written": "没有可用的临时文件夹（{what}）：{reason}；请将 TMPDIR 设为可写的文件夹",
    "the disk is full: {what} needs {needed} MB in {folder}, which has less; make room or set "
    "TMPDIR to another folder": (
        "磁盘已满：{what}需要“{folder}”中的 {needed} MB 空间；"
        "请清理空间，或将 TMPDIR 设为其他文件夹"
    ),
    "{what} needs a file in the temporary folder {folder}, which cannot be made: {reason}; set "
    "TMPDIR to a folder that can be written": (
        "{what}需要在临时文件夹“{folder}”中建立文件，但未能建立：{reason}；"
        "请将 TMPDIR 设为可写的文件夹"
    ),
    "the fused picture": "融合后的照片",
    "reading {path}": "读取“{path}”",
    "enlarging {path}": "放大“{path}”",
    "turning {path} upright": "转正“{path}”",
    "turning or reflecting {path}": "旋转或镜像“{path}”",
}

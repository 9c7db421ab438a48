"""Batches: archives, tables of pairs, folders, the report."""

SENTENCES: dict[str, str] = {
    # The batch.
    "a batch needs photographs; choose at least one": "批量处理需要照片；请至少选择一张",
    "a batch takes at most {most} photographs, not {count}; make several batches of them": (
        "一批最多处理 {most} 张照片，现在是 {count} 张；请分成几批"
    ),
    "{name} has no source picture; choose one for it": "“{name}”没有来源照片；请为它选择一张",
    "a batch is running already; try again when it is over, or cancel it": (
        "已有一批正在处理；请等它完成后再试，或先取消"
    ),
    "{count} batches are running already; try again in some minutes": (
        "已有 {count} 批正在处理；请几分钟后再试"
    ),
    "no face was found in {name}; use a picture that shows a face clearly, or lower the "
    "threshold": "在“{name}”中没有找到人脸；请换一张人脸清晰的照片，或调低检测阈值",
    "there is no room for an archive of {size} MB; download the results one by one, or make room "
    "and run the batch again": (
        "没有足够的空间打包 {size} MB 的结果；请逐个下载，或清理空间后重新处理"
    ),
    # ZIP archives.
    "{name} holds no photograph; choose another archive": "“{name}”中没有照片；请换一个压缩包",
    "no photograph in {name} can be used; choose another archive; {reason}": (
        "“{name}”中没有可用的照片；请换一个压缩包；{reason}"
    ),
    "{name} holds too many files; use several archives of photographs alone": (
        "“{name}”中的文件太多；请只打包照片，并分成几个压缩包"
    ),
    "{name} is protected by a password; choose the photographs themselves": (
        "“{name}”有密码保护；请先解压，再直接选择照片"
    ),
    "{name} is a link or a device and not a file; it was left out": (
        "“{name}”是链接或设备而不是文件，已跳过"
    ),
    "{name} is an archive inside the archive and was left out; upload it by itself": (
        "“{name}”是压缩包里的压缩包，已跳过；请单独上传"
    ),
    "{name} is larger than the {limit} MB that a file may have; it was left out": (
        "“{name}”超过了单个文件 {limit} MB 的上限，已跳过"
    ),
    "{name} holds {count} photographs, and a batch takes at most {most}; make several batches of "
    "it": "“{name}”中有 {count} 张照片，而一批最多 {most} 张；请分成几批处理",
    "{name} would grow to {size} MB, which no archive of photographs does; save them in a "
    "new one": "“{name}”解压后会达到 {size} MB，照片的压缩包不会这样；请重新打包照片",
    "there is no room to unpack {name}: its photographs are {size} MB; make room, or choose fewer "
    "at once": "没有足够的空间解压“{name}”：其中的照片共 {size} MB；请清理空间，或一次少选一些照片",
    "{name} is not a ZIP archive, or it is damaged; save the photographs in a new one": (
        "“{name}”不是 ZIP 压缩包，或已损坏；请重新打包照片"
    ),
    "{name} is damaged in the archive; it was left out": "“{name}”在压缩包中已损坏，已跳过",
    "{name} is packed in a way that is not known here; it was left out": (
        "“{name}”使用了不支持的压缩方式，已跳过"
    ),
    # Tables of pairs.
    "line {line} of {name} cannot be read as a table ({reason}); save it as CSV in UTF-8": (
        "“{name}”的第 {line} 行无法作为表格读取（{reason}）；请另存为 UTF-8 编码的 CSV"
    ),
    "{name} holds no pairs; write a target and its source in each line": (
        "“{name}”中没有配对；请在每行写一张目标照片和它的来源照片"
    ),
    "{name} is not a table of text; save it as CSV in UTF-8": (
        "“{name}”不是文本表格；请另存为 UTF-8 编码的 CSV"
    ),
    "line {line} of {name} does not name a target and a source; write both, with a comma between "
    "them": "“{name}”的第 {line} 行没有同时写出目标照片和来源照片；请都写上，中间用逗号隔开",
}

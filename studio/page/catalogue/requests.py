"""Requests: values that are out of range, the queue, time, memory and the studio's own folder."""

SENTENCES: dict[str, str] = {
    # Values.
    "{name} {value} is not known; use one of: {accepted}": (
        "{name} 不接受 {value}；可用的值：{accepted}"
    ),
    "{name} {value} is outside {low} to {high}": "{name} 的值 {value} 超出范围（{low} 到 {high}）",
    "there is no control {name}; there are: {known}": "没有名为 {name} 的设置；可用的有：{known}",
    "boost {value} is not possible; use one of: auto, {accepted}": (
        "boost 不接受 {value}；可用的值：auto, {accepted}"
    ),
    "composite official has no boost and no strength of enhance; leave both out, or use composite "
    "studio": "“ModelScope 原版”合成没有细节倍率和人脸修复；请去掉这两项，或改用“本工作室”合成",
    "composite official has no mode {mode}; use mode normal, or composite studio": (
        "“ModelScope 原版”合成没有混合方式 {mode}；请使用“标准”混合，或改用“本工作室”合成"
    ),
    "composite, boost and enhance are not for engine {engine}; leave them out, or use engine "
    "modelscope": (
        "引擎 {engine} 没有合成方式、细节倍率和人脸修复；请去掉这些选项，或改用引擎 modelscope"
    ),
    "expression {value} is not something that engine {engine} can do; it takes: {accepted}": (
        "引擎 {engine} 不支持表情 {value}；可用的值：{accepted}"
    ),
    # The queue.
    "the studio is busy: {running} running and {waiting} waiting before this one; try again in a "
    "moment": "工作室正忙：前面有 {running} 个任务在运行、{waiting} 个在排队；请稍后再试",
    "the studio is shutting down": "工作室正在关闭",
    "the request was cancelled before it started": "任务在开始之前已取消",
    "the fusion was cancelled": "融合已取消",
    "the fusion took longer than the {seconds} s allowed for one request; choose a smaller output "
    "resolution or raise limits.deadline_s": (
        "融合超过了允许的 {seconds} 秒；请选择较小的输出尺寸，"
        "或在 config.yaml 中调高 limits.deadline_s"
    ),
    "something went wrong inside the studio; its log has the details": (
        "工作室内部出错，详情见日志"
    ),
    # Memory.
    "there was not enough memory; choose a smaller output resolution or a smaller photo": (
        "内存不足；请选择较小的输出尺寸，或换一张较小的照片"
    ),
    "the memory was not enough for this fusion; choose a smaller output resolution": (
        "内存不足以完成这次融合；请选择较小的输出尺寸"
    ),
    "the memory was not enough to load the face model {path}; free some": (
        "内存不足，无法载入人脸模型“{path}”；请关闭一些程序"
    ),
    "engine {engine} needs about {needed} MB besides the pictures, and {allowed} MB may be used; "
    "set max-memory-mb to at least {least}, or use engine mesh": (
        "除照片外，引擎 {engine} 大约需要 {needed} MB 内存，而可用的只有 {allowed} MB；"
        "请改用引擎 mesh，或把 max-memory-mb 至少设为 {least}"
    ),
    # The studio's folder.
    "the file {name} is not here any more; add it again, or make it anew": (
        "文件“{name}”已不在这里；请重新添加，或重新生成"
    ),
    "the file": "文件",
    "the disk on which the studio keeps its files is full; make room or try again later": (
        "工作室所在的磁盘已满；请清理空间，或稍后再试"
    ),
    "the studio cannot write to its storage folder; its log has the details": (
        "工作室无法写入自己的文件夹，详情见日志"
    ),
    "the part of {width}x{height} px at {x}, {y} cannot be shown; it must lie in the picture and "
    "have at most {most} pixels": (
        "无法显示位于 {x}, {y} 的 {width}×{height} 像素区域；它必须在照片之内，且不超过 {most} 像素"
    ),
    "this result is not in the history any more": "这个结果已不在历史记录中",
}

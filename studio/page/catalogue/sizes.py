"""Output sizes: what was asked for, what is possible, what auto chose."""

SENTENCES: dict[str, str] = {
    "resolution {text} is not known; use {accepted}": ("无法识别输出尺寸 {text}；请使用{accepted}"),
    "one of: {_original}, {tiers:[0-9, ]+}, {_auto}, or WIDTHxHEIGHT such as 1920x1080": (
        "下列之一：original, {tiers}, auto，或 WIDTHxHEIGHT（宽和高），例如 1920x1080"
    ),
    "fit {fit} is not known; use one of: {accepted}": ("无法识别 fit {fit}；可用的值：{accepted}"),
    "resolution {width}x{height}: each side must have {least} to {most} pixels": (
        "输出尺寸 {width}×{height} 不可用：每边须为 {least} 到 {most} 像素"
    ),
    "resolution {resolution} makes a picture of {size} ({megapixels} megapixels), more than the "
    "limit of {limit} megapixels; {advice}": (
        "按输出尺寸“{resolution}”会得到 {size} 的照片（{megapixels} 百万像素），"
        "超过 {limit} 百万像素的上限；{advice}"
    ),
    "no resolution fits that limit": "没有符合这一上限的输出尺寸",
    "the nearest possible resolution is {resolution} ({size})": (
        "最接近的可用尺寸是“{resolution}”（{size}）"
    ),
    "a crop of the {target} target to {box} would enlarge it to {size}, more than {most} pixels on "
    "a side; use fit keep or pad{smaller}": (
        "把 {target} 的目标照片裁剪为 {box} 需要放大到 {size}，超过每边 {most} 像素的上限；"
        "请把“画面”改为“保持”或“补边”{smaller}"
    ),
    " or resolution {resolution}": "，或把输出尺寸改为 {resolution}",
    "a crop to {box} cannot show the chosen faces whole: they span {width}x{height} pixels of the "
    "{target} target; use {ways}": (
        "裁剪为 {box} 时放不下所选人脸：它们在 {target} 的目标照片中占 {width}×{height} 像素；"
        "请{ways}"
    ),
    "fit pad or keep": "把“画面”改为“补边”或“保持”",
    "{ways}, another size such as {size}": "{ways}，或换一个尺寸，例如 {size}",
    "{ways}, or fewer faces": "{ways}，或少选几张人脸",
    # Auto.
    "auto chose {tier}: {wanted} would take about {needed} MB of memory, and {free} MB are free": (
        "自动选择了“{tier}”：“{wanted}”大约需要 {needed} MB 内存，而可用的有 {free} MB"
    ),
    "auto chose original: the target's {side} px {why}": (
        "自动选择了原始尺寸：目标照片有 {side} 像素，{why}"
    ),
    "are enough": "已经足够",
    "are too few to enlarge": "太小，不适合放大",
    "auto chose original: {reason}": "自动选择了原始尺寸：{reason}",
    "auto chose original: the limits of size allow no larger tier": (
        "自动选择了原始尺寸：尺寸上限不允许更大的档位"
    ),
    "auto chose {tier}: {reason}": "自动选择了“{tier}”：{reason}",
    "{tier}, the largest that is possible here": "{tier}（这里可用的最大档位）",
    "the source's face has detail for {source} px, the target shows {target}": (
        "来源人脸的细节够 {source} 像素使用，目标照片中人脸为 {target} 像素"
    ),
}

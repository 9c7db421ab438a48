"""Faces: what was found, which were chosen, what may disappoint in the result."""

SENTENCES: dict[str, str] = {
    "no face was found in the {role} picture {path}; use a picture that shows a face clearly, or "
    "lower the threshold": (
        "在{role}照片“{path}”中没有找到人脸；请换一张人脸清晰的照片，或在“高级”中调低“检测阈值”"
    ),
    "no face was found in {name}; use another picture": "在“{name}”中没有找到人脸；请换一张照片",
    "a face was chosen that is not in the photographs; choose anew": (
        "所选的人脸不在照片中；请重新选择"
    ),
    "a fusion needs at least one source picture": "至少需要一张来源照片",
    "faces: the {role} no face {index}; {_shows:it shows|they show} {count}, numbered from 0 "
    "(the largest{first}) to {last}": (
        "人脸：{role}没有编号为 {index} 的人脸；"
        "共 {count} 张，编号从 0（最大的一张{first}）到 {last}"
    ),
    "target picture has": "目标照片中",
    "source picture has": "来源照片中",
    "source pictures have": "各张来源照片中",
    "it shows": "共",
    "they show": "共",
    " of the first": "，在第一张照片中",
    "faces {text} is not understood; use largest, all, target indices such as 0,2, or "
    "source:target pairs such as 1:0": (
        "无法识别 faces {text}；请使用 largest、all、目标人脸编号（例如 0,2），"
        "或 source:target 配对（例如 1:0）"
    ),
    "faces {text} names a target face twice": "faces {text} 中同一张目标人脸出现了两次",
    # What may disappoint.
    "the source's face in {path}": "来源照片“{path}”中的人脸",
    "the source's face": "来源照片中的人脸",
    "{face} is blurred, so the result is soft; a sharper picture would give more detail": (
        "{face}不够清晰，结果会偏软；换一张更清晰的照片可得到更多细节"
    ),
    "the frame cuts {face}; what it hides stays the target's, so use a picture that shows the "
    "whole face": "{face}没有拍全，缺少的部分保留目标原样；请换一张拍到整张脸的照片",
    "{face} is {given} px and is shown at {shown} px; a larger source would give more "
    "detail{which}": (
        "{face}只有 {given} 像素，在结果中显示为 {shown} 像素；"
        "换一张人脸更大的来源照片可得到更多细节{which}"
    ),
    "the heads are turned {degrees} degrees apart; a source seen from a similar side looks more "
    "natural{which}": ("两张脸的朝向相差 {degrees} 度；换一张角度相近的来源照片会更自然{which}"),
    " (the face at {x}, {y})": "（位于 {x}, {y} 的人脸）",
    "of the {count} source pictures, {path} was taken{which}: the heads are turned {degrees} "
    "degrees apart": ("{count} 张来源照片中，{which}选用了“{path}”：两张脸的朝向相差 {degrees} 度"),
    " for the face at {x}, {y}": "为位于 {x}, {y} 的人脸",
    "the target's spectacles stay in front of the face; without keep-glasses they are replaced": (
        "目标照片中的眼镜保留在脸前；如需一并替换，请在“高级”中关闭“保留眼镜”"
    ),
    "the target's spectacles are replaced as far as they lie over the face; parts beside it, such "
    "as temples, stay": "目标照片中的眼镜在脸上的部分已被替换；脸以外的部分（如镜腿）仍会保留",
    "the source wears spectacles; they are not carried over, but traces of them may stay: a "
    "picture without spectacles gives a cleaner result": (
        "来源人物戴着眼镜；眼镜不会带过来，但可能留下痕迹，换一张不戴眼镜的照片效果更干净"
    ),
    "the face is larger than composite official is computed for; its crops were taken from the "
    "picture reduced to {percent} %": (
        "人脸超出了“ModelScope 原版”合成的计算范围，已先把照片缩小到 {percent}% 再取人脸"
    ),
    "parts of the picture around the face were not read; the restoration sees them continued": (
        "人脸周围有一部分照片没有读入，修复时以延展的像素代替"
    ),
}

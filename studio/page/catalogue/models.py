"""Model files and packages: what is missing, what is broken, which command mends it."""

SENTENCES: dict[str, str] = {
    # Face models.
    "the face model {name} is not in {folder}; run {command} to fetch it": (
        "“{folder}”中没有人脸模型 {name}；请运行 {command} 获取"
    ),
    "the face model {path} cannot be read: {reason}": "无法读取人脸模型“{path}”：{reason}",
    "the face model {path} is damaged ({size} bytes instead of {expected}); run {command} to fetch "
    "it again": (
        "人脸模型“{path}”已损坏（{size} 字节，应为 {expected} 字节）；请运行 {command} 重新获取"
    ),
    "the face model {path} cannot be loaded ({reason}); delete it and run ./run.sh once more to "
    "fetch it again": ("无法载入人脸模型“{path}”（{reason}）；请删除它，再运行 ./run.sh 重新获取"),
    # Packages of the neural engine.
    "engine modelscope needs {packages}, which {_are:is|are} not installed; {command} installs "
    "everything (several GB)": (
        "引擎 modelscope 需要 {packages}，目前没有安装；请运行 {command} 安装（数 GB）"
    ),
    "engine modelscope cannot load torch, torchvision or modelscope ({reason}); {command} installs "
    "them anew, or use engine mesh": (
        "引擎 modelscope 无法载入 torch、torchvision 或 modelscope（{reason}）；"
        "请运行 {command} 重新安装，或改用引擎 mesh"
    ),
    # Its files.
    "the files of {model} are not in {folder}; run {command} to get them, or name a folder that "
    "has them with modelscope.folder in config.yaml": (
        "“{folder}”中没有 {model} 的文件；请运行 {command} 下载，"
        "或在 config.yaml 中用 modelscope.folder 指定它们所在的文件夹"
    ),
    "{folder} lacks {files}; run {command} to get what is missing": (
        "“{folder}”缺少 {files}；请运行 {command} 下载缺少的文件"
    ),
    "{path} {what:is .*|has .*|holds .*|cannot .*}; run ./run.sh models download to fetch "
    "the model's files again": ("“{path}”{what}；请运行 ./run.sh models download 重新下载模型文件"),
    "is not there": "不存在",
    "is missing": "不存在",
    "is a folder": "是文件夹",
    "is empty": "是空文件",
    "is cut off": "不完整",
    "is cut off or damaged": "不完整或已损坏",
    "is damaged at {place}": "在 {place} 处已损坏",
    "is damaged or is no face model": "已损坏或不是人脸模型",
    "is damaged or is no file of PyTorch weights": "已损坏或不是 PyTorch 权重文件",
    "is not a file that torch has written": "不是 torch 生成的文件",
    "is an archive, but none that torch has written": "是压缩包，但不是 torch 生成的",
    "is not a MATLAB 5 file": "不是 MATLAB 5 文件",
    "is not a whole JPEG ({reason})": "不是完整的 JPEG（{reason}）",
    "is no picture": "不是图片",
    "has no entry {name}": "缺少条目 {name}",
    "holds no weights": "没有权重",
    "cannot be read: {reason}": "无法读取：{reason}",
    "cannot be read ({reason})": "无法读取（{reason}）",
    "does not fit: {reason}": "不匹配：{reason}",
    "is another network's: it lacks {name} (and {count} in all)": (
        "属于另一个网络：缺少 {name}（共缺 {count} 项）"
    ),
    "is another network's: {name} is {shapes}": "属于另一个网络：{name} 的形状是 {shapes}",
    "fuses the face, 256 px": "融合人脸（256 像素）",
    "whose face it is": "辨认是谁的脸",
    "shape, pose and expression of a face": "人脸的形状、姿态和表情",
    "the face in 3-D that those describe": "上述参数对应的三维人脸",
    "restores fine detail, 1024 px": "修复细节（1024 像素）",
    "where the fused face covers the photograph": "融合人脸覆盖照片的范围",
}

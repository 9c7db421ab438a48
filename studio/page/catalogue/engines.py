"""Engines: which one is used and why, where it runs, what it lacks."""

SENTENCES: dict[str, str] = {
    # Which, and how to get the other.
    "--engine {other}, or fusion.engine in config.yaml": ("在“高级”中选择 {other}"),
    "engine {engine} was asked for (engine {other}: {how})": (
        "使用了指定的引擎 {engine}（如需引擎 {other}：{how}）"
    ),
    "engine modelscope is used because its files and an NVIDIA GPU are here (engine mesh: {how})": (
        "使用引擎 modelscope，因为模型文件和 NVIDIA GPU 都已就绪（如需引擎 mesh：{how}）"
    ),
    "engine mesh is used because engine modelscope needs {told}; {install} installs what it needs, "
    "and {command} gets its files": (
        "使用引擎 mesh，因为引擎 modelscope 还需要 {told}；"
        "运行 {install} 安装所需组件，再运行 {command} 下载模型文件"
    ),
    "engine mesh is used because engine modelscope lacks {told}; {command} gets what is missing": (
        "使用引擎 mesh，因为引擎 modelscope 缺少{told}；运行 {command} 下载缺少的文件"
    ),
    "its files": "模型文件",
    "engine mesh is used because {told} (engine modelscope, which also runs on the CPU: {how})": (
        "使用引擎 mesh，因为{told}（引擎 modelscope 也能在 CPU 上运行：{how}）"
    ),
    # GPUs.
    "modelscope.device in config.yaml is cpu": "config.yaml 中 modelscope.device 设为 cpu",
    "no GPU can be used ({reason})": "没有可用的 GPU（{reason}）",
    "there is no NVIDIA driver": "没有 NVIDIA 驱动程序",
    "there is no NVIDIA GPU": "没有 NVIDIA GPU",
    "CUDA_VISIBLE_DEVICES hides every GPU": "CUDA_VISIBLE_DEVICES 隐藏了所有 GPU",
    "the torch that is installed ({version}) is one without CUDA": (
        "安装的 torch（{version}）不带 CUDA"
    ),
    "nvidia-ml-py, which tells of NVIDIA GPUs, is not installed": (
        "没有安装用于识别 NVIDIA GPU 的 nvidia-ml-py"
    ),
    "the NVIDIA driver does not answer ({reason})": "NVIDIA 驱动程序没有响应（{reason}）",
    # Where it runs.
    "it runs on the CPU as asked for": "按设置在 CPU 上运行",
    "it runs on the CPU, for {reason}": "在 CPU 上运行，因为{reason}",
    "it runs on the CPU, for {gpu} has {free} MB of free memory and {needed} are needed": (
        "在 CPU 上运行，因为 {gpu} 的空闲显存只有 {free} MB，而需要 {needed} MB"
    ),
    "it runs on the CPU, for {gpu} is too old for torch": (
        "在 CPU 上运行，因为 torch 已不支持 {gpu}"
    ),
    "it runs on cuda:{number} ({gpu}, {free} MB free)": (
        "在 cuda:{number} 上运行（{gpu}，空闲 {free} MB）"
    ),
    "it runs on {device} ({gpu}) as asked for": "按设置在 {device} 上运行（{gpu}）",
    "in {dtype} as asked for": "按设置以 {dtype} 计算",
    "in {dtype} as asked for{slow}": "按设置以 {dtype} 计算{slow}",
    ", which this CPU is slow in": "，这个 CPU 对此较慢",
    "in bfloat16, which this CPU is fast in ({feature})": (
        "以 bfloat16 计算，这个 CPU 对此很快（{feature}）"
    ),
    "in float32, for this CPU is not fast in bfloat16": (
        "以 float32 计算，因为这个 CPU 对 bfloat16 不快"
    ),
    "in float16, which its tensor cores are fast in": "以 float16 计算，张量核心对此很快",
    "in float32, for it has no tensor cores": "以 float32 计算，因为没有张量核心",
    "the device {device} cannot be used: {reason}; set modelscope.device to cpu or auto in "
    "config.yaml": (
        "设备 {device} 不可用：{reason}；请在 config.yaml 中将 modelscope.device 设为 cpu 或 auto"
    ),
    "there is no device {device}; set modelscope.device to {known}, cpu or auto in config.yaml": (
        "没有设备 {device}；请在 config.yaml 中将 modelscope.device 设为 {known}、cpu 或 auto"
    ),
    "float16 is for GPUs: this would run on the CPU; set modelscope.dtype to bfloat16, float32 or "
    "auto in config.yaml": (
        "float16 只用于 GPU，而这里会在 CPU 上运行；"
        "请在 config.yaml 中将 modelscope.dtype 设为 bfloat16、float32 或 auto"
    ),
    "{gpu} does not compute in {dtype}: it needs compute capability {major}.{minor}, and this "
    "one's is {has}; set modelscope.dtype to float32 or auto in config.yaml": (
        "{gpu} 不支持 {dtype}：需要计算能力 {major}.{minor}，而它的是 {has}；"
        "请在 config.yaml 中将 modelscope.dtype 设为 float32 或 auto"
    ),
    "dtype {dtype} is unknown; {accepted} are accepted": (
        "无法识别数据类型 {dtype}；可用的值：{accepted}"
    ),
    "device {device} is unknown; cpu, cuda and cuda:N are accepted": (
        "无法识别设备 {device}；可用的值：cpu、cuda 和 cuda:N"
    ),
    "device {device} is not supported; cpu, cuda, cuda:N are": (
        "不支持设备 {device}；可用的值：cpu、cuda、cuda:N"
    ),
    "float16 needs a GPU; on the cpu, bfloat16 or float32 is accepted": (
        "float16 需要 GPU；在 CPU 上请使用 bfloat16 或 float32"
    ),
    "device {device} cannot be used: torch finds {count} CUDA devices; set modelscope.device to "
    "cpu in config.yaml, or use engine mesh": (
        "设备 {device} 不可用：torch 找到 {count} 个 CUDA 设备；"
        "请改用引擎 mesh，或在 config.yaml 中将 modelscope.device 设为 cpu"
    ),
    # Memory that ran out.
    "the memory of {device} was not enough": "{device} 的内存不足",
    "{short} for {count} crops at once; they go through in batches of {batch}": (
        "{short}，无法一次处理 {count} 张人脸，已改为每次 {batch} 张"
    ),
    "{short} for detail boost {boost}; the face has boost {lower} and less fine detail": (
        "{short}，无法使用细节倍率 {boost}；人脸改用 {lower}，细节会少一些"
    ),
    "the memory of {device} was not enough for one crop; the networks ran on {other}, which takes "
    "longer": "{device} 的内存不足以处理一张人脸，已改在 {other} 上运行，耗时更长",
    "the networks' numbers overflowed; set modelscope.dtype to float32 in config.yaml": (
        "神经网络计算溢出；请在 config.yaml 中将 modelscope.dtype 设为 float32"
    ),
    "the networks were unloaded; the next request loads them again": (
        "神经网络已从内存中卸载；下次融合时会重新载入"
    ),
    # How finely it computes.
    "detail boost {boost}": "细节倍率 {boost}",
    "detail boost {boost} as asked for": "按设置使用细节倍率 {boost}",
    "detail boost {boost}, {reason}": "细节倍率 {boost}，{reason}",
    "detail boost {boost} instead of {wanted}, which is too much for this device unless it is "
    "asked for": ("细节倍率 {boost}，而不是 {wanted}：这台设备不适合后者，除非在“高级”中指定"),
    "for the face is {shown} px high in the result and {native} in the network": (
        "因为人脸在结果中高 {shown} 像素，在网络中高 {native} 像素"
    ),
    "GPEN at {strength} as asked for": "按设置以 {strength} 的强度使用 GPEN 修复",
    "GPEN at {strength}, for the face is {shown} px high": (
        "以 {strength} 的强度使用 GPEN 修复，因为人脸高 {shown} 像素"
    ),
    "no GPEN, for the face is {shown} px high in the result, and up to {least} px it adds "
    "nothing": ("未使用 GPEN 修复：人脸在结果中高 {shown} 像素，不超过 {least} 像素时没有帮助"),
    "no GPEN, for the free memory is not enough for it": "未使用 GPEN 修复：空闲内存不足",
}

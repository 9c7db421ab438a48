"""Texts of the guide."""

from studio.page.texts.language import Table

TEXTS: Table = {
    "guide_title": {"en": "Guide", "zh": "使用指南"},
    "guide_intro": {
        "en": "Five minutes to read. “{demo}”, at the top of the page, lets you try it all.",
        "zh": "五分钟读完。点页面上方的“{demo}”，可以边看边试。",
    },
    "guide_contents": {"en": "Contents", "zh": "目录"},
    # first fusion
    "guide_first": {"en": "A first fusion", "zh": "第一次融合"},
    "guide_first_1": {"en": "Add the target", "zh": "添加目标照片"},
    "guide_first_1_text": {
        "en": "The photograph to change. Drop it, paste it, click to choose it, or use the "
        "camera. Its faces are outlined.",
        "zh": "也就是要修改的照片。可以拖放、粘贴、点击选择，或用摄像头拍摄。找到的人脸会被框出。",
    },
    "guide_first_2": {"en": "Add the source", "zh": "添加来源照片"},
    "guide_first_2_text": {
        "en": "A photograph of the face to bring in. Hair, light, pose and background stay the "
        "target's.",
        "zh": "也就是提供人脸的照片。头发、光线、姿态和背景都保留目标照片的。",
    },
    "guide_first_3": {
        "en": "Adjust, then start",
        "zh": "调整，然后开始",
    },
    "guide_first_3_text": {
        "en": "The preview follows every slider. {start} makes the file at its full size, and "
        "{download} saves it.",
        "zh": "预览会随每个滑块变化。按“{start}”生成完整尺寸的文件，再点“{download}”保存。",
    },
    "guide_first_look": {
        "en": "Look closely before you keep it: drag the divider over the picture, put before "
        "and after side by side, or choose 100 % to see each pixel of the file. Your own "
        "photographs are never changed; every result is a new file.",
        "zh": "保存之前请仔细看看：拖动图上的分界线，并排对比前后，或选 100% 逐像素查看。您的原照"
        "片不会被改动，每次结果都是新文件。",
    },
    # photographs
    "guide_photos": {"en": "Photographs that work well", "zh": "怎样选照片"},
    "guide_photos_intro": {
        "en": "The source matters most: the new face is made of it.",
        "zh": "来源照片最重要：新的脸就来自它。",
    },
    "guide_good": {"en": "Works well", "zh": "效果好"},
    "guide_poor": {"en": "Disappoints", "zh": "效果差"},
    "guide_sharp_good": {"en": "Sharp, in even light", "zh": "清晰，光线均匀"},
    "guide_sharp_poor": {"en": "Blurred, or half in shadow", "zh": "模糊，或半边脸在阴影里"},
    "guide_side_good": {"en": "Both heads turned alike", "zh": "两人朝向相近"},
    "guide_side_poor": {
        "en": "More than 45 degrees apart",
        "zh": "朝向相差超过 45 度",
    },
    "guide_free_good": {"en": "The whole face in view", "zh": "整张脸完整可见"},
    "guide_free_poor": {
        "en": "Hair, hands or glasses before it, or cut by the edge",
        "zh": "被头发、手或眼镜遮挡，或被画面边缘切掉",
    },
    "guide_size_good": {
        "en": "As many pixels as the face it fills",
        "zh": "像素不少于它要替换的脸",
    },
    "guide_size_poor": {"en": "A small face, enlarged", "zh": "很小的脸被放大"},
    "guide_photos_target": {
        "en": "The target is less demanding. Hair, hats and glasses before its face stay in "
        "front by themselves; hands and microphones are painted over.",
        "zh": "目标照片的要求较低。脸前的头发、帽子和眼镜会自动留在前面；手和话筒则会被盖住。",
    },
    # faces
    "guide_faces": {"en": "Several faces, several sources", "zh": "多张人脸，多张来源照片"},
    "guide_faces_choose": {"en": "Choose who changes", "zh": "选择要替换的人"},
    "guide_faces_choose_text": {
        "en": "Faces of the target carry numbers; 1 is the largest. Click those to replace, or "
        "take them all.",
        "zh": "目标照片中的人脸用数字编号，1 是最大的一张。点击要替换的人脸，或全选。",
    },
    "guide_faces_pairs": {
        "en": "Say who goes where",
        "zh": "指定人脸对应关系",
    },
    "guide_faces_pairs_text": {
        "en": "Faces of the sources carry letters. As soon as there is a choice, “{pairs}” lets "
        "you give each number its letter.",
        "zh": "来源照片中的人脸用字母编号。有多种可能时会出现“{pairs}”，可为每个数字选择字母。",
    },
    "guide_faces_views": {"en": "Several views of one person", "zh": "同一个人的多个角度"},
    "guide_faces_views_text": {
        "en": "Add several pictures of the same person and leave it at “{best}”: each face gets "
        "the picture whose side, size and sharpness suit it.",
        "zh": "添加同一个人的多张照片，并保留“{best}”：每张脸都会用朝向、大小和清晰度最合适的那张"
        "照片。",
    },
    # controls
    "guide_controls": {"en": "What the controls do", "zh": "各项控制的作用"},
    "guide_controls_intro": {
        "en": "“{ratio}” is the one that matters; the others may stay as they are. A preset sets "
        "several at once, and you can save presets of your own.",
        "zh": "最重要的是“{ratio}”，其他可以保持默认。预设会一次设好多项，您也可以保存自己的预设。",
    },
    "guide_ratio_text": {
        "en": "How much of the source's person is seen: 0 leaves the target as it is, 1 shows "
        "the source's face in full.",
        "zh": "显示多少来源人物的面貌：0 保持目标照片原样，1 完全显示来源人脸。",
    },
    "guide_shape_text": {
        "en": "How far the outline of the face moves toward the source's. Hair and ears move "
        "along.",
        "zh": "脸部轮廓向来源人脸靠近多少。头发和耳朵会随之移动。",
    },
    "guide_expression_text": {
        "en": "Whose mouth, lids and gaze are shown: the target's, or the source's.",
        "zh": "嘴形、眼睑和视线用谁的：目标照片的，或来源照片的。",
    },
    "guide_mode_text": {
        "en": "{normal} mixes both faces evenly. {soft} keeps the target's tones and smooth "
        "transitions. {overlay} lets the target show through.",
        "zh": "{normal}：均匀混合两张脸。{soft}：保留目标照片的色调和自然过渡。{overlay}：目标人"
        "脸隐约透出。",
    },
    "guide_smooth_text": {
        "en": "Evens out the fused skin; eyes, brows, lips and hair stay sharp.",
        "zh": "让融合后的皮肤更平滑；眼睛、眉毛、嘴唇和头发保持清晰。",
    },
    "guide_scope": {
        "en": "Brightness, contrast, saturation, sharpness",
        "zh": "亮度、对比度、饱和度、锐化",
    },
    "guide_scope_text": {
        "en": "Finish the picture. They act on the whole image, or on the fused face alone.",
        "zh": "用于最后的修饰，可作用于整张图片，或仅作用于融合后的人脸。",
    },
    # sizes
    "guide_sizes": {"en": "Sizes and fits", "zh": "尺寸与适配"},
    "guide_sizes_intro": {
        "en": "The face is rendered at the size of the file, never enlarged afterwards. The "
        "panel shows the resulting pixels.",
        "zh": "人脸直接按文件尺寸渲染，不会事后放大。设置面板中会显示最终像素。",
    },
    "guide_original_text": {
        "en": "The same pixels as the target. Those away from the face stay exactly as they were.",
        "zh": "与目标照片像素相同。离人脸较远的像素保持原样。",
    },
    "guide_tier": {"en": "512 to 4096, or your own size", "zh": "512 至 4096，或自定义"},
    "guide_tier_text": {
        "en": "The pixels of the longer side, or a width and a height.",
        "zh": "长边的像素数，或自己填写宽和高。",
    },
    "guide_auto_text": {
        "en": "Goes by the faces and the free memory; the result says what was chosen and why.",
        "zh": "根据人脸和可用内存选择；结果会说明选了什么、为什么。",
    },
    "guide_keep_text": {
        "en": "The photograph's own shape, as large as the size allows.",
        "zh": "保持照片的长宽比，在所选尺寸内尽量大。",
    },
    "guide_pad_text": {
        "en": "Exactly the size; mirrored edges fill what is left.",
        "zh": "尺寸完全一致，空余部分用镜像边缘填充。",
    },
    "guide_crop_text": {
        "en": "Exactly the size, cut out around the chosen faces.",
        "zh": "尺寸完全一致，围绕所选人脸裁剪。",
    },
    # batch
    "guide_batch": {"en": "Many photographs at once", "zh": "批量处理"},
    "guide_batch_1": {
        "en": "Set the controls under {fuse}; a batch uses them for every photograph.",
        "zh": "先在“{fuse}”页调好各项设置，批量处理的每张照片都会使用它们。",
    },
    "guide_batch_2": {
        "en": "Under {batch} add photographs, a folder or a ZIP file, and a source.",
        "zh": "在“{batch}”页添加照片、文件夹或 ZIP 文件，再添加来源照片。",
    },
    "guide_batch_3": {
        "en": "Start. Each photograph has its own line; one that fails says why, and the rest goes "
        "on.",
        "zh": "点“开始”。每张照片各占一行；失败的会说明原因，其余照常进行。",
    },
    "guide_batch_4": {
        "en": "Download one ZIP file with the results and a report.",
        "zh": "最后下载一个 ZIP 文件，其中有全部结果和一份报告。",
    },
    # keyboard
    "guide_keys": {"en": "Keyboard", "zh": "键盘操作"},
    "guide_keys_key": {"en": "Key", "zh": "按键"},
    "guide_keys_does": {"en": "What it does", "zh": "作用"},
    "guide_key_shift_enter": {"en": "Starts the fusion", "zh": "开始融合"},
    "guide_key_esc": {"en": "Cancels it, or closes a window", "zh": "取消融合，或关闭窗口"},
    "guide_key_tab": {
        "en": "Goes to the next control; with Shift to the one before",
        "zh": "移到下一个控件；加 Shift 移到上一个",
    },
    "guide_key_arrows": {
        "en": "Move a slider, the divider, the choice in a row, or the tab",
        "zh": "移动滑块、分界线，切换同一行的选项或页面",
    },
    "guide_key_zoom": {
        "en": "Move the picture at 100 %; while the divider is shown, left and right with Shift",
        "zh": "在 100% 时移动图片；显示分界线时，左右移动要加 Shift",
    },
    "guide_key_space_name": {"en": "Space", "zh": "空格"},
    "guide_key_space": {"en": "Presses a button, chooses a face", "zh": "按下按钮，选择人脸"},
    "guide_key_paste": {
        "en": "Pastes a picture: the target first, then sources",
        "zh": "粘贴图片：先作为目标照片，之后作为来源照片",
    },
    # privacy
    "guide_private": {"en": "What is kept, and where", "zh": "保存什么，保存在哪里"},
    "guide_private_intro": {
        "en": "Everything is computed on the machine that runs the studio. Nothing is sent "
        "anywhere else.",
        "zh": "所有计算都在运行本工作室的电脑上完成，不会发送到任何其他地方。",
    },
    "guide_private_files": {"en": "Photographs, results, history", "zh": "照片、结果与历史"},
    "guide_private_files_text": {
        "en": "In a folder of that machine. They are deleted after {hours} h, or as soon as the "
        "studio is closed. What you delete in the history goes at once.",
        "zh": "保存在那台电脑的文件夹中，{hours} 小时后删除；工作室关闭时立即删除。在历史中删除的"
        "结果会马上清除。",
    },
    "guide_private_browser": {
        "en": "Language, colours, own presets",
        "zh": "语言、外观和自己的预设",
    },
    "guide_private_browser_text": {
        "en": "In this browser alone, until you clear its data for this page.",
        "zh": "只保存在此浏览器中，直到您清除本页面的数据。",
    },
    "guide_private_cookie": {"en": "One cookie", "zh": "一个 Cookie"},
    "guide_private_cookie_text": {
        "en": "A random number, so that your history is still yours after a reload. It says "
        "nothing about you.",
        "zh": "只是一个随机数，让您刷新页面后仍能看到自己的历史，不包含任何个人信息。",
    },
    "guide_private_metadata": {"en": "Data inside a photograph", "zh": "照片内的信息"},
    "guide_private_metadata_text": {
        "en": "Time, camera and place come out as they went in. To leave them out, set "
        "“{metadata}” under {advanced} to {remove}.",
        "zh": "拍摄时间、相机和地点等信息会原样保留。如不想保留，请在“{advanced}”中把“{metadata}”"
        "设为“{remove}”。",
    },
    # help
    "guide_help": {"en": "When something is not right", "zh": "遇到问题时"},
    "guide_help_face": {"en": "No face is found", "zh": "没有找到人脸"},
    "guide_help_face_text": {
        "en": "Lower “{detection}” under {advanced}. A very small face needs a photograph that "
        "is cropped closer to it.",
        "zh": "在“{advanced}”中降低“{detection}”。如果脸很小，请先把照片裁剪得离脸近一些。",
    },
    "guide_help_blur": {"en": "The result is soft", "zh": "结果不够清晰"},
    "guide_help_blur_text": {
        "en": "The source is blurred, or smaller than the face it fills. Take a sharper or larger "
        "one, or a smaller size for the file.",
        "zh": "来源照片模糊，或其中的脸比要替换的脸小。请换一张更清晰、更大的照片，"
        "或选更小的尺寸。",
    },
    "guide_help_turned": {"en": "The face looks bent", "zh": "脸看起来变形"},
    "guide_help_turned_text": {
        "en": "The heads are turned too far apart. Use a source seen from a similar side, or add "
        "several views of the person.",
        "zh": "两人的朝向相差太大。请用朝向相近的来源照片，或添加此人的多个角度。",
    },
    "guide_help_alike": {"en": "It does not look like the source", "zh": "不像来源人物"},
    "guide_help_alike_text": {
        "en": "Raise “{ratio}”, then “{shape}”.",
        "zh": "先提高“{ratio}”，再提高“{shape}”。",
    },
    "guide_help_size": {"en": "A photograph or a size is refused", "zh": "照片或尺寸被拒绝"},
    "guide_help_size_text": {
        "en": "It would need more than this machine allows. The message says what would be "
        "accepted; the output size “{auto}” fits by itself.",
        "zh": "它超出了这台电脑允许的范围。提示会说明可接受的范围；输出尺寸选“{auto}”会自动选择合"
        "适的大小。",
    },
    "guide_help_slow": {"en": "It takes long", "zh": "耗时太长"},
    "guide_help_slow_text": {
        "en": "The expected time stands beside {start}, your place in line in the progress. A "
        "smaller size is quicker. {system} shows how busy the machine is, and which engine runs "
        "on what.",
        "zh": "“{start}”旁会显示预计时间，进度中会显示排队位置。尺寸越小越快。“{system}”页会显示"
        "电脑的忙碌程度，以及引擎运行在什么设备上。",
    },
    "guide_fair": {
        "en": "Fuse faces only of people who agree to it, and say that a picture is a fusion "
        "wherever somebody could take it for a photograph.",
        "zh": "请只融合同意这样做的人的脸；在别人可能把它当成真实照片的地方，请说明这是融合图片。",
    },
}

"""Texts of the controls panel."""

from studio.page.texts.language import Table

TEXTS: Table = {
    "controls_title": {"en": "Settings", "zh": "设置"},
    "controls_reset": {"en": "Reset {name}", "zh": "重置{name}"},
    "controls_reset_all": {"en": "Reset all", "zh": "全部重置"},
    "controls_advanced": {"en": "Advanced", "zh": "高级"},
    "controls_changed_count": {"en": "{count} changed", "zh": "已更改 {count} 项"},
    "controls_value_of": {"en": "{name}, as a number", "zh": "{name}（数值）"},
    "controls_between": {"en": "{low} to {high}", "zh": "{low} 到 {high}"},
    "controls_automatic": {"en": "Automatic", "zh": "自动"},
    "controls_group_face": {"en": "Face", "zh": "人脸"},
    "controls_group_finish": {"en": "Finish", "zh": "画面调整"},
    "controls_group_engine": {"en": "Engine", "zh": "引擎"},
    "controls_group_file": {"en": "File", "zh": "文件"},
    # what is always visible
    "controls_ratio": {"en": "Fusion", "zh": "融合程度"},
    "controls_ratio_info": {
        "en": "0 keeps the target's face, 1 shows the source's in full.",
        "zh": "0 保留目标人脸，1 完全呈现来源人脸。",
    },
    "controls_resolution": {"en": "Output size", "zh": "输出尺寸"},
    "controls_resolution_info": {
        "en": "The longer side in pixels. The face is rendered at that size, not resized to it.",
        "zh": "以长边像素计。人脸直接按该尺寸渲染，而不是事后缩放。",
    },
    "controls_resolution_auto_info": {
        "en": "Chosen by the sizes of picture and faces, and by the memory that is free.",
        "zh": "根据照片和人脸的大小以及可用内存自动选择。",
    },
    "controls_original": {"en": "Original", "zh": "原始"},
    "controls_auto": {"en": "Auto", "zh": "自动"},
    "controls_custom": {"en": "Custom", "zh": "自定义"},
    "controls_too_large": {"en": "too large", "zh": "过大"},
    "controls_width": {"en": "Width", "zh": "宽"},
    "controls_height": {"en": "Height", "zh": "高"},
    "controls_sides": {
        "en": "Each side must have {low} to {high} pixels.",
        "zh": "每边应为 {low} 到 {high} 像素。",
    },
    "controls_fit": {"en": "Frame", "zh": "画面"},
    "controls_keep": {"en": "Keep", "zh": "保持"},
    "controls_keep_info": {
        "en": "The photograph keeps its proportions.",
        "zh": "照片保持原有的宽高比。",
    },
    "controls_pad": {"en": "Pad", "zh": "补边"},
    "controls_pad_info": {
        "en": "The whole photograph at the exact size (a square for 512 to 4096), its edges "
        "mirrored around it.",
        "zh": "按精确尺寸显示整张照片（512 至 4096 为正方形），四周用镜像边缘补齐。",
    },
    "controls_crop": {"en": "Crop", "zh": "裁剪"},
    "controls_crop_info": {
        "en": "Cut to the exact size (a square for 512 to 4096) around the chosen faces.",
        "zh": "围绕所选人脸裁剪到精确尺寸（512 至 4096 为正方形）。",
    },
    # face
    "controls_mode": {"en": "Blending", "zh": "混合方式"},
    "controls_mode_normal": {"en": "Normal", "zh": "标准"},
    "controls_mode_normal_info": {
        "en": "Both faces are mixed evenly, in linear light.",
        "zh": "在线性光下均匀混合两张脸。",
    },
    "controls_mode_blend": {"en": "Soft", "zh": "柔和"},
    "controls_mode_blend_info": {
        "en": "Fine detail comes from the source; tone and transitions stay nearer the target.",
        "zh": "细节来自来源人脸，色调和过渡更接近目标照片。",
    },
    "controls_mode_overlay": {"en": "Overlay", "zh": "叠加"},
    "controls_mode_overlay_info": {
        "en": "The source lies over the target, whose light and shade show through.",
        "zh": "来源人脸叠在目标之上，透出目标的明暗。",
    },
    "controls_shape": {"en": "Face shape", "zh": "脸型"},
    "controls_shape_info": {
        "en": "How far outline and features move towards the source's proportions.",
        "zh": "轮廓和五官向来源人脸的比例靠近多少。",
    },
    "controls_expression": {"en": "Expression", "zh": "表情"},
    "controls_expression_target": {"en": "Target's", "zh": "目标的"},
    "controls_expression_source": {"en": "Source's", "zh": "来源的"},
    "controls_expression_info": {
        "en": "Whose mouth and eyelids are shown.",
        "zh": "采用谁的嘴部和眼睑。",
    },
    "controls_keep_glasses": {"en": "Keep glasses", "zh": "保留眼镜"},
    "controls_keep_glasses_info": {
        "en": "Glasses that the target wears stay in front of the fused face.",
        "zh": "目标人物戴的眼镜保留在融合后的人脸前面。",
    },
    "controls_threshold": {"en": "Detection", "zh": "检测阈值"},
    "controls_threshold_info": {
        "en": "How certain a face must be to count; a lower value finds more of them.",
        "zh": "多大把握才算一张脸；数值越低，找到的人脸越多。",
    },
    # finish
    "controls_smooth": {"en": "Smooth skin", "zh": "磨皮"},
    "controls_smooth_info": {
        "en": "Evens out skin; eyes, lips, hair and background stay as they are.",
        "zh": "让皮肤更平滑；眼睛、嘴唇、头发和背景保持不变。",
    },
    "controls_brightness": {"en": "Brightness", "zh": "亮度"},
    "controls_brightness_info": {"en": "Darker or lighter.", "zh": "让画面变暗或变亮。"},
    "controls_contrast": {"en": "Contrast", "zh": "对比度"},
    "controls_contrast_info": {
        "en": "Less or more between the dark and the light.",
        "zh": "减小或增大明暗差别。",
    },
    "controls_saturation": {"en": "Saturation", "zh": "饱和度"},
    "controls_saturation_info": {"en": "Paler or richer colours.", "zh": "让颜色变淡或变浓。"},
    "controls_sharpen": {"en": "Sharpen", "zh": "锐化"},
    "controls_sharpen_info": {
        "en": "Crisper edges; grain and pores are left alone.",
        "zh": "让边缘更清晰，不放大噪点和毛孔。",
    },
    "controls_scope": {"en": "Applies to", "zh": "作用范围"},
    "controls_scope_image": {"en": "Whole picture", "zh": "整张照片"},
    "controls_scope_face": {"en": "Fused faces", "zh": "仅融合的人脸"},
    "controls_scope_info": {
        "en": "Where brightness, contrast, saturation and sharpening act.",
        "zh": "亮度、对比度、饱和度和锐化作用的范围。",
    },
    # engine
    "controls_engine": {"en": "Engine used", "zh": "使用的引擎"},
    "controls_engine_auto": {"en": "Automatic", "zh": "自动"},
    "controls_engine_mesh": {"en": "Mesh", "zh": "Mesh"},
    "controls_engine_modelscope": {"en": "ModelScope", "zh": "ModelScope"},
    "controls_engine_info": {
        "en": "Mesh lays the source's own pixels over the target; ModelScope paints the face with "
        "a neural network.",
        "zh": "Mesh 把来源照片的像素贴合到目标人脸上；ModelScope 用神经网络绘制人脸。",
    },
    "controls_why_asked": {
        "en": "{engine} is used, as chosen here.",
        "zh": "按此处的选择使用 {engine}。",
    },
    "controls_why_gpu": {
        "en": "ModelScope is used: its files and an NVIDIA GPU are here.",
        "zh": "使用 ModelScope：模型文件和 NVIDIA GPU 都已就绪。",
    },
    "controls_why_no_packages": {
        "en": "Mesh is used, because ModelScope is not installed. To get it: ./run.sh --full "
        "setup, then ./run.sh models download.",
        "zh": "使用 Mesh，因为尚未安装 ModelScope。安装方法：先运行 ./run.sh --full setup，"
        "再运行 ./run.sh models download。",
    },
    "controls_why_no_files": {
        "en": "Mesh is used, because ModelScope lacks its files. To get them: ./run.sh models "
        "download, then start the studio anew.",
        "zh": "使用 Mesh，因为缺少 ModelScope 的模型文件。获取方法：运行 ./run.sh models download，"
        "然后重新启动工作室。",
    },
    "controls_why_no_gpu": {
        "en": "Mesh is used, because there is no NVIDIA GPU to use. ModelScope also runs on the "
        "CPU when it is chosen here, more slowly.",
        "zh": "使用 Mesh，因为没有可用的 NVIDIA GPU。在此选择 ModelScope 也能用 CPU 运行，但较慢。",
    },
    "controls_engine_missing": {
        "en": "{engine} cannot run here. {reason}",
        "zh": "{engine} 无法在此运行。{reason}",
    },
    "controls_composite": {"en": "Composite", "zh": "合成方式"},
    "controls_composite_studio": {"en": "Studio", "zh": "本工作室"},
    "controls_composite_studio_info": {
        "en": "The target's light, hair, mouth and grain are kept.",
        "zh": "保留目标照片的光线、头发、嘴部和颗粒感。",
    },
    "controls_composite_official": {"en": "As ModelScope", "zh": "ModelScope 原版"},
    "controls_composite_official_info": {
        "en": "Pasted exactly as ModelScope's own program does, with normal blending.",
        "zh": "与 ModelScope 自己的程序完全一样地贴回，仅支持标准混合。",
    },
    "controls_boost": {"en": "Detail", "zh": "细节倍率"},
    "controls_boost_info": {
        "en": "How many times finer than its own pixels the network paints; 4 takes 16 times as "
        "long.",
        "zh": "网络以几倍于自身像素的精细度绘制；4 倍耗时为 16 倍。",
    },
    "controls_enhance": {"en": "Restoration", "zh": "人脸修复"},
    "controls_enhance_info": {
        "en": "How much of GPEN's restored skin and eyes is shown.",
        "zh": "呈现多少 GPEN 修复的皮肤和眼睛。",
    },
    # file
    "controls_format": {"en": "Format", "zh": "文件格式"},
    "controls_format_same": {"en": "Like the target", "zh": "与目标照片相同"},
    "controls_format_info": {
        "en": "JPEG is read everywhere; PNG and TIFF lose nothing; WebP and AVIF are smallest.",
        "zh": "JPEG 通用性最好；PNG 和 TIFF 无损；WebP 和 AVIF 文件最小。",
    },
    "controls_quality": {"en": "Quality", "zh": "画质"},
    "controls_quality_same": {"en": "Like the target", "zh": "与目标照片相同"},
    "controls_quality_info": {
        "en": "Higher is finer and larger. Like the target, a JPEG changes only under the faces.",
        "zh": "数值越高越细腻，文件也越大。与目标照片相同时，JPEG 只改动人脸所在部分。",
    },
    "controls_metadata": {"en": "Photo details", "zh": "照片信息"},
    "controls_metadata_keep": {"en": "Keep", "zh": "保留"},
    "controls_metadata_remove": {"en": "Remove", "zh": "移除"},
    "controls_metadata_info": {
        "en": "Camera, place, date and captions. Colour profile and print size always stay.",
        "zh": "相机、地点、日期和说明文字。色彩配置和打印尺寸始终保留。",
    },
    # presets
    "controls_presets": {"en": "Preset", "zh": "预设"},
    "controls_presets_info": {
        "en": "A starting point; change anything afterwards.",
        "zh": "融合、画面和尺寸的起点，之后都可以再调整。",
    },
    "controls_preset_social": {"en": "Social 512", "zh": "社交 512"},
    "controls_preset_social_info": {
        "en": "For a profile picture: half fused, smooth skin, a little brighter.",
        "zh": "适合头像：融合一半，皮肤平滑，略微提亮。",
    },
    "controls_preset_art": {"en": "Art 1024", "zh": "艺术 1024"},
    "controls_preset_art_info": {
        "en": "Strongly fused with soft transitions and richer colours.",
        "zh": "融合较强，过渡柔和，色彩更浓。",
    },
    "controls_preset_old": {"en": "Old photo 2048", "zh": "老照片 2048"},
    "controls_preset_old_info": {
        "en": "Enlarged to 2048 pixels, skin smoothed, brighter and clearer.",
        "zh": "放大到 2048 像素，皮肤平滑，更亮、更清晰。",
    },
    "controls_preset_print": {"en": "Print", "zh": "打印"},
    "controls_preset_print_info": {
        "en": "The photograph's own size, strongly fused, nothing else changed.",
        "zh": "照片原始尺寸，融合较强，其余不变。",
    },
    "controls_preset_own_info": {
        "en": "Saved by you in this browser.",
        "zh": "由您保存在此浏览器中。",
    },
    "controls_preset_changed": {"en": "changed", "zh": "已更改"},
    "controls_preset_save": {"en": "Save as preset", "zh": "存为预设"},
    "controls_preset_name": {"en": "Name of the preset", "zh": "预设名称"},
    "controls_preset_keep": {"en": "Save", "zh": "保存"},
    "controls_preset_replace": {"en": "Replace", "zh": "替换"},
    "controls_preset_cancel": {"en": "Cancel", "zh": "取消"},
    "controls_preset_update": {"en": "Update", "zh": "更新"},
    "controls_preset_rename": {"en": "Rename", "zh": "重命名"},
    "controls_preset_delete": {"en": "Delete", "zh": "删除"},
    "controls_preset_export": {"en": "Export", "zh": "导出"},
    "controls_preset_import": {"en": "Import", "zh": "导入"},
    "controls_preset_file_info": {
        "en": "Your presets as a file, for another browser.",
        "zh": "以文件形式备份预设，可用于其他浏览器。",
    },
    "controls_preset_saved": {"en": "“{name}” is saved.", "zh": "“{name}”已保存。"},
    "controls_preset_deleted": {"en": "“{name}” is deleted.", "zh": "“{name}”已删除。"},
    "controls_preset_undo": {"en": "Undo", "zh": "撤销"},
    "controls_preset_imported": {
        "en": "Presets read from the file: {count}.",
        "zh": "已从文件读取 {count} 个预设。",
    },
    "controls_preset_no_file": {
        "en": "{name} holds no presets; choose a file that was exported here.",
        "zh": "{name} 中没有预设；请选择从这里导出的文件。",
    },
    "controls_preset_full": {
        "en": "{limit} presets of your own are the most; delete one first.",
        "zh": "最多保存 {limit} 个自己的预设；请先删除一个。",
    },
}

"""Texts of the Batch tab."""

from studio.page.texts.language import Table

TEXTS: Table = {
    "batch_title": {"en": "One face, many photographs", "zh": "一张脸，多张照片"},
    "batch_intro": {
        "en": "Every photograph is fused with the same settings, one after the other. What is done "
        "comes as one ZIP file with a report.",
        "zh": "所有照片按相同的设置逐张融合。完成的结果连同报告打包成一个 ZIP 文件。",
    },
    # sources
    "batch_sources": {"en": "Source", "zh": "来源照片"},
    "batch_sources_how": {
        "en": "The face to bring in. Several pictures: of one person, or one for each photograph.",
        "zh": "要融入的人脸。可以放多张：同一个人的不同照片，或分别用于不同的目标照片。",
    },
    "batch_sources_add": {"en": "Choose pictures", "zh": "选择图片"},
    "batch_sources_fuse": {"en": "Use those of the Fuse tab", "zh": "使用“融合”页的来源照片"},
    "batch_sources_too_many": {
        "en": "At most {limit} source pictures can be used in a batch.",
        "zh": "一批最多使用 {limit} 张来源照片。",
    },
    # targets
    "batch_targets": {"en": "Targets", "zh": "目标照片"},
    "batch_targets_prompt": {"en": "The photographs to change", "zh": "要修改的照片"},
    "batch_targets_how": {
        "en": "Drop pictures, folders or a ZIP here, or choose them:",
        "zh": "把图片、文件夹或 ZIP 拖到这里，或者选择：",
    },
    "batch_files": {"en": "Files", "zh": "文件"},
    "batch_folder": {"en": "Folder", "zh": "文件夹"},
    "batch_zip": {"en": "ZIP", "zh": "ZIP"},
    "batch_table": {"en": "Table of pairs", "zh": "配对表格"},
    "batch_table_how": {
        "en": "A CSV with the columns target and source says which source goes into which "
        "photograph; add it after the pictures.",
        "zh": "CSV 表格用 target 和 source 两列指定每张目标照片的来源；请先添加照片，再添加表格。",
    },
    "batch_limit": {
        "en": "At most {limit} photographs, each up to {size}\u00a0MB.",
        "zh": "最多 {limit} 张照片，每张不超过 {size}\u00a0MB。",
    },
    "batch_too_many": {
        "en": "A batch takes at most {limit} photographs; {count} were left out.",
        "zh": "一批最多 {limit} 张照片；已跳过 {count} 张。",
    },
    "batch_empty_folder": {
        "en": "There are no pictures in what was dropped.",
        "zh": "拖入的内容中没有图片。",
    },
    "batch_unpacking": {"en": "Unpacking {name}", "zh": "正在解压 {name}"},
    "batch_uploading_zip": {
        "en": "Uploading {name}: {percent} %",
        "zh": "正在上传 {name}：{percent}%",
    },
    "batch_left_out": {"en": "Left out: {count}", "zh": "已跳过：{count}"},
    "batch_pairs_set": {
        "en": "{name}: sources set for {count} photographs.",
        "zh": "{name}：已为 {count} 张照片设置来源。",
    },
    "batch_pairs_no_target": {
        "en": "{name} is in the table and not among the photographs. Add it, then add the table "
        "again.",
        "zh": "表格中的 {name} 不在已添加的照片中。请先添加它，再重新添加表格。",
    },
    "batch_pairs_no_source": {
        "en": "The source {name} has not been added. Add it, then add the table again.",
        "zh": "表格中的来源 {name} 尚未添加。请先添加它，再重新添加表格。",
    },
    # settings
    "batch_settings": {"en": "Settings", "zh": "设置"},
    "batch_settings_change": {"en": "Change in the Fuse tab", "zh": "到“融合”页修改"},
    "batch_on": {"en": "on", "zh": "开"},
    "batch_off": {"en": "off", "zh": "关"},
    "batch_faces": {"en": "Faces in each photograph", "zh": "每张照片中替换"},
    "batch_faces_largest": {"en": "The largest", "zh": "最大的人脸"},
    "batch_faces_all": {"en": "All", "zh": "所有人脸"},
    # actions
    "batch_start": {"en": "Start", "zh": "开始"},
    "batch_start_count": {"en": "Fuse {count}", "zh": "融合 {count} 张"},
    "batch_cancel": {"en": "Cancel", "zh": "取消"},
    "batch_clear": {"en": "Clear", "zh": "清空"},
    "batch_clear_sure": {"en": "Delete the results?", "zh": "删除这些结果？"},
    "batch_again": {"en": "Start again with these", "zh": "用这些照片重新开始"},
    "batch_download": {"en": "Download ZIP, {size}", "zh": "下载 ZIP，{size}"},
    "batch_missing_targets": {"en": "Add photographs to change.", "zh": "请添加要修改的照片。"},
    "batch_missing_sources": {
        "en": "Add a source picture that shows a face.",
        "zh": "请添加一张有人脸的来源照片。",
    },
    "batch_missing_uploads": {
        "en": "Uploading: {done} of {count}",
        "zh": "正在上传：{done} / {count}",
    },
    "batch_ready": {"en": "Ready: {count} photographs.", "zh": "已就绪：{count} 张照片。"},
    "batch_ready_one": {"en": "Ready: one photograph.", "zh": "已就绪：1 张照片。"},
    # progress
    "batch_progress": {"en": "Progress of the batch", "zh": "整批进度"},
    "batch_done_of": {"en": "{done} of {count} done", "zh": "已完成 {done} / {count}"},
    "batch_failed_count": {"en": "{count} failed", "zh": "{count} 张失败"},
    "batch_skipped_count": {"en": "{count} not done", "zh": "{count} 张未处理"},
    "batch_left": {"en": "about {time} left", "zh": "大约还需 {time}"},
    "batch_stopping": {"en": "Stopping", "zh": "正在停止"},
    "batch_packing": {"en": "Packing the ZIP.", "zh": "正在打包 ZIP。"},
    "batch_over_done": {"en": "Finished.", "zh": "已全部处理。"},
    "batch_over_cancelled": {
        "en": "Cancelled. What was done is kept.",
        "zh": "已取消，完成的结果已保留。",
    },
    "batch_over_stopped": {
        "en": "Stopped. What was done is kept.",
        "zh": "已停止，完成的结果已保留。",
    },
    "batch_goes_on": {
        "en": "It goes on when this page is closed; come back to see it.",
        "zh": "关闭页面后仍会继续处理，回来即可查看。",
    },
    "batch_kept": {
        "en": "The results are kept for {hours} hours.",
        "zh": "结果保留 {hours} 小时。",
    },
    # the table
    "batch_list": {"en": "Photographs of the batch", "zh": "这一批的照片"},
    "batch_column_preview": {"en": "Result", "zh": "结果"},
    "batch_column_name": {"en": "Photograph", "zh": "照片"},
    "batch_column_source": {"en": "Source", "zh": "来源"},
    "batch_column_state": {"en": "State", "zh": "状态"},
    "batch_column_action": {"en": "Actions", "zh": "操作"},
    "batch_source_of": {"en": "Source for {name}", "zh": "{name} 的来源"},
    "batch_source_all": {"en": "All, as one person", "zh": "全部（同一个人）"},
    "batch_source_for_all": {"en": "Source for all", "zh": "统一来源"},
    "batch_source_differs": {"en": "As in the list", "zh": "按列表"},
    "batch_state_added": {"en": "Ready", "zh": "已就绪"},
    "batch_state_queued": {"en": "Waits for its upload", "zh": "等待上传"},
    "batch_state_uploading": {"en": "Uploading {percent} %", "zh": "正在上传 {percent}%"},
    "batch_state_refused": {"en": "Not uploaded", "zh": "未上传"},
    "batch_state_waiting": {"en": "Waiting", "zh": "等待中"},
    "batch_state_running": {"en": "Fusing", "zh": "正在融合"},
    "batch_state_done": {"en": "Done", "zh": "已完成"},
    "batch_state_failed": {"en": "Failed", "zh": "失败"},
    "batch_state_skipped": {"en": "Not done", "zh": "未处理"},
    "batch_file_progress": {"en": "Progress of {name}", "zh": "{name} 的进度"},
    "batch_file_download": {"en": "Download", "zh": "下载"},
    "batch_file_download_name": {"en": "Download the result of {name}", "zh": "下载 {name} 的结果"},
    "batch_file_preview": {"en": "Result of {name}", "zh": "{name} 的结果"},
    "batch_file_remove": {"en": "Remove {name}", "zh": "移除 {name}"},
    "batch_file_retry": {"en": "Upload {name} again", "zh": "重新上传 {name}"},
    "batch_warnings": {"en": "Notes ({count})", "zh": "提示（{count}）"},
    # nothing there yet
    "batch_empty_1": {
        "en": "Choose the face: a picture of the person.",
        "zh": "选择人脸：放入这个人的照片。",
    },
    "batch_empty_2": {
        "en": "Add the photographs: files, a folder or a ZIP.",
        "zh": "添加照片：文件、文件夹或 ZIP。",
    },
    "batch_empty_3": {
        "en": "Press Start, and download all results at once.",
        "zh": "按“开始”，然后一次下载全部结果。",
    },
}

"""Errors of the page's own calls."""

SENTENCES: dict[str, str] = {
    "looking for faces in {name} took longer than the {seconds} s allowed; use a smaller "
    "photograph or try again later": (
        "在“{name}”中寻找人脸超过了允许的 {seconds} 秒；请换一张较小的照片，或稍后再试"
    ),
    "a photograph is not among the uploaded files any more; add it again": (
        "有一张照片已不在上传的文件中；请重新添加"
    ),
    "there is no result to look at": "还没有可以查看的结果",
    "the call names neither a file nor a photograph": "请求中既没有文件，也没有照片",
    "the call does not say from which page it comes": "请求没有说明来自哪个页面",
    "faces are counted from 0": "人脸从 0 开始编号",
    "a target face is named twice": "同一张目标人脸出现了两次",
}

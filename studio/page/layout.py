"""What the page shows and how its parts are wired to the handlers."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import gradio as gr
from starlette.middleware import Middleware

from preprocess.resolution import FITS, ORIGINAL
from studio.page.events import RESOLUTIONS, Events
from studio.page.privacy import PrivateResponses
from studio.page.texts import TEXTS, for_component, labels
from studio.page.theme import ICON, make_theme, read_asset
from studio.page.uploads import BoundedUploads
from studio.page.views import BUSY_PICKER, EMPTY_PICKER, EMPTY_STAGE, View
from studio.service.fusion_service import ANALYSES_AT_ONCE, FusionService, Role

SHORT_REQUESTS = 40


class Parts(NamedTuple):
    """The components that events read or change."""

    demo: gr.Button
    target: gr.HTML
    source: gr.HTML
    ratio: gr.Slider
    resolution: gr.Dropdown
    fit: gr.Radio
    start: gr.Button
    cancel: gr.Button
    clear: gr.Button
    engine: gr.HTML
    stage: gr.HTML


class Photos(NamedTuple):
    """The session's photographs as the server knows them."""

    target: gr.State
    source: gr.State


def build_page(service: FusionService) -> gr.Blocks:
    """The page, ready to `launch` with `launch_options`."""
    translate = gr.I18n(**labels())
    page = gr.Blocks(title=TEXTS["title"]["en"], analytics_enabled=False, fill_width=True)
    with page:
        parts = _lay_out(service, translate)
        photos = Photos(gr.State(None), gr.State(None))
        _wire(page, parts, photos, Events(service), service.settings.fusion.ratio)
    # The studio's own queues are the bound; this one overflows only if they do not get to it.
    page.queue(default_concurrency_limit=None, max_size=_most_threads(service), api_open=False)
    return page


def launch_options(service: FusionService) -> dict[str, Any]:
    """Arguments of `gradio.Blocks.launch` for this page; none of them opens it to the web."""
    settings = service.settings
    max_upload = settings.server.max_upload_mb * 1_000_000
    return {
        "server_name": settings.server.host,
        "server_port": settings.server.port,
        "max_file_size": max_upload,
        "max_threads": _most_threads(service),
        "theme": make_theme(),
        "css": read_asset("page.css"),
        "head": ICON,
        "i18n": gr.I18n(**labels()),
        "app_kwargs": {
            "middleware": [
                Middleware(PrivateResponses),
                Middleware(BoundedUploads, max_upload, service.storage.directory),
            ]
        },
        "footer_links": [],
        "share": False,
        "show_error": False,
        "run_history": False,
        "enable_monitoring": False,
        "ssr_mode": False,
        "mcp_server": False,
        "pwa": False,
        "inbrowser": False,
        "quiet": True,
        "prevent_thread_lock": True,
    }


def _most_threads(service: FusionService) -> int:
    """Threads and events that Gradio may keep busy at once.

    The handler of a job, waiting or running, holds one of each until the job is over; the
    rest is for requests that are answered at once.
    """
    limits = service.settings.limits
    return SHORT_REQUESTS + limits.concurrent + ANALYSES_AT_ONCE + 2 * limits.queue


def _lay_out(service: FusionService, translate: gr.I18n) -> Parts:
    settings = service.settings
    limit = settings.server.max_upload_mb
    with gr.Row(elem_id="ff-header"):
        gr.HTML(
            html_template="<h1></h1><p></p>",
            js_on_load=read_asset("header.js"),
            texts=for_component("title", "tagline"),
        )
        demo = gr.Button(translate("demo"), elem_id="ff-demo", size="md", scale=0)
    with gr.Row(elem_id="ff-columns"):
        with gr.Column(elem_id="ff-inputs"):
            target = _picker("target", limit, several=True)
            source = _picker("source", limit, several=False)
            with gr.Column(elem_id="ff-controls"):
                ratio = gr.Slider(
                    0.0,
                    1.0,
                    value=settings.fusion.ratio,
                    step=0.01,
                    label=translate("ratio"),
                    info=translate("ratio_info"),
                    buttons=[],
                    elem_id="ff-ratio",
                )
                resolution, fit = _output_controls(translate)
                with gr.Row(elem_id="ff-actions"):
                    start = gr.Button(
                        translate("start"),
                        variant="primary",
                        interactive=False,
                        elem_id="ff-start",
                        scale=2,
                    )
                    cancel = gr.Button(
                        translate("cancel"),
                        variant="stop",
                        visible=False,
                        elem_id="ff-cancel",
                        scale=2,
                    )
                    clear = gr.Button(translate("clear"), elem_id="ff-clear", scale=1)
                engine = gr.HTML(apply_default_css=False, elem_id="ff-engine")
        with gr.Column(elem_id="ff-output"):
            stage = gr.HTML(
                EMPTY_STAGE,
                html_template=read_asset("stage.html"),
                js_on_load=read_asset("stage.js"),
                apply_default_css=False,
                texts=for_component(),
                elem_id="ff-stage",
            )
    return Parts(demo, target, source, ratio, resolution, fit, start, cancel, clear, engine, stage)


def _output_controls(translate: gr.I18n) -> tuple[gr.Dropdown, gr.Radio]:
    """The output's size and its shape, which only matters for another size than the original."""
    resolution = gr.Dropdown(
        [(translate(name) if name in TEXTS else name, name) for name in RESOLUTIONS],
        value=str(ORIGINAL),
        label=translate("resolution"),
        info=translate("resolution_info"),
        filterable=False,
        elem_id="ff-resolution",
    )
    fit = gr.Radio(
        [(translate(name), name) for name in FITS],
        value=FITS[0],
        label=translate("fit"),
        info=translate(f"{FITS[0]}_info"),
        visible=False,
        elem_id="ff-fit",
    )
    return resolution, fit


def _picker(role: Role, max_upload_mb: int, several: bool) -> gr.HTML:
    hint = "choose_targets" if several else "choose_source"
    keys = (f"{role}_title", f"{role}_prompt", hint)
    return gr.HTML(
        None,
        html_template=read_asset("picker.html"),
        js_on_load=read_asset("picker.js"),
        apply_default_css=False,
        texts=for_component(*keys),
        title_key=keys[0],
        prompt_key=keys[1],
        hint_key=hint,
        several=several,
        max_upload_mb=max_upload_mb,
        elem_id=f"ff-{role}",
    )


def _wire(page: gr.Blocks, parts: Parts, photos: Photos, events: Events, ratio: float) -> None:
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    # What a later answer makes true must not be left out because an earlier one is being asked.
    current = quiet | {"queue": False, "trigger_mode": "always_last"}
    ready = {
        "fn": events.ready,
        "inputs": [photos.target, photos.source, parts.target, parts.source],
        "outputs": parts.start,
        **current,
    }
    sizes = {
        "fn": events.sizes,
        "inputs": [photos.target, parts.resolution, parts.fit],
        "outputs": [parts.resolution, parts.fit],
        **current,
    }
    for control in (parts.resolution, parts.fit):
        control.input(**sizes)
    looks = []
    target, source = (photos.target, parts.target), (photos.source, parts.source)
    for shown, look_at, remove, apologise in (
        (target, events.look_at_target, events.remove_target, events.apology("target")),
        (source, events.look_at_source, events.remove_source, events.apology("source")),
    ):
        picker = shown[1]
        # A newer upload is looked at at once; its handler ends the former one's.
        looked = picker.upload(look_at, outputs=[*shown], trigger_mode="multiple", **quiet)
        removed = picker.remove(remove, outputs=[*shown], queue=False, **quiet)
        looked.failure(apologise, outputs=[*shown], queue=False, **quiet)
        looks.append(looked)
        picker.choose(**ready)
        for change in (looked, removed):
            change.then(**ready)
            if picker is parts.target:
                change.then(**sizes)
    both = [*target, *source]
    demo = parts.demo.click(_looking, outputs=both, queue=False, **quiet).then(
        events.load_demo, outputs=both, **quiet
    )
    demo.then(**ready).then(**sizes)
    demo.failure(events.apology("target", "source"), outputs=both, queue=False, **quiet)
    _wire_fusion(page, parts, photos, events, ratio, quiet, [*looks, demo])
    page.load(events.engine, outputs=parts.engine, queue=False, **quiet)


def _wire_fusion(
    page: gr.Blocks,
    parts: Parts,
    photos: Photos,
    events: Events,
    ratio: float,
    quiet: dict[str, Any],
    looks: list[Any],
) -> None:
    outputs = [parts.stage, parts.start, parts.cancel]
    started = parts.start.click(
        events.start,
        inputs=[
            photos.target,
            photos.source,
            parts.target,
            parts.source,
            parts.ratio,
            parts.resolution,
            parts.fit,
        ],
        outputs=outputs,
        concurrency_limit=None,
        **quiet,
    )
    started.then(events.engine, outputs=parts.engine, queue=False, **quiet)
    started.failure(events.apologise_for_fusion, outputs=outputs, queue=False, **quiet)
    parts.cancel.click(events.cancel, queue=False, **quiet)
    # Cancelled for the browser as well, so that no late report undoes the clearing.
    parts.clear.click(events.clear, cancels=[*looks, started], queue=False, **quiet).then(
        partial(_reset, ratio),
        outputs=[
            photos.target,
            photos.source,
            parts.target,
            parts.source,
            parts.ratio,
            parts.stage,
            parts.start,
            parts.cancel,
        ],
        queue=False,
        **quiet,
    ).then(events.sizes_anew, outputs=[parts.resolution, parts.fit], queue=False, **quiet)
    page.unload(events.forget)


def _looking() -> tuple[None, View, None, View]:
    return None, BUSY_PICKER, None, BUSY_PICKER


def _reset(ratio: float) -> tuple[Any, ...]:
    hidden = gr.update(visible=False)
    start = gr.update(visible=True, interactive=False)
    return (None, None, EMPTY_PICKER, EMPTY_PICKER, ratio, EMPTY_STAGE, start, hidden)

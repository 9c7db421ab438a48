"""What the page shows: its frame, its tabs, and the calls that their scripts make.

The visible parts are Gradio components with templates and scripts of our own (`assets`): each
tab is a folder's worth of one concern. They share `window.studio` (`assets/studio.js`), talk to
the server by calls (`studio.page.calls`), and show every text in the language that is chosen,
without a reload.
"""

from __future__ import annotations

import json
from typing import Any

import gradio as gr
from starlette.middleware import Middleware

from studio.page.api import Page, add_endpoints
from studio.page.assistants import mcp_middleware
from studio.page.calls import Area, server_functions
from studio.page.calls.batch import BatchCalls
from studio.page.calls.fuse import FuseCalls
from studio.page.calls.history import HistoryCalls
from studio.page.calls.plan import PlanCalls
from studio.page.calls.system import SystemCalls
from studio.page.controls_view import control_props
from studio.page.privacy import PrivateResponses
from studio.page.texts import TEXTS
from studio.page.theme import ICON, make_theme, read_asset
from studio.page.uploads import BoundedUploads
from studio.page.visits import Visits
from studio.service.controls import Controls
from studio.service.fusion_service import ANALYSES_AT_ONCE, FusionService

SHORT_REQUESTS = 40
STYLES = ("page", "picker", "controls", "stage", "batch", "history", "system", "guide")
SHARED = ("studio", "picker", "batch_intake", "batch_rows")
"""Scripts of the page's head, in their order."""
TABS = ("batch", "history", "system", "guide")
"""Tabs of a single part; the one for fusing has several."""
PARTS = ("frame", "target", "sources", "presets", "controls", "actions", "stage", *TABS)
"""All components; the script of each tells `studio.ready` its name."""


def build_page(service: FusionService, visits: Visits) -> gr.Blocks:
    """The page, ready to `launch` with `launch_options`.

    Args:
        service: Does the work.
        visits: The open pages.
    """
    areas: list[Area] = [
        FuseCalls(service, visits),
        PlanCalls(service, visits),
        BatchCalls(service, visits),
        HistoryCalls(service, visits),
        SystemCalls(service, visits),
    ]
    calls = server_functions(areas, visits, service.storage.directory)
    page = Page(title=TEXTS["title"]["en"], analytics_enabled=False, fill_width=True)
    with page:
        _part("frame", server_functions=calls)
        _fuse_panel(service)
        for name in TABS:
            with gr.Column(elem_id=f"ff-panel-{name}", elem_classes="ff-panel-tab"):
                _part(name)
        add_endpoints(service)
    # The studio's own queues are the bound; this one overflows only if they do not get to it.
    page.queue(default_concurrency_limit=None, max_size=_most_threads(service))
    return page


def _fuse_panel(service: FusionService) -> None:
    """What goes in on the left, what comes out on the right."""
    panel = gr.Column(elem_id="ff-panel-fuse", elem_classes="ff-panel-tab ff-shown")
    with panel, gr.Row(elem_id="ff-columns"):
        with gr.Column(elem_id="ff-inputs"):
            _part("target")
            _part("sources")
            shown = control_props(service)
            _part("presets", **shown)
            _part("controls", **shown)
            _part("actions")
        with gr.Column(elem_id="ff-output"):
            _part("stage")


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
        "css": "\n".join(read_asset(f"{name}.css") for name in STYLES),
        "head": ICON + _shared_script(service),
        "app_kwargs": {
            "middleware": [
                Middleware(PrivateResponses, settings.server.host, settings.server.names),
                Middleware(BoundedUploads, max_upload, service.storage.directory),
                *mcp_middleware(service),
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
    """Threads that Gradio may keep busy at once.

    An endpoint's job, waiting or running, holds one until it is over; the rest is for requests
    that are answered at once.
    """
    limits = service.settings.limits
    return SHORT_REQUESTS + limits.concurrent + ANALYSES_AT_ONCE + 2 * limits.queue


def _part(name: str, **props: Any) -> gr.HTML:
    """A component with the template and the script of that name."""
    return gr.HTML(
        None,
        html_template=read_asset(f"{name}.html"),
        js_on_load=read_asset(f"{name}.js"),
        apply_default_css=False,
        elem_id=f"ff-{name}",
        **props,
    )


def _shared_script(service: FusionService) -> str:
    """`assets/studio.js` with what the server knows, for the page's head."""
    settings = service.settings
    data = {
        "texts": TEXTS,
        "defaults": Controls.defaults(settings).model_dump(),
        "max_upload_mb": settings.server.max_upload_mb,
        "keep_hours": settings.storage.keep_hours,
        "parts": PARTS,
    }
    # In a script, "</" would end it.
    text = json.dumps(data, ensure_ascii=False).replace("</", "<\\/")
    scripts = [read_asset(f"{name}.js") for name in SHARED]
    return f"<script>{''.join(scripts).replace('__DATA__', text, 1)}</script>"

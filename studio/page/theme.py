"""Colours, type and spacing: quiet greys around the photographs, one teal accent.

Only fonts of the visitor's system are named, so the browser asks for none.
"""

from __future__ import annotations

from pathlib import Path

import gradio as gr
from gradio.themes.utils.colors import Color

ASSETS = Path(__file__).parent / "assets"
ACCENT = Color(
    name="lagoon",
    c50="#eefaf8",
    c100="#d3f1ed",
    c200="#a8e2db",
    c300="#74cdc4",
    c400="#45b3aa",
    c500="#1f958d",
    c600="#0f766e",
    c700="#0d5f59",
    c800="#0e4c48",
    c900="#0c3e3b",
    c950="#052523",
)
GREY = Color(
    name="stone",
    c50="#fafaf9",
    c100="#f4f4f2",
    c200="#e6e6e3",
    c300="#d3d3cf",
    c400="#a1a19c",
    c500="#6d6d69",
    c600="#53534f",
    c700="#3b3b39",
    c800="#262625",
    c900="#191918",
    c950="#0f0f0f",
)
SANS = (
    "system-ui",
    "-apple-system",
    "Segoe UI",
    "Roboto",
    "Noto Sans",
    "PingFang SC",
    "Microsoft YaHei",
    "Noto Sans CJK SC",
    "sans-serif",
)
MONO = ("ui-monospace", "SFMono-Regular", "Consolas", "Liberation Mono", "monospace")
ICON = (
    "<link rel='icon' type='image/svg+xml' href=\"data:image/svg+xml,"
    "%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E"
    "%3Crect width='32' height='32' rx='8' fill='%230f766e'/%3E"
    "%3Ccircle cx='13' cy='16' r='7' fill='none' stroke='%23fff' stroke-width='2.4'/%3E"
    "%3Ccircle cx='19' cy='16' r='7' fill='none' stroke='%23fff' stroke-width='2.4'/%3E"
    '%3C/svg%3E">'
)
"""The tab's icon, inline."""


def make_theme() -> gr.themes.Base:
    """The theme, light and dark by the visitor's system."""
    theme = gr.themes.Base(
        primary_hue=ACCENT,
        secondary_hue=ACCENT,
        neutral_hue=GREY,
        radius_size=gr.themes.sizes.radius_lg,
        font=SANS,
        font_mono=MONO,
    )
    return theme.set(
        body_background_fill="*neutral_100",
        body_background_fill_dark="*neutral_950",
        body_text_color="*neutral_900",
        body_text_color_dark="*neutral_100",
        body_text_color_subdued="*neutral_500",
        body_text_color_subdued_dark="*neutral_400",
        background_fill_primary="#ffffff",
        background_fill_primary_dark="*neutral_900",
        background_fill_secondary="*neutral_100",
        background_fill_secondary_dark="*neutral_800",
        border_color_primary="*neutral_200",
        border_color_primary_dark="*neutral_800",
        block_background_fill="#ffffff",
        block_background_fill_dark="*neutral_900",
        block_border_width="0px",
        block_shadow="none",
        block_label_text_weight="600",
        block_title_text_weight="600",
        block_title_text_color="*neutral_900",
        block_title_text_color_dark="*neutral_100",
        block_info_text_color="*neutral_500",
        block_info_text_color_dark="*neutral_400",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_dark="*primary_600",
        button_primary_background_fill_hover_dark="*primary_700",
        button_primary_text_color="#ffffff",
        button_primary_text_color_dark="#ffffff",
        button_secondary_background_fill="transparent",
        button_secondary_background_fill_dark="transparent",
        button_secondary_background_fill_hover="*neutral_200",
        button_secondary_background_fill_hover_dark="*neutral_800",
        button_secondary_border_color="*neutral_300",
        button_secondary_border_color_dark="*neutral_700",
        button_border_width="1px",
        slider_color="*primary_600",
        slider_color_dark="*primary_400",
        input_border_width="1px",
        input_background_fill="#ffffff",
        input_background_fill_dark="*neutral_900",
        input_border_color="*neutral_300",
        input_border_color_dark="*neutral_700",
    )


def read_asset(name: str) -> str:
    """The text of a file beside this module."""
    return (ASSETS / name).read_text(encoding="utf-8")

"""How to fuse, as benchmarks are told: the options of a blend, beginning with the studio's own."""

from __future__ import annotations

import argparse

from common.settings import Settings
from fusion.request import EXPRESSIONS, MODES, Blend


def add_blend_options(parser: argparse.ArgumentParser) -> None:
    """``--ratio``, ``--mode``, ``--shape``, ``--expression`` and ``--keep-glasses``."""
    parser.add_argument("--ratio", type=float, default=1.0, help="fusion ratio (default 1)")
    parser.add_argument("--mode", choices=MODES, help="default: the studio's own")
    parser.add_argument("--shape", type=float, help="0-1 (default: the studio's own)")
    parser.add_argument("--expression", choices=EXPRESSIONS, help="default: the studio's own")
    parser.add_argument(
        "--keep-glasses",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="default: the studio's own",
    )


def blend_of(options: argparse.Namespace, settings: Settings) -> Blend:
    """The blend that was asked for; the settings say the rest.

    Raises:
        OptionError: A value is out of range.
    """
    own = settings.fusion
    return Blend(
        ratio=options.ratio,
        mode=options.mode or own.mode,
        shape=own.shape if options.shape is None else options.shape,
        expression=options.expression or own.expression,
        keep_glasses=own.keep_glasses if options.keep_glasses is None else options.keep_glasses,
    )

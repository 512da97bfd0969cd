"""The option that says what to do about broken input."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from etendue.dataflow.source import OnError


def on_error_option(default: OnError, about: str) -> Callable:
    """``--on-error``, with what it does by default, and what its two values mean for a verb."""
    choice = click.Choice(["raise", "skip"])
    return click.option("--on-error", type=choice, default=default, show_default=True, help=about)

"""What verbs print for other programs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import click

json_option = click.option("--json", "as_json", is_flag=True, help="All facts as JSON, on standard output.")


def print_json(facts: Any) -> None:
    """Print plain values as JSON; what is no number there (NaN, infinity) as null."""
    click.echo(json.dumps(_finite(facts), indent=1, allow_nan=False))


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value

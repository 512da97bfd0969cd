"""Draw the picture of docs/concepts.md: ``python docs/images/concepts.py`` writes concepts.svg beside it."""

from pathlib import Path

BLUE, ORANGE, GREEN, GREY, INK = "#d7e6f5", "#fde3bd", "#dcefd9", "#eceff1", "#22303c"


def box(x: int, y: int, width: int, height: int, fill: str, *lines: str) -> str:
    """A box with lines of text in its middle; the first is bold."""
    first = y + height / 2 - 9 * (len(lines) - 1) + 5
    text = "".join(
        f'<text x="{x + width / 2}" y="{first + 18 * n}" text-anchor="middle"'
        f"{" font-weight='600' font-size='13.5'" if n == 0 else " font-size='12.5'"}>{line}</text>"
        for n, line in enumerate(lines)
    )
    return f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="6" fill="{fill}"/>{text}'


def arrow(x: int, y: int, to_x: int, to_y: int) -> str:
    """An arrow from one point to another."""
    return f'<line x1="{x}" y1="{y}" x2="{to_x}" y2="{to_y}" marker-end="url(#head)"/>'


def rows(x: int, y: int, counts: tuple[int, ...], fills: tuple[str, ...]) -> str:
    """Events, and below each the children that it owns."""
    drawn, child = [], x
    for count, fill in zip(counts, fills, strict=True):
        middle = child + 9 * count
        drawn.append(f'<rect x="{middle - 9}" y="{y}" width="18" height="18" fill="{fill}"/>')
        for _ in range(count):
            drawn.append(f'<path d="M{middle} {y + 18}L{child + 8} {y + 40}" stroke-width="0.8"/>')
            drawn.append(f'<rect x="{child}" y="{y + 40}" width="16" height="26" fill="{fill}"/>')
            child += 18
        child += 6
    return "".join(drawn)


def picture() -> str:
    """The way of the data, from left to right and top to bottom."""
    parts = [
        box(20, 40, 150, 70, GREY, "raw file", "gamma.simtel.zst"),
        arrow(170, 75, 216, 75),
        box(220, 40, 150, 70, GREY, "source", "scans, and reads"),
        arrow(370, 75, 416, 75),
        '<rect x="420" y="20" width="460" height="150" rx="6" fill="none" stroke-dasharray="5 4"/>',
        '<text x="434" y="40" font-weight="600">a span: what one task reads</text>',
        '<text x="434" y="76" font-size="12.5">events</text>',
        '<text x="434" y="118" font-size="12.5">readouts</text>',
        rows(500, 62, (3, 1, 4), (BLUE, BLUE, BLUE)),
        rows(690, 62, (2, 3, 2), (ORANGE, ORANGE, ORANGE)),
        '<text x="572" y="152" text-anchor="middle" font-size="12.5">partition 0</text>',
        '<text x="757" y="152" text-anchor="middle" font-size="12.5">partition 1</text>',
        arrow(570, 170, 570, 206),
        '<text x="584" y="192" font-size="12.5">one partition after another, in memory</text>',
        '<rect x="20" y="210" width="860" height="100" rx="6" fill="none" stroke-dasharray="5 4"/>',
        '<text x="34" y="232" font-weight="600">a pipeline of stages</text>',
    ]
    stages = ("Calibrate", "Integrate", "Clean", "Parametrise", "ReconstructStereo")
    for n, stage in enumerate(stages):
        parts.append(box(34 + 170 * n, 246, 150, 48, GREEN, stage))
        if n:
            parts.append(arrow(14 + 170 * n, 270, 30 + 170 * n, 270))
    parts += [
        arrow(200, 310, 200, 346),
        '<text x="214" y="332" font-size="12.5">columns</text>',
        arrow(610, 310, 610, 346),
        '<text x="624" y="332" font-size="12.5">a receipt: counts, checksums, timings</text>',
        '<rect x="20" y="350" width="470" height="130" rx="6" fill="none" stroke-dasharray="5 4"/>',
        '<text x="34" y="372" font-weight="600">store: chunk k of every array is partition k</text>',
        '<text x="34" y="406" font-size="12.5">events/*</text>',
        '<text x="34" y="446" font-size="12.5">simcam/*</text>',
        box(130, 390, 70, 26, BLUE, "0")
        + box(202, 390, 60, 26, ORANGE, "1")
        + box(264, 390, 90, 26, GREY, "2"),
        box(130, 430, 150, 26, BLUE, "0")
        + box(282, 430, 110, 26, ORANGE, "1")
        + box(394, 430, 80, 26, GREY, "2"),
        box(550, 350, 150, 70, GREY, "driver", "merges, commits"),
        arrow(550, 385, 494, 385),
        arrow(490, 450, 726, 450),
        box(730, 420, 150, 60, GREEN, "pass-1", "visible when whole"),
    ]
    drawn = "".join(parts).replace("<text", f"<text stroke='none' fill='{INK}'")
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 900 500" role="img" '
        'font-family="system-ui, sans-serif" font-size="14.5">'
        "<title>From a raw file through partitions and stages to a pass in a store</title>"
        f'<defs><marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" '
        f'orient="auto-start-reverse"><path d="M0 0L10 5L0 10z" fill="{INK}"/></marker></defs>'
        '<rect width="900" height="500" fill="#fff"/>'
        f'<g stroke="{INK}" fill="none">{drawn}</g></svg>\n'
    )


if __name__ == "__main__":
    Path(__file__).with_name("concepts.svg").write_text(picture())

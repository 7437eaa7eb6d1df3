"""In: figures by hour of the week. Out: an SVG picture: darker = more runs at once."""

from html import escape

from .figures import Figures

CELL, LEFT, TOP, GAP = 28, 56, 64, 2
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
LIGHT, DARK = (232, 240, 247), (8, 64, 120)  # one hue: readable in grey, and to whoever sees few colours
EMPTY, GREY = "#f6f6f6", "#555"


def svg(figures: Figures, title: str) -> str:
    """One square an hour of the week, with its figures as a tooltip. Text from outside is escaped."""
    width, height = LEFT + 24 * (CELL + GAP) + 16, TOP + 7 * (CELL + GAP) + 40
    top = max(figures.most, default=0)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'font-family="sans-serif" font-size="11" role="img" aria-label="{escape(title)}">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="{LEFT}" y="20" font-size="14" font-weight="bold">{escape(title)}</text>',
        f'<text x="{LEFT}" y="38" fill="{GREY}">most runs at once, by hour of the week, '
        f"{escape(str(figures.zone))}</text>",
    ]
    parts += [
        f'<text x="{LEFT + hour * (CELL + GAP) + CELL / 2:g}" y="{TOP - 6}" text-anchor="middle" fill="{GREY}">'
        f"{hour}</text>"
        for hour in range(24)
    ]
    for day, name in enumerate(DAYS):
        y = TOP + day * (CELL + GAP)
        parts.append(f'<text x="{LEFT - 8}" y="{y + CELL / 2 + 4:g}" text-anchor="end">{name}</text>')
        for hour in range(24):
            index = day * 24 + hour
            most, starts = figures.most[index], figures.starts[index]
            x = LEFT + hour * (CELL + GAP)
            parts.append(
                f'<rect x="{x}" y="{y}" width="{CELL}" height="{CELL}" rx="3" fill="{_colour(most, top)}">'
                f"<title>{name} {hour:02}:00  {most} at once, {starts} starts</title></rect>"
            )
            if most:
                ink = "white" if most > top / 2 else "#123"
                parts.append(
                    f'<text x="{x + CELL / 2:g}" y="{y + CELL / 2 + 4:g}" text-anchor="middle" fill="{ink}" '
                    f'pointer-events="none">{most}</text>'
                )
    parts.append("</svg>")
    return "\n".join(parts) + "\n"


def _colour(value: int, top: int) -> str:
    if not value:
        return EMPTY
    share = value / top
    red, green, blue = (round(low + (high - low) * share) for low, high in zip(LIGHT, DARK, strict=True))
    return f"#{red:02x}{green:02x}{blue:02x}"

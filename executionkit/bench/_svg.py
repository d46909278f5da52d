"""`Drawing`: a picture in SVG, legible on light and dark pages, of which every text is escaped."""

from html import escape
from typing import Final, Literal, TypeAlias

Anchor: TypeAlias = Literal["start", "middle", "end"]

COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Colours that people who see few colours can tell apart (Okabe and Ito, 2008)."""

_STYLE: Final = (
    "<style>.page{fill:#fff}.ink{fill:#1b1b1b}.line{stroke:#1b1b1b}.grid{stroke:#ddd}"
    "@media(prefers-color-scheme:dark){.page{fill:#16181d}.ink{fill:#e8e8e8}.line{stroke:#e8e8e8}"
    ".grid{stroke:#3a3d44}}</style>"
)


class Drawing:
    """A picture of lines, bars, dots and texts.

    Args:
        width: Its width.
        height: Its height.
        title: What is to be seen in it; it stands at the top.
    """

    def __init__(self, width: float, height: float, title: str) -> None:
        label = escape(_clean(title))
        self._parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" role="img" '
            f'aria-label="{label}" font-family="sans-serif" font-size="13">',
            f"<title>{label}</title>{_STYLE}",
            f'<rect class="page" width="{width:g}" height="{height:g}"/>',
        ]
        self.text(12, 24, title, size=16)

    def text(self, x: float, y: float, text: str, anchor: Anchor = "start", size: float = 13) -> None:
        """Write a text on the line that has this `y`."""
        self._parts.append(
            f'<text class="ink" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size:g}">'
            f"{escape(_clean(text))}</text>"
        )

    def line(self, points: list[tuple[float, float]], kind: Literal["line", "grid"] = "line") -> None:
        """Draw a line through points."""
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        self._parts.append(f'<path class="{kind}" d="M{path}" fill="none"/>')

    def stroke(self, points: list[tuple[float, float]], colour: str, width: float = 2) -> None:
        """Draw a coloured line through points."""
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        self._parts.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="{width:g}"/>')

    def bar(self, x: float, y: float, width: float, height: float, colour: str) -> None:
        """Fill a rectangle, of which this is the upper left corner."""
        box = f'x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{height:.1f}"'
        self._parts.append(f'<rect {box} fill="{colour}"/>')

    def dot(self, x: float, y: float, colour: str, radius: float = 4.5, *, is_open: bool = False) -> None:
        """Draw a dot; an open one is a ring."""
        paint = f'class="page" stroke="{colour}" stroke-width="2"' if is_open else f'fill="{colour}"'
        self._parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}" {paint}/>')

    def done(self) -> str:
        """The picture as a text to be written to a file."""
        return "\n".join([*self._parts, "</svg>", ""])


def _clean(text: str) -> str:
    """A text without characters that XML can't have."""
    return "".join(char if char.isprintable() else " " for char in text)

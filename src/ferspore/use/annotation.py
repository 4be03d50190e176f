"""Pictures with their faces framed and named."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.colors import to_hex, to_rgb
from matplotlib.font_manager import findfont
from PIL import Image, ImageDraw, ImageFont

from ferspore.pictures.style import BLUE, INK
from ferspore.use.faces import Square

SHOWN_SIDES = (480, 1600)  # pixels of the longer side of an annotated copy
FADED = 0.35  # share of its colour that a faded frame keeps; the rest is white


@dataclass(frozen=True)
class Mark:
    """A square to frame, and the words in its label."""

    square: Square
    text: str
    colour: str = BLUE
    faded: bool = False

    @property
    def fill(self) -> str:
        share = FADED if self.faded else 1
        red, green, blue = (1 - share + share * part for part in to_rgb(self.colour))
        return to_hex((red, green, blue))


def annotate(picture: Image.Image, marks: Sequence[Mark], *, padded: bool = True) -> Image.Image:
    """A copy with a frame around each square and its text above it, or inside it at the top edge.

    The copy is scaled so that the text is legible, and padded with white if the picture is too
    narrow for its text; without ``padded`` all pictures of one size have copies of one size.
    """
    low, high = SHOWN_SIDES
    longer = max(picture.size)
    zoom = min(max(longer, low), high) / longer
    shown = picture.resize([max(1, round(side * zoom)) for side in picture.size])
    font = ImageFont.truetype(findfont("DejaVu Sans"), max(16, max(shown.size) // 55))
    labels = [_label_size(mark.text, font) for mark in marks]
    room = shown.size
    if padded:
        room = tuple(max(sides) for sides in zip(shown.size, *labels, strict=True))
    copy = Image.new("RGB", room, "white")
    copy.paste(shown)
    draw = ImageDraw.Draw(copy)
    for mark, label in zip(marks, labels, strict=True):
        left, top = _framed(draw, mark, zoom)
        x = max(0, min(left, copy.width - label[0]))
        y = max(0, min(top - label[1] if top >= label[1] else top, copy.height - label[1]))
        draw.rectangle((x, y, x + label[0] - 1, y + label[1] - 1), fill=mark.fill)
        written = (x + _pad(font), y + _pad(font))
        draw.text(written, mark.text, fill=_readable_on(mark.fill), font=font)
    return copy


def _framed(draw: ImageDraw.ImageDraw, mark: Mark, zoom: float) -> tuple[int, int]:
    """Draw a square's frame; returns its left and its uppermost pixel."""
    if mark.square.angle:
        corners = [(round(x * zoom), round(y * zoom)) for x, y in mark.square.corners]
        draw.line([*corners, *corners[:2]], fill=mark.fill, width=3, joint="curve")
        return min(x for x, _ in corners), min(y for _, y in corners)
    square = mark.square
    left, top, side = (round(v * zoom) for v in (square.left, square.top, square.side))
    last = max(1, side) - 1  # a pixel of a long strip may be less than one of its copy
    draw.rectangle((left, top, left + last, top + last), outline=mark.fill, width=3)
    return left, top


def _readable_on(colour: str) -> str:
    """White or INK, whichever has the higher contrast ratio (WCAG 2.1) with a colour."""
    light, dark = _luminance(colour) + 0.05, _luminance(INK) + 0.05
    return "white" if 1.05 / light >= light / dark else INK


def _luminance(colour: str) -> float:
    """Relative luminance of an sRGB colour (WCAG 2.1)."""
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in to_rgb(colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _label_size(text: str, font: ImageFont.FreeTypeFont) -> tuple[int, int]:
    _, _, right, bottom = font.getbbox(text)
    return round(right) + 2 * _pad(font), round(bottom) + 2 * _pad(font)


def _pad(font: ImageFont.FreeTypeFont) -> int:
    return round(font.size) // 4

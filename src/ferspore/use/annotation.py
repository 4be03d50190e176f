"""Pictures with their faces framed and named."""

from collections.abc import Sequence

from matplotlib.font_manager import findfont
from PIL import Image, ImageDraw, ImageFont

from ferspore.pictures.style import BLUE
from ferspore.use.faces import Square

SHOWN_SIDES = (480, 1600)  # pixels of the longer side of an annotated copy


def annotate(picture: Image.Image, squares: Sequence[Square], texts: Sequence[str]) -> Image.Image:
    """A copy with a frame around each square and its text above it, or inside it at the top edge.

    The copy is scaled so that the text is legible, and padded with white if the picture is too
    narrow for its text.
    """
    low, high = SHOWN_SIDES
    longer = max(picture.size)
    zoom = min(max(longer, low), high) / longer
    shown = picture.resize([max(1, round(side * zoom)) for side in picture.size])
    font = ImageFont.truetype(findfont("DejaVu Sans"), max(16, max(shown.size) // 55))
    labels = [_label_size(text, font) for text in texts]
    room = [max(sides) for sides in zip(shown.size, *labels, strict=True)]
    copy = Image.new("RGB", room, "white")
    copy.paste(shown)
    draw = ImageDraw.Draw(copy)
    for square, text, label in zip(squares, texts, labels, strict=True):
        left, top, side = (round(v * zoom) for v in (square.left, square.top, square.side))
        draw.rectangle((left, top, left + side - 1, top + side - 1), outline=BLUE, width=3)
        x = max(0, min(left, copy.width - label[0]))
        y = max(0, min(top - label[1] if top >= label[1] else top, copy.height - label[1]))
        draw.rectangle((x, y, x + label[0] - 1, y + label[1] - 1), fill=BLUE)
        draw.text((x + _pad(font), y + _pad(font)), text, fill="white", font=font)
    return copy


def _label_size(text: str, font: ImageFont.FreeTypeFont) -> tuple[int, int]:
    _, _, right, bottom = font.getbbox(text)
    return round(right) + 2 * _pad(font), round(bottom) + 2 * _pad(font)


def _pad(font: ImageFont.FreeTypeFont) -> int:
    return round(font.size) // 4

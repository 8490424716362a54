"""Glyphs: letters and signs from matplotlib's bundled TrueType fonts, warped onto the canvas.

PIL and matplotlib are imported only when the first glyph is drawn. Knows nothing about classes.
"""

from functools import lru_cache
from pathlib import Path

import numpy as np

from .canvas import Pose, frame

_SHEET = 40
_MARGIN = 4


@lru_cache(maxsize=4096)
def sheet(font: str, character: str) -> np.ndarray:
    """One glyph, float32 [40, 40] in [0, 1], its box centred and scaled to fill all but a margin.

    Args:
        font: file name without `.ttf`, such as "DejaVuSans-Bold".
    """
    from matplotlib import get_data_path
    from PIL import Image, ImageDraw, ImageFont

    drawn = ImageFont.truetype(str(Path(get_data_path()) / "fonts" / "ttf" / f"{font}.ttf"), 96)
    left, top, right, bottom = (int(side) for side in drawn.getbbox(character))
    picture = Image.new("L", (max(right - left, 1), max(bottom - top, 1)))
    ImageDraw.Draw(picture).text((-left, -top), character, font=drawn, fill=255)
    room = _SHEET - 2 * _MARGIN
    # One factor for every glyph of a font would lose small letters; one per box would make an "l" a bar.
    factor = room / max(picture.width, picture.height, 56)
    size = (max(round(picture.width * factor), 1), max(round(picture.height * factor), 1))
    picture = picture.resize(size, Image.Resampling.BOX)
    page = Image.new("L", (_SHEET, _SHEET))
    page.paste(picture, ((_SHEET - size[0]) // 2, (_SHEET - size[1]) // 2))
    array = np.asarray(page, dtype=np.float32) / np.float32(255)
    array.flags.writeable = False
    return array


def glyphs(sheets: np.ndarray, which: np.ndarray, at: Pose, shear: np.ndarray) -> np.ndarray:
    """Masks [n, 32, 32] of glyphs in their poses.

    Args:
        sheets: [k, 40, 40].
        which: [n] indices into the sheets.
        at: the poses; the radius is half the side of the sheet.
        shear: [n], sideways lean per unit of height.
    """
    u, v = frame(at)
    u = u + shear[:, None, None] * v
    column = np.clip((u + 1) * np.float32(_SHEET / 2) - np.float32(0.5), 0, _SHEET - 1.001)
    row = np.clip((v + 1) * np.float32(_SHEET / 2) - np.float32(0.5), 0, _SHEET - 1.001)
    i, j = row.astype(np.int32), column.astype(np.int32)
    row, column = row - i, column - j
    flat = np.ascontiguousarray(sheets).reshape(-1)
    base = which.astype(np.int32)[:, None, None] * np.int32(_SHEET * _SHEET) + i * np.int32(_SHEET) + j
    upper = flat[base] * (1 - column) + flat[base + 1] * column
    lower = flat[base + _SHEET] * (1 - column) + flat[base + _SHEET + 1] * column
    return upper * (1 - row) + lower * row


def bank(fonts: tuple[str, ...], characters: str) -> np.ndarray:
    """The sheets of every character in every font, [len(fonts) * len(characters), 40, 40], font by font."""
    return np.stack([sheet(font, character) for font in fonts for character in characters])

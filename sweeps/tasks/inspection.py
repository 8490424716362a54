"""One look at every image of a task: does it decode, is it odd, what are its bytes. Remembered until it changes.

A look reads each image once and decodes it at reduced size where the format allows; what it found is kept in the
user's cache folder by size and time of change, so that the second plan reads no image. Knows no label and no split.
"""

import hashlib
import json
import os
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from sweeps.fingerprint import fingerprint
from sweeps.tasks.galleries import Gallery, Raw, chunks

VERSION = 1  # of what a look finds; another number looks again
SMALL = 8  # pixels: an image with a shorter side is odd
LARGE = 50_000_000  # pixels: from here on an image is odd, and decoded alone
_FRESH_SECONDS = 2.0  # a file changed so lately may change again unseen
_alone = threading.Lock()

GREY = frozenset({"1", "L", "LA", "La"})
DEEP = frozenset({"I", "I;16", "I;16B", "I;16L", "I;16N"})


class Unreadable(ValueError):
    """An image that cannot be decoded; the text says why."""


@dataclass(frozen=True)
class Seen:
    """What a look found: 32 hexadecimal digits of the bytes, what is odd, and why it cannot be decoded ("": it can)."""

    digest: str
    odd: tuple[str, ...] = ()
    fault: str = ""


def threads() -> int:
    """How many decode side by side."""
    return max(1, min(8, len(os.sched_getaffinity(0))))


def upright(raw: Raw) -> Image.Image:
    """An image as it is looked at: RGB of 8 bits, turned as its EXIF says, the first frame if it moves.

    Sixteen bits become eight by dropping the lower eight; transparency is dropped.

    Raises:
        Unreadable: for whatever cannot be decoded.
    """
    if isinstance(raw, np.ndarray):
        return Image.fromarray(raw[..., 0] if raw.ndim == 3 and raw.shape[2] == 1 else raw).convert("RGB")
    try:
        with _opened(raw) as image, _alone if _pixels(image) > LARGE else nullcontext():
            return _eight_bits(ImageOps.exif_transpose(image)).convert("RGB")
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise Unreadable(_line(error)) from None


def look(raw: Raw) -> Seen:
    """One image."""
    if isinstance(raw, np.ndarray):
        return Seen(_digest(raw.tobytes()), ("grey-scale",) if raw.ndim == 2 or raw.shape[2] == 1 else ())
    try:
        content = raw.read_bytes() if isinstance(raw, Path) else raw
    except OSError as error:
        return Seen("", fault=error.strerror or "unreadable")
    digest = _digest(content)
    try:
        with _opened(content) as image, _alone if _pixels(image) > LARGE else nullcontext():
            odd = tuple(_odd(image))
            image.draft(image.mode, (1, 1))  # an eighth of the work for a JPEG, and every byte is still read
            if image.mode == "F":
                _eight_bits(image)
            image.load()
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        return Seen(digest, fault=_line(error))
    return Seen(digest, odd)


def _opened(raw: Path | bytes) -> Image.Image:
    if not isinstance(raw, Path) and not raw:
        raise ValueError("no image")
    return Image.open(raw if isinstance(raw, Path) else BytesIO(raw))


def _pixels(image: Image.Image) -> int:
    return image.size[0] * image.size[1]


def _odd(image: Image.Image) -> Iterator[str]:
    if image.mode in GREY:
        yield "grey-scale"
    if image.mode in DEEP:
        yield "16-bit"
    if image.mode == "CMYK":
        yield "CMYK"
    if getattr(image, "is_animated", False):
        yield "animated"
    if image.getexif().get(0x0112, 1) != 1:
        yield "turned"
    if min(image.size) < SMALL:
        yield "small"
    if _pixels(image) > LARGE:
        yield "large"


def _eight_bits(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise ValueError("pixels are floating-point numbers, whose range nobody knows")
    if image.mode not in DEEP:
        return image
    return Image.fromarray((np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8))


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _line(error: Exception) -> str:
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    return "cannot identify image file" if "cannot identify" in text else text[:120]


def inspect(gallery: Gallery, title: str, place: str) -> list[Seen]:
    """A look at every image, in order; what has not changed since the last look is not read again.

    Args:
        gallery: the images.
        title: of the progress bar, shown for many images in a terminal.
        place: names the gallery among all that were ever looked at.
    """
    memory = _memory() / f"{fingerprint([VERSION, place])}.json"
    known = _remembered(memory)
    found: dict[int, Seen] = {}
    rows: list[int] = []
    units, start = gallery.units(), 0
    for unit in units:
        old = known.get(unit.name)
        if unit.stamp is not None and old is not None and old[0] == unit.stamp and len(old[1]) == unit.images:
            found.update(enumerate((Seen(digest, tuple(odd), fault) for digest, odd, fault in old[1]), start))
        else:
            rows += range(start, start + unit.images)
        start += unit.images
    begun = time.time()
    found.update(zip(rows, _looks(gallery, rows, title), strict=True))
    seen = [found[row] for row in range(len(gallery))]
    if rows or len(known) != len(units):
        _remember(memory, units, seen, begun)
    return seen


def _looks(gallery: Gallery, rows: Sequence[int], title: str) -> Iterator[Seen]:
    from rich.console import Console
    from rich.progress import track

    quiet = len(rows) < 2000 or not sys.stderr.isatty()
    wanted = np.array(rows, dtype=np.int64)
    with ThreadPoolExecutor(threads()) as pool:
        looks = (seen for chunk in chunks(gallery.read(wanted)) for seen in pool.map(look, chunk))
        yield from track(looks, title, total=len(rows), disable=quiet, console=Console(stderr=True), transient=True)


def _memory() -> Path:
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("SWEEPS_CACHE") or home / "sweeps") / "images"


def _remembered(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _remember(path: Path, units: Sequence[Any], seen: Sequence[Seen], begun: float) -> None:
    """Only makes the next look faster, so a folder that cannot be written is no fault."""
    kept, start = {}, 0
    for unit in units:
        if unit.stamp is not None and not _fresh(unit.stamp, begun):
            looks = seen[start : start + unit.images]
            kept[unit.name] = [unit.stamp, [[one.digest, one.odd, one.fault] for one in looks]]
        start += unit.images
    temporary = path.with_name(f".tmp-{uuid.uuid4().hex}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(kept, separators=(",", ":")), encoding="utf-8")
        os.replace(temporary, path)
    except OSError:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _fresh(stamp: str, begun: float) -> bool:
    _, dash, changed = stamp.partition("-")
    return bool(dash) and changed.isdecimal() and int(changed) / 1e9 > begun - _FRESH_SECONDS

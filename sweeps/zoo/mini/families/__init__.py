"""The seven families of the upstream world, one module each with a table `CLASSES`: class -> painter.

A painter takes a random stream and a count and returns uint8 images [n, 32, 32, 3] of its class.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from . import cells, glyphs, layouts, scenes, shapes, terrain, textures

Painter = Callable[[np.random.Generator, int], np.ndarray]

FAMILIES: Mapping[str, Mapping[str, Painter]] = MappingProxyType(
    {
        "glyphs": glyphs.CLASSES,
        "shapes": shapes.CLASSES,
        "textures": textures.CLASSES,
        "scenes": scenes.CLASSES,
        "cells": cells.CLASSES,
        "terrain": terrain.CLASSES,
        "layouts": layouts.CLASSES,
    }
)

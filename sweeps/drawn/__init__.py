"""Drawing primitives for 32 x 32 RGB images: the paint box of the embedded zoo and tasks.

A leaf package: numpy, and PIL with matplotlib's bundled fonts for glyphs. It knows nothing about classes, labels,
upstream sets or tasks. Everything is drawn for `n` images at once from one `numpy.random.Generator`, in [0, 1]
float32, and becomes uint8 only in `canvas.finish`.
"""

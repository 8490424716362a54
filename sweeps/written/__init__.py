"""A seeded grammar of English: the ink of the embedded language zoo and the text tasks.

A leaf package, the sibling of `sweeps.drawn`: the standard library alone. Each module writes one domain, sentence by
sentence, from a `pen.Pen`. Lexicons are shared between pre-training and tasks (a model can learn what a word means);
texts are not: `shelves` deals every text, by its own hash, to pre-training or to one split of the tasks.
"""

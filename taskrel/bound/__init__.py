"""Task-relatedness: an upper bound on the loss of a linear head on a target task, from a transformed reference task.

Loss on the target <= re-weighted reference loss + label mismatch + Lipschitz constant x transport distance.

* `sample`: labelled features as the bound reads them.
* `maps`: the transforms of features and labels.
* `head`, `lipschitz`: the reference classifier under a cap, and how fast its loss can change.
* `transport`: exact distances per label, and an entropic one with a stated gap.
* `terms`: all terms at given transforms.
* `assign`, `fit`: the transforms at which the bound is small. `fit.fit` is the entry.
* `unlabelled`: without target labels. `choose`: which reference classes.
* `released`: the authors' algorithm as published, beside the bound that holds.

Source: Mehra, Zhang, Hamm, Understanding the transferability of representations via task-relatedness, NeurIPS 2024.
"""

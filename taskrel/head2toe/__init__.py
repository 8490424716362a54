"""Head2Toe: a linear head on the best features of all layers, as a transfer method and as a proxy (loads torch).

* `pooling`: every layer to about a target number of values.
* `layers`: pooled layers as one wide matrix that is never built.
* `lasso`, `recipe`: which features a head needs, by the optimum or by the authors' Adam.
* `select`: one order of all features, of which every fraction is a prefix.
* `final`: heads on what is kept, all together; `ridge`: on all layers, in Gram form.
* `training`, `protocol`: every setting of a search; cross-validation, the chosen head, the score.
* `affinity`: linear accuracy less that from scratch.

Source: Evci et al., "Head2Toe: Utilizing Intermediate Representations for Better Transfer Learning", ICML 2022.
"""

from taskrel.head2toe.affinity import domain_affinity
from taskrel.head2toe.layers import Layers, share_per_layer
from taskrel.head2toe.pooling import Plan, plan, pool
from taskrel.head2toe.protocol import (
    FIXED,
    CrossValidation,
    Head2ToeScore,
    accuracy,
    cross_validate,
    cross_validated_ridge,
    folds,
    head2toe_score,
)  # fmt: skip
from taskrel.head2toe.training import AS_RELEASED, Data, Head2Toe, Search, Setting, fit

__all__ = [
    "AS_RELEASED", "FIXED", "CrossValidation", "Data", "Head2Toe", "Head2ToeScore", "Layers", "Plan", "Search",
    "Setting", "accuracy", "cross_validate", "cross_validated_ridge", "domain_affinity", "fit", "folds",
    "head2toe_score", "plan", "pool", "share_per_layer",
]  # fmt: skip

"""What timm asks of a model, for bodies that are a stem, stages and a pooled linear classifier. Knows no blocks."""

from collections.abc import Sequence
from typing import Any

from timm.layers import create_classifier
from torch import Tensor, nn

Stage = tuple[nn.Module, int, int]


class Pooled(nn.Module):
    """A stem, stages one after the other, mean over places, a linear classifier.

    Args:
        stem: the first layer, the channels behind it, and how far the image has shrunk there.
        stages: the same of each stage.
        num_classes, in_chans, global_pool, drop_rate: as everywhere in timm.
    """

    def __init__(
        self,
        stem: Stage,
        stages: Sequence[Stage],
        *,
        num_classes: int = 1000,
        in_chans: int = 3,
        global_pool: str = "avg",
        drop_rate: float = 0.0,
    ) -> None:
        super().__init__()
        self.num_classes, self.in_chans, self.drop_rate = num_classes, in_chans, drop_rate
        self.stem, self.stages = stem[0], nn.Sequential(*(stage for stage, _, _ in stages))
        self.num_features = self.head_hidden_size = stages[-1][1]
        # Of the places where the image is equally small, timm wants to know the last.
        places = [("stem", stem), *((f"stages.{index}", stage) for index, stage in enumerate(stages))]
        maps = {
            reduction: {"num_chs": channels, "reduction": reduction, "module": place}
            for place, (_, channels, reduction) in places
        }
        self.feature_info = list(maps.values())
        self._classify(num_classes, global_pool)

    def _classify(self, num_classes: int, global_pool: str) -> None:
        self.global_pool, self.head_drop, self.fc = create_classifier(
            self.num_features, num_classes, pool_type=global_pool, drop_rate=self.drop_rate
        )

    def get_classifier(self) -> nn.Module:
        """The layer that gives the scores; an identity without classes."""
        return self.fc

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """A fresh classifier for so many classes; 0 leaves the features."""
        self.num_classes = num_classes
        self._classify(num_classes, global_pool or self.global_pool.pool_type)

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """timm's note on which parameters belong together, for rates that differ by depth."""
        return {"stem": r"^stem", "blocks": r"^stages\.(\d+)" if coarse else r"^stages\.(\d+)\.(\d+)"}

    def forward_features(self, x: Tensor) -> Tensor:
        """The last map, [n, features, high, wide]."""
        return self.stages(self.stem(x))

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Scores [n, classes] of a map, or the pooled features [n, d] before them."""
        x = self.head_drop(self.global_pool(x))
        return x if pre_logits else self.fc(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(x))

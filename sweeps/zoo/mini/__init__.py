"""The embedded zoo: sixteen tiny models for 32 x 32 images, in the study's three groups, with weights in the package.

After `import sweeps.zoo.mini`, timm knows them: `timm.create_model("mini_resnet_v2_50.expert_full", pretrained=True)`
takes timm's own path from name to weights. `NAMES` are all names; `cards()` is what is known of each model.
Importing this loads neither torch nor timm (see `registration`).
"""

from .cards import NAMES, cards
from .registration import register_with_timm

__all__ = ["NAMES", "cards"]

register_with_timm()

"""The table of pre-training losses: name -> what makes one of a body and the number of upstream classes."""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

from torch import nn

from .adversarial import BigGan
from .generative import Vae, WaeGan, WaeMmd, WaeUkl
from .labelled import TENTH, Supervised, WithLabels
from .objective import Objective
from .pretexts import Exemplar, Jigsaw, PatchLocation, Rotation


def _without_labels(body: nn.Module, classes: int = 0) -> Objective:
    return BigGan(body)


OBJECTIVES: Mapping[str, Callable[..., Objective]] = MappingProxyType(
    {
        "supervised": Supervised,
        "rotation": Rotation,
        "exemplar": Exemplar,
        "patch_location": PatchLocation,
        "jigsaw": Jigsaw,
        "semi_rotation": partial(WithLabels, pretext=Rotation, every=TENTH),
        "semi_exemplar": partial(WithLabels, pretext=Exemplar, every=TENTH),
        "sup_rotation": partial(WithLabels, pretext=Rotation, every=1),
        "sup_exemplar": partial(WithLabels, pretext=Exemplar, every=1),
        "cond_biggan": BigGan,
        "uncond_biggan": _without_labels,
        "vae": Vae,
        "wae_gan": WaeGan,
        "wae_mmd": WaeMmd,
        "wae_ukl": WaeUkl,
    }
)

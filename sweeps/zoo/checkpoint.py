"""A fine-tuned model -> a folder that plain timm or transformers loads, and back: weights, preprocessing, classes.

Images: ``model.safetensors`` and timm's ``config.json``, for ``timm.create_model("local-dir:<folder>",
pretrained=True)``. Texts: the trunk and its tokenizer as transformers saves them, the linear head in
``head.safetensors``. A factory's model: its weights, and in ``config.json`` which function they belong to.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from sweeps.errors import ModelError
from sweeps.types import Model
from sweeps.zoo.load import Examples, Loaded
from sweeps.zoo.vision import VisionModel, call_factory

DOUBT = 1e-2  # of the largest logit; float32 differs by 1e-5, TF32 on a GPU by 1e-3
HEAD = "head.safetensors"


def save(loaded: Loaded, model: Model, folder: Path, classes: Sequence[str]) -> str:
    """Write the files; returns the form: ``timm``, ``factory`` or ``transformers``.

    Raises:
        ModelError: for an encoder-decoder, whose encoder alone transformers does not load by its configuration.
    """
    if not isinstance(loaded, VisionModel):
        return _save_text(loaded, model, folder, classes)
    if model.source.startswith("factory:"):
        tensors = {name: value.contiguous() for name, value in loaded.module.state_dict().items()}
        save_file(tensors, folder / "model.safetensors")
        stated = {"factory": model.source.removeprefix("factory:"), "args": dict(model.args),
                  "num_classes": len(classes), "label_names": list(classes),
                  "pretrained_cfg": facts(loaded)}  # fmt: skip
        (folder / "config.json").write_text(json.dumps(stated, indent=2) + "\n", encoding="utf-8")
        return "factory"
    module = loaded.module.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    timm.models.save_for_hf(module, folder, model_config={"label_names": list(classes)}, model_args=_args(model),
                            safe_serialization=True)  # fmt: skip
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    gone = ("label_names", "label_descriptions", "test_input_size", "test_crop_pct", "description")
    stated = {key: value for key, value in config["pretrained_cfg"].items() if key not in gone}
    config["pretrained_cfg"] = stated | facts(loaded) | {"num_classes": len(classes), "pool_size": None}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    return "timm"


def facts(loaded: Loaded) -> dict[str, Any]:
    """How an example becomes the model's input, as timm writes it; for texts the pooling and where they are cut."""
    if isinstance(loaded, VisionModel):
        geometry = loaded.geometry
        return {
            "input_size": [3, geometry.size, geometry.size],
            "interpolation": geometry.interpolation,
            "crop_pct": geometry.crop_pct,
            "crop_mode": geometry.crop_mode,
            "mean": _decimals(loaded.mean),
            "std": _decimals(loaded.std),
        }
    module: Any = loaded.module
    return {"pooling": module.pooling, "layers": module.layers, "max_tokens": loaded.input_size}


def _decimals(values: torch.Tensor) -> list[float]:
    """The shortest decimals that give these float32 values back."""
    return [float(str(value)) for value in values.flatten().cpu().numpy()]


def right(loaded: Loaded, model: Model, folder: Path, splits: Sequence[Examples]) -> list[int]:
    """How many examples of each split the model that is loaded back from the folder, as a user would, gets right.

    A user's tensors are not channels-last, which is slow on a CPU: the last digits differ, and so answers where two
    classes are close. Those alone are asked again in the user's order of arithmetic.
    """
    answer, exact = _back(loaded, model, folder)
    return [_right(answer, exact, examples, loaded.at_once) for examples in splits]


def _right(answer: "Logits", exact: "Logits | None", examples: Examples, batch: int) -> int:
    answers, every = torch.empty(len(examples), dtype=torch.long), torch.arange(len(examples))
    doubtful = [every[:0]]
    with torch.inference_mode():
        for chosen in examples.batches(batch):
            logits = answer(examples[chosen])
            answers[chosen] = logits.argmax(1).cpu()
            if exact is not None:
                doubtful.append(every[chosen][unsure(logits).cpu()])
        for rows in torch.cat(doubtful).split(batch):  # together: the weights are put into the other order once
            if exact is not None and len(rows):
                answers[rows] = exact(examples[rows]).argmax(1).cpu()
    return int((answers == examples.labels).sum())


def unsure(logits: torch.Tensor) -> torch.Tensor:
    """Boolean [n]: where the best two of [n, classes] are closer than another order of arithmetic can move them."""
    best = logits.topk(min(2, logits.shape[1]), dim=1).values
    return best[:, 0] - best[:, -1] <= DOUBT * logits.abs().amax(dim=1)


Logits = Callable[[Any], torch.Tensor]


def _back(loaded: Loaded, model: Model, folder: Path) -> tuple[Logits, Logits | None]:
    """Inputs -> logits of the model in the folder: the fast way, and as a user computes, if that differs."""
    if not isinstance(loaded, VisionModel):
        return _text(loaded, folder).logits, None
    if model.source.startswith("factory:"):
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        module = call_factory(model, config["num_classes"])
        module.load_state_dict(load_file(folder / "model.safetensors"))
    else:
        module = timm.create_model(f"local-dir:{folder}", pretrained=True)
    module = module.eval().to(loaded.device)

    def ordered(inputs: Any, order: torch.memory_format) -> torch.Tensor:
        module.to(memory_format=order)  # type: ignore[call-overload]
        return module(inputs.contiguous(memory_format=order)).flatten(1)

    return partial(ordered, order=torch.channels_last), partial(ordered, order=torch.contiguous_format)


def _args(model: Model) -> Mapping[str, Any]:
    """The arguments that the architecture was built with: those of the folder it came from, and the entry's own."""
    kind, _, place = model.source.partition(":")
    own = dict(model.args)
    if kind == "local-dir":
        stated = json.loads((Path(place) / "config.json").read_text(encoding="utf-8"))
        own = stated.get("model_args", {}) | own
    return {key: value for key, value in own.items() if key != "num_classes"}


def _save_text(loaded: Loaded, model: Model, folder: Path, classes: Sequence[str]) -> str:
    module: Any = loaded.module
    config = module.trunk.config
    if config.is_encoder_decoder:
        raise ModelError(f"a checkpoint must load back with transformers, got {model.name}: the encoder alone of an "
                         "encoder-decoder does not")  # fmt: skip
    module.trunk.save_pretrained(folder)
    loaded.tokenizer.inner.save_pretrained(folder)  # type: ignore[attr-defined]
    save_file({name: value.contiguous() for name, value in module.head.state_dict().items()}, folder / HEAD)
    path = folder / "config.json"
    stated = json.loads(path.read_text(encoding="utf-8"))
    stated |= {"sweeps": facts(loaded), "id2label": {str(index): name for index, name in enumerate(classes)},
               "label2id": {name: index for index, name in enumerate(classes)}}  # fmt: skip
    path.write_text(json.dumps(stated, indent=2) + "\n", encoding="utf-8")
    return "transformers"


def _text(loaded: Any, folder: Path) -> Any:
    """The same model around the trunk and head that are loaded back."""
    import transformers

    whole: Any = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32, trust_remote_code=False)
    weights = load_file(folder / HEAD)
    head = nn.Linear(weights["weight"].shape[1], weights["weight"].shape[0])
    head.load_state_dict(weights)
    module = type(loaded.module)(whole, loaded.module.pooling, loaded.module.layers, head)
    return replace(loaded, module=module.eval().to(loaded.device))

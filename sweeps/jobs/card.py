"""The model card of a checkpoint: what it is, how good, how made, and the lines that load it. Text only."""

import json
from collections.abc import Mapping
from typing import Any

from sweeps.provenance import provenance
from sweeps.types import Job, Row
from taskrel.proportion import wilson

_TIMM = """import timm
import torch
from PIL import Image, ImageOps

model = timm.create_model("local-dir:<this folder>", pretrained=True).eval()
transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
image = ImageOps.exif_transpose(Image.open("image.jpg")).convert("RGB")
with torch.inference_mode():
    answer = model(transform(image)[None]).argmax(1).item()
print(model.pretrained_cfg["label_names"][answer])"""

_FACTORY = """import json
import timm
from safetensors.torch import load_file

config = json.load(open("<this folder>/config.json"))
model = <the function {place}>(**config["args"], num_classes=config["num_classes"])
model.load_state_dict(load_file("<this folder>/model.safetensors"))
transform = timm.data.create_transform(**config["pretrained_cfg"])"""

_TEXT = """import json
import torch
from safetensors.torch import load_file
from transformers import AutoModel, AutoTokenizer

folder = "<this folder>"
config = json.load(open(f"{folder}/config.json"))
trunk, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
head = load_file(f"{folder}/head.safetensors")
inputs = tokenizer(["a text"], return_tensors="pt", truncation=True, max_length=config["sweeps"]["max_tokens"])
with torch.inference_mode():
    output = trunk(**inputs, output_hidden_states=True)
    states = HIDDEN
    mask = inputs["attention_mask"]
    features = POOLED
    answer = (features @ head["weight"].T + head["bias"]).argmax(1).item()
print(config["id2label"][str(answer)])"""
_HIDDEN = {"last": "output.last_hidden_state", "mean": "torch.stack(output.hidden_states[1:]).mean(0)"}
_POOLED = {
    "cls": "states[:, 0]", "mean": "(states * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)",
    "last": "states[torch.arange(len(states)), mask.sum(1) - 1]",
}  # fmt: skip


def card(job: Job, row: Row, facts: Mapping[str, Any]) -> str:
    """The README.md of a checkpoint.

    Args:
        job: the ``export`` job.
        row: its row of ``checkpoints``.
        facts: the preprocessing.
    """
    model, task, settings = job.model, job.task, job.settings
    low, high = wilson(row["test_right"], row["test"])
    right, test = row["test_right"], row["test"]
    upstream = f", pre-trained on {model.upstream}" if model.upstream else ""
    made = {key: settings[key] for key in settings if key not in ("origin", "repeat", "seed", "embed")}
    frozen, found = settings["origin"] == "head", provenance()
    return f"""---
{f"license: {model.licence}" if model.licence else "# the licence of the base model is not known"}
library_name: {"timm" if row["form"] == "timm" else "transformers" if row["form"] == "transformers" else "pytorch"}
tags: [{task.modality}-classification]
---

# {model.name} {"with a linear head for" if frozen else "fine-tuned on"} {task.name}

| | |
|---|---|
| test accuracy | {row["test_accuracy"]:.4f} ({right} of {test}; 95 % interval {low:.4f} to {high:.4f}) |
| validation accuracy | {row["val_accuracy"]:.4f} of {task.sizes["val"]}; it chose model, learning rate and run |
| base model | {model.name}, from {model.source.partition(":")[0]}{upstream} |
| licence of the base model | {model.licence or "not known"} |
| classes | {len(task.classes)}: {", ".join(task.classes[:20])}{", ..." if len(task.classes) > 20 else ""} |
| trained on | {task.sizes["train"]} examples |
| preprocessing | {json.dumps(dict(facts))} |
| recipe | {"only the linear head was trained: " if frozen else ""}{json.dumps(made)} |
| seed | {settings["seed"]} |
| code | commit {found["commit"]} |

The interval is of the examples alone (Wilson). The accuracy was measured on this folder after loading it back.

```python
{_lines(row["form"], model.source.partition(":")[2], facts)}
```
"""


def _lines(form: str, place: str, facts: Mapping[str, Any]) -> str:
    if form == "timm":
        own = "import sweeps.zoo.mini  # the embedded architectures\n" if place.startswith("mini_") else ""
        return own + _TIMM
    if form == "factory":
        return _FACTORY.replace("{place}", place)
    return _TEXT.replace("HIDDEN", _HIDDEN[facts["layers"]]).replace("POOLED", _POOLED[facts["pooling"]])

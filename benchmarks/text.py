"""(h) Embedding throughput of texts: the system's worker against a bare transformers loop with fixed padding.

    python benchmarks/text.py

The texts have the lengths of SST-5's sentences (19 words on average, at most about 55). The bare loop is what anyone
writes: tokenize with ``padding="max_length"``, a DataLoader over the rows, the model in eval mode, the mean over
tokens; it pads to the longest text of the task, the least that fixed padding can do. Ours is the ``embed`` job as a
sweep runs it, once with nothing cached (loading, tokenizing and writing tokens and features included) and once as for
the second model with the same tokenizer. Random weights: they cost the same. One thread each.
"""

import json
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import transformers
from scene import line
from tokenizers import Tokenizer, models, pre_tokenizers

from sweeps.cluster.worker import Setup, Worker
from sweeps.jobs.embed import embed_job
from sweeps.settings import Embed, ModelEntry, TaskEntry
from sweeps.tasks.registry import from_texts
from sweeps.tasks.texts import split_of
from sweeps.types import Model, Task
from sweeps.zoo.load import load
from sweeps.zoo.registry import resolve_entry

BATCH, TEXTS = 64, 1600
SIZES = {"4 layers x 256": (4, 256), "2 layers x 64": (2, 64)}


def sentences(folder: Path) -> Task:
    """A task of random words with SST-5's lengths: gamma with its mean of 19.2 and deviation of 9.3 words."""
    random = np.random.default_rng(0)
    lengths = random.gamma((19.2 / 9.3) ** 2, 9.3**2 / 19.2, TEXTS).round().clip(2, 55).astype(int)
    rows = [{"text": " ".join(f"w{word}" for word in random.integers(2000, size=length)), "label": int(index % 5)}
            for index, length in enumerate(lengths)]  # fmt: skip
    file = folder / "texts.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return from_texts(TaskEntry(name="sentences", path=str(file), text="text"), seed=0)


def encoder(folder: Path, layers: int, width: int) -> Model:
    """A BERT of that size with random weights."""
    inner = Tokenizer(models.WordLevel({"[PAD]": 0, "[UNK]": 1} | {f"w{n}": n + 2 for n in range(2000)}, "[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    words = transformers.PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="[PAD]", unk_token="[UNK]")
    config = transformers.BertConfig(vocab_size=2002, hidden_size=width, num_hidden_layers=layers, pad_token_id=0,
                                     num_attention_heads=width // 32, intermediate_size=4 * width)  # fmt: skip
    place = folder / f"bert-{layers}-{width}"
    transformers.BertModel(config, add_pooling_layer=False).save_pretrained(place)
    words.save_pretrained(place)
    return resolve_entry(ModelEntry(name=place.name, source=f"transformers:{place}"))


def bare(model: Model, task: Task) -> float:
    """Texts per second of a plain loop over train and val."""
    place = model.source.partition(":")[2]
    words = transformers.AutoTokenizer.from_pretrained(place)
    trunk = transformers.AutoModel.from_pretrained(place, add_pooling_layer=False).eval()
    texts = {split: split_of(task, split).texts for split in ("train", "val")}
    longest = max(len(text.split()) for part in texts.values() for text in part)
    begun, count = time.perf_counter(), 0
    for part in texts.values():
        found = words(part, padding="max_length", max_length=longest, truncation=True, return_tensors="pt")
        rows = torch.utils.data.TensorDataset(found["input_ids"], found["attention_mask"])
        with torch.inference_mode():
            for ids, mask in torch.utils.data.DataLoader(rows, batch_size=BATCH):
                hidden = trunk(input_ids=ids, attention_mask=mask).last_hidden_state
                ((hidden * mask.unsqueeze(2)).sum(1) / mask.sum(1, keepdim=True)).numpy()
                count += len(ids)
    return count / (time.perf_counter() - begun)


def ours(worker: Worker, model: Model, task: Task) -> float:
    """Texts per second of the embed job, as its row tells."""
    outcome = worker.run(embed_job(model, task, {"batch": BATCH, **Embed().view("text")}))
    if not outcome.ok:
        raise SystemExit(outcome.job["error"])
    return (task.sizes["train"] + task.sizes["val"]) / outcome.job["seconds"]


def main() -> None:
    """Best of three for each side, alternating, for a small and a tiny encoder."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        task = sentences(Path(temporary))
        for name, (layers, width) in SIZES.items():
            model = encoder(Path(temporary), layers, width)
            cold, warm, plain = [], [], []
            for _ in range(3):
                cache = Path(tempfile.mkdtemp())
                worker = Worker(Setup(cache=cache))
                load(model)  # both sides with warm weights and imports
                cold.append(ours(worker, model, task))
                warm.append(ours(worker, model, task))
                plain.append(bare(model, task))
                shutil.rmtree(cache)
            line(f"{name}: first model of its tokenizer", max(cold), max(plain), "texts/s", ">= 1.5")
            line(f"{name}: every further model", max(warm), max(plain), "texts/s", ">= 1.5")


if __name__ == "__main__":
    main()

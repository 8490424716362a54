"""Pre-training of language models: same seed same bytes, an honest card, texts that no task uses, jobs for all."""

import dataclasses
import json
import math
import re
from pathlib import Path

import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from sweeps.cluster.executor import InlineExecutor
from sweeps.cluster.seat import Resources
from sweeps.cluster.worker import Setup
from sweeps.pretraining import pretraining_jobs
from sweeps.tasks.mini_text import draw
from sweeps.types import Outcome
from sweeps.written.shelves import PRETRAINING, shelf
from sweeps.zoo.mini_text import corpus
from sweeps.zoo.mini_text.objectives import IGNORED, Batch, masked
from sweeps.zoo.mini_text.pretrain import pretrain
from sweeps.zoo.mini_text.recipes import RECIPES
from sweeps.zoo.mini_text.tokenization import MASK, build

ROOT = Path(__file__).parents[3]


def _tiny(name: str):
    return dataclasses.replace(RECIPES[name], steps=3, batch=8, corpus_size=60)


def test_same_seed_same_bytes_whatever_ran_before(tmp_path: Path) -> None:
    name = "mini_bert_bpe.nsp"
    first = pretrain(name, tmp_path / "a", seed=1, recipe=_tiny(name))
    torch.rand(7)
    again = pretrain(name, tmp_path / "b", seed=1, recipe=_tiny(name))
    other = pretrain(name, tmp_path / "c", seed=2, recipe=_tiny(name))
    for file in ("model.safetensors", "tokenizer.json", "config.json", "tokenizer_config.json"):
        assert (tmp_path / "a" / name / file).read_bytes() == (tmp_path / "b" / name / file).read_bytes()
    assert first["sha256"] == again["sha256"] != other["sha256"]
    assert {k: v for k, v in first.items() if k != "seconds"} == {k: v for k, v in again.items() if k != "seconds"}


@pytest.mark.parametrize("name", ["mini_llama_bpe.clm", "mini_gpt2_bytes.clm", "mini_roberta_chars.mlm",
                                  "mini_distilbert_bpe.moods"])  # fmt: skip
def test_the_card_tells_what_was_done_and_the_folder_loads(name: str, tmp_path: Path) -> None:
    card = pretrain(name, tmp_path, seed=0, recipe=_tiny(name))
    assert json.loads((tmp_path / f"{name}.json").read_text()) == card
    assert {path.name for path in tmp_path.iterdir()} == {name, f"{name}.json"}
    assert math.isfinite(card["final_loss"])
    assert card["upstream_size"] == 60
    assert all(0 <= share <= 1 for share in card["held_out"].values())
    assert card["upstream_classes"] == (5 if card["loss"] == "supervised" else None)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / name, local_files_only=True)
    model = AutoModel.from_pretrained(tmp_path / name, local_files_only=True)
    assert torch.isfinite(model(**tokenizer("a text", return_tensors="pt")).last_hidden_state).all()


def test_an_unknown_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="name must be one of"):
        pretrain("mini_bert_bpe.expert_ships", tmp_path, seed=0)


@pytest.mark.parametrize("upstream", corpus.UPSTREAMS)
def test_an_upstream_set_is_reproducible_and_no_task_uses_its_texts(upstream: str) -> None:
    once, again = (corpus.draw(upstream, "upstream", 0, 200) for _ in range(2))
    other = corpus.draw(upstream, "upstream", 1, 200)
    assert once == again != other
    held_out = corpus.draw(upstream, "held out", 0, 100)
    assert not {*once.texts} & {*held_out.texts}
    for text in (*once.texts, *held_out.texts):
        sentences = text if isinstance(text, tuple) else (text,)
        assert shelf(text) in PRETRAINING
        assert all(shelf(sentence) in PRETRAINING for sentence in sentences)
    if once.classes:
        assert {*once.labels} == set(range(len(once.classes)))


def test_no_text_of_a_task_is_a_sentence_of_the_corpus() -> None:
    documents = " ".join(str(text) for text in corpus.draw("all", "upstream", 0, 4000).texts)
    sentences = set(re.split(r"(?<=[.?]) ", documents))
    assert len(sentences) > 4000
    for name in ("text/sentiment", "text/questions", "text/acceptability"):
        assert not sentences & {*draw(name, 0)["train"][0], *draw(name, 0)["test"][0]}


def test_what_is_masked_is_what_is_wanted() -> None:
    ids = torch.randint(5, 100, (50, 40), generator=torch.Generator().manual_seed(0))
    ids[:, 0] = 2
    rng = torch.Generator().manual_seed(1)
    shown, wanted = masked(Batch(ids, ids * 0, ids * 0 + 1, ids[:, 0]), rng)
    hidden = wanted != IGNORED
    assert (wanted[hidden] == ids[hidden]).all()
    assert (shown[~hidden] == ids[~hidden]).all()
    assert not hidden[:, 0].any()
    assert 0.26 < hidden[:, 1:].float().mean() < 0.34
    assert 0.75 < (shown[hidden] == MASK).float().mean() < 0.85


@pytest.mark.parametrize("name", ["mini_gpt2_bytes.clm", "mini_roberta_chars.mlm"])
def test_bytes_and_characters_are_read_one_by_one(name: str) -> None:
    tokenizer = build(RECIPES[name])
    ids = tokenizer("Ab é")["input_ids"]
    assert len(ids) == 2 + (5 if name == "mini_gpt2_bytes.clm" else 4)
    assert (tokenizer.unk_token_id in ids) == (name == "mini_roberta_chars.mlm")
    assert tokenizer("x" * 999, truncation=True)["input_ids"][-1] == 3


def _pretrained(make, folder: Path) -> dict[str, bytes]:
    setup = Setup(folder, kinds={"pretrain": "tests.doubles.pretraining:run"}, path=(str(ROOT),))
    outcomes: list[Outcome] = []
    executor = make(setup)
    try:
        executor.run(pretraining_jobs(["mini_*shallow.mlm"]), (), outcomes.append, lambda job: None)
    finally:
        executor.close()
    assert [outcome.ok for outcome in outcomes] == [True], outcomes[0].job["error"]
    return {path.name: path.read_bytes() for path in (folder / "weights").rglob("*.safetensors")}


def test_a_worker_pretrains_a_language_model(tmp_path: Path) -> None:
    assert list(_pretrained(InlineExecutor, tmp_path)) == ["model.safetensors"]


@pytest.mark.ray
@pytest.mark.slow
def test_ray_pretrains_the_same_bytes(tmp_path: Path) -> None:
    from sweeps.cluster.ray_executor import RayExecutor

    def remote(setup: Setup) -> RayExecutor:
        return RayExecutor(setup, Resources(workers=1), tmp_path / "tune")

    assert _pretrained(remote, tmp_path / "ray") == _pretrained(InlineExecutor, tmp_path / "inline")


def test_every_recipe_is_a_job() -> None:
    jobs = {job.model.name: job for job in pretraining_jobs()}
    assert set(RECIPES) < set(jobs)
    assert {job.model.name for job in pretraining_jobs(["mini_bert_bpe.expert_*"])} == {
        name for name in RECIPES if "expert" in name
    }

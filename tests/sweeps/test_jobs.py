"""Embedding and fine-tuning against bare PyTorch: same numbers, bit for bit."""

import json

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from sweeps.errors import ModelError
from sweeps.jobs import early, embed, finetune, recipes
from sweeps.jobs.context import Context
from sweeps.jobs.score import SAMPLES
from sweeps.jobs.score import run as score
from sweeps.settings import ModelEntry, TaskEntry
from sweeps.tasks.registry import from_images
from sweeps.tuning import evaluation_steps
from sweeps.types import Job, Model
from sweeps.zoo.load import load
from sweeps.zoo.registry import resolve_entry
from sweeps.zoo.vision import find_head
from taskrel.heads import batch_stream
from taskrel.proxies import PROXIES
from taskrel.resampling import multiplicities
from tests.conftest import DOUBLES, draw_folder

SETTINGS = {"steps": 8, "batch": 8, "momentum": 0.9, "schedule": "step", "evaluations": 3, "image_size": 16,
            "repeat": 0, "seed": 5, "learning_rate": 0.1, "origin": "grid"}  # fmt: skip


def tiny(function: str = "build", **args):
    return resolve_entry(
        ModelEntry(name=f"tiny-{function}", source=f"factory:tiny:{function}", path=str(DOUBLES), args=args)
    )


@pytest.fixture
def context(tmp_path):
    torch.set_num_threads(1)
    return Context(tmp_path / "cache")


@pytest.fixture
def task(tmp_path):
    return from_images(TaskEntry(name="t", path=str(draw_folder(tmp_path / "t"))), seed=0)


def test_features_are_what_enters_the_head(context, task):
    job = embed.embed_job(tiny(width=6), task, {"batch": 7, "image_size": 16})
    row = embed.run(job, context)["features"][0]
    splits = embed.probes(job, context)
    loaded = load(tiny(width=6), view={"image_size": 16})
    examples = context.examples(task, "train", loaded)
    with torch.inference_mode():
        pooled = loaded.module.body(examples[:]).mean(dim=(2, 3))
        probabilities = loaded.module.fc(pooled).softmax(1)
    assert torch.allclose(torch.as_tensor(splits["train"].features), pooled, atol=1e-6)
    assert torch.allclose(torch.as_tensor(splits["train"].source_probs), probabilities, atol=1e-6)
    assert (row["dim"], row["head_classes"], row["train"], row["val"]) == (6, 5, 36, 18)
    assert row["parameters"] == sum(p.numel() for p in loaded.module.body.parameters())
    assert torch.as_tensor(splits["train"].labels).tolist() == examples.labels.tolist()


def test_a_model_without_head_gives_its_output_and_no_probabilities(context, task):
    job = embed.embed_job(tiny("headless", width=6), task, {"batch": 8, "image_size": 16})
    assert embed.run(job, context)["features"][0]["head_classes"] is None
    assert embed.probes(job, context)["val"].source_probs is None


def test_normalisation_is_timm_s(context, task):
    """uint8 kept, then scaled on the device: equal to timm's own transform of the image."""
    import timm.data
    from PIL import Image

    loaded = load(tiny(), view={"image_size": 16})
    examples = context.examples(task, "val", loaded)
    path = sorted(
        (draw_path := __import__("pathlib").Path(task.source.removeprefix("path:")) / "val" / "class_0").iterdir()
    )[0]
    own = timm.data.create_transform(input_size=(3, 16, 16), crop_pct=loaded.geometry.crop_pct,
                                     interpolation=loaded.geometry.interpolation)(Image.open(path))  # fmt: skip
    assert torch.allclose(examples[:1][0], own, atol=1e-6)
    assert draw_path.is_dir()


def bare_loop(model, task, context, rate, steps=8, batch=8, seed=5):
    """Plain PyTorch fine-tuning, as anyone would write it."""
    loaded = load(model, classes=len(task.classes), view={"image_size": 16})
    module, examples = loaded.module, context.examples(task, "train", loaded)
    optimiser = torch.optim.SGD(module.parameters(), lr=rate, momentum=0.9)
    for step, index in enumerate(batch_stream(len(examples), batch, steps, seed)):
        for group in optimiser.param_groups:
            group["lr"] = rate * (1.0, 0.1, 0.1**2)[3 * step // steps]
        module.train()
        optimiser.zero_grad()
        chosen = torch.as_tensor(index)
        F.cross_entropy(module(examples[chosen]), examples.labels[chosen]).backward()
        optimiser.step()
    module.eval()
    examples = context.examples(task, "test", loaded)
    with torch.inference_mode():
        return (module(examples[:]).argmax(1) == examples.labels).float().mean().item()


@pytest.mark.parametrize("rate", [0.1, 0.01])
def test_finetuning_equals_a_bare_loop(context, task, rate):
    model = tiny(width=8)
    row = finetune.run(Job("finetune", 1, model, task, SETTINGS | {"learning_rate": rate}), context)["runs"][0]
    assert row["test_accuracy"] == pytest.approx(bare_loop(model, task, context, rate), abs=1e-7)
    assert [point["step"] for point in row["curve"]] == [2, 4, 8]
    assert row["status"] == "ok"
    assert row["val_accuracy"] == row["curve"][-1]["val_accuracy"]


def test_a_job_leaves_no_trace_for_the_next(context, task):
    """The kept model is put back: the same job gives the same row after any other job."""
    job = Job("finetune", 1, tiny(width=8), task, SETTINGS)
    first = finetune.run(job, context)["runs"][0]
    finetune.run(Job("finetune", 1, tiny(width=8), task, SETTINGS | {"learning_rate": 0.5}), context)
    again = finetune.run(job, context)["runs"][0]
    fresh = finetune.run(job, Context(context.cache))["runs"][0]
    for row in (again, fresh):
        assert {key: row[key] for key in ("curve", "test_accuracy")} == {
            key: first[key] for key in ("curve", "test_accuracy")
        }


def test_head_starts_at_zero(task):
    head = load(tiny(), classes=3, view={"image_size": 16}).head
    assert head.out_features == 3
    assert all(not parameter.any() for parameter in head.parameters())


def test_a_head_that_cannot_learn_from_zero_starts_as_it_was_made_and_the_row_says_so(context, task):
    one, two = (load(tiny("rectified"), classes=3, view={"image_size": 16}) for _ in range(2))
    assert one.head.weight.any()
    assert torch.equal(one.head.weight, two.head.weight)
    row = finetune.run(Job("finetune", 1, tiny("rectified"), task, SETTINGS), context)["runs"][0]
    assert row["reason"] == one.note
    assert "random values" in row["reason"]
    assert row["curve"][-1]["train_loss"] < row["curve"][0]["train_loss"]


@pytest.mark.parametrize(("side", "batch", "fast"), [(16, None, 64), (112, None, 15), (448, None, 4), (448, 7, 7)])
def test_on_a_cpu_large_images_pass_few_at_a_time_unless_told(side, batch, fast):
    loaded = load(tiny(), view={"image_size": side})
    assert embed.batch(loaded, {"batch": batch}) == fast
    assert loaded.at_once == (fast if batch is None else 4)


def test_divergence_is_an_observation(context, task):
    row = finetune.run(Job("finetune", 1, tiny("wild"), task, SETTINGS), context)["runs"][0]
    assert row["status"] == "diverged"
    assert row.get("val_accuracy") is None
    assert row.get("test_accuracy") is None
    assert "nan" in row["reason"]


@pytest.mark.parametrize(("fits", "pieces"), [(5, 4), (3, 2), (1, 1)])
def test_a_batch_that_does_not_fit_is_taken_in_pieces_and_the_row_says_so(context, task, fits, pieces):
    whole, parts = (
        finetune.run(Job("finetune", 1, tiny("snug", **args), task, SETTINGS | {"learning_rate": 0.01}), context)[
            "runs"
        ][0]
        for args in ({}, {"train": fits, "look": 5})
    )
    assert whole["reason"] is None
    assert (
        f"out of memory at 8 examples: the gradient of each batch was added up over pieces of {pieces}"
        in parts["reason"]
    )
    assert parts["batch"] == 8
    assert parts["status"] == "ok"
    assert (parts["val_accuracy"], parts["test_accuracy"]) == (whole["val_accuracy"], whole["test_accuracy"])
    for one, two in zip(whole["curve"], parts["curve"], strict=True):
        assert one["train_loss"] == pytest.approx(
            two["train_loss"], rel=1e-5
        )  # single precision, summed in another order


@pytest.mark.parametrize("args", [{"train": 0}, {"look": 0}])
def test_a_model_of_which_not_one_example_fits_is_one_line(context, task, args):
    with pytest.raises(ModelError, match="must fit into the device's memory, it runs out of memory at one example"):
        finetune.run(Job("finetune", 1, tiny("snug", **args), task, SETTINGS), context)


def test_evaluation_steps_are_halvings():
    assert evaluation_steps(40, 3) == [10, 20, 40]
    assert evaluation_steps(2500, 4) == [312, 625, 1250, 2500]
    assert evaluation_steps(1, 5) == [1]


def test_a_score_that_cannot_be_computed_is_null_with_its_reason(context, task):
    settings = {"proxy": "mine", "function": "tests.doubles.proxies:refuses", "options": {}, "seed": 0,
                "embed": {"batch": 8, "image_size": 16}}  # fmt: skip
    row = score(Job("score", 1, tiny(), task, settings), context)["scores"][0]
    assert (row["value"], row["reason"]) == (None, "no two examples are alike")


def test_a_user_s_proxy_runs_from_its_place(context, task):
    settings = {"proxy": "mine", "function": "tests.doubles.proxies:spread", "options": {"scale": 2.0}, "seed": 0,
                "embed": {"batch": 8, "image_size": 16}}  # fmt: skip
    row = score(Job("score", 1, tiny(), task, settings), context)["scores"][0]
    assert row["value"] > 0
    assert json.loads(row["detail"]) == {"scale": 2.0}


def scoring(task, proxy, reference=None, **options):
    settings = {"proxy": proxy, "function": None, "options": options, "seed": 0,
                "embed": {"batch": 8, "image_size": 16}}  # fmt: skip
    return Job("score", 1, tiny(), task, settings, reference)


def test_a_score_carries_its_interval_and_paired_replicates(context, task):
    row = score(scoring(task, "knn"), context)["scores"][0]
    splits = embed.probes(embed.embed_job(tiny(), task, {"batch": 8, "image_size": 16}), context)
    alone = PROXIES["knn"].score(splits["train"], splits["val"])
    assert row["value"] == alone.value
    times = multiplicities(18, SAMPLES)
    right = np.asarray(alone.influence) + alone.value
    assert row["replicates"] == pytest.approx(times @ right / 18, abs=1e-6)
    assert row["low"] <= row["value"] <= row["high"]


def test_a_proxy_without_influences_has_no_interval(context, task):
    row = score(scoring(task, "ncti_vc"), context)["scores"][0]
    assert row["replicates"] == []
    assert "low" not in row


def test_a_reference_task_is_seen_through_the_same_model(context, task, tmp_path):
    other = from_images(TaskEntry(name="other", path=str(draw_folder(tmp_path / "o", classes=2, seed=1))), seed=0)
    row = score(scoring(task, "otce", reference=other), context)["scores"][0]
    splits = [embed.probes(embed.embed_job(tiny(), one, {"batch": 8, "image_size": 16}), context)["train"]
              for one in (task, other)]  # fmt: skip
    assert row["value"] == PROXIES["otce"].score(splits[0], reference=splits[1]).value
    same = score(scoring(task, "otce", reference=task), context)["scores"][0]
    assert (same["value"], same["reason"]) == (None, "otce needs another task as reference, got t itself")
    none = score(scoring(task, "otce"), context)["scores"][0]
    assert none["reason"] == "otce needs a reference task, got none"


def test_a_reference_is_part_of_what_a_job_is(task):
    assert scoring(task, "otce").id != scoring(task, "otce", reference=task).id
    assert "reference" not in scoring(task, "otce").content


def test_early_stopping_is_the_fine_tuning_itself_stopped_early(context, task):
    settings = {"learning_rates": [0.1, 0.01], "steps": 3, "batch": 8, "momentum": 0.9, "repeats": 3, "seed": 2,
                "image_size": 16}  # fmt: skip
    row = early.run(Job("early", 1, tiny(), task, settings), context)["scores"][0]
    runs_by_hand = []
    for repeat in range(3):
        reached = []
        for rate in (0.1, 0.01):
            one = SETTINGS | {"steps": 3, "evaluations": 1, "schedule": "constant", "learning_rate": rate,
                              "seed": 2000 + repeat}  # fmt: skip
            reached.append(finetune.run(Job("finetune", 1, tiny(), task, one), context)["runs"][0]["val_accuracy"])
        runs_by_hand.append(max(reached))
    assert row["values"] == runs_by_hand
    assert row["value"] == sorted(runs_by_hand)[1]
    assert row["proxy"] == "early_stopping"


def test_early_stopping_that_always_diverges_is_null_with_its_reason(context, task):
    settings = {"learning_rates": [0.1], "steps": 3, "batch": 8, "momentum": 0.9, "repeats": 2, "seed": 2,
                "image_size": 16}  # fmt: skip
    row = early.run(Job("early", 1, tiny("wild"), task, settings), context)["scores"][0]
    assert row["value"] is None
    assert row["reason"] == "early_stopping needs a run that does not diverge, got none at 0.1"


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (
            tiny("broken"),
            "must load from factory:tiny:broken, got RuntimeError: the weights of this model are of another planet",
        ),
        (tiny("absent"), "source must name an importable function"),
    ],
)
def test_models_that_cannot_be_built(model, says):
    with pytest.raises(ModelError, match=says):
        load(model, view={"image_size": 16})


def test_head_of_timm_models_is_their_classifier():
    import timm

    module = timm.create_model("resnet18", num_classes=7)
    assert find_head(module) is module.fc
    assert find_head(timm.create_model("resnet18", num_classes=0)) is None


def test_momentum_sgd_is_torch_s_bit_for_bit():
    torch.manual_seed(0)
    ours, theirs = torch.nn.Linear(5, 3), torch.nn.Linear(5, 3)
    theirs.load_state_dict(ours.state_dict())
    mine = recipes.MomentumSGD(list(ours.parameters()), 0.9)
    plain = torch.optim.SGD(theirs.parameters(), lr=0.1, momentum=0.9)
    for rate in (0.3, 0.1, 0.1, 0.01):
        batch = torch.randn(7, 5)
        for module in (ours, theirs):
            module.zero_grad()
            module(batch).square().sum().backward()
        plain.param_groups[0]["lr"] = rate
        mine.step(rate)
        plain.step()
    assert all(torch.equal(one, two) for one, two in zip(ours.parameters(), theirs.parameters(), strict=True))


def test_what_is_kept_of_another_model_goes(tmp_path):
    """Features of a large model fill gigabytes: four models' at once would be too many."""
    context, one, other = Context(tmp_path), Model("one", "timm:one"), Model("other", "timm:other")
    assert [context.keep(one, key, lambda key=key: key) for key in ("a", "b")] == ["a", "b"]
    assert context.keep(one, "a", lambda: "again") == "a"
    assert context.keep(other, "c", lambda: "c") == "c"
    assert context.keep(one, "a", lambda: "again") == "again"

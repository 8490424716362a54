"""Head2Toe-FT: it starts where Head2Toe ended, trains the whole model, and leaves no trace; images and texts."""

import numpy as np
import pytest
import torch

from sweeps.config import parse
from sweeps.errors import ConfigError
from sweeps.hands import How
from sweeps.jobs import finetune, head2toe, head2toe_ft
from sweeps.jobs.context import Context
from sweeps.plan import measurements
from sweeps.run import run
from sweeps.store import Store
from sweeps.tasks import registry as tasks_registry
from sweeps.zoo import registry as zoo_registry
from sweeps.zoo.listen import extract
from tests.oracles import head2toe as oracle

CELLS = {"image": ("mini_mobilenet_v1.mininet", "mini/digits"), "text": ("mini_bert_bpe.expert_full", "text/topics")}


def config(modality, **head2toe):
    model, task = CELLS[modality]
    section = {"penalties": [1e-2], "fractions": [0.1], "steps": [60], "folds": 2, "finetune": "fitted", **head2toe}
    return parse({
        "name": "ft", "models": [model], "tasks": [task], "proxies": {"knn": {}}, "head2toe": section,
        "finetune": {"learning_rates": [0.1, 0.01], "steps": 2, "batch": 16, "repeats": 1, "evaluations": 1,
                     "text": {"learning_rates": [1e-3]}},
        "regret": {"strategies": ["knn", "random"], "answer": "knn", "bootstrap": 20},
    })  # fmt: skip


def jobs(modality, kind, **settings):
    tasks, _ = tasks_registry.resolve(config(modality, **settings))
    planned = measurements(config(modality, **settings), zoo_registry.resolve(config(modality)), tasks)
    return [job for job in planned if job.kind == kind]


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module", params=sorted(CELLS))
def chosen(request, cache):
    """(modality, job, context, row, selection) of one cell after its Head2Toe."""
    context, [job] = Context(cache), jobs(request.param, "head2toe")
    [row] = head2toe.run(job, context)["head2toe"]
    return request.param, job, context, row, head2toe.selection(job, context)


def loaded(chosen):
    _, job, context, *_ = chosen
    return context.model(job.model, classes=None, settings=job.settings["embed"])


def test_it_starts_where_head2toe_ended(chosen):
    _, job, context, row, selection = chosen
    body = loaded(chosen)
    examples = context.examples(job.task, "test", body)
    batch = examples[torch.arange(7)]
    layers = extract(body.body, [batch], (selection.target,), taps=selection.taps)[selection.target]
    by_hand = oracle.kept_logits([block.numpy() for block in layers.blocks], selection.kept.numpy(),
                                 selection.weights.numpy(), selection.bias.numpy())  # fmt: skip
    with head2toe_ft.opened(body, selection) as whole:
        whole.module.eval()
        np.testing.assert_allclose(whole.logits(batch).detach().numpy(), by_hand, atol=2e-4)
        tuning = finetune.FineTuning(context, whole, job.task, {"batch": 8})
        assert tuning.accuracy("test") == pytest.approx(row["test_accuracy"], abs=0.003)  # near ties may turn
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in body.body.modules())
    with head2toe_ft.opened(loaded(chosen), selection, fresh=True) as whole:
        assert not whole.logits(batch).any()


def test_a_step_along_the_gradient_of_the_body_changes_the_loss_as_it_says(chosen):
    _, job, context, _, selection = chosen
    body = loaded(chosen)
    examples = context.examples(job.task, "train", body)
    batch, labels = examples[torch.arange(5)], examples.labels[:5]
    with head2toe_ft.opened(body, selection) as whole:
        whole.module.eval()

        def loss():
            return torch.nn.functional.cross_entropy(whole.logits(batch), labels)

        loss().backward()
        moved = [value for value in body.body.parameters() if value.grad is not None]
        assert len(moved) > 0.8 * len(list(body.body.parameters()))
        length = float(torch.stack([value.grad.square().sum() for value in moved]).sum().sqrt())
        ends = []
        with torch.no_grad():
            for step in (1e-2, -2e-2):  # forward, then back past the start; float32 sees 1e-5 of the loss
                for value in moved:
                    value += step * value.grad / length
                ends.append(float(loss()))
        assert (ends[0] - ends[1]) / 2e-2 == pytest.approx(length, rel=0.05)


def test_a_run_is_a_row_and_a_lost_selection_is_made_again(chosen):
    modality, job, context, *_ = chosen
    [first, *_] = jobs(modality, "head2toe_ft")
    assert job.id in first.needs
    [row] = head2toe_ft.run(first, context)["runs"]
    assert row["origin"] == "head2toe"
    assert row["status"] == "ok"
    assert 0 < row["test_accuracy"] <= 1
    head2toe._file(job, context).unlink()
    [again] = head2toe_ft.run(first, context)["runs"]
    assert again["test_accuracy"] == row["test_accuracy"]
    assert again["curve"] == row["curve"]


def test_what_is_planned():
    assert not jobs("image", "head2toe_ft", finetune="no")
    rates = [job.settings["learning_rate"] for job in jobs("image", "head2toe_ft")]
    assert rates == [0.1, 0.01]
    assert {job.id for job in jobs("image", "head2toe")} == {job.id for job in jobs("image", "head2toe", finetune="no")}
    tasks, _ = tasks_registry.resolve(config("image"))
    without = config("image").model_copy(update={"finetune": None})
    with pytest.raises(ConfigError, match=r"section \[finetune\]"):
        measurements(without, zoo_registry.resolve(without), tasks)


def test_in_a_sweep_it_is_a_method_and_no_fine_tuning_of_the_grid(tmp_path):
    result = run(config("text"), tmp_path, How(executor="inline"))
    assert not result.failures
    store = Store(tmp_path)
    assert {row["origin"] for row in store.rows("runs")} == {"grid", "head2toe"}
    by_method = {row["method"]: row for row in store.rows("transfer")}
    assert set(by_method) == {"linear", "head2toe", "head2toe-ft", "fine-tuning"}
    assert by_method["head2toe-ft"]["seconds"] > by_method["head2toe"]["seconds"]
    assert by_method["head2toe-ft"]["bytes"] > by_method["head2toe"]["bytes"]
    assert "Head2Toe-FT" in (tmp_path / "report.html").read_text()

"""Images and texts in one sweep: the same jobs, tables and answer; fine-tuning of texts against bare PyTorch."""

import pytest
import torch
import transformers
from torch.nn import functional as F

from sweeps.cluster.worker import Setup, Worker
from sweeps.config import parse
from sweeps.errors import ConfigError
from sweeps.hands import How
from sweeps.jobs import early, finetune
from sweeps.jobs.context import Context
from sweeps.jobs.recipes import AdamW, learning_rate_at
from sweeps.plan import measurements
from sweeps.run import plan, run
from sweeps.settings import ModelEntry, TaskEntry
from sweeps.store import Store
from sweeps.tasks.registry import from_texts
from sweeps.tasks.texts import split_of
from sweeps.tuning import FineTune
from sweeps.types import Job, Model
from sweeps.zoo.registry import resolve_entry
from taskrel.heads import batch_stream
from tests.conftest import SHARED, draw_folder, tiny_config
from tests.doubles import language

INLINE = How(executor="inline")


@pytest.fixture
def mixed(two_tasks, tmp_path):
    """Two image models and two tasks, two language models and one task of texts."""
    (two_tasks / "second").rename(tmp_path / "unused")
    base = tiny_config(two_tasks)
    file = language.jsonl(tmp_path / "t.jsonl", 60)
    folders = [language.folder(tmp_path / kind, kind, classes=2) for kind in ("bert", "gpt2")]
    texts = [{"name": path.name, "source": f"transformers:{path}", "upstream_accuracy": 0.9} for path in folders]
    return base | {
        "model": base["model"] + texts,
        "task": [*base["task"], {"name": "texts", "path": str(file), "text": "text"}],
        "embed": {"image_size": 16, "batch": 16, "max_tokens": 32},
        "proxies": base["proxies"] | {"leep": {}, "otce": {"reference": "first"},
                                      "early_stopping": {"steps": 2, "repeats": 1, "learning_rates": [0.1]}},
        "finetune": base["finetune"] | {"text": {"learning_rates": [1e-2, 1e-3], "steps": 6}},
        "search": base["search"] | {"text": {"low": 1e-4, "high": 1e-1}},
        "regret": {"bootstrap": 20, "strategies": ["agnostic", "linear", "oracle", "random"]},
        "pools": {"all": {}, "images": {"where": "modality = image"}},
    }  # fmt: skip


def test_one_sweep_of_both(mixed, tmp_path):
    swept = run(parse(mixed), tmp_path / "out", INLINE)
    assert not swept.failures
    store = Store(swept.out)
    cells = {(row["model"], row["task"]) for row in store.rows("plan")}
    assert cells == {("tiny_4", "first"), ("tiny_8", "first"), ("bert", "texts"), ("gpt2", "texts")}
    answers = {row["task"]: row for row in swept.answer}
    assert answers["first"]["model"] in {"tiny_4", "tiny_8"}
    assert answers["texts"]["model"] in {"bert", "gpt2"}
    assert answers["texts"]["oracle_model"] in {"bert", "gpt2"}
    assert "of 4 models" not in answers["texts"]["note"]
    runs = [row for row in store.rows("runs") if row["task"] == "texts"]
    assert {row["learning_rate"] for row in runs if row["origin"] == "grid"} == {1e-2, 1e-3}
    assert all(1e-4 <= row["learning_rate"] <= 1e-1 for row in runs if row["origin"] == "search")
    assert {row["steps"] for row in runs} == {6}
    scores = {(row["proxy"], row["model"]): row for row in store.rows("scores") if row["task"] == "texts"}
    assert scores["leep", "bert"]["value"] is not None
    assert scores["otce", "bert"]["reason"] == "otce needs a reference task, got none"
    assert scores["early_stopping", "gpt2"]["value"] is not None
    assert {row["dropped"] for row in swept.derived["regret"]} == {0}
    agnostic = [row for row in swept.derived["regret"] if row["strategy"] == "agnostic" and row["pool"] == "all"]
    assert {pick for row in agnostic if row["task"] == "first" for pick in row["picks"]} <= {"tiny_4", "tiny_8"}
    assert {row["task"] for row in swept.derived["regret"] if row["pool"] == "images"} == {"first"}
    assert {row["modality"] for row in store.rows("tasks")} == {"image", "text"}


@pytest.mark.real
@pytest.mark.slow
def test_real_texts_with_embedded_models_and_an_encoder_given_by_path(tmp_path):
    """No real encoder is among the shared models, so one of that form is saved here; its weights are random."""
    path = language.folder(tmp_path / "encoder", "roberta")
    real = SHARED / "real" / "tasks" / "text"
    swept = run(parse({
        "name": "real", "models": ["mini_distilbert_shallow.mlm", "mini_distilbert_bpe.moods", f"transformers:{path}"],
        "task": [{"name": name, "path": str(real / name), "text": "text"} for name in ("sst5", "trec6", "clinc150")],
        "embed": {"max_tokens": 32}, "proxies": {"knn": {}, "logme": {}, "leep": {}},
        "finetune": {"repeats": 1, "evaluations": 1, "text": {"learning_rates": [3e-3], "steps": 20}},
        "regret": {"strategies": ["knn", "oracle", "random"], "bootstrap": 10, "answer": "knn"},
    }), tmp_path / "out", INLINE)  # fmt: skip
    assert not swept.failures
    assert {row["task"] for row in swept.answer} == {"sst5", "trec6", "clinc150"}
    store = Store(swept.out)
    tested = {(row["model"], row["task"]): row["test_accuracy"] for row in store.rows("runs")}
    assert len(tested) == 9
    assert None not in tested.values()
    scores = {(row["proxy"], row["model"], row["task"]): row for row in store.rows("scores")}
    assert scores["leep", "mini_distilbert_bpe.moods", "sst5"]["value"] is not None
    assert scores["leep", "encoder", "sst5"]["reason"] == "leep needs source-head probabilities, got none"
    assert scores["knn", "mini_distilbert_shallow.mlm", "clinc150"]["value"] > 0.1  # chance is 1 / 150


def test_a_reference_of_each_modality(mixed, tmp_path):
    """The first of the right kind is taken; a name that is no task is refused."""
    draw_folder(tmp_path / "other", classes=2)
    file = language.jsonl(tmp_path / "m.jsonl", 40, classes=2)
    more = [
        {"name": "other", "path": str(tmp_path / "other")},
        {"name": "more", "path": str(file), "text": "text"},
    ]
    both = mixed | {"task": mixed["task"] + more, "proxies": {"otce": {"reference": ["other", "more"]}, "linear": {}}}
    _, _, jobs, _ = plan(parse(both))
    used = {(job.task.name, job.reference.name) for job in jobs if job.settings.get("proxy") == "otce"}
    assert used == {("first", "other"), ("other", "other"), ("texts", "more"), ("more", "more")}
    with pytest.raises(ConfigError, match=r"proxies\.otce\.reference must be a task of the sweep, got 'othr'"):
        plan(parse(both | {"proxies": {"otce": {"reference": ["othr"]}, "linear": {}}}))


def test_settings_of_the_other_modality_change_no_job(mixed):
    def ids(change):
        config = parse(mixed | change)
        models, tasks, *_ = plan(config)
        return {job.id: job.task.modality for job in measurements(config, models, tasks)}

    before = ids({})
    for change, kind in (
        ({"embed": mixed["embed"] | {"pooling": "mean"}}, "text"),
        ({"embed": mixed["embed"] | {"image_size": 8}}, "image"),
        ({"finetune": mixed["finetune"] | {"momentum": 0.5}}, "image"),
        ({"finetune": mixed["finetune"] | {"text": {"learning_rates": [1e-2], "steps": 6, "warmup": 0.5}}}, "text"),
    ):
        after = ids(change)
        assert {before[job] for job in before.keys() - after.keys()} == {kind}
        assert {after[job] for job in after.keys() - before.keys()} <= {kind}


def test_the_recipe_of_texts_is_the_field_s():
    recipe = FineTune(steps=100, repeats=3, evaluations=2).recipe("text")
    assert (recipe.learning_rates, recipe.repeats) == ((1e-5, 2e-5, 5e-5), 3)
    assert recipe.settings == {"optimiser": "adamw", "steps": 100, "batch": 32, "evaluations": 2, "warmup": 0.1,
                               "schedule": "linear", "weight_decay": 0.01}  # fmt: skip
    images = FineTune().recipe("image")
    assert set(images.settings) == {"steps", "batch", "momentum", "schedule", "evaluations"}


SETTINGS = {"optimiser": "adamw", "steps": 8, "batch": 8, "weight_decay": 0.01, "warmup": 0.25, "schedule": "linear",
            "evaluations": 2, "repeat": 0, "seed": 5, "learning_rate": 1e-2, "origin": "grid"}  # fmt: skip


@pytest.fixture
def scene(tmp_path):
    """A model whose dropout is off, so that a bare loop need not draw the same numbers; and a task."""
    path = language.folder(tmp_path / "bert", "bert")
    config = transformers.BertConfig.from_pretrained(path)
    config.hidden_dropout_prob = config.attention_probs_dropout_prob = 0.0
    config.save_pretrained(path)
    model = resolve_entry(ModelEntry(name="bert", source=f"transformers:{path}"))
    file = language.jsonl(tmp_path / "t.jsonl", 90)
    return (
        path,
        model,
        from_texts(TaskEntry(name="t", path=str(file), text="text"), seed=0),
        Context(tmp_path / "cache"),
    )


def bare_loop(path, task):
    """Plain PyTorch and transformers, as anyone would write it."""
    trunk, words = transformers.AutoModel.from_pretrained(path), transformers.AutoTokenizer.from_pretrained(path)
    head = torch.nn.Linear(16, len(task.classes))
    torch.nn.init.zeros_(head.weight)
    torch.nn.init.zeros_(head.bias)
    every = [*trunk.parameters(), *head.parameters()]
    groups = [{"params": [p for p in every if p.ndim > 1]}, {"params": [p for p in every if p.ndim == 1],
                                                              "weight_decay": 0.0}]  # fmt: skip
    optimiser = torch.optim.AdamW(groups, lr=1e-2, weight_decay=0.01)
    schedule = transformers.get_linear_schedule_with_warmup(optimiser, 2, 8)

    def logits(texts):
        batch = words(texts, padding="longest", return_tensors="pt", return_token_type_ids=False)
        hidden, mask = trunk(**batch).last_hidden_state, batch["attention_mask"].unsqueeze(2)
        return head((hidden * mask).sum(1) / mask.sum(1))

    train, test = split_of(task, "train"), split_of(task, "test")
    for index in batch_stream(len(train.texts), 8, 8, 5):
        trunk.train()
        optimiser.zero_grad()
        F.cross_entropy(logits([train.texts[i] for i in index]), torch.as_tensor(train.labels[index])).backward()
        optimiser.step()
        schedule.step()
    trunk.eval()
    with torch.inference_mode():
        answers = logits(test.texts)
    return (answers.argmax(1).numpy() == test.labels).mean(), answers


def test_finetuning_equals_a_bare_loop(scene):
    path, model, task, context = scene
    row = finetune.run(Job("finetune", 1, model, task, SETTINGS), context)["runs"][0]
    accuracy, answers = bare_loop(path, task)
    assert row["test_accuracy"] == pytest.approx(accuracy, abs=1e-9)
    assert row["status"] == "ok"
    assert [point["step"] for point in row["curve"]] == [4, 8]
    tuned = context._model[1]
    examples = tuned.examples(task, "test", context.cache)
    with torch.inference_mode():
        assert torch.allclose(tuned.logits(examples[:]), answers, atol=1e-4)


def test_fine_tuning_learns(scene):
    _, model, task, context = scene
    row = finetune.run(Job("finetune", 1, model, task, SETTINGS | {"steps": 60, "batch": 16}), context)["runs"][0]
    assert row["curve"][-1]["train_loss"] < 0.5  # nats; three classes start at 1.1


def test_the_same_job_gives_the_same_row_with_dropout(tmp_path, scene):
    _, _, task, context = scene
    model = resolve_entry(ModelEntry(name="m", source=f"transformers:{language.folder(tmp_path / 'd', 'distilbert')}"))
    job = Job("finetune", 1, model, task, SETTINGS)
    rows = [finetune.run(job, where)["runs"][0] for where in (context, context, Context(context.cache))]
    assert all({key: row[key] for key in ("curve", "test_accuracy")} ==
               {key: rows[0][key] for key in ("curve", "test_accuracy")} for row in rows)  # fmt: skip


def test_early_stopping_trains_by_the_recipe_of_texts(scene):
    _, model, task, context = scene
    settings = {"optimiser": "adamw", "weight_decay": 0.01, "learning_rates": [1e-2], "steps": 3, "batch": 8,
                "repeats": 1, "seed": 2}  # fmt: skip
    value = early.run(Job("early", 1, model, task, settings), context)["scores"][0]["value"]
    one = SETTINGS | {"steps": 3, "evaluations": 1, "schedule": "constant", "seed": 2000}
    assert value == finetune.run(Job("finetune", 1, model, task, one), context)["runs"][0]["val_accuracy"]


def test_epochs_are_passes_over_the_task(mixed):
    text = {"learning_rates": [1e-2], "epochs": 3, "batch": 32}
    config = parse(mixed | {"finetune": mixed["finetune"] | {"text": text}})
    _, tasks, jobs, _ = plan(config)
    sizes = {task.name: task.sizes["train"] for task in tasks}
    steps = {job.task.name: job.settings["steps"] for job in jobs if job.kind == "finetune"}
    assert sizes["texts"] == 36
    assert steps == {"first": mixed["finetune"]["steps"], "texts": 3 * 2}
    assert not any("epochs" in job.settings for job in jobs)
    with pytest.raises(ConfigError, match="steps and epochs must not both be given, got 5 and 3"):
        parse(mixed | {"finetune": mixed["finetune"] | {"text": text | {"steps": 5}}})


def test_a_trial_whose_model_cannot_be_prepared_is_a_failed_row(tmp_path, scene):
    _, _, task, _ = scene
    worker = Worker(Setup(tmp_path))
    outcome = worker.advance(Job("trial", 1, Model("m", "nonsense:x", modality="text"), task, SETTINGS))
    assert not outcome.ok
    assert outcome.job["error_type"] == "KeyError"


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_adamw_is_torch_s_bit_for_bit(decay):
    torch.manual_seed(0)
    ours, theirs = torch.nn.Linear(5, 3), torch.nn.Linear(5, 3)
    theirs.load_state_dict(ours.state_dict())
    mine = AdamW(list(ours.parameters()), decay)
    groups = [{"params": [theirs.weight]}, {"params": [theirs.bias], "weight_decay": 0.0}]
    plain = torch.optim.AdamW(groups, lr=0.1, weight_decay=decay, foreach=False)
    for rate in (0.3, 0.1, 0.1, 0.01):
        batch = torch.randn(7, 5)
        for module in (ours, theirs):
            module.zero_grad()
            module(batch).square().sum().backward()
        for group in plain.param_groups:
            group["lr"] = rate
        mine.step(rate)
        plain.step()
    assert all(torch.equal(one, two) for one, two in zip(ours.parameters(), theirs.parameters(), strict=True))


def test_the_linear_schedule_is_transformers():
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.SGD([parameter], lr=0.5)
    schedule = transformers.get_linear_schedule_with_warmup(optimiser, 3, 10)
    settings = {"learning_rate": 0.5, "steps": 10, "warmup": 0.25, "schedule": "linear"}
    for step in range(10):
        assert learning_rate_at(step, settings) == pytest.approx(optimiser.param_groups[0]["lr"], abs=1e-12)
        optimiser.step()
        schedule.step()
    assert learning_rate_at(7, settings | {"schedule": "constant"}) == 0.5


def test_a_pattern_may_match_models_that_meet_no_task_but_a_name_may_not():
    of = {"name": "x", "tasks": ["mini/digits"], "finetune": None}
    models, _, jobs, _ = plan(parse({**of, "models": ["mini_*"]}))
    assert {model.modality for model in models} == {job.model.modality for job in jobs} == {"image"}
    with pytest.raises(ConfigError, match=r"must meet a task, got 'mini_gpt2_bpe\.clm', which reads texts"):
        plan(parse({**of, "models": ["mini_gpt2_bpe.clm"]}))

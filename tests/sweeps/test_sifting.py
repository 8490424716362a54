"""Halving over parts of the data: the same best models, fewer forward passes; nested parts; the same after a kill."""

import functools
import shutil
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from sweeps import sifting
from sweeps.cli import app
from sweeps.config import parse
from sweeps.errors import ConfigError
from sweeps.hands import How
from sweeps.jobs.context import Context
from sweeps.jobs.embed import forward, seen
from sweeps.outlook import outlook
from sweeps.plan import measurements
from sweeps.ranking import prepare, rank
from sweeps.settings import ModelEntry, TaskEntry
from sweeps.sifting import Sieve
from sweeps.sql import query
from sweeps.store import Store
from sweeps.tasks.registry import from_images, from_texts
from sweeps.tasks.splits import leading
from sweeps.types import Model, Task
from sweeps.watch import standing
from sweeps.zoo.registry import resolve_entry
from sweeps.zoo.vision import VisionModel
from tests.conftest import DOUBLES, draw_folder
from tests.doubles import language
from tests.doubles.same import same_tables

INLINE = How(executor="inline")
WIDTHS = range(2, 14)
SMALL = ["embed.image_size=16", "finetune.steps=6", "finetune.batch=8", "proxies.linear.steps=60"]
MEASURED = ("features", "sifted", "scores", "runs", "checkpoints")


def colours(folder, number):
    """Four classes of noise, three brighter in a channel, as arrays that are split from the seed: 0.6, 0.15, 0.25."""
    random, labels = np.random.default_rng(0), np.arange(number) % 4
    images = random.integers(0, 150, (number, 16, 16, 3)).astype(np.uint8)
    lit = labels < 3
    images[lit, :, :, labels[lit]] += 20
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "data.npz", images=images, labels=labels)
    return folder / "data.npz"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """480 + 120 + 200 images and twelve models of random weights."""
    folder = tmp_path_factory.mktemp("sift")
    colours(folder, 800)
    (folder / "zoo.toml").write_text("\n".join(
        f'[[model]]\nname = "tiny_{width}"\nsource = "factory:tiny:build"\npath = "{DOUBLES}"\nparameters = {width}\n'
        f"args = {{width = {width}}}\nupstream_accuracy = {1 - width / 100}" for width in WIDTHS))  # fmt: skip
    return folder


def ranked(place, out, *more, how=INLINE):
    return rank(place / "data.npz", str(place / "zoo.toml"), out=out, overrides=[*SMALL, *more], how=how)


@pytest.fixture(scope="module")
def plain(place):
    return ranked(place, place / "plain", "embed.halving=false")


@pytest.fixture(scope="module")
def halved(place):
    return ranked(place, place / "halved", "embed.halving=true")


def test_few_are_measured_and_the_same_model_wins(plain, halved):
    assert "sift" not in plain.ran
    assert halved.ran["sift"] == 12 + 6
    assert halved.ran["embed"] == 4
    assert halved.winner.model == plain.winner.model
    assert [each.model for each in halved.picks] == [each.model for each in plain.picks]
    assert halved.seconds["sift"] > 0
    whole = {each.model: each.scores for each in plain.ranking}
    assert all(each.scores == pytest.approx(whole[each.model], rel=1e-3) for each in halved.ranking[:4])


def test_the_dropped_stand_behind_with_the_reason(halved, place):
    rows = {(row["model"], row["examples"]): row["value"] for row in Store(place / "halved").rows("sifted")}
    assert {each.model for each in halved.ranking} == {f"tiny_{width}" for width in WIDTHS}
    behind = halved.ranking[4:]
    for each, examples in zip(behind, [240] * 2 + [120] * 6, strict=True):
        assert each.reason == f"dropped after {examples} examples: linear {rows[each.model, examples]:.3f}"
        assert each.scores == {"linear": rows[each.model, examples]}
    for part in (behind[:2], behind[2:]):
        assert [each.scores["linear"] for each in part] == sorted(
            (each.scores["linear"] for each in part), reverse=True
        )
    assert any("8 models dropped before all examples of data were looked at" in note for note in halved.notes)
    assert not any("no score" in note or "not scored" in note for note in halved.notes)
    page = (place / "halved" / "report.html").read_text()
    assert f"{behind[0].model} after 240 (linear {behind[0].scores['linear']:.3f})" in page
    assert halved.ranking[0].model == "tiny_2", "the agnostic pick, whatever the data say"
    assert halved.ranking[0].scores["linear"] < min(each.scores["linear"] for each in behind[:2])


def test_no_example_passes_a_model_twice(place, monkeypatch, tmp_path):
    """Twelve models meet 120 of 480 examples (and 30 of 120), six of them as many again, four of those the rest."""
    passed, embed = Counter(), VisionModel.embed

    @functools.wraps(embed)
    def counted(model, inputs):
        passed[model.parameters] += len(inputs)
        return embed(model, inputs)

    monkeypatch.setattr(VisionModel, "embed", counted)
    answer = ranked(place, tmp_path / "out", "embed.halving=true", "finetune.budget=2")
    assert sorted(passed.values()) == sorted([120 + 30] * 6 + [240 + 60] * 2 + [480 + 120] * 4)
    store = Store(answer.out)
    reused = Counter((row["examples"], row["reused"]) for row in store.rows("sifted"))
    assert reused == {(120, 0): 12, (240, 120 + 30): 6}
    assert [row["reused"] for row in store.rows("features")] == [240 + 60] * 4


@given(sizes=st.lists(st.integers(1, 40), min_size=1, max_size=8), seed=st.integers(0, 9), data=st.data())
def test_parts_are_nested_and_hold_every_class_in_proportion(sizes, seed, data):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    counts = sorted(data.draw(st.lists(st.integers(len(sizes), len(labels)), min_size=2, max_size=2)))
    small, large = (leading(labels, count, seed, "train") for count in counts)
    assert len(small) == counts[0]
    assert set(small.tolist()) <= set(large.tolist()) <= set(range(len(labels)))
    assert (np.diff(small) > 0).all()
    found = np.bincount(labels[small], minlength=len(sizes))
    assert found.all()
    # Of each class the same share, but for the one example that each has first and the next in turn.
    # The next example of a class comes only when as large a share of every other was there.
    share = found / np.array(sizes)
    assert all(share[one] - 1 / sizes[one] <= share[other] + 1e-9 for one in range(len(sizes)) for other in
               range(len(sizes)))  # fmt: skip


def test_another_seed_and_another_split_draw_other_examples():
    labels = np.arange(200) % 4
    drawn = [tuple(leading(labels, 20, seed, split)) for seed in (0, 1) for split in ("train", "val")]
    assert len(set(drawn)) == 4


def models_of(number):
    return [Model(f"m{index:02}", f"timm:m{index}", parameters=1000 * (index + 1), upstream_accuracy=0.5)
            for index in range(number)]  # fmt: skip


def sweep(embed, **changes):
    changes = {"finetune": {"models": "linear", "budget": 2}, "proxies": {"linear": {}, "knn": {}}} | changes
    return parse({"name": "x", "models": ["m*"], "tasks": ["t"], "embed": embed, **changes})


def images(train=800, val=200, classes=4):
    names = tuple(f"c{index}" for index in range(classes))
    return Task("t", "path:/t", names, {"train": train, "val": val, "test": 100}, "r")


def test_the_cap_changes_no_job_that_it_does_not_bite():
    free, task = measurements(sweep({}), models_of(3), [images()]), images()
    for bound, number in ((800, 0), (20_000, 0), (799, 9)):  # the embeddings, and two scores each
        capped = measurements(sweep({"examples": bound}), models_of(3), [task])
        assert len({job.id for job in capped} ^ {job.id for job in free}) == 2 * number
    (embed, *_) = measurements(sweep({"examples": 400}), models_of(1), [task])
    assert (embed.settings["examples"], embed.settings["seed"]) == (400, 0)
    grid = {"models": "all", "steps": 10, "repeats": 1}
    tuned = [{job.id for job in measurements(sweep({"examples": examples}, finetune=grid), models_of(2), [task])
              if job.kind == "finetune"} for examples in (None, 400)]  # fmt: skip
    assert tuned[0] == tuned[1], "fine-tuning reads everything"
    with pytest.raises(ConfigError, match="must be at least the classes of task 't' \\(4\\), got 3"):
        measurements(sweep({"examples": 3}), models_of(1), [task])


def test_the_rounds_double_until_few_are_left():
    sieve = Sieve(sweep({"reuse": True, "halving": True, "examples": 20_000}), models_of(46), images(50_000, 10_000))
    assert [(turn.models, turn.stop) for turn in sieve.plan.rounds] == [
        (46, 1250), (23, 2500), (12, 5000), (6, 10_000), (4, 20_000)]  # fmt: skip
    assert sifting.shown(sieve) == (
        "models by examples of t: 46 on 1,250, 23 on 2,500, 12 on 5,000, 6 on 10,000; then 4 are measured on 20,000"
    )
    first, costs = sieve.jobs()[0], []
    assert first.settings["embed"] == {"batch": None, "image_size": None, "reuse": True, "examples": 1250, "seed": 0}
    while sieve.going:
        jobs = sieve.jobs()
        costs.append(next(job.cost for job in jobs if job.model.name == "m45") - 0.05 - 0.02 - 2.0)
        sieve.drop([{"job": job.id, "model": job.model.name, "task": "t", "proxy": "linear", "seconds": 0.1,
                     "value": int(job.model.name[1:]) / 100} for job in jobs])  # fmt: skip
    assert [model.name for model in sieve.alive] == ["m45", "m44", "m43", "m42"]
    assert [gone.model for gone in sieve.dropped] == [f"m{index:02}" for index in range(41, -1, -1)]
    assert np.array(costs) / costs[0] == pytest.approx([1, 1, 2, 4], rel=1e-2), "each embeds only what is new"


def test_a_model_whose_look_failed_is_out():
    sieve = Sieve(sweep({"reuse": True, "halving": True}), models_of(8), images())
    rows = [{"job": job.id, "model": job.model.name, "task": "t", "proxy": "linear", "seconds": 0.1, "value": 0.5}
            for job in sieve.jobs()]  # fmt: skip
    sieve.drop([row for row in rows if row["model"] not in ("m00", "m01")])
    assert [model.name for model in sieve.alive] == ["m02", "m03", "m04", "m05"]
    assert [gone.model for gone in sieve.dropped] == ["m06", "m07"]
    nobody = Sieve(sweep({"reuse": True, "halving": True}), models_of(8), images())
    nobody.drop([])
    assert not nobody.alive


def test_a_run_that_ended_early_is_told_as_it_went():
    """Two of twelve were not looked at for want of time; of a run that may go on nothing is known of the rest."""
    config, models, task = sweep({"reuse": True, "halving": True}), models_of(12), images()
    sieve, rows = Sieve(config, models, task), []
    while sieve.going:
        met = [job for job in sieve.jobs() if job.model.name > "m01"]
        rows += [{"job": job.id, "model": job.model.name, "task": "t", "proxy": "linear", "seconds": 0.1,
                  "value": int(job.model.name[1:]) / 100} for job in met]  # fmt: skip
        sieve.drop(rows)
    (over,), looks = sifting.told(config, models, [task], rows)
    assert [gone.model for gone in over.dropped] == ["m07", "m06", "m05", "m04", "m03", "m02"]
    assert [model.name for model in over.alive] == ["m11", "m10", "m09", "m08"]
    assert len(looks) == 12 + 6
    (guessed,), looks = sifting.told(config, models, [task], rows, {row["job"]: "ok" for row in rows})
    assert not guessed.dropped
    assert (len(guessed.alive), len(looks)) == (4, 12 + 6)


def test_a_failed_look_is_told(place, tmp_path):
    zoo = tmp_path / "zoo.toml"
    zoo.write_text((place / "zoo.toml").read_text() + f'\n[[model]]\nname = "bad"\nsource = "factory:tiny:broken"\n'
                   f'path = "{DOUBLES}"\nparameters = 9\n')  # fmt: skip
    answer = rank(place / "data.npz", str(zoo), out=tmp_path / "out", finetune=False, how=INLINE,
                  overrides=[*SMALL[:1], SMALL[-1], "embed.halving=true"])  # fmt: skip
    (failure,) = answer.failures
    assert failure.startswith("sift bad on data:")
    assert answer.ran["embed"] == 4
    assert any("not scored" in note and "bad" in note for note in answer.notes)


def test_a_proxy_that_needs_more_examples_says_so(place, tmp_path):
    """A vote of 130 neighbours cannot be had of the first 120 examples: nobody is better, and names decide."""
    answer = rank(place / "data.npz", str(place / "zoo.toml"), out=tmp_path, finetune=False, how=INLINE, strategy="knn",
                  overrides=[*SMALL[:1], SMALL[-1], "embed.halving=true", "proxies.knn.k=130"])  # fmt: skip
    assert not answer.failures
    reasons = {row["reason"] for row in Store(tmp_path).rows("sifted") if row["examples"] == 120}
    assert reasons == {"knn needs at least k=130 training examples, got 120"}
    assert {each.reason for each in answer.ranking[-6:]} == {"dropped after 120 examples: knn unknown"}
    assert [each.model for each in answer.ranking[-6:]] == sorted(f"tiny_{width}" for width in WIDTHS)[6:]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"embed": {"halving": True}}, "halving must come with reuse = true"),
        ({"embed": {"halving": True, "reuse": True, "layers": "best"}}, "layers other than"),
        ({"finetune": {"models": "all"}}, "must come with a strategy as finetune.models"),
        ({"finetune": {"models": "agnostic"}}, "needs a strategy that reads proxies, got 'agnostic'"),
        (
            {"finetune": {"models": "otce"}, "proxies": {"linear": {}, "knn": {}, "otce": {"reference": "t"}}},
            "needs proxies of the features of one task, got 'otce'",
        ),
        ({"head2toe": {}, "finetune": None}, "must come without \\[head2toe\\]"),
    ],
)
def test_what_cannot_be_sifted_is_refused(changes, says):
    with pytest.raises(ConfigError, match=says):
        sifting.check(sweep(**{"embed": {"halving": True, "reuse": True}} | changes))


def test_a_task_too_small_to_be_halved_is_refused():
    config = sweep({"reuse": True, "halving": True})
    with pytest.raises(ConfigError, match="must look at every class, task 't' has 30, and its first part 25 examples"):
        sifting.sieves(config, models_of(8), [images(50, 10, 30)])
    with pytest.raises(ConfigError, match="has 4, and its first part 0 examples"):
        sifting.sieves(config, models_of(46), [images(10, 4)])
    assert sifting.advised(config, models_of(46), images(10, 4), 1000) == (
        False, "no halving over parts of the data: the first would be 0 examples, under 1,000")  # fmt: skip
    texts = replace(images(), modality="text")
    assert not sifting.sieves(config, models_of(46), [texts]), "no model reads it"
    assert not sifting.sieves(config, models_of(4), [images(10, 4)]), "all four are measured"


def test_rank_halves_where_it_pays(place, tmp_path):
    ready = prepare(place / "data.npz", str(place / "zoo.toml"))
    assert not ready.config.embed.halving
    assert ready.halving == "no halving over parts of the data: the first would be 120 examples, under 1,000"
    assert ready.config.embed.examples == 20_000
    many = images(8000, 2000)
    config = ready.config
    slow = [replace(model, parameters=4_000_000) for model in ready.planned[0]]
    assert sifting.advised(config, slow, many, 1000)[0]
    assert "halving pays: at most" in sifting.advised(config, slow, many, 1000)[1]
    fast = [replace(model, parameters=1000, input_size=16) for model in ready.planned[0]]
    probes = config.model_copy(update={"proxies": {"linear": {"steps": 50_000}}})
    assert sifting.advised(probes, fast, many, 1000)[1].startswith("over parts of the data halving does not pay")
    for models, says in ((slow[:4], "4 models are few enough"), ([], "nothing embedded is taken up again")):
        assert says in sifting.advised(config, models, many, 1000)[1]
    words = ["rank", str(place / "data.npz"), "--zoo", str(place / "zoo.toml"), "--dry-run", "--out", str(tmp_path)]
    assert "no halving over parts" in CliRunner().invoke(app, words).output
    told = CliRunner().invoke(app, [*words, "--set", "embed.halving=true", "--set", "embed.examples=400"]).output
    assert "models by examples of data: 12 on 100, 6 on 200; then 4 are measured on 400" in told
    assert "models are looked at on 400 of 480 training examples of data" in told.replace("\n", " ")


def test_the_plan_the_status_and_sql_know_of_it(place, halved):
    ready = prepare(place / "data.npz", str(place / "zoo.toml"), overrides=[*SMALL, "embed.halving=true"])
    before = outlook(ready.config, place / "nowhere", ready.planned)
    assert {kind: counts[:2] for kind, counts in before.kinds.items() if kind != "score"} == {
        "sift": (18, 0), "embed": (4, 0)}  # fmt: skip
    after = outlook(ready.config, place / "halved", ready.planned)
    assert {kind: counts[0] - counts[1] for kind, counts in after.kinds.items()} == {"sift": 0, "embed": 0, "score": 0}
    stages = {(stage, kind): (planned, done) for stage, kind, planned, done, *_ in standing(place / "halved").stages}
    assert stages["sift", "sift"] == (18, 18)
    assert stages["measure", "embed"] == (4, 4)
    found = query(place / "halved", "select examples, count(*) as models from sifted group by 1 order by 1")
    assert found.to_pylist() == [{"examples": 120, "models": 12}, {"examples": 240, "models": 6}]


def test_the_head_is_fitted_on_what_was_embedded(place, tmp_path):
    answer = ranked(place, tmp_path / "out", "embed.examples=400")
    assert "ranked on 400 of 480 training examples; fine-tuning reads all" in answer.notes
    assert answer.ran["head"] == 1
    store = Store(tmp_path / "out")
    assert {(row["train"], row["val"]) for row in store.rows("features")} == {(400, 100)}
    assert {row["status"] for row in store.rows("runs") if row["origin"] == "head"} == {"ok"}


def test_a_kill_between_rounds_is_finished_to_the_same(place, halved, tmp_path):
    whole = Store(place / "halved")
    rows = {row["job"]: row for row in whole.rows("sifted")}
    for number, examples in enumerate((120, 240)):
        out = tmp_path / str(examples)
        shutil.copytree(place / "halved", out)
        lost = [job for job, row in rows.items() if row["examples"] >= examples][number:]
        lost += [row["job"] for row in whole.rows("jobs") if row["kind"] != "sift"]
        for table in ("jobs", *MEASURED):  # as if nobody had written them; features of the lost are not there either
            kept = [row for row in whole.rows(table) if row["job"] not in lost]
            shutil.rmtree(out / "tables" / table)
            (out / "tables" / table).mkdir()
            for job in {row["job"] for row in kept}:
                Store(out).write(table, job, [row for row in kept if row["job"] == job])
        shutil.rmtree(out / "checkpoints")
        again = ranked(place, out, "embed.halving=true")
        assert again.ran["sift"] == len([job for job in lost if job in rows])
        assert again.ran["embed"] == 4
        assert not same_tables(whole, Store(out), MEASURED)
        assert again.ranking == halved.ranking


@pytest.mark.ray
@pytest.mark.slow
def test_two_workers_find_the_same(place, halved, tmp_path):
    answer = ranked(place, tmp_path / "out", "embed.halving=true", how=How(workers=2))
    assert not same_tables(Store(place / "halved"), Store(tmp_path / "out"), MEASURED)
    assert answer.ranking == halved.ranking


@pytest.mark.parametrize("what", ["images", "texts"])
def test_a_part_is_read_as_the_whole_is(tmp_path, what):
    """Features, labels and digests of a part are those rows of the whole; texts still come by falling length."""
    if what == "images":
        task = from_images(TaskEntry(name="t", path=str(draw_folder(tmp_path / "t"))), seed=0)
        entry = ModelEntry(name="m", source="factory:tiny:build", path=str(DOUBLES))
        settings = {"image_size": 16}
    else:
        task = from_texts(TaskEntry(name="t", path=str(language.jsonl(tmp_path / "t.jsonl", 60)), text="text"), seed=0)
        entry = ModelEntry(name="m", source=f"transformers:{language.folder(tmp_path / 'bert', 'bert')}")
        settings = {"max_tokens": 32}
    context = Context(tmp_path / "cache")
    loaded = context.model(resolve_entry(entry), classes=None, settings=settings)
    whole = context.examples(task, "train", loaded)
    part = seen(whole, "train", {"examples": 10, "seed": 3})
    assert seen(whole, "train", {"examples": len(whole), "seed": 3}) is whole
    assert seen(whole, "train", {}) is whole
    assert len(part) == 10
    assert torch.equal(part.labels, whole.labels[part.rows])
    assert torch.equal(part.digests(), whole.digests()[part.rows])
    met = [row for chosen in part.batches(4) for row in torch.arange(10)[chosen].tolist()]
    assert sorted(met) == list(range(10))
    if what == "texts":
        lengths = whole.tokens.lengths[part.rows[met].numpy()]
        assert (np.diff(lengths) <= 0).all()
    features = [forward(loaded, examples, 4)[0] for examples in (part, whole)]
    assert torch.allclose(features[0], features[1][part.rows], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_with_eight_thousand_images_it_halves_unasked(place, tmp_path):
    data, zoo = colours(tmp_path, 13_336), str(place / "zoo.toml")
    ready = prepare(data, zoo, finetune=False)
    assert ready.config.embed.halving
    assert "halving pays" in ready.halving
    found = [rank(data, zoo, finetune=False, out=tmp_path / str(number), overrides=[*SMALL[:1], SMALL[-1], *more],
                  how=INLINE) for number, more in enumerate(([], ["embed.halving=false"]))]  # fmt: skip
    assert [answer.ran.get("sift") for answer in found] == [12 + 6, None]
    assert [each.model for each in found[0].ranking[:2]] == [each.model for each in found[1].ranking[:2]]
    assert [answer.ran["embed"] for answer in found] == [4, 12]

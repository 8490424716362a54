# Which model should I fine-tune? `make sweep` answers it on the embedded zoo; `make test` checks the system.
SWEEP   ?= ray_configs/sweeps/mini.toml
OUT     ?= out/$(basename $(notdir $(SWEEP)))
ADDRESS ?=
WORKERS ?=
WANDB   ?= off
ARGS    ?=
CLUSTER ?= machine

RATIOS  := embed finetune workers linear_heads proxies bound head2toe regret text mirror simulate
PYTHON  := .venv/bin/python
READY   := .venv/.ready
SWEEPS  := .venv/bin/sweeps
OPTIONS := --out $(OUT) --wandb $(WANDB) $(if $(ADDRESS),--address $(ADDRESS)) $(if $(WORKERS),--workers $(WORKERS)) $(ARGS)

.DEFAULT_GOAL := help
.PHONY: help setup sweep plan status report test chaos lint type check bench zoo truth clean validate-configs \
        cluster-image cluster-up cluster-submit cluster-status cluster-logs cluster-down

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 18
	@echo; echo "make sweep SWEEP=file.toml OUT=dir ADDRESS=auto WORKERS=2 WANDB=offline"

setup: $(READY)  ## make .venv with the locked packages (about a minute, 6 GB)

$(READY): requirements.lock pyproject.toml
	@python3 -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else f"Python 3.11 to 3.13 is needed, got {v[0]}.{v[1]}")'
	@test -x $(PYTHON) || python3 -m venv .venv
	@echo 'setting up .venv with the locked packages: about a minute, 6 GB'
	@.venv/bin/pip install --quiet --disable-pip-version-check uv
	@.venv/bin/uv pip sync --quiet --python $(PYTHON) requirements.lock
	@.venv/bin/uv pip install --quiet --python $(PYTHON) --no-deps --no-build-isolation --editable .
	@touch $(READY)

sweep: $(READY)  ## run a sweep (the embedded zoo by default) and show the ranked answer; again: does what is missing
	$(SWEEPS) run $(SWEEP) $(OPTIONS)

plan: $(READY)  ## what `make sweep` would do: jobs, seconds, disk
	$(SWEEPS) plan $(SWEEP) --out $(OUT)

status: $(READY)  ## how far it is
	$(SWEEPS) status --out $(OUT)

report: $(READY)  ## rewrite the HTML report and the summary from the tables
	$(SWEEPS) report --out $(OUT) --wandb $(WANDB)

test: $(READY)  ## the whole test suite
	$(PYTHON) -m pytest

chaos: $(READY)  ## 200 sweeps under fire: killed drivers, workers, nodes, failing disks and stores (half an hour)
	$(PYTHON) -m tests.chaos 0 199

lint: $(READY)  ## ruff, and the import directions
	.venv/bin/ruff check . && .venv/bin/ruff format --check . && .venv/bin/lint-imports

type: $(READY)  ## mypy
	.venv/bin/mypy

check: lint type test  ## what CI runs

bench: $(READY)  ## ratios against bare loops, printed side by side
	for name in $(RATIOS); do echo "== $$name"; $(PYTHON) benchmarks/$$name.py || exit 1; done

zoo: $(READY)  ## pre-train the embedded zoo from its seeds into out/zoo
	$(SWEEPS) zoo pretrain --out out/zoo $(if $(ADDRESS),--address $(ADDRESS)) $(if $(WORKERS),--workers $(WORKERS))

truth: $(READY)  ## fine-tune every embedded model on every embedded task, and pack the tables that are shipped
	$(SWEEPS) run ray_configs/sweeps/mini46_full.toml --out out/truth $(if $(ADDRESS),--address $(ADDRESS)) $(if $(WORKERS),--workers $(WORKERS))
	$(PYTHON) -m sweeps.truth out/truth

# On a cluster: CLUSTER is machine, onprem, aws, gcp, kuberay, rayjob or slurm; IMAGE, PROJECT, SWEEP, OUT, WORKERS, GPUS.
CLUSTER_SH = $(foreach name,IMAGE PROJECT WORKERS GPUS ARGS,$(if $($(name)),$(name)='$($(name))')) SWEEP='$(SWEEP)' \
             OUT='$(if $(filter file,$(origin OUT)),$(if $(filter machine,$(CLUSTER)),$(OUT),/mnt/sweeps/$(basename $(notdir $(SWEEP)))),$(OUT))' \
             ray_configs/cluster/cluster.sh

cluster-image:  ## build and push the one image of every cluster: IMAGE=registry/sweeps:0.1.0
	docker build --file ray_configs/cluster/Dockerfile --tag $(IMAGE) . && docker push $(IMAGE)

cluster-up cluster-submit cluster-status cluster-logs cluster-down: $(READY)
	$(CLUSTER_SH) $(@:cluster-%=%) $(CLUSTER)

cluster-up:  ## start a cluster, CLUSTER=aws; then cluster-submit, -status, -logs, -down: docs/cluster.md

validate-configs: $(READY)  ## cluster files against Ray's and KubeRay's schemas, and against each other
	$(PYTHON) -m pytest tests/test_cluster_configs.py

clean:  ## remove results and caches, keep .venv
	rm -rf out build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

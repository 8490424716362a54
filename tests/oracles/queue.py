"""Which job a free worker takes: every rule looked up afresh over all jobs."""


def chain(name, jobs):
    """Seconds of a job and of the longest chain of jobs after it."""
    return jobs[name].cost + max((chain(other, jobs) for other, job in jobs.items() if name in job.needs), default=0.0)


def next_job(worker, ready, untaken, holders, jobs):
    """``holders``: worker -> model, of all workers that ever asked; ``untaken`` jobs are in nobody's hands."""
    length, name = max(((chain(name, jobs), name) for name in ready), key=lambda each: (each[0], _reverse(each[1])))
    if length * (len({*holders, worker}) - 1) > 0.5 * sum(jobs[name].cost for name in untaken):
        return name
    models = {jobs[name].model.name for name in ready}
    crowd = {model: list(holders.values()).count(model) for model in models}
    work = {model: sum(jobs[n].cost for n in ready if jobs[n].model.name == model) for model in models}
    best = max(models, key=lambda model: (not crowd[model], work[model] / (1 + crowd[model]), model))
    model = holders[worker] if holders.get(worker) in models else best
    mine = [jobs[name] for name in ready if jobs[name].model.name == model]
    return max(mine, key=lambda job: (bool(job.needs), job.task.name if job.needs else "", job.cost, job.id)).id


def _reverse(text):
    return [-ord(letter) for letter in text]

"""Which pre-trained model suits a task: proxies, selection strategies and regret, as pure science.

Arrays in, numbers out. Knows nothing of Ray, files, trackers or particular models, and importing it
loads neither torch nor scipy:

    import taskrel
    print(taskrel.score(features, labels))                     # what the proxies say of one model
    print(taskrel.rank({"a": F1, "b": F2}, labels))            # which of several models, and how sure

* `taskrel.types`: probes, scores, candidates, picks.
* `taskrel.proxies`: `PROXIES`, the table of transferability scores of one model.
* `taskrel.aggregate`, `taskrel.static`: scores relative to a zoo, and scores that cost nothing.
* `taskrel.stats`, `taskrel.rows`: the sums and the one decomposition that the proxies share (torch).
* `taskrel.resampling`: intervals of scores and ranks.
* `taskrel.heads`: linear heads, all learning rates and repeats trained together (torch).
* `taskrel.strategies`: `STRATEGIES`, the table of ways to pick models.
* `taskrel.regret`: what a pick lost against the best model of the pool.
* `taskrel.correlation`: whether a proxy ranks models at all (scipy).
"""

from taskrel.api import rank, score

__all__ = ["rank", "score"]

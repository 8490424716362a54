"""Which pre-trained model suits a task: proxies, selection strategies and regret, as pure science.

Arrays in, numbers out. Knows nothing of Ray, files, trackers or particular models, and importing it
loads nothing: take what you need from its modules.

* `taskrel.types`: probes, scores, candidates, picks.
* `taskrel.proxies`: `PROXIES`, the table of transferability scores.
* `taskrel.heads`: linear heads, all learning rates and repeats trained together (needs torch).
* `taskrel.strategies`: `STRATEGIES`, the table of ways to pick models.
* `taskrel.regret`: what a pick lost against the best model of the pool.
* `taskrel.correlation`: whether a proxy ranks models at all (needs scipy).
"""

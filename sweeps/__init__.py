"""Which pre-trained model should be fine-tuned for a task, with which learning rate, and how sure are we?

The system part: plans, machines, tables. The formulas live in :mod:`taskrel`. In a notebook::

    from sweeps.run import run
    result = run("ray_configs/sweeps/mini.toml", out="out/mini")
    result.answer          # one row per task: model, learning rate, accuracy, regret
    result.sql("select * from scores order by value desc")
"""

__version__ = "0.1.0"

"""`softmining-bench`: trains the methods of a suite side by side, and reports how much sooner one reaches a quality.

In the order in which a benchmark goes through them:

    suite.py         which scenes, methods and seeds are compared; suite_file.py reads it from a file of `configs/`
    results.py       what was measured: one JSON line per measurement
    task.py          one run: its `ns-train` command, parsed
    training.py      trains it with nerfstudio's own trainer, on the clock (clock.py), and measures it (evaluation.py)
    plan.py          all runs of a suite, looked through before the first one starts
    runner.py        trains them, each in a process of its own; continues where it was interrupted (progress.py)
    record.py        what was asked for, and in which sessions: `suite.json` beside the results
    speedup.py       the arithmetic: when a curve reaches a quality, and how much sooner that is
    study.py         that, of all runs in a results folder
    report.py        tables (tables.py) with notes (about.py), plots (plots.py, looks.py), strips of renders (strip.py)
                     and of where the rays went (mined.py)
    sampler_cost.py  what the samplers alone cost, and its plot (sampler_plot.py)
    headroom.py      how much mining could gain on a scene at most, by the errors of a trained model
    cli.py           the command line; environment.py says on which machine; errors.py, what a user can mend
"""

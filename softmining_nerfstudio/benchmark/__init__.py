"""`softmining-bench`: trains the methods of a suite side by side, and reports how much sooner one reaches a quality.

In reading order:

    cli.py               the commands, each a function; errors.py: mistakes that a user can fix
    run/suite.py         scenes, methods and seeds to compare; run/suite_file.py reads them from a file of `configs/`
    results.py           the measurements, one JSON line each
    record.py            `suite.json` beside them: settings and sessions; environment.py describes the machine
    devices.py           the GPUs of this machine, or its processor
    run/command.py       `run`: train and measure a suite, or go on with it
    run/compare.py       `compare`: train on a user's own data and report; run/own_data.py makes the suite
    run/session.py       what both share: train the unfinished runs of a suite
    run/task.py          one run; run/configuration.py: its `ns-train` command, parsed
    run/plan.py          all runs of a suite, checked before the first one starts
    run/runner.py        has the runs trained; run/progress.py shows how far they are, run/live_plot.py their curves
    run/turns.py         whose turn it is on a device
    run/local.py         trains on this machine, each run in a process of its own (run/process.py)
    run/cluster.py       trains on a Ray cluster: its nodes (run/nodes.py), a run on one of them (run/node.py), and what
                         comes back (run/received.py)
    run/training.py      trains one run with nerfstudio's own trainer, on the clock (run/clock.py)
    run/evaluation.py    measures it on held-out pixels and views
    report/command.py    `report`: print and write the report on a results folder
    report/speedup.py    the arithmetic: when a curve reaches a quality, and how much sooner that is
    report/study.py      the finished runs of a results folder, and the numbers that compare them; report/reading.py
                         reads them
    report/verdict.py    a sentence on each scene
    report/devices.py    which device trained what
    report/tables.py     the tables; report/about.py writes the notes beside them
    report/plots.py      the plots; report/looks.py gives each method its colour
    report/strip.py      renders at equal time; report/pictures.py shows the rays and walkers over steps
    report/animation.py  two methods' renders side by side over time; report/budgets.py: trainings of so many minutes
    sampler_cost.py      `sampler`: what the samplers alone cost; sampler_memory.py, sampler_plot.py
    image_cost.py        `images`: what images cost; image_capture.py makes them, image_run.py is one process of it,
                         image_plot.py shows the numbers
    headroom.py          `headroom`: how much mining could gain on a scene at most, by the errors of a trained model
"""

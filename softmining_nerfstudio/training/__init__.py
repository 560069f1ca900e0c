"""nerfstudio's trainer, data manager, model and viewer around mined rays. In reading order:

    datamanager.py       hands out mined rays for training, uniform ones for all else; keeps the miner in checkpoints
    model.py             corrects the loss of any nerfstudio model
    reporting.py         logs, draws and says what the miner does; looking.py: training images to be looked at
    rendering.py         a model's colours, and the error on pixels of a training image

The data, before and while a model trains on it:

    dataset.py           the data set, with errors that name the file; capture.py: what is to be kept of its images
    image_batches.py     the images that rays are drawn from: all, or some that change; rays.py: rays through pixels
    checks.py            what is checked before images are loaded: cameras.py (and lens.py, the circle of a fisheye)
    parsing.py           what a parser's error means; frames.py: what transforms.json must hold
    questions.py         what parsers ask where nobody can answer
    scene_kinds.py       what the data says of the scene, and the settings that follow; objects.py: objects alone
    resolution.py        which pixels a training sees

The trainer, each a nerfstudio Trainer with one concern more:

    resumable.py         whatever ends it, a whole checkpoint stays
    paced.py             counts steps and seconds, cools down, and ends
    trainer.py           all of it, with its configuration
    course.py            how long a training lasts; schedule.py: its learning rates; optimizers.py: its Adam
    checkpoints.py       reads checkpoints; saving.py writes them; random_state.py: what makes them go on alike
    run_folder.py        where a run lies; next_steps.py: what to type when it has ended
    interruption.py      Ctrl-C; flags.py: the flags of a command
    divergence.py        numbers that are not finite; errors.py: mistakes that a user can mend
    company.py           the other processes of a training on several GPUs or machines
    held_out.py          the evaluation of held-out views; perceptual.py: LPIPS that works offline
    terminal.py          the table of numbers in the terminal
    compiled.py          lets a model's hash encodings run compiled loops; threads.py: how many

The web viewer:

    viewer.py            the panel "Soft mining"; figures.py: its plots
    walkers_in_scene.py  the walkers in the scene; viewpoint.py: where the viewer opens
"""

"""nerfstudio's PixelSampler around the miner.

    pixel_sampler.py   the sampler, and the settings that ns-train offers
    batch.py           whole images, prepared once for all the steps that draw from them
    in_flight.py       a batch between its draw and what is learnt from it; ahead.py: the next one, drawn meanwhile
    notices.py         what the sampler tells a person
    history.py         where rays went, for the viewer and TensorBoard
    compiled.py        the miner's two costly lookups, compiled; kernels.py: their loops

That is the reading order.
"""

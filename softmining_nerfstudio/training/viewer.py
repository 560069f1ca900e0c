"""The "Soft mining" panel of nerfstudio's web viewer: the walkers on the training images, and where rays go.

It draws nothing while "Live" is off or nobody is connected. Otherwise it waits long enough between two drawings to keep
their share of the time below SHARE.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import plotly.graph_objects as go
import torch
from jaxtyping import Float
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.viewer.viewer import Viewer
from nerfstudio.viewer.viewer_elements import ViewerControl
from torch import Tensor
from viser import ClientHandle, GuiApi, GuiButtonHandle, GuiEvent, GuiInputHandle

from softmining_nerfstudio.mining.pixels.cells import GRID
from softmining_nerfstudio.mining.walks import Diffusion, Langevin, Walk
from softmining_nerfstudio.sampling.pixel_sampler import SoftMiningPixelSampler, SoftMiningPixelSamplerConfig
from softmining_nerfstudio.training import figures
from softmining_nerfstudio.training.rendering import current_error
from softmining_nerfstudio.training.viewpoint import before_the_scene
from softmining_nerfstudio.training.walkers_in_scene import on_images

SHARE = 0.02
"""Largest share of the time for drawing."""
WALKERS = "/soft_mining/walkers"


NOISE: dict[type[Walk], tuple[str, float, float]] = {
    Langevin: ("Noise, pixels", 32.0, 0.5),
    Diffusion: ("Noise, image sides", 0.25, 0.005),
}
"""Label, end and step of a walk's noise slider."""
HINTS = {
    "Sampling": "uniform turns mining off. The walkers wait, and go on when it is on again.",
    "Noise, pixels": "Standard deviation of a walker's step, in pixels. Larger: walkers search further away.",
    "Noise, image sides": "Standard deviation of a walker's step, in image sides. Larger: walkers search further away.",
    "Respawned share": "Fraction of the walkers that dies at each step and reappears on edges, 0 to 1.",
    "Alpha": "Correction of the loss for how often a ray is drawn. 0: hard mining, 1: importance sampling.",
    "Uniform share": "Fraction of each batch that is drawn uniformly, 0 to 1. Larger revisits easy regions more often.",
    "Re-draw all walkers": "Kill all walkers; new ones start anywhere.",
    "Cool down and finish": "Let the learning rates fall from here on, then save, evaluate and end.",
    "Image": "Number of the training image that the maps below show, in the order of the data.",
}
"""What a control does, by its label."""
Change = Callable[[SoftMiningPixelSamplerConfig, Any], SoftMiningPixelSamplerConfig]
"""What a control makes of the settings, by its new value."""


class MiningPanel(ViewerControl):
    """The viewer finds it among the attributes of the data manager.

    Args:
        sampler: chooses the training rays.
    """

    def __init__(self, sampler: SoftMiningPixelSampler) -> None:
        self.sampler = sampler
        self.history = sampler.history
        self._viewer: Any = None
        self._next_drawing = 0.0

    def _setup(self, viewer: Viewer) -> None:
        """Build the controls that the recipe has; the viewer calls this when it starts."""
        super()._setup(viewer)
        config, gui, trainer = self.sampler.config, viewer.viser_server.gui, getattr(viewer, "trainer", None)
        recipe, corrected = config.recipe, self.sampler.miner.strategy.corrected
        changes: list[tuple[Any, Change]] = []
        with gui.add_folder("Soft mining", expand_by_default=False):
            self.live = gui.add_checkbox("Live", False, hint="Draw walkers and plots, while training goes on, too.")
            kinds = tuple(dict.fromkeys((config.sampling_type, "uniform")))
            self.sampling = gui.add_dropdown("Sampling", kinds, initial_value=kinds[0], hint=HINTS["Sampling"])
            changes.append((self.sampling, lambda config, value: replace(config, sampling_type=value)))
            if recipe.walk is not None:
                label, most, step = NOISE[type(recipe.walk)]
                noise, respawned = recipe.walk.noise, round(recipe.walk.respawn_fraction, 2)
                self.noise = _slider(gui, label, max(most, noise), step, noise)
                self.respawned = _slider(gui, "Respawned share", 1.0, 0.01, respawned)
                changes.append((self.noise, partial(_with_walk, type(recipe.walk), "noise")))
                changes.append((self.respawned, partial(_with_walk, type(recipe.walk), "respawn_fraction")))
            if corrected:
                self.alpha = _slider(gui, "Alpha", 1.0, 0.05, config.importance.alpha)
                changes.append((self.alpha, lambda c, value: replace(c, importance=replace(c.importance, alpha=value))))
            if len(kinds) > 1:
                self.uniform = _slider(gui, "Uniform share", 1.0, 0.05, config.uniform_fraction)
                changes.append((self.uniform, lambda config, value: replace(config, uniform_fraction=value)))
            self.redraw = _button(gui, "Re-draw all walkers", recipe.walk is not None and trainer is not None)
            self.finish = _button(gui, "Cool down and finish", hasattr(trainer, "finish"))  # a stock Trainer cannot
            self.image = _slider(gui, "Image", len(self.sampler.image_names) - 1, 1, 0)
            self.plots = [gui.add_plotly(go.Figure(), visible=False) for _ in range(3)]
        for handle, changed in changes:
            handle.on_update(partial(self._change, changed))
        self.redraw.on_click(lambda _: self._while_training_waits(self.sampler.restart))
        self.finish.on_click(lambda _: self._finish())
        self.live.on_update(lambda _: self._show(self.live.value))
        self.image.on_update(lambda _: self._show(self.live.value))
        self._viewer = viewer
        if trainer is None:  # ns-viewer: nothing is drawn that these could change
            for handle, _ in changes:
                handle.visible = False
        viewer.viser_server.on_client_connect(self._show_scene)

    def _show_scene(self, client: ClientHandle) -> None:
        """Let a new browser look at the scene."""
        before_the_scene(self._cameras).show(client)

    @property
    def _cameras(self) -> Cameras:
        """Of the training images."""
        return self._viewer.pipeline.datamanager.train_dataset.cameras

    @property
    def shown_image(self) -> int:
        """The training image that a person looks at; the first one without a viewer."""
        return 0 if self._viewer is None else self.image.value

    def _change(self, changed: Change, event: GuiEvent) -> None:
        """Let the sampler go on with a setting from the browser."""
        self._while_training_waits(lambda: self.sampler.reconfigure(changed(self.sampler.config, event.target.value)))

    def _finish(self) -> None:
        """Have training cool down and end."""
        self.finish.disabled = True
        self._viewer.trainer.finish()

    def after_step(self) -> None:
        """Draw, if anybody looks and it is time."""
        if self._viewer is None or not self.live.value or time.monotonic() < self._next_drawing:
            return
        if not self._viewer.viser_server.get_clients():
            return
        start = time.monotonic()
        self.draw()
        now = time.monotonic()
        self._next_drawing = now + (now - start) / SHARE

    def draw(self) -> None:
        """Draw walkers and plots as they are now. A plot of what is not known yet is not shown."""
        points, colours = on_images(self.sampler.walkers, self._cameras, self._viewer)
        drawn = self._figures(self.image.value)
        with self._viewer.viser_server.atomic():
            self._viewer.viser_server.scene.add_point_cloud(
                WALKERS, points, colours, point_size=0.008, point_shape="circle"
            )
            for plot, figure in zip(self.plots, drawn, strict=True):
                if figure is not None:
                    plot.figure = figure
                plot.visible = figure is not None and self.live.value

    def _figures(self, image: int) -> tuple[go.Figure | None, ...]:
        """Maps of an image, curves over steps, errors of all images; those of the past need a training's history."""
        maps = {"error now": (self._error_now(image), "Turbo")}
        errors = self.history.per_image(len(self.sampler.image_names))
        if self.history:
            maps = {"rays of the last steps": (self.history.of_image(image), "Inferno"), **maps}
        return (
            figures.heat_maps(maps, self._height_by_width()),
            figures.curves(self.history) if self.history.names() else None,
            figures.error_of_images(errors) if errors.isfinite().any() else None,
        )

    def _error_now(self, image: int) -> Float[Tensor, "grid grid"]:
        """Error in the middle of each cell: no more rays than a small batch has, quick on a CPU, too."""
        camera = self._cameras[image]
        row, column = (((torch.arange(GRID) + 0.5) * int(n) / GRID).long() for n in (camera.height, camera.width))
        return current_error(self._viewer.pipeline, image, row, column)

    def _height_by_width(self) -> float:
        """Aspect ratio of the shown image."""
        camera = self._cameras[self.image.value]
        return float(camera.height / camera.width)

    def _show(self, shown: bool) -> None:
        """Draw at once, or remove the drawing."""
        if shown:
            self._while_training_waits(self.draw)
        else:
            for plot in self.plots:
                plot.visible = False
            self._viewer.viser_server.scene.add_point_cloud(WALKERS, np.zeros((0, 3)), np.zeros((0, 3)))

    def _while_training_waits(self, act: Callable[[], None]) -> None:
        """The viewer calls back in threads of its own; `act` while training waits."""
        with self._viewer.train_lock or contextlib.nullcontext():
            act()


def _button(gui: GuiApi, label: str, visible: bool) -> GuiButtonHandle:
    return gui.add_button(label, visible=visible, hint=HINTS[label])


def _slider(gui: GuiApi, label: str, most: float, step: float, value: float) -> GuiInputHandle[Any]:
    """A slider from 0 with a readable mark at each end; viser's own marks are whole numbers."""
    marks = tuple((at, f"{at:g}") for at in (0, most))
    return gui.add_slider(label, type(step)(0), most, step, value, marks=marks, hint=HINTS[label])


def _with_walk(
    kind: type[Walk], field: str, config: SoftMiningPixelSamplerConfig, value: float
) -> SoftMiningPixelSamplerConfig:
    """The settings with one number of a walk changed, whichever sampling type is at work now."""
    walk = config.langevin if kind is Langevin else config.diffusion
    return config.with_walk(replace(walk, **{field: value}))

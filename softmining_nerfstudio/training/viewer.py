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
import viser.transforms as vtf
from jaxtyping import Float
from nerfstudio.viewer.viewer import Viewer
from nerfstudio.viewer.viewer_elements import ViewerControl
from plotly.subplots import make_subplots
from torch import Tensor
from viser import GuiEvent

from softmining_nerfstudio.mining.pixels.cells import GRID
from softmining_nerfstudio.mining.walks import Diffusion, Langevin, Walk
from softmining_nerfstudio.sampling.history import History, error_colours
from softmining_nerfstudio.sampling.pixel_sampler import SoftMiningPixelSampler, SoftMiningPixelSamplerConfig
from softmining_nerfstudio.training.rendering import current_error

SHARE = 0.02
"""Largest share of the time for drawing."""
WALKERS = "/soft_mining/walkers"


NOISE: dict[type[Walk], tuple[str, float, float]] = {
    Langevin: ("Noise, px", 32.0, 0.5),
    Diffusion: ("Noise, of the size", 0.25, 0.005),
}
"""Label, end and step of a walk's noise slider."""
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
        config, gui = self.sampler.config, viewer.viser_server.gui
        recipe, corrected = config.recipe, self.sampler.miner.strategy.corrected
        changes: list[tuple[Any, Change]] = []
        with gui.add_folder("Soft mining", expand_by_default=False):
            self.live = gui.add_checkbox("Live", False, hint="Draw walkers and plots while training goes on")
            kinds = tuple(dict.fromkeys((config.sampling_type, "uniform")))
            self.sampling = gui.add_dropdown("Sampling", kinds, initial_value=kinds[0])
            changes.append((self.sampling, lambda config, value: replace(config, sampling_type=value)))
            if recipe.walk is not None:
                label, most, step = NOISE[type(recipe.walk)]
                noise, respawned = recipe.walk.noise, round(recipe.walk.respawn_fraction, 2)
                self.noise = gui.add_slider(label, 0.0, max(most, noise), step, noise)
                self.respawned = gui.add_slider("Respawned share", 0.0, 1.0, 0.01, respawned)
                changes.append((self.noise, partial(_with_walk, type(recipe.walk), "noise")))
                changes.append((self.respawned, partial(_with_walk, type(recipe.walk), "respawn_fraction")))
            if corrected:
                self.alpha = gui.add_slider("Alpha", 0.0, 1.0, 0.05, config.importance.alpha)
                changes.append((self.alpha, lambda c, value: replace(c, importance=replace(c.importance, alpha=value))))
            if len(kinds) > 1:
                self.uniform = gui.add_slider("Uniform share", 0.0, 1.0, 0.05, config.uniform_fraction)
                changes.append((self.uniform, lambda config, value: replace(config, uniform_fraction=value)))
            self.redraw = gui.add_button("Re-draw all walkers", visible=recipe.walk is not None)
            self.image = gui.add_slider("Image", 0, len(self.sampler.image_names) - 1, 1, 0)
            self.image_plot = gui.add_plotly(go.Figure(), visible=False)
            self.curves_plot = gui.add_plotly(go.Figure(), visible=False)
            self.images_plot = gui.add_plotly(go.Figure(), visible=False)
        for handle, changed in changes:
            handle.on_update(partial(self._change, changed))
        self.redraw.on_click(lambda _: self._while_training_waits(self.sampler.restart))
        self.live.on_update(lambda _: self._show(self.live.value))
        self.image.on_update(lambda _: self._show(self.live.value))
        self._viewer = viewer

    @property
    def shown_image(self) -> int:
        """The training image that a person looks at; the first one without a viewer."""
        return 0 if self._viewer is None else self.image.value

    def _change(self, changed: Change, event: GuiEvent) -> None:
        """Let the sampler go on with a setting from the browser."""
        self._while_training_waits(lambda: self.sampler.reconfigure(changed(self.sampler.config, event.target.value)))

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
        """Draw walkers and plots as they are now."""
        points, colours = self._walkers()
        server, image = self._viewer.viser_server, self.image.value
        rays, error = self.history.of_image(image), self._error_now(image)
        with server.atomic():
            server.scene.add_point_cloud(WALKERS, points, colours, point_size=0.008, point_shape="circle")
            maps = {"rays of the last steps": (rays, "Inferno"), "error now": (error, "Turbo")}
            self.image_plot.figure = _heat_maps(maps, self._height_by_width())
            self.curves_plot.figure = _curves_figure(self.history)
            self.images_plot.figure = _images_figure(self.history.per_image(len(self.sampler.image_names)))

    def _error_now(self, image: int) -> Float[Tensor, "grid grid"]:
        """Error in the middle of each cell: no more rays than a small batch has, quick on a CPU, too."""
        camera = self._viewer.pipeline.datamanager.train_dataset.cameras[image]
        row, column = (((torch.arange(GRID) + 0.5) * int(n) / GRID).long() for n in (camera.height, camera.width))
        return current_error(self._viewer.pipeline, image, row, column)

    def _height_by_width(self) -> float:
        """Aspect ratio of the shown image."""
        camera = self._viewer.pipeline.datamanager.train_dataset.cameras[self.image.value]
        return float(camera.height / camera.width)

    def _show(self, shown: bool) -> None:
        """Draw at once, or remove the drawing."""
        for plot in (self.image_plot, self.curves_plot, self.images_plot):
            plot.visible = shown
        if shown:
            self._while_training_waits(self.draw)
        else:
            self._viewer.viser_server.scene.add_point_cloud(WALKERS, np.zeros((0, 3)), np.zeros((0, 3)))

    def _while_training_waits(self, act: Callable[[], None]) -> None:
        """The viewer calls back in threads of its own; `act` while training waits."""
        with self._viewer.train_lock or contextlib.nullcontext():
            act()

    def _walkers(self) -> tuple[np.ndarray, np.ndarray]:
        """Positions on the image planes in the viewer's world, and colours in [0, 1]."""
        population, cameras = self.sampler.walkers, getattr(self._viewer, "camera_handles", {})
        if population is None:
            return np.zeros((0, 3)), np.zeros((0, 3))
        points, errors = [np.zeros((0, 3))], [torch.zeros(0)]
        for image, handle in cameras.items():
            yx, error = population.yx[image], population.error[image]
            alive = yx.isfinite().all(-1)
            camera = self._viewer.pipeline.datamanager.train_dataset.cameras[image]
            local = on_frustum(yx[alive], camera, self._viewer.config.camera_frustum_scale)
            points.append(vtf.SO3(handle.wxyz).as_matrix() @ local.numpy().T.astype(float))
            points[-1] = points[-1].T + handle.position
            errors.append(error[alive])
        return np.concatenate(points).astype(np.float32), error_colours(torch.cat(errors)).numpy()


def _with_walk(
    kind: type[Walk], field: str, config: SoftMiningPixelSamplerConfig, value: float
) -> SoftMiningPixelSamplerConfig:
    """The settings with one number of a walk changed, whichever sampling type is at work now."""
    walk = config.langevin if kind is Langevin else config.diffusion
    return config.with_walk(replace(walk, **{field: value}))


def on_frustum(yx: Float[Tensor, "n 2"], camera: Any, scale: float) -> Float[Tensor, "n 3"]:
    """Pixels on the image plane of a camera frustum as viser draws it, in its own frame: right, down, ahead.

    viser scales a frustum so that its volume does not depend on its angles: the plane with half sides x, y at depth 1
    is divided by cbrt(x y / 3).
    """
    height, width = float(camera.height), float(camera.width)
    y = float(camera.cx / camera.fx)  # what nerfstudio hands over as the tangent of half the vertical angle
    x = y * float(camera.cx / camera.cy)
    factor = scale / (x * y / 3) ** (1 / 3)
    down, right = (yx / torch.tensor([height, width]) * 2 - 1).unbind(-1)
    return torch.stack([right * x, down * y, torch.ones_like(right)], -1) * factor


def _heat_maps(maps: dict[str, tuple[Tensor, str]], height_by_width: float) -> go.Figure:
    """Maps of an image side by side, by title, and their colour scales, in the proportions of the image."""
    figure = make_subplots(1, len(maps), subplot_titles=tuple(maps))
    for column, (values, colours) in enumerate(maps.values(), 1):
        most = float(values.max()) or 1.0  # no ray at all is none, not a medium number
        heat = go.Heatmap(z=values.tolist(), zmin=0, zmax=most, colorscale=colours, showscale=False)
        figure.add_trace(heat, 1, column)
        ratio, along = height_by_width * values.shape[1] / values.shape[0], "x" if column == 1 else f"x{column}"
        figure.update_yaxes(row=1, col=column, scaleanchor=along, scaleratio=ratio)
    figure.update_xaxes(showticklabels=False, constrain="domain")
    figure.update_yaxes(showticklabels=False, constrain="domain", autorange="reversed")
    return _laid_out(figure)


def _curves_figure(history: History) -> go.Figure:
    names = history.names()
    figure = make_subplots(max(1, len(names)), 1, shared_xaxes=True, subplot_titles=names, vertical_spacing=0.08)
    for row, name in enumerate(names, 1):
        steps, values = history.curve(name)
        figure.add_trace(go.Scatter(x=steps, y=values, mode="lines"), row, 1)
    return _laid_out(figure)


def _images_figure(errors: Tensor) -> go.Figure:
    figure = make_subplots(1, 1, subplot_titles=("mean error of each image's rays",))
    figure.add_trace(go.Bar(y=[None if e != e else e for e in errors.tolist()]))  # NaN: no ray
    return _laid_out(figure)


def _laid_out(figure: go.Figure) -> go.Figure:
    """In the viewer's colours, and small enough for its side bar."""
    figure.update_annotations(font_size=11)
    return figure.update_layout(
        margin={"l": 30, "r": 10, "t": 30, "b": 25}, template="plotly_dark", showlegend=False, font_size=9
    )

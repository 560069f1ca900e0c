"""The panel in nerfstudio's viewer: by its parts, and in a real browser."""

import copy
import importlib.util
import shutil
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import numpy as np
import pytest
import torch
import viser
from nerfstudio.data.dataparsers.blender_dataparser import BlenderDataParserConfig
from nerfstudio.engine.trainer import Trainer
from nerfstudio.viewer.utils import parse_object
from nerfstudio.viewer.viewer_elements import ViewerControl

from softmining_nerfstudio.methods import softmining_lite
from softmining_nerfstudio.sampling.pixel_sampler import SoftMiningPixelSamplerConfig
from softmining_nerfstudio.training import viewer
from softmining_nerfstudio.training.datamanager import SoftMiningDataManager, SoftMiningDataManagerConfig
from softmining_nerfstudio.training.viewer import SHARE, WALKERS, MiningPanel

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
HAS_BROWSER = CHROMIUM is not None and importlib.util.find_spec("playwright") is not None


def manager(scene: Path, sampling_type: str = "dmc") -> SoftMiningDataManager:
    made = SoftMiningDataManagerConfig(
        dataparser=BlenderDataParserConfig(data=scene),
        train_num_rays_per_batch=60,
        pixel_sampler=SoftMiningPixelSamplerConfig(sampling_type=sampling_type),
    ).setup(device="cpu")
    made.train()
    return made


def mine(made: SoftMiningDataManager, steps: int) -> None:
    for step in range(steps):
        rays, batch = made.next_train(step)
        predicted = batch["image"] + 0.1 * rays.directions
        batch["feedback"].correct(lambda t, p: ((t - p) ** 2).mean(-1), batch["image"], predicted)
    made.train_pixel_sampler.in_flight.settle()


def test_the_viewer_finds_the_panel(blender_scene: Path) -> None:
    made = manager(blender_scene)
    assert [control for _, control in parse_object(made, ViewerControl, "")] == [made.panel]


def test_other_settings_take_effect_and_keep_what_was_learnt(blender_scene: Path) -> None:
    made = manager(blender_scene)
    mine(made, 3)
    sampler = made.train_pixel_sampler
    before = sampler.walkers.yx
    config = SoftMiningPixelSamplerConfig(uniform_fraction=0.5)
    sampler.reconfigure(config)
    assert torch.equal(sampler.walkers.yx.nan_to_num(-1), before.nan_to_num(-1))
    sampler.reconfigure(SoftMiningPixelSamplerConfig(sampling_type="uniform"))
    assert made.next_train(3)[1]["feedback"] is None
    sampler.reconfigure(config)
    assert torch.equal(sampler.walkers.yx.nan_to_num(-1), before.nan_to_num(-1))
    sampler.restart()
    assert sampler.walkers.yx.isnan().all()
    mine(made, 2)


@pytest.mark.parametrize(
    ("sampling_type", "walk", "noise"),
    [("lmc", "langevin", 4.0), ("lmc", "langevin", 40.0), ("dmc", "diffusion", 0.05), ("dmc", "diffusion", 0.3)],
)
def test_every_control_changes_the_sampler_whatever_it_started_from(
    blender_scene: Path, sampling_type: str, walk: str, noise: float
) -> None:
    made = manager(blender_scene)
    sampler, server = made.train_pixel_sampler, viser.ViserServer(port=free_port(), verbose=False)
    config = SoftMiningPixelSamplerConfig(sampling_type=sampling_type)
    sampler.reconfigure(replace(config, **{walk: replace(getattr(config, walk), noise=noise)}))
    panel = MiningPanel(sampler)
    panel._setup(SimpleNamespace(viser_server=server, train_lock=None, trainer=object()))
    try:
        assert panel.noise.value == noise
        mine(made, 2)
        for handle, value, found in [
            (panel.noise, noise / 2, lambda c: getattr(c, walk).noise),
            (panel.alpha, 0.25, lambda c: c.importance.alpha),
            (panel.uniform, 0.5, lambda c: c.uniform_fraction),
            (panel.respawned, 0.75, lambda c: getattr(c, walk).respawn_fraction),
            (panel.sampling, "uniform", lambda c: c.sampling_type),
            (panel.sampling, sampling_type, lambda c: c.sampling_type),
        ]:
            handle.value = value  # as from the browser: its callbacks run
            wait_until(lambda found=found, value=value: found(sampler.config) == value)
        assert sampler.walkers.error.isfinite().any()  # though with steps of 40 px all may have left the image
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("sampling_type", "controls"),
    [
        ("dmc", {"noise", "respawned", "alpha", "uniform"}),
        ("lmc", {"noise", "respawned", "alpha", "uniform"}),
        ("edges", {"alpha", "uniform"}),
        ("error-map", {"uniform"}),
        ("uniform", set()),
    ],
)
def test_the_panel_has_the_controls_that_the_recipe_has(
    blender_scene: Path, sampling_type: str, controls: set[str]
) -> None:
    made = manager(blender_scene, sampling_type)
    server = viser.ViserServer(port=free_port(), verbose=False)
    try:
        panel = MiningPanel(made.train_pixel_sampler)
        panel._setup(SimpleNamespace(viser_server=server, train_lock=None, trainer=object()))
        assert {name for name in ("noise", "respawned", "alpha", "uniform") if hasattr(panel, name)} == controls
        assert panel.redraw.visible == ("noise" in controls)
    finally:
        server.stop()


def test_finishing_is_offered_where_the_trainer_can_finish(blender_scene: Path) -> None:
    """nerfstudio's own trainer, and ns-viewer, which has none, cannot."""
    made = manager(blender_scene)
    stock = Trainer.__new__(Trainer)
    for trainer, offered in ((SimpleNamespace(finish=MagicMock()), True), (stock, False), (None, False)):
        panel, gui = MiningPanel(made.train_pixel_sampler), MagicMock()
        panel._setup(
            SimpleNamespace(viser_server=SimpleNamespace(gui=gui, on_client_connect=MagicMock()), trainer=trainer)
        )
        visible = {call.args[0]: call.kwargs["visible"] for call in gui.add_button.call_args_list}
        assert visible == {"Re-draw all walkers": trainer is not None, "Cool down and finish": offered}


def test_every_control_has_a_hint_and_every_slider_readable_ends(blender_scene: Path) -> None:
    for sampling_type in ("dmc", "lmc"):
        panel, gui = MiningPanel(manager(blender_scene, sampling_type).train_pixel_sampler), MagicMock()
        panel._setup(SimpleNamespace(viser_server=SimpleNamespace(gui=gui, on_client_connect=MagicMock())))
        controls = [call for name, _, call in gui.mock_calls if name in ("add_slider", "add_checkbox", "add_button")]
        assert len(controls) >= 6
        assert all(options["hint"].endswith(".") for options in controls)
        for (_, least, most, *_), options in gui.add_slider.call_args_list:
            assert options["marks"] == ((least, "0"), (most, f"{most:g}"))


def test_live_shows_what_is_known_and_no_empty_plot(blender_scene: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before training, and as in ns-viewer, the error alone; during training all three plots."""
    made = manager(blender_scene)
    server = viser.ViserServer(port=free_port(), verbose=False)
    panel = MiningPanel(made.train_pixel_sampler)
    monkeypatch.setattr(panel, "_error_now", lambda image: torch.ones(4, 4))
    try:
        pipeline = SimpleNamespace(datamanager=made)
        panel._setup(SimpleNamespace(viser_server=server, train_lock=None, trainer=None, pipeline=pipeline))
        assert not any(handle.visible for handle in (panel.noise, panel.sampling, panel.redraw))
        panel.live.value = True
        wait_until(lambda: [plot.visible for plot in panel.plots] == [True, False, False])
        assert [trace.type for trace in panel.plots[0].figure.data] == ["heatmap"]
        mine(made, 2)
        made.train_pixel_sampler.history.add_statistics(0, {"Mean Error": 0.5})
        panel.draw()
        assert all(plot.visible and plot.figure.data for plot in panel.plots)
        panel.live.value = False
        wait_until(lambda: not any(plot.visible for plot in panel.plots))
    finally:
        server.stop()


def wait_until(is_so: Callable[[], bool]) -> None:
    """Callbacks run in a thread of their own."""
    for _ in range(200):
        if is_so():
            return
        time.sleep(0.02)
    pytest.fail("the sampler was not changed within four seconds")


def test_nothing_is_drawn_while_nobody_looks_and_seldom_while_somebody_does(
    blender_scene: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A drawing takes 0.02 seconds here, a training step 0.1."""
    panel, shown, clock = MiningPanel(manager(blender_scene).train_pixel_sampler), MagicMock(), [0.0]
    drawings: list[float] = []

    def draw() -> None:
        drawings.append(clock[0])
        clock[0] += 0.02

    def train_for(steps: int) -> None:
        for _ in range(steps):
            panel.after_step()
            clock[0] += 0.1

    monkeypatch.setattr(viewer, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    monkeypatch.setattr(panel, "draw", draw)
    train_for(5)  # without a viewer
    panel._setup(shown)  # as the viewer does
    shown.viser_server.get_clients.return_value, panel.live.value = {}, True
    train_for(5)
    shown.viser_server.get_clients.return_value, panel.live.value = {0: "a browser"}, False
    train_for(5)
    assert not drawings
    panel.live.value = True
    train_for(100)
    assert 8 <= len(drawings) <= 10 / (0.02 / SHARE) + 1


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def training(scene: Path, folder: Path, port: int) -> Trainer:
    config = copy.deepcopy(softmining_lite.config)
    config.pipeline.datamanager.dataparser = BlenderDataParserConfig(data=scene)
    config.pipeline.datamanager.train_num_rays_per_batch = config.pipeline.datamanager.eval_num_rays_per_batch = 64
    config.output_dir, config.experiment_name, config.timestamp = folder, "scene", "run"
    config.viewer.websocket_port, config.viewer.quit_on_train_completion = port, True
    config.max_num_iterations, config.steps_per_eval_all_images = 100000, 100000
    config.save_config()  # as ns-train does first
    trainer = config.setup(local_rank=0, world_size=1)
    trainer.setup()
    return trainer


def in_the_browser(port: int, act: Callable) -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader"]
        )
        page = browser.new_page(viewport={"width": 1400, "height": 1300})
        page.goto(f"http://127.0.0.1:{port}")
        act(page)
        browser.close()


@pytest.mark.skipif(not HAS_BROWSER, reason="needs Chromium (a system package) and playwright")
def test_a_slider_and_a_button_in_the_browser_change_and_end_the_running_training(
    blender_scene: Path, tmp_path: Path
) -> None:
    """It leaves a screenshot in its folder, to look at."""
    port = free_port()
    trainer = training(blender_scene, tmp_path, port)
    sampler = trainer.pipeline.datamanager.train_pixel_sampler
    before, drawn, problems = sampler.config.diffusion.noise, [], []
    scene, trains = trainer.viewer_state.viser_server.scene, threading.current_thread()
    add_point_cloud = scene.add_point_cloud

    def add(name: str, points: np.ndarray, *arguments: object, **options: object) -> object:
        if name == WALKERS and threading.current_thread() is trains:
            drawn.append(points)
        return add_point_cloud(name, points, *arguments, **options)

    scene.add_point_cloud = add

    def act(page) -> None:  # type: ignore[no-untyped-def]
        page.get_by_text("Soft mining").click(timeout=60_000)
        page.get_by_label("Live").click()
        slider = page.get_by_role("slider").nth(0)
        page.wait_for_timeout(1000)
        sliders = page.locator("[role=slider]")
        row = page.locator("div", has=page.get_by_text("Noise, image sides", exact=True)).last
        slider = row.locator("xpath=following::*[@role='slider'][1]")
        slider.focus()
        for _ in range(4):
            slider.press("ArrowRight")
        page.get_by_role("button", name="Re-draw all walkers").click()
        page.wait_for_timeout(4000)
        page.screenshot(path=tmp_path / "viewer.png")
        assert sliders.count() >= 5
        page.get_by_role("button", name="Cool down and finish").click()
        page.wait_for_timeout(1000)
        assert page.get_by_role("button", name="Cool down and finish").is_disabled()

    def look() -> None:
        try:
            in_the_browser(port, act)
        except Exception as error:
            problems.append(error)
            trainer.stop_training = True

    browser = threading.Thread(target=look)
    browser.start()
    trainer.train()
    browser.join()
    trainer.shutdown()
    assert not problems, problems
    assert trainer.course.finished
    assert trainer.course.end == pytest.approx(1.3 * trainer.course.begin, abs=1)
    assert len(list(trainer.checkpoint_dir.with_name("before_cool_down").iterdir())) == 1
    assert sampler.config.diffusion.noise == pytest.approx(before + 4 * 0.005)
    assert len(drawn[-1]) > 10  # by the training loop
    assert np.isfinite(drawn[-1]).all()
    assert (tmp_path / "viewer.png").stat().st_size > 10_000

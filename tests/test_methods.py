"""What nerfstudio finds of the plugin, and what finding it costs."""

import copy
import subprocess
import sys
from importlib.metadata import entry_points

import pytest
import torch
import tyro
import yaml
from nerfstudio.configs.method_configs import AnnotatedBaseConfigUnion, all_descriptions, all_methods
from nerfstudio.engine.trainer import TrainerConfig

from softmining_nerfstudio.methods import TWINS, nerfacto_lite, softmining_lite

METHODS = (*TWINS, "softmining-lite")


@pytest.mark.parametrize("name", METHODS)
def test_methods_are_registered_by_their_entry_points(name: str) -> None:
    assert name in {entry.name for entry in entry_points(group="nerfstudio.method_configs")}
    assert isinstance(all_methods[name], TrainerConfig)
    assert all_methods[name].method_name == name
    assert all_descriptions[name]


@pytest.mark.parametrize("sampling_type", ["dmc", "edges", "uniform"])
def test_config_yml_records_the_recipes_numbers_and_leaves_the_configuration_as_it_is(sampling_type: str) -> None:
    config = copy.deepcopy(softmining_lite.config)
    sampler = config.pipeline.datamanager.pixel_sampler
    sampler.sampling_type, sampler.coverage = sampling_type, 7.0
    saved = yaml.load(yaml.dump(config), Loader=yaml.Loader).pipeline.datamanager.pixel_sampler
    names = ("warmup_steps", "coverage", "edges_by", "edge_rays")
    recorded = {"dmc": (50, 7.0, "contrast", True), "edges": (0, 7.0, "sobel", False)}
    assert tuple(getattr(saved, name) for name in names) == recorded.get(sampling_type, (0, 7.0, "contrast", False))
    assert saved.recipe == sampler.recipe
    assert [getattr(sampler, name) for name in names] == [None, 7.0, None, None]


@pytest.mark.parametrize("name", METHODS)
def test_the_viewer_is_bound_to_this_machine(name: str) -> None:
    assert all_methods[name].viewer.websocket_host == "127.0.0.1"


def test_a_mistyped_option_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """tyro then looks at every option of every method: each default must be of a kind it knows."""
    with pytest.raises(SystemExit):
        tyro.cli(AnnotatedBaseConfigUnion, args=["softmining", "--sampling-typo", "lmc"])
    printed = "".join(capsys.readouterr())
    assert "--sampling-typo" in printed
    assert "--sampling-type" in printed


def test_softmining_lite_ends_by_itself_in_half_of_the_steps_of_its_reference() -> None:
    config, reference = softmining_lite.config, nerfacto_lite.config
    assert config.viewer.quit_on_train_completion
    assert 2 * config.max_num_iterations == reference.max_num_iterations
    assert config.pipeline.model.proposal_weights_anneal_max_num_iters <= config.max_num_iterations / 2


def test_nerfacto_lite_keeps_its_learning_rate_after_its_schedule() -> None:
    config = nerfacto_lite.config
    optimizer, schedule = config.optimizers["fields"]["optimizer"], config.optimizers["fields"]["scheduler"]
    made = optimizer.setup([torch.nn.Parameter(torch.zeros(1))])
    factor = schedule.setup().get_scheduler(made, lr_init=optimizer.lr).lr_lambdas[0]
    end = config.max_num_iterations
    assert factor(end // 2) > 1.1 * factor(end)
    assert optimizer.lr * factor(end) == pytest.approx(schedule.lr_final) == optimizer.lr * factor(3 * end)


def test_finding_the_plugin_imports_nothing_that_nerfstudio_has_not_imported() -> None:
    script = """
import importlib.metadata as metadata, sys
found = metadata.entry_points
def without_us(**group):
    entries = found(**group)
    return type(entries)(e for e in entries if not e.value.startswith("softmining")) if group else entries
metadata.entry_points = without_us
import nerfstudio.configs.method_configs
before = set(sys.modules)
import softmining_nerfstudio.methods, softmining_nerfstudio.dataparsers.llff
print(*sorted({name.split(".")[0] for name in set(sys.modules) - before}))
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()[-2:]) == {"platformdirs", "softmining_nerfstudio"}

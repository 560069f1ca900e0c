"""What is checked and said before a training loads its images."""

from __future__ import annotations

from collections.abc import Sequence

from nerfstudio.data.dataparsers.base_dataparser import DataParserConfig, DataparserOutputs
from nerfstudio.data.datasets.base_dataset import InputDataset
from nerfstudio.utils import comms
from nerfstudio.utils.rich_utils import CONSOLE

from softmining_nerfstudio.training import cameras, parsing, resolution
from softmining_nerfstudio.training.dataset import SoftMiningDataset


def require_sound(
    parser: DataParserConfig,
    outputs: DataparserOutputs,
    datasets: tuple[InputDataset, InputDataset],
    factors: Sequence[float],
) -> None:
    """Find what is wrong with cameras and images before training does, and say what it trains on.

    Args:
        outputs: of the training data.
        datasets: to train on, and held out.
        factors: by which the cameras were rescaled; their sizes are then rounded.

    Raises:
        UserError: what is wrong, and in which file.
    """
    cameras.require_cameras(parser, outputs, datasets, parsing.name_of(parser))
    for dataset in datasets:
        if isinstance(dataset, SoftMiningDataset):
            dataset.check_files(slack=1 if factors else 0)
    if comms.is_main_process():
        CONSOLE.print(resolution.line(datasets[0], parser), markup=False, soft_wrap=True)
        if not len(datasets[1]):
            CONSOLE.print("No view is held out: nothing will tell how good the model is elsewhere.", soft_wrap=True)

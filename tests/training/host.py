"""One host of a training on several, with a process on its processor: ns-train's own steps, but for the GPU that its
launcher insists on.

    python host.py RANK HOSTS URL RECORD METHOD ...

It leaves the losses, the pixels of the last batches and the parameters in the file RECORD.
"""

import os
import sys
from datetime import timedelta

import torch
import tyro
from nerfstudio.configs.method_configs import AnnotatedBaseConfigUnion
from nerfstudio.scripts.train import train_loop
from nerfstudio.utils import comms
from torch import distributed

from softmining_nerfstudio.training.trainer import SoftMiningTrainer


class TellingTrainer(SoftMiningTrainer):
    """Writes down what it did."""

    def train(self) -> None:
        record = self.record = {"losses": [], "pixels": []}
        draw = self.pipeline.datamanager.next_train

        def next_train(step: int):
            rays, batch = draw(step)
            record["pixels"] = [*record["pixels"], batch["indices"].clone()][-5:]
            return rays, batch

        self.pipeline.datamanager.next_train = next_train
        super().train()
        record["parameters"] = [parameter.detach() for parameter in self.pipeline.model.parameters()]
        torch.save(record, os.environ["RECORD"])

    def train_iteration(self, step: int):
        found = super().train_iteration(step)
        self.record["losses"].append(float(found[0]))
        print(f"step {step} done", flush=True)
        return found


def main(rank: int, hosts: int, url: str, record: str, *words: str) -> None:
    """As nerfstudio's `main` and `_distributed_worker`."""
    torch.set_num_threads(1)
    sys.argv, os.environ["RECORD"] = ["ns-train", *words], record
    config = tyro.cli(AnnotatedBaseConfigUnion, args=words)
    config._target = TellingTrainer
    config.set_timestamp()
    config.print_to_terminal()
    config.save_config()
    distributed.init_process_group("gloo", url, world_size=hosts, rank=rank, timeout=timedelta(minutes=30))
    for other in range(hosts):
        group = distributed.new_group([other])
        if other == rank:
            comms.LOCAL_PROCESS_GROUP = group
    train_loop(0, hosts, config, global_rank=rank)
    comms.synchronize()
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4], *sys.argv[5:])

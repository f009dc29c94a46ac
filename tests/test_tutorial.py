"""The loop of the classic tutorial: sparse training with a strength, half of the channels cut, fine-tuning; twice."""

import pytest
import torch

from models.cost import count_parameters
from models.yolo import DetectionModel
from tests.utils.conftest import TINY
from utils.data.shapes import draw_shapes
from utils.files.checkpoint import finished_content, load_checkpoint, save_checkpoint
from utils.files.paths import RunFolder
from utils.finetuning.finetune import finetune
from utils.finetuning.options import FinetuneOptions
from utils.pruning.channels.groups import trace_channels
from utils.pruning.options import PruneOptions
from utils.pruning.prune import prune_checkpoint
from utils.sparsity.options import SparsityOptions
from utils.sparsity.train_sparsity import train_sparsity


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    """The networks before the loop, and after each cut and fine-tuning of two rounds."""
    folder = tmp_path_factory.mktemp("tutorial")
    draw_shapes(folder / "shapes", train=4, val=2, imgsz=64, seed=0)
    common = {"data": str(folder / "shapes/shapes.yaml"), "imgsz": 64, "workers": 0, "device": "cpu"}
    training = {**common, "batch_size": 4, "epochs": 2, "project": str(folder / "runs"), "noplots": True}
    torch.manual_seed(0)
    files = [folder / "dense.pt"]
    save_checkpoint(files[0], finished_content(DetectionModel({**TINY, "width_multiple": 1.0}, nc=5)))
    for number in (1, 2):
        sparse = SparsityOptions(st=True, sr="0.005", weights=str(files[-1]), name=f"sparse{number}", **training)
        last = RunFolder(train_sparsity(sparse).folder.path).last
        files.append(folder / f"pruned{number}.pt")
        prune_checkpoint(PruneOptions(weights=str(last), percent=0.5, out=str(files[-1]), noval=True, **common))
        tuned = finetune(FinetuneOptions(weights=str(files[-1]), name=f"tuned{number}", **training))
        files.append(tuned.folder.last)
    return [load_checkpoint(file).model for file in files]


def test_each_cut_takes_half_of_the_channels_and_fine_tuning_keeps_the_rest(networks):
    channels = [trace_channels(model).prunable_channels() for model in networks]
    dense, first, tuned, second, last = channels
    assert (tuned, last) == (first, second)
    assert first / dense == pytest.approx(0.5, abs=0.01) and second / first == pytest.approx(0.5, abs=0.01)


def test_what_is_left_is_a_small_plain_network(networks):
    assert count_parameters(networks[-1]) < 0.15 * count_parameters(networks[0])
    predictions, _ = networks[-1](torch.rand(1, 3, 64, 64))
    assert predictions.shape == (1, 2 * (64 + 16), 10) and predictions.isfinite().all()


def test_fine_tuning_changed_the_weights(networks):
    pruned, tuned = (model.state_dict() for model in networks[1:3])
    assert any(not torch.equal(pruned[name], tuned[name]) for name in pruned if name.endswith("conv.weight"))

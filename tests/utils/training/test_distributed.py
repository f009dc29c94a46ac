"""Two gloo processes against one: the same weights from the same global batch, the same numbers from a validation."""

import subprocess
import sys

import torch

from models.yolo import DetectionModel
from utils.files.paths import ROOT
from utils.training.distributed import ProcessGroup, lost_process, process_group

# Batch norms are in evaluation mode: their batch statistics are those of one process, by design.
SCRIPT = """
import sys
from copy import deepcopy
from types import SimpleNamespace
import torch
from torch import nn
from models.yolo import DetectionModel
from utils.training.distributed import connected
from utils.training.distributed import process_group
from utils.training.loop import Hook, fit
from utils.training.run import Run, RunSettings
from utils.errors import InputError
from utils.boxes.loss import DetectionLoss
from utils.training.optim import Schedule, build_optimizer
from utils.files.paths import RunFolder
from utils.sparsity.penalties import GammaPenalty
from utils.training.options import TrainOptions
from utils.training.train import measured, train
from utils.data.config import load_data
from utils.data.dataset import DetectionDataset
from utils.data.loader import make_loader
from utils.data.splits import load_split

class Settings(Hook):
    def before_epoch(self, run):
        for module in run.model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()

class Loader(list):
    def set_epoch(self, epoch):
        self.dataset = self

def part(images, rows, rank, size):
    each = len(images) // size
    mine = rows[(rows[:, 0] >= rank * each) & (rows[:, 0] < (rank + 1) * each)].clone()
    mine[:, 0] -= rank * each
    return images[rank * each : (rank + 1) * each], mine, (), None

def bad_row():
    raise InputError("a bad row")

def validated_together(processes, model, hyp, data):
    config, rank, size = load_data(data), processes.rank, processes.world_size
    dataset = DetectionDataset(
        load_split(config, "train", 1, False)[0], 64, rect=True, batch_size=3, share=(rank, size), progress=False
    )
    if rank:
        for parameter in model.parameters():
            torch.nn.init.zeros_(parameter)  # the weights of rank 0 count
    options = SimpleNamespace(single_cls=False)
    plan = SimpleNamespace(processes=processes, device=torch.device("cpu"), options=options, amp=None)
    plan.names = config.names
    seen = []
    loss, observer = DetectionLoss(model, hyp, 64), lambda index, *_: seen.append(index)
    found = measured(plan, model, make_loader(dataset, 3), confusion=True, loss=loss, observer=observer)
    assert seen == [0, 1, 2][rank::size] and (found is None) == (rank > 0), seen
    return found

cfg, inputs, data, result = sys.argv[1:]
processes, device = process_group(), torch.device("cpu")
with connected(processes, device):
    torch.manual_seed(0)
    model = DetectionModel(cfg)
    fresh = deepcopy(model)
    loader = Loader(part(*batch, processes.rank, processes.world_size) for batch in torch.load(inputs))
    loader.dataset = loader
    schedule = Schedule(101, len(loader), 32, 0.01, 1.0, 0.9, 0.0, 0.9, 0.01)
    hyp = {"box": 0.05, "obj": 1.0, "cls": 0.5, "anchor_t": 4.0}
    loss = DetectionLoss(model, hyp, 64, processes.average)
    optimizer = build_optimizer(model, "SGD", 0.01, 0.9, 5e-4)
    settings = RunSettings(64)
    run = Run(model, optimizer, loss, schedule, RunFolder(None), device, settings, processes=processes)
    run.epoch = 100
    validated, saved = [], []
    penalty = GammaPenalty(0.5, "proximal")
    penalty.prepare(model)
    hooks = [Settings(), penalty]
    rank = processes.rank
    fit(run, loader, lambda run: validated.append(rank), hooks, lambda run, hooks: saved.append(rank))
    assert model.model[0].bn.weight.max() < 0.95  # one step of 0.01 · 0.5 / (1 − 0.9) takes 0.05
    assert validated == [rank] and saved == ([0] if processes.main else []), (validated, saved)
    assert run.step == 2
    found = validated_together(processes, fresh, hyp, data)
    if processes.main:
        numbers = found.precision, found.recall, found.map50, found.map, found.images, found.instances, *found.losses
        confusion = torch.from_numpy(found.confusion.matrix)
        torch.save((model.state_dict(), numbers, found.matched, confusion), result)
    if processes.distributed:
        assert processes.once_a_machine(lambda: f"made by {rank}") == "made by 0"
        try:
            processes.once_a_machine(bad_row)
        except InputError as error:
            assert str(error) == "a bad row"
        try:
            with processes.main_first():
                if processes.main:
                    raise InputError("a bad row")
                raise AssertionError("the body ran though rank 0 failed")
        except InputError as error:
            assert str(error) == "a bad row"
"""


def test_two_processes_equal_one(tmp_path, tiny_yaml, label_by):
    torch.manual_seed(0)
    data = label_by(DetectionModel(tiny_yaml))
    generator = torch.Generator().manual_seed(0)
    batches = []
    for counts in ((5, 0, 1, 1), (0, 0, 3, 2), (1, 2, 3, 4)):  # shares of the targets differ between the processes
        rows = torch.rand(sum(counts), 6, generator=generator) * 0.3 + 0.3
        rows[:, 0] = torch.arange(4).repeat_interleave(torch.tensor(counts))
        rows[:, 1] = torch.arange(len(rows)) % 3
        batches.append((torch.randint(0, 256, (4, 3, 64, 64), dtype=torch.uint8, generator=generator), rows))
    torch.save(batches, tmp_path / "batches.pt")
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    results = []
    for size in (1, 2):
        result = tmp_path / f"{size}.pt"
        torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"] if size == 2 else []
        words = [sys.executable, *torchrun, script, tiny_yaml, tmp_path / "batches.pt", data, result]
        done = subprocess.run(
            list(map(str, words)),
            capture_output=True,
            text=True,
            timeout=120,
            env={"PATH": "", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        )
        assert done.returncode == 0, done.stderr
        results.append(torch.load(result))
    (weights, numbers, matched, confusion), (others, *found) = results
    for name, value in weights.items():
        assert torch.allclose(value.float(), others[name].float(), atol=1e-6, rtol=1e-5), name
    assert numbers == found[0] and numbers[3] > 0.1
    assert torch.equal(confusion, found[2]) and confusion.sum() > 0
    for image, other in zip(matched, found[1], strict=True):
        assert all(map(torch.equal, image, other))


def test_team_of_the_environment():
    assert process_group({}) == ProcessGroup(0, 0, 1)
    processes = process_group({"RANK": "3", "LOCAL_RANK": "1", "WORLD_SIZE": "4"})
    assert processes == ProcessGroup(3, 1, 4) and processes.distributed and not processes.main
    kept = {"TORCHELASTIC_RESTART_COUNT": "2", "TORCHELASTIC_USE_AGENT_STORE": "True"}
    assert process_group(kept).attempt == 2


def test_errors_of_a_lost_process_are_known():
    assert lost_process(RuntimeError("[gloo/transport/tcp/pair.cc:534] Connection closed by peer [127.0.0.1]:3000"))
    assert lost_process(torch.distributed.DistBackendError("NCCL error"))
    assert not lost_process(RuntimeError("shapes cannot be multiplied"))


def test_a_single_process_needs_no_connection():
    processes = ProcessGroup()
    counts = torch.ones(3)
    assert processes.average(counts) is counts and processes.broadcast("value") == "value"
    assert processes.once_a_machine(lambda: "made") == "made"
    with processes.main_first():
        pass

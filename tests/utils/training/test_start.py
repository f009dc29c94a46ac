from copy import deepcopy
from functools import partial
from types import SimpleNamespace

import pytest
import torch
import yaml
from torch import nn

from utils.errors import InputError
from utils.files.checkpoint import finished_content, load_checkpoint, save_checkpoint
from utils.training.freezing import FreezeHook, frozen_layers
from utils.training.start import keep_inputs, replace_detect, starting_network

NAMES = {0: "a", 1: "b", 2: "c"}


@pytest.fixture
def weights(tmp_path, tiny_model):
    """Return a checkpoint whose first C3 is narrower than its yaml says."""
    block = tiny_model.model[2]
    for conv, bn in ((block.cv2.conv, block.cv2.bn),):
        conv.weight = nn.Parameter(conv.weight[:3].detach())
        conv.out_channels = bn.num_features = 3
        bn.weight, bn.bias = nn.Parameter(bn.weight[:3].detach()), nn.Parameter(bn.bias[:3].detach())
        bn.running_mean, bn.running_var = bn.running_mean[:3], bn.running_var[:3]
    block.cv3.conv.weight = nn.Parameter(block.cv3.conv.weight[:, :-1].detach())
    block.cv3.conv.in_channels -= 1
    save_checkpoint(tmp_path / "narrow.pt", finished_content(tiny_model))
    return tmp_path / "narrow.pt"


def test_weights_decide_the_widths(weights, tiny_yaml):
    lines = []
    model, _ = starting_network(str(weights), str(tiny_yaml), NAMES, say=lines.append)
    assert model.model[2].cv2.conv.out_channels == 3 and model.names == NAMES
    assert len(lines) == 1 and "the widths of 2 layers" in lines[0]
    lines.clear()
    other = yaml.safe_load(tiny_yaml.read_text()) | {"width_multiple": 0.5}
    tiny_yaml.write_text(yaml.safe_dump(other))
    starting_network(str(weights), str(tiny_yaml), NAMES, say=lines.append)
    assert len(lines) == 1 and "width_multiple" in lines[0]


def test_train_builds_the_yaml_and_takes_over_what_fits(weights, tiny_yaml):
    lines = []
    take = partial(starting_network, str(weights), str(tiny_yaml), cfg_decides=True, say=lines.append)
    model, known = take({0: "a", 1: "b"})
    assert not known
    assert model.model[2].cv2.conv.out_channels == 4 and model.nc == 2
    old = load_checkpoint(weights).model.state_dict()
    same = [name for name, tensor in model.state_dict().items() if tensor.shape == old[name].shape]
    assert all(torch.equal(model.state_dict()[name], old[name]) for name in same)
    assert len(lines) == 1 and f" {len(same) - 1} of its 59 tensors" in lines[0]  # without the anchors
    tiny_yaml.write_text(yaml.safe_dump(load_checkpoint(weights).model.yaml | {"activation": "nn.ReLU()"}))
    assert isinstance(take(NAMES)[0].model[0].act, nn.ReLU) and "activation" in lines[1]


def test_a_yaml_that_is_the_checkpoints_own_changes_nothing(tmp_path, tiny_model, tiny_yaml):
    tiny_model.model[-1].anchors *= 2  # as they were fitted
    save_checkpoint(tmp_path / "x.pt", finished_content(tiny_model))
    lines = []
    model, _ = starting_network(str(tmp_path / "x.pt"), str(tiny_yaml), NAMES, cfg_decides=True, say=lines.append)
    assert torch.equal(model.model[-1].anchors, tiny_model.model[-1].anchors) and not lines


def test_other_classes(weights):
    with pytest.raises(InputError, match="has 3 classes, the data 2"):
        starting_network(str(weights), "", {0: "a", 1: "b"}, transfer=False)
    lines = []
    model, known = starting_network(str(weights), "", {0: "a", 1: "b"}, say=lines.append)
    assert not known
    assert model(torch.rand(1, 3, 64, 64))[0].shape == (1, 2 * (64 + 16), 7)
    assert lines == ["transferred 55 of 59 tensors; Detect starts anew for 2 classes"]


@pytest.mark.parametrize("names, expected", [({0: "A", 1: " b"}, True), ({0: "b", 1: "a"}, False)])
def test_a_network_knows_the_classes_that_have_its_names(tmp_path, tiny_model, names, expected):
    replace_detect(tiny_model, 2)
    tiny_model.names = {0: "a", 1: "b"}
    save_checkpoint(tmp_path / "x.pt", finished_content(tiny_model))
    assert starting_network(str(tmp_path / "x.pt"), "", names)[1] == expected


def test_replacing_detect_keeps_all_else(tiny_model):
    before = {k: v.clone() for k, v in tiny_model.state_dict().items()}
    detect = tiny_model.model[-1]
    place = detect.i, detect.f, detect.type
    replace_detect(tiny_model, 7)
    after = tiny_model.state_dict()
    new_tensors = [f"model.5.m.{i}.{key}" for i in (0, 1) for key in ("weight", "bias")]
    assert [key for key in before if not torch.equal(before[key], after[key])] == new_tensors
    new = tiny_model.model[-1]
    assert (new.i, new.f, new.type) == place and new.np == sum(p.numel() for p in new.parameters())
    assert float(new.m[0].bias.detach().view(2, -1)[0, 4]) < -4  # objectness starts low


def test_without_weights_the_yaml_is_built(tiny_yaml):
    model, known = starting_network("", str(tiny_yaml), {0: "only"})
    assert model.nc == 1 and not known
    with pytest.raises(InputError, match="both empty"):
        starting_network("", "", NAMES)


def test_activations_that_write_elsewhere_give_the_same_gradients(tiny_model):
    images = torch.rand(2, 3, 64, 64)
    gradients = []
    for change in (lambda model: None, keep_inputs):
        model = deepcopy(tiny_model).train()
        change(model)
        sum(raw.square().mean() for raw in model(images)).backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    assert model.model[0].act.inplace is False and tiny_model.model[0].act.inplace is True
    assert all(map(torch.equal, *gradients))


def test_meaning_of_freeze():
    assert frozen_layers([0], 25) == []
    assert frozen_layers([10], 25) == list(range(10))
    assert frozen_layers([24], 25) == list(range(24))
    assert frozen_layers([0, 3, 5], 25) == [0, 3, 5]
    for wrong in ([26], [25], [3, 25]):
        with pytest.raises(InputError, match="--freeze"):
            frozen_layers(wrong, 25)


def test_frozen_batch_norms_stay_in_evaluation(tiny_model):
    hook = FreezeHook(tiny_model, [0, 2])
    tiny_model.train()
    hook.before_epoch(SimpleNamespace(model=tiny_model))
    assert [tiny_model.model[i].training for i in range(4)] == [False, True, False, True]
    assert not any(p.requires_grad for p in tiny_model.model[2].parameters())
    assert all(p.requires_grad for p in tiny_model.model[1].parameters())


def test_frozen_blocks_compute_the_same_with_folded_batch_norms(tiny_model):
    tiny_model.train()
    with torch.no_grad():
        tiny_model(torch.rand(4, 3, 64, 64))  # statistics that folding must take into account
    hook = FreezeHook(tiny_model, [0, 1])
    hook.before_epoch(None)
    images, keys = torch.rand(2, 3, 64, 64), list(tiny_model.state_dict())
    plain = tiny_model.model[1](tiny_model.model[0](images))
    hook.start(None)
    called = []
    handle = tiny_model.model[0].bn.register_forward_hook(lambda *_: called.append(1))
    assert torch.allclose(tiny_model.model[1](tiny_model.model[0](images)), plain, atol=1e-5)
    assert not called and list(tiny_model.state_dict()) == keys
    hook.finish(None)
    tiny_model.model[0](images)
    assert called
    handle.remove()

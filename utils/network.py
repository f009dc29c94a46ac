"""Which network a run starts with, and which of its layers stay as they are."""

from functools import partial

import torch
from torch import nn

from models.common import Conv
from models.spec import read_yaml
from models.yolo import DetectionModel, Detect
from utils.checkpoint import load_checkpoint
from utils.data.choice import KEPT_CLASSES
from utils.downloads import find_weights
from utils.engine import Hook
from utils.errors import InputError
from utils.paths import find_file


def starting_network(weights, cfg, names, hyp_anchors=None, transfer=True, say=print):
    """Return the DetectionModel to train on data with `names` (class index → name).

    The network of the checkpoint itself is trained, pruned or not. One with another number of classes gets a new
    Detect layer when `transfer` allows it; when it does not, a network that was cut to some of the classes keeps them.
    Without weights the network is built from cfg.

    Args:
        weights: path of a .pt, or "".
        cfg: path of a model yaml, or ""; with weights it only is compared.
        hyp_anchors: anchors per scale to estimate anew, for a network built from cfg.
        say: takes the lines to tell the user.
    """
    cfg = find_file(cfg, "models", "models/hub", what="model yaml") if cfg else None
    if not weights:
        if cfg is None:
            raise InputError("--weights and --cfg are both empty; give a .pt or a model yaml")
        model = DetectionModel(cfg, nc=len(names), anchors=hyp_anchors)
    else:
        checkpoint = load_checkpoint(find_weights(weights), cfg)
        model = checkpoint.model
        if cfg is not None:
            compare(model, cfg, say)
        if model.nc != len(names):
            if not transfer and KEPT_CLASSES in model.yaml and set(names.values()).issuperset(model.names.values()):
                return model
            if not transfer:
                raise InputError(f"{checkpoint.path}: has {model.nc} classes, the data {len(names)}; they must agree")
            replace_detect(model, len(names))
            total = len(model.state_dict())
            kept = total - 2 * model.model[-1].nl  # all but the weights and biases of Detect
            say(f"transferred {kept} of {total} tensors; Detect starts anew for {len(names)} classes")
    model.names = dict(names)
    return model


def compare(model, cfg, say):
    """Say in one line where a model yaml differs from the network of a checkpoint."""
    given = read_yaml(cfg)
    keys = ("backbone", "head", "depth_multiple", "width_multiple", "activation")
    other = [key for key in keys if given.get(key) != model.yaml.get(key)]
    if other:
        say(f"--cfg {cfg.name} differs from the checkpoint in {', '.join(other)}; the checkpoint alone decides")


def replace_detect(model, nc):
    """Give a model a new Detect layer for nc classes, with the old anchors and input widths; in place."""
    old = model.model[-1]
    anchors = (old.anchors * old.stride.view(-1, 1, 1)).flatten(1).tolist()
    new = Detect(nc, anchors, [conv.in_channels for conv in old.m], old.inplace)
    new.stride = old.stride
    new.anchors = old.anchors.clone()
    new.initialize_biases()
    new.i, new.f, new.type = old.i, old.f, old.type
    new.np = sum(p.numel() for p in new.parameters())
    model.model[-1] = new.train(old.training)
    model.nc = model.yaml["nc"] = nc


def frozen_layers(numbers, count):
    """Return the layer indices that --freeze means: [10] the first ten, [0, 3, 5] those; of `count` layers.

    Raises InputError for a layer that does not exist and when none is left to train.
    """
    layers = sorted(set(numbers if len(numbers) > 1 else range(numbers[0])))
    given = " ".join(map(str, numbers))
    if layers and not 0 <= layers[0] <= layers[-1] < count:
        raise InputError(f"--freeze {given}: the network has layers 0 to {count - 1}")
    if len(layers) == count:
        raise InputError(f"--freeze {given}: no layer is left to train")
    return layers


class FreezeHook(Hook):
    """Keeps layers as they are: no gradients (at once, so that no optimizer takes them up), evaluation mode.

    While the run lasts, their Conv blocks compute with the batch norm folded in: the same numbers in two thirds of
    the time.
    """

    def __init__(self, model, layers):
        """model: DetectionModel; layers: indices."""
        self.layers = [model.model[i] for i in layers]
        for layer in self.layers:
            layer.requires_grad_(False)

    def start(self, run):
        """Fold."""
        for block in self.blocks():
            folded = nn.utils.fuse_conv_bn_eval(block.conv.eval(), block.bn.eval())
            block.forward = partial(activated, folded, block.act)

    def before_epoch(self, run):
        """Undo the training mode of the frozen layers."""
        for layer in self.layers:
            layer.eval()

    def finish(self, run):
        """Let the blocks compute with their own batch norms again."""
        for block in self.blocks():
            del block.forward

    def blocks(self):
        """Return the Conv blocks with a batch norm in the frozen layers."""
        modules = [module for layer in self.layers for module in layer.modules()]
        return [module for module in modules if isinstance(module, Conv) and "bn" in module._modules]


def activated(conv, act, x):
    """Return act(conv(x))."""
    return act(conv(x))


def lay_out(model, device):
    """Move a model to a device, on the CPU with channels last, which is faster there; return it."""
    layout = torch.channels_last if device.type == "cpu" else torch.preserve_format
    return nn.Module.to(model, device, memory_format=layout)

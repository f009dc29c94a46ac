"""Walking a traced network with vectors of channel labels in place of tensors (see groups.py for the idea)."""

from typing import Any

import numpy as np
import torch
from torch import fx, nn
from torch.nn import functional

from models.yolo import Detect
from utils.pruning.channels.labels import Carried, Layer
from utils.pruning.channels.layers import LayerBook, rule_of
from utils.pruning.channels.moves import argument, fixed_axes, operation, settle, tie_bounds
from utils.pruning.channels.operations import (
    CONCATS,
    ELEMENTWISE,
    MOVES,
    MOVING_LAYERS,
    PRODUCTS,
    QUOTIENTS,
    REDUCTIONS,
    SPATIAL,
    SPATIAL_LAYERS,
    SUMS,
    WITHOUT_CHANNELS,
    is_activation,
    keeps_zero,
)

PREDICTIONS, IMAGE = "its outputs are the predictions", "these are the image's channels"

Found = Carried | list["Carried | None"] | None  # of a tensor, of a tuple of tensors, of something without channels


class ChannelWalk(fx.Interpreter):
    """Runs a traced network on a small image and carries labels along with every tensor."""

    def __init__(self, traced: fx.GraphModule, book: LayerBook, own: set[str]) -> None:
        """own: names of the network's parameters and buffers."""
        super().__init__(traced)
        self.own, self.book = own, book
        self.labels = self.book.labels
        self.carried: dict[fx.Node, Found] = {}
        self.why: dict[fx.Node, str] = {}  # node whose result has channels that nothing is known of → why
        self.sources: dict[fx.Node, list[tuple[str | None, int]]] = {}  # node → [(convolution or None, channels)]:
        # of which its output consists, read by one node
        self.behind: dict[str, tuple[str, int] | None] = {}  # convolution → (batch norm that alone reads its outputs,
        # index of the first of them there)

    def run_node(self, node: Any) -> Any:
        """Compute the value of a node and what it carries."""
        value = super().run_node(node)
        if node.op == "output":
            self.freeze_inputs(node, PREDICTIONS)
        elif node.op == "placeholder":
            self.carried[node] = Carried(1, self.book.frozen(value.shape[1], IMAGE))
        elif node.op == "get_attr":
            self.carried[node] = self.loose_vector(node, value)
        else:
            self.carried[node] = self.carry(node, value)
        return value

    def loose_vector(self, node: Any, value: Any) -> Found:
        """Return what a parameter or buffer carries that has one axis of more than one number."""
        axes = [axis for axis, size in enumerate(value.shape) if size > 1] if node.target in self.own else []
        return self.book.loose_tensor(node.target, axes[0], value.shape[axes[0]]) if len(axes) == 1 else None

    def carry(self, node: Any, value: Any) -> Found:
        """Return what the result of an operation carries."""
        module = self.fetch_attr(node.target) if node.op == "call_module" else None
        inputs = [n for n in node.all_input_nodes if self.carried.get(n) is not None]
        if isinstance(module, Detect):
            self.detect(node, module)
            return None
        if not inputs and rule_of(module) is None:
            for reason in (self.why[n] for n in node.all_input_nodes if n in self.why):
                self.why[node] = reason
            return None
        if node.target in WITHOUT_CHANNELS or isinstance(value, int):
            return None
        first = node.args[0] if node.args else None
        found = self.carried.get(first) if isinstance(first, fx.Node) else None
        same = isinstance(first, fx.Node) and value is self.env[first]
        if isinstance(found, list) and isinstance(node.args[-1], int) and len(node.args) == 2:
            return found[node.args[1]]  # one of a tuple
        if isinstance(found, Carried) and same and self.passes_all(node, module):
            return found
        if isinstance(module, nn.Module):
            return self.carry_module(node, module, found if isinstance(found, Carried) else None, value)
        if node.target in CONCATS:
            return self.concat(node, value)
        if node.target in SUMS | PRODUCTS | QUOTIENTS:
            return self.combine(node, value)
        if not isinstance(found, Carried) or len(inputs) != 1:
            return self.not_understood(node)
        return self.carry_function(node, found, value)

    def carry_function(self, node: Any, source: Carried, value: Any) -> Found:
        """Return what a function of one tensor carries."""
        if node.target in MOVES:
            return self.move(node, source)
        if node.target in ELEMENTWISE:
            return source.through(self.apply(node, torch.zeros(1)), self.words(node))
        if node.target in REDUCTIONS:
            return self.reduce(node, source, value)
        if node.target in SPATIAL and source.axis == 1 and value.shape[1] == len(source.vector):
            return source
        if node.target is functional.normalize and not source.loud:  # zeros add nothing to a vector's length
            return source
        return self.not_understood(node)

    def carry_module(self, node: Any, module: nn.Module, source: Carried | None, value: Any) -> Found:
        """Return what a layer's output carries; one that has channels of its own is remembered."""
        if isinstance(module, nn.MultiheadAttention):
            return self.attention(node, module)
        if rule := rule_of(module):
            return self.record(node, rule, source, value)
        if source is not None:
            if isinstance(module, SPATIAL_LAYERS) and source.axis == 1:
                return source
            if isinstance(module, MOVING_LAYERS):
                return self.move(node, source)
            if is_activation(module):
                zero = torch.zeros(1) if keeps_zero(module) else torch.ones(1)
                return source.through(zero, f"{node.target} ({type(module).__name__})")
        return self.not_understood(node)

    def record(self, node: Any, rule: Any, source: Carried | None, value: torch.Tensor) -> Found:
        """Return what a layer with weights gives, and write it into the book."""
        name, module = str(node.target), self.fetch_attr(node.target)
        if isinstance(module, nn.BatchNorm2d):
            self.note_behind(node)
        if isinstance(module, nn.Conv2d):
            self.sources[node] = [(name if len(node.users) == 1 else None, module.out_channels)]
        given = rule(self.book, name, module, source, self.env[node.args[0]], value)
        return self.not_understood(node, given) if isinstance(given, str) else given

    def attention(self, node: Any, module: nn.MultiheadAttention) -> Found:
        """Return what torch's attention gives: its tokens, and weights [tokens, tokens] without channels."""
        read = node.args[:3]
        sources = [self.carried.get(x) for x in read]
        if {*node.all_input_nodes} != {*read} or not all(isinstance(x, Carried) for x in sources):
            return self.not_understood(node)
        weights_read = any(user.args[1:] != (0,) for user in node.users)
        given = self.book.attention(str(node.target), module, sources, self.env[read[0]], weights_read)
        return self.not_understood(node, given) if isinstance(given, str) else [given, None]

    def passes_all(self, node: Any, module: nn.Module | None) -> bool:
        """Tell whether an operation gives back the very tensor that it got, whatever is in it."""
        if isinstance(module, nn.Module) and not type(module).__module__.startswith("torch.nn."):
            return False  # it could not be traced, so that its code depends on values
        value = self.env[node.args[0]]
        tries = [torch.zeros_like(value), torch.ones_like(value), -torch.ones_like(value)]
        return node.op != "call_method" and all(self.apply(node, x) is x for x in tries)

    def apply(self, node: Any, instead: torch.Tensor) -> Any:
        """Return what a node gives for another first argument."""
        args, kwargs = self.fetch_args_kwargs_from_env(node)
        return getattr(self, node.op)(node.target, (instead, *args[1:]), kwargs)

    def move(self, node: Any, source: Carried) -> Found:
        """Return what an operation carries that moves numbers and changes none."""
        how = self.words(node)
        value = self.env[node.args[0]]
        tie_bounds(self.labels, node, source, value.dim(), how, lambda x: self.env[x] if isinstance(x, fx.Node) else x)
        moved = self.apply(node, source.positions(value.shape))
        module = self.fetch_attr(node.target) if node.op == "call_module" else None
        fixed = fixed_axes(node, module)
        if isinstance(moved, torch.Tensor):
            return self.explained(node, settle(self.labels, source, moved, fixed, how), how)
        return [settle(self.labels, source, piece, fixed, how) for piece in moved]

    def explained(self, node: Any, found: Carried | None, how: str) -> Carried | None:
        """Return what a node carries; remember why when that is nothing."""
        if found is None:
            self.why[node] = f"{how} has room for just as many"
        return found

    def reduce(self, node: Any, source: Carried, value: Any) -> Found:
        """Return what a mean, sum or extreme over other axes than that of the channels carries."""
        axes = argument(node, 1, "dim", None)
        axes = [axes] if isinstance(axes, int) else axes
        count = self.env[node.args[0]].dim()
        if not isinstance(axes, (tuple, list)) or source.axis in (gone := {axis % count for axis in axes}):
            return self.not_understood(node)
        shift = 0 if value.dim() == count else sum(axis < source.axis for axis in gone)
        return Carried(source.axis - shift, source.vector, source.loud)

    def concat(self, node: Any, value: Any) -> Found:
        """Return what joined tensors carry, one after the other; along another axis, or a new one, they are tied."""
        nodes = node.args[0]
        found: Any = self.carried.get(nodes) if isinstance(nodes, fx.Node) else [self.carried.get(n) for n in nodes]
        axes = {part.axis for part in found or () if isinstance(part, Carried)}
        if not isinstance(found, list) or len(axes) != 1:
            return self.not_understood(node)
        axis, dim = axes.pop(), argument(node, 1, "dim", 0) % value.dim()
        if isinstance(nodes, (tuple, list)) and dim == axis:  # what carries nothing stays as it is beside the others
            found = [part or self.as_it_is(n, axis) for part, n in zip(found, nodes, strict=True)]
        parts = [part for part in found if part is not None]
        if len(parts) < len(found):
            return self.not_understood(node)
        loud = next((part.loud for part in parts if part.loud), None)
        if node.target is torch.stack:
            axis += dim <= axis
        elif dim == axis:
            self.note_parts(node, [len(part.vector) for part in parts])
            return Carried(axis, np.concatenate([part.vector for part in parts]), loud)
        for part in parts[1:]:
            self.labels.tie(parts[0].vector, part.vector, "concats")
        return Carried(axis, parts[0].vector, loud)

    def as_it_is(self, node: Any, axis: int) -> Carried:
        """Return frozen channels for a tensor that carries none."""
        reason = self.why.get(node, f"{node} is a fixed tensor")
        return Carried(axis, self.book.frozen(self.env[node].shape[axis], reason))

    def note_parts(self, node: Any, counts: list[int]) -> None:
        """Remember of which convolutions' outputs a concat consists."""
        alone = len(node.users) == 1
        nodes = node.args[0] if isinstance(node.args[0], (tuple, list)) else [None] * len(counts)
        parts = [self.sources.get(n, [(None, count)]) for n, count in zip(nodes, counts, strict=True)]
        self.sources[node] = [(name if alone else None, count) for part in parts for name, count in part]

    def combine(self, node: Any, value: Any) -> Found:
        """Return what a sum, product or quotient carries; two tensors of channels are tied, one by one."""
        operands = [*node.args[:2], *(node.kwargs[name] for name in ("other",) if name in node.kwargs)]
        both = self.meet(operands, value)
        known = [x for x in both if x is not None]
        product = node.target in PRODUCTS
        if len(known) == 2 and node.target not in QUOTIENTS:
            return self.tie_pair(node, known[0], known[1], product)
        if len(known) != 1 or (node.target in QUOTIENTS and both[0] is None):
            return self.not_understood(node)
        source, other = known[0], operands[both.index(None)]
        if isinstance(other, fx.Node) and isinstance(plain := self.env[other], torch.Tensor):
            place = plain.dim() - value.dim() + source.axis
            if place >= 0 and plain.shape[place] > 1:
                return self.not_understood(node, self.why.get(other, f"{self.words(node)} takes a fixed tensor"))
        loud = None if product or node.target in QUOTIENTS else f"{self.words(node)} is not zero at zero"
        return Carried(source.axis, source.vector, source.loud or loud)

    def meet(self, operands: list[Any], value: Any) -> list[Carried | None]:
        """Return what each operand carries; beside a map a loose tensor lies along the map's channels."""
        both = [self.spread(x, value) for x in operands]
        loose = [isinstance(x, fx.Node) and x.op == "get_attr" and x.target in self.own for x in operands]
        maps = [found for found, alone in zip(both, loose) if found is not None and not alone]
        if len(maps) != 1:
            return both
        return [self.beside(x, maps[0], value) if alone else found for x, found, alone in zip(operands, both, loose)]

    def beside(self, node: Any, source: Carried, value: Any) -> Carried | None:
        """Return what a loose tensor carries along a map's channels; None where it has one number for all of them."""
        tensor = self.env[node]
        axis = tensor.dim() - value.dim() + source.axis
        if axis < 0 or tensor.shape[axis] == 1:
            return None
        found = self.book.loose_tensor(node.target, axis, tensor.shape[axis])
        if found.axis != axis:
            self.labels.freeze(found.vector, f"{node.target} is used along two axes")
            return None
        return Carried(source.axis, found.vector)

    def spread(self, operand: Any, value: Any) -> Carried | None:
        """Return what an operand carries, its axis counted in the result, to which it is spread."""
        found = self.carried.get(operand) if isinstance(operand, fx.Node) else None
        if not isinstance(found, Carried):
            return None
        return Carried(found.axis + value.dim() - self.env[operand].dim(), found.vector, found.loud)

    def tie_pair(self, node: Any, a: Carried, b: Carried, product: bool) -> Found:
        """Return what a sum or product of two tensors carries."""
        loud = a.loud and b.loud if product else a.loud or b.loud
        if a.axis == b.axis and len(a.vector) == len(b.vector):
            self.labels.tie(a.vector, b.vector, "products" if product else "additions")
            return Carried(a.axis, a.vector, loud)
        if a.axis == b.axis and 1 in (len(a.vector), len(b.vector)):
            one, many = (a, b) if len(a.vector) == 1 else (b, a)
            reason = f"{self.words(node)} spreads it over all channels"
            self.labels.freeze(one.vector, reason)
            return Carried(many.axis, many.vector, many.loud if product else many.loud or reason)
        return self.not_understood(node)

    def detect(self, node: Any, module: Detect) -> None:
        """Remember the convolutions of Detect, whose outputs are the predictions."""
        for i, (conv, source) in enumerate(zip(list[Any](module.m), node.args[0], strict=True)):
            name, found = f"{node.target}.m.{i}", self.carried.get(source)
            inputs = self.book.read(found if isinstance(found, Carried) else None, 1, conv.in_channels, name)
            outputs = self.book.frozen(conv.out_channels, PREDICTIONS)
            self.book.remember(Layer(name, inputs, outputs, "conv", self.book.area(self.env[source])))

    def note_behind(self, node: Any) -> None:
        """Remember which convolutions a batch norm alone reads, directly or through a concat; not those used twice."""
        first = 0
        for name, count in self.sources.get(node.args[0], ()):
            if name is not None and node.target not in self.book.layers:
                self.behind[name] = None if name in self.behind else (str(node.target), first)
            first += count

    def not_understood(self, node: Any, reason: str | None = None) -> Found:
        """Freeze what a node reads; what it gives has no channels that anything is known of."""
        self.why[node] = reason or f"{self.words(node)} is not understood"
        self.freeze_inputs(node, self.why[node])
        return None

    def freeze_inputs(self, node: Any, reason: str) -> None:
        """Freeze the labels of all tensors that a node reads."""
        for source in node.all_input_nodes:
            found = self.carried.get(source)
            for one in found if isinstance(found, list) else [found]:
                if one is not None:
                    self.labels.freeze(one.vector, reason)

    def words(self, node: Any) -> str:
        """Return a node's operation, and the module whose code it is in, in words for the report."""
        words = f"{node.target} ({node.op})" if isinstance(node.target, str) else f"{operation(node)} at {node.name}"
        around = list(node.meta.get("nn_module_stack", {}).values())
        if node.op == "call_module" or not around:
            return words
        path, kind = around[-1]
        return f"{words} in {path} ({kind.__name__})"

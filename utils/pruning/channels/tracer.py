"""Recording a network's code with torch.fx, down to the layers that have rules of their own."""

from typing import Any

from torch import fx, nn

from models.yolo import Detect
from utils.pruning.channels.moves import operation


class ChannelTracer(fx.Tracer):
    """Traces through all but torch.nn's own layers, kinds of LayerNorm and Detect.

    A module that cannot be traced stays one opaque step.
    """

    proxy_buffer_attributes = True  # or what is made of buffers would become a fixed tensor

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        """Tell whether a module is one step of the graph."""
        return isinstance(module, (Detect, nn.LayerNorm)) or super().is_leaf_module(module, name)

    def call_module(self, module: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        """Trace into a module, or keep it as one step when its code depends on values."""
        try:
            return super().call_module(module, forward, args, kwargs)
        except (fx.proxy.TraceError, TypeError, ValueError):
            return self.create_proxy("call_module", self.path_of_module(module), args, kwargs)

    def create_proxy(self, kind: str, target: Any, args: Any, *rest: Any, **named: Any) -> Any:
        """Return the stand-in of a result; of a chunk or split whose pieces stand in the code one for each."""
        whole: Any = super().create_proxy(kind, target, args, *rest, **named)
        name, pieces = operation(whole.node), args[1] if len(args) > 1 else None
        if name == "split" and isinstance(pieces, (tuple, list)):
            return tuple(whole[i] for i in range(len(pieces)))
        if name == "chunk" and isinstance(pieces, int):
            return tuple(whole[i] for i in range(pieces))
        return whole

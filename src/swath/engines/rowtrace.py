"""What a network does with an image, recorded while it runs on a small one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from swath.engines.rowlaw import Call, Node, Operation, Slot, Untraceable
from swath.engines.rowops import CONVERSIONS, METADATA, PIECES, UNCHANGED, pieces, plain_name, read, refusal


def record(net: nn.Module, image: Tensor) -> tuple[list[Node], int]:
    """The operations that `net` applies to `image` (1, C, H, W), in order, and the position of its result.

    Python code that looks at shapes runs as it is; what depends on pixel values is refused.
    Raises Untraceable with the first layer that has no form that works row by row.
    """
    recorder = Recorder(image)
    try:
        with torch.no_grad(), recorder.layers(net), recorder:
            result = net(image)
    except (RuntimeError, ValueError, TypeError, AttributeError, LookupError, AssertionError) as error:
        reason = f"fails on an image of shape {tuple(image.shape)}: {error}"
        raise Untraceable(recorder.layer, reason) from error
    if not isinstance(result, Tensor):
        raise Untraceable(type(net).__name__, f"returns a {type(result).__name__}, not one tensor")
    if id(result) not in recorder.position:
        raise Untraceable(type(net).__name__, "returns a tensor that does not follow from the image")
    if recorder.position[id(result)] == 0:  # the image itself
        recorder.note(result.clone(), Operation("clone", torch.clone, (Slot(0),)), (0,))
    return recorder.nodes, recorder.position[id(result)] or 1


class Recorder(TorchFunctionMode):
    """Notes each torch function that is called with a tensor that depends on the image."""

    def __init__(self, image: Tensor) -> None:
        super().__init__()
        self.nodes: list[Node] = []
        self.position: dict[int, int] = {}  # id of a tensor -> its node
        self.alive: list[Tensor] = []  # keeps the ids and the memory unique
        self.shared: set[int] = set()  # memory that several tensors look at
        self.owners: dict[int, int] = {}
        self.path: list[str] = []
        self.note(image, Operation("input", _nothing, ()), ())

    @contextmanager
    def layers(self, net: nn.Module) -> Iterator[None]:
        """While entered, the recorder knows which module of `net` runs, and checks what each of them returns."""
        with ExitStack() as hooks:
            for name, module in net.named_modules():
                if isinstance(module, torch.jit.ScriptModule):
                    raise Untraceable(name or type(net).__name__, "is compiled, its steps cannot be seen")
                enter, leave = self._hooks(name or type(net).__name__)
                hooks.callback(module.register_forward_pre_hook(enter, prepend=True, with_kwargs=True).remove)
                hooks.callback(module.register_forward_hook(leave, with_kwargs=True).remove)
            yield

    def _hooks(self, name: str) -> tuple[Callable[..., None], Callable[..., None]]:
        def enter(module: nn.Module, args: Any, kwargs: Any) -> None:
            self.path.append(name)

        def leave(module: nn.Module, args: Any, kwargs: Any, result: Any) -> None:
            given, made = _tensors((args, kwargs)), _tensors(result)
            if any(map(self._follows, given)) and not all(map(self._follows, made)):
                raise Untraceable(name, "runs code whose steps cannot be seen")
            self.path.pop()

        return enter, leave

    def _follows(self, tensor: Tensor) -> bool:
        return id(tensor) in self.position

    @property
    def layer(self) -> str:
        """The module that runs now."""
        return self.path[-1] if self.path else "the network"

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        inputs: list[Tensor] = []
        slots = self._slots((args, kwargs), inputs)
        name = plain_name(func)
        if not inputs or name in METADATA:
            return func(*args, **kwargs)
        reason = refusal(name)
        if reason:
            raise Untraceable(self.layer, f"{name} {reason}")
        sources = tuple(self.position[id(t)] for t in inputs)
        shapes = tuple(tuple(t.shape) for t in inputs)
        result = func(*args, **kwargs)
        self._file(func, name, slots, sources, shapes, result, inputs)
        return result

    def _slots(self, value: Any, inputs: list[Tensor]) -> Any:
        if isinstance(value, Tensor):
            if not self._follows(value):
                return value
            inputs.append(value)
            return Slot(len(inputs) - 1)
        if isinstance(value, dict):
            return {k: self._slots(v, inputs) for k, v in value.items()}
        if isinstance(value, tuple | list) and not isinstance(value, torch.Size):
            return tuple(self._slots(v, inputs) for v in value)
        return value

    def _file(self, func: Any, name: str, slots: Any, sources: tuple[int, ...], shapes: tuple[tuple[int, ...], ...],
              result: Any, inputs: list[Tensor]) -> None:  # fmt: skip
        results = list(_tensors(result))
        call = Call(self.layer, name, func, shapes, tuple(results[0].shape) if results else ())
        if name in PIECES:
            operations = pieces(call, slots[0], [tuple(t.shape) for t in results])
        elif isinstance(result, Tensor):
            operations = [read(call, *slots)]
        else:
            raise call.stop(f"returns a {type(result).__name__}, not one tensor")
        for tensor, operation in zip(results, operations, strict=True):
            self._check(call, operation, tensor, inputs)
            if name in UNCHANGED or (tensor is inputs[0] and name in CONVERSIONS):
                self._alias(tensor, sources[0])
            else:
                self.note(tensor, operation, sources)

    def _check(self, call: Call, operation: Operation, tensor: Tensor, inputs: list[Tensor]) -> None:
        """Check that the operation describes what was seen."""
        if tensor.dim() != 4:
            raise call.stop(f"returns shape {tuple(tensor.shape)}, not (1, C, H, W)")
        for axis, reach in ((2, operation.rows), (3, operation.columns)):
            if any(reach.extent(shape[axis]) != tensor.shape[axis] for shape in call.inputs):
                raise call.stop(f"makes {tuple(tensor.shape)} of {call.inputs}, which is not understood")
        if call.name in UNCHANGED and not torch.equal(tensor, inputs[0]):
            raise call.stop("changes values (training mode?)")
        in_place = any(tensor is t for t in inputs) and call.name not in UNCHANGED
        if in_place and tensor.untyped_storage().data_ptr() in self.shared:
            raise call.stop("works in place on memory that another tensor uses")

    def note(self, tensor: Tensor, operation: Operation, sources: tuple[int, ...]) -> None:
        """Add a node whose value is `tensor`."""
        layer = self.layer if self.nodes else "input"
        self.nodes.append(Node(layer, operation, sources, tensor.shape[1], tensor.dtype))
        self._alias(tensor, len(self.nodes) - 1)

    def _alias(self, tensor: Tensor, position: int) -> None:
        self.position[id(tensor)] = position
        self.alive.append(tensor)
        memory = tensor.untyped_storage().data_ptr()
        if self.owners.setdefault(memory, id(tensor)) != id(tensor):
            self.shared.add(memory)


def _nothing(*args: Any) -> Any:
    raise AssertionError("the input is no operation")


def _tensors(value: Any) -> Iterator[Tensor]:
    """The tensors in nested tuples, lists and dicts."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        yield from chain.from_iterable(map(_tensors, value))
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))

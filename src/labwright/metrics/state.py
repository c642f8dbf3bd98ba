"""What metrics hold in the middle of a pass, as nested dicts, lists, tuples, tensors and JSON values, and back.

Every dict in it is one of these, told apart by its first key:

    {"mapping": {...}, "type": "dict"}    also an OrderedDict, a Counter, a defaultdict of int, float, list, dict or set
    {"members": [...], "type": "set"}     also a frozenset, a deque
    {"stack": TENSOR}                     a long list of small tensors
    {"main_memory": TENSOR}               kept on the CPU, though the pass was on an accelerator
    {"array": TENSOR}, {"scalar": TENSOR} of numpy
    {"dtype": "float32"}
    {"device": "main_memory"}              else "of the pass"
    {"kept": "median"}                    a function or a class, which the new metric has too
    {"object": 3}                         the third of `objects`, which several metrics may share
"""

import types
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from labwright.args import UserError

from .merging import merge_attributes

_PLAIN = (type(None), bool, int, float, str)
_MAPPINGS: Mapping[str, Callable[[dict[Any, Any]], Any]] = {
    "dict": dict,
    "OrderedDict": OrderedDict,
    "Counter": Counter,
    **{f"defaultdict {make.__name__}": partial(defaultdict, make) for make in (int, float, list, dict, set)},
}
_FEW, _SMALL = 8, 4096  # tensors, and elements of each: from and up to here a list of tensors is stacked


class Stateful:
    """What can be saved and go on in another process, as metrics do; by default all of its attributes.

    A class of your own overrides both methods where it holds what cannot be saved, or more than it needs.
    """

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` needs: tensors, arrays, numbers, texts, containers of these, and other `Stateful`s."""
        return dict(vars(self))

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on, in a new object, as the one that gave `state` would have."""
        vars(self).update(state)

    def merge(self, others: Sequence[Any], fresh: Any) -> None:
        """Take in what `others` of this class have measured on other ranks; `fresh` is a new one.

        By default tensors and numbers add up, and lists follow each other. A class of your own overrides it where that
        is not what its attributes mean, such as a maximum.
        """
        merge_attributes(self, others, fresh, type(self).__name__)


class Writer:
    """Takes down what values hold, objects once each, for a pass on `device`."""

    def __init__(self, device: torch.device) -> None:
        self.objects: list[dict[str, Any]] = []
        self._device = device
        self._numbers: dict[int, int] = {}
        self._written: list[Any] = []  # alive, lest another object get the same id

    def node(self, value: Any, where: str) -> Any:
        """What stands for `value`. A UserError says `where` there is something that cannot be saved."""
        kind = type(value)
        if kind in _PLAIN:
            return value
        if isinstance(value, Tensor):
            return self._tensor(value, where)
        if kind is list:
            return self._list(value, where)
        if kind is tuple:
            return tuple(self._members(value, where))
        if kind in (set, frozenset, deque):
            node = {"members": self._members(value, where), "type": kind.__name__}
            return node | {"maxlen": value.maxlen} if kind is deque else node
        if (name := _mapping_type(value)) is not None:
            return {"mapping": self._mapping(value, where), "type": name}
        if isinstance(value, np.ndarray | np.generic):
            return {"array" if isinstance(value, np.ndarray) else "scalar": _of_numpy(value, where)}
        if isinstance(value, torch.dtype):
            return {"dtype": str(value).removeprefix("torch.")}
        if isinstance(value, torch.device):
            return {"device": "main_memory" if self._is_elsewhere(value) else "of the pass"}
        if _is_constant(value):
            return {"kept": value.__name__}
        if isinstance(value, nn.Module) or _has_state(value):
            return {"object": self._object(value, where)}
        raise _cannot_be_saved(value, where)

    def _is_elsewhere(self, device: torch.device) -> bool:
        return device.type == "cpu" != self._device.type

    def _tensor(self, tensor: Tensor, where: str) -> Any:
        if tensor.layout != torch.strided or tensor.is_quantized:
            raise _cannot_be_saved(tensor, where)
        return {"main_memory": tensor.detach()} if self._is_elsewhere(tensor.device) else tensor.detach()

    def _list(self, members: list[Any], where: str) -> Any:
        # A hundred thousand tensors, one of each batch, would take seconds to write.
        kinds = {_small_tensor(member) for member in members} if len(members) >= _FEW else set[Any]()
        if len(kinds) == 1 and None not in kinds:
            return {"stack": self._tensor(torch.stack(members), where)}
        return self._members(members, where)

    def _members(self, members: Any, where: str) -> list[Any]:
        return [self.node(member, f"{where}[{position}]") for position, member in enumerate(members)]

    def _mapping(self, mapping: Mapping[Any, Any], where: str) -> dict[Any, Any]:
        for key in mapping:
            if not _is_plain_key(key):
                raise _cannot_be_saved(key, f"a key of {where}")
        return {key: self.node(value, f"{where}[{key!r}]") for key, value in mapping.items()}

    def _object(self, thing: Any, where: str) -> int:
        number = self._numbers.setdefault(id(thing), len(self.objects))
        if number == len(self.objects):
            self._written.append(thing)
            self.objects.append({"class": type(thing).__name__})
            held: dict[str, Any] = _module_state(thing) if isinstance(thing, nn.Module) else thing.state_dict()
            self.objects[number]["state"] = {name: self.node(value, f"{where}.{name}") for name, value in held.items()}
        return number


class Reader:
    """Gives back what a `Writer` took down, as tensors of their own on `device`."""

    def __init__(self, objects: Sequence[Mapping[str, Any]], device: torch.device) -> None:
        self._objects = objects
        self._device = device
        self._loaded: set[int] = set()

    def value(self, node: Any, present: Any, where: str) -> Any:
        """The value; `present` is what the new metric has in its place, for objects to be loaded and what is kept."""
        if isinstance(node, Tensor):
            return self._tensor(node)
        if isinstance(node, list | tuple):
            members = self._members(node, present, where)
            return members if isinstance(node, list) else tuple(members)
        if not isinstance(node, dict):
            return node
        kind, content = next(iter(node.items()))
        match kind:
            case "mapping":
                present = present if isinstance(present, Mapping) else {}
                items = {k: self.value(v, present.get(k), f"{where}[{k!r}]") for k, v in content.items()}
                return _MAPPINGS[node["type"]](items)
            case "members":
                members = self._members(content, present, where)
                if node["type"] == "deque":
                    return deque(members, node["maxlen"])
                return set(members) if node["type"] == "set" else frozenset(members)
            case "stack":
                tensors = self.value(content, None, where)
                return [tensor.clone() for tensor in tensors.unbind()]
            case "main_memory":
                return content.clone()
            case "array":
                return content.clone().numpy()
            case "scalar":
                return content.numpy()[()]
            case "dtype":
                return getattr(torch, content)
            case "device":
                return torch.device("cpu") if content == "main_memory" else self._device
            case "kept":
                if getattr(present, "__name__", None) != content:
                    raise _does_not_fit(where, content, present)
                return present
            case _:
                return self._object(content, present, where)

    def _tensor(self, tensor: Tensor) -> Tensor:
        """On the device, and no longer the one in the state."""
        narrow = self._device.type == "mps" and tensor.dtype == torch.float64  # which it does not have
        return tensor.to(self._device, torch.float32 if narrow else tensor.dtype, copy=True)

    def _members(self, nodes: Sequence[Any], present: Any, where: str) -> list[Any]:
        beside = present if isinstance(present, list | tuple) else ()
        return [
            self.value(node, beside[position] if position < len(beside) else None, f"{where}[{position}]")
            for position, node in enumerate(nodes)
        ]

    def _object(self, number: int, thing: Any, where: str) -> Any:
        saved = self._objects[number]
        if type(thing).__name__ != saved["class"]:
            raise _does_not_fit(where, saved["class"], thing)
        if number not in self._loaded:
            self._loaded.add(number)
            is_module = isinstance(thing, nn.Module)
            present = _module_state(thing) if is_module else thing.state_dict()
            state = {
                name: self.value(node, present.get(name), f"{where}.{name}") for name, node in saved["state"].items()
            }
            if not is_module:
                thing.load_state_dict(state)
            elif present["tensors"].keys() != state["tensors"].keys():
                raise _does_not_fit(where, "a module with other parameters", thing)
            else:
                _load_module(thing, state)
        return thing


def _module_state(module: nn.Module) -> dict[str, Any]:
    """Parameters and buffers, and the numbers and texts of each module in it; the states of torchmetrics' metrics."""
    attributes = {
        path: {
            name: value
            for name, value in vars(part).items()
            if type(value) in _PLAIN or isinstance(value, torch.device) or name in getattr(part, "_defaults", ())
        }
        for path, part in module.named_modules()
    }
    return {"tensors": {**dict(module.named_parameters()), **dict(module.named_buffers())}, "attributes": attributes}


def _load_module(module: nn.Module, state: Mapping[str, Any]) -> None:
    tensors: dict[str, Tensor] = state["tensors"]
    if tensors:
        module.to(next(iter(tensors.values())).device)
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        tensor.copy_(tensors[name])
    for path, attributes in state["attributes"].items():
        vars(module.get_submodule(path)).update(attributes)


def _mapping_type(value: Any) -> str | None:
    """Its name in `_MAPPINGS`."""
    name = type(value).__name__
    if type(value) is defaultdict:
        make = cast(Any, value).default_factory
        name += f" {getattr(make, '__name__', None)}"
    makes = _MAPPINGS.get(name)
    is_known = isinstance(makes, partial) or makes is type(value)
    return name if is_known else None


def _small_tensor(value: Any) -> Any:
    """What tensors have in common that one tensor can hold; None for anything else."""
    if type(value) is not Tensor or value.layout != torch.strided or value.is_quantized or value.numel() > _SMALL:
        return None
    # Sums over another memory layout may round differently.
    return (value.dtype, value.device, value.shape) if value.is_contiguous() else None


def _is_plain_key(key: Any) -> bool:
    return all(map(_is_plain_key, key)) if type(key) is tuple else type(key) in _PLAIN


def _of_numpy(value: Any, where: str) -> Tensor:
    try:
        return torch.from_numpy(np.array(value, order="K"))
    except (TypeError, ValueError):  # texts, dates, objects
        raise _cannot_be_saved(value, where) from None


def _is_constant(value: Any) -> bool:
    """Whether it is code that holds nothing: no bound method, no function around variables."""
    if isinstance(value, types.FunctionType):
        return value.__closure__ is None
    if isinstance(value, types.BuiltinFunctionType):
        return isinstance(value.__self__, type | types.ModuleType | None)
    return isinstance(value, type | types.ModuleType)


def _has_state(value: Any) -> bool:
    return all(callable(getattr(value, method, None)) for method in ("state_dict", "load_state_dict"))


def _cannot_be_saved(value: Any, where: str) -> UserError:
    what = f"a {type(value).__name__}"
    if isinstance(value, Tensor):
        what = "a sparse or quantized tensor"
    return UserError(
        f"metric {where}: {what} cannot be saved in a checkpoint; hold tensors, arrays, numbers, texts, or lists and "
        "dicts of these, or override the metric's state_dict and load_state_dict"
    )


def _does_not_fit(where: str, saved: str, present: Any) -> UserError:
    return UserError(
        f"metric {where}: the checkpoint has {saved}, but a new metric {getattr(present, '__name__', present)!r:.80}; "
        "make it in __init__, and go on with the code that the checkpoint was written by"
    )

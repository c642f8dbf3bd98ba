"""Which parameter is trained with which settings."""

import re
from typing import Any

from torch import nn

from labwright.args import UserError
from labwright.args.wording import listed, nearest

from .base import GroupArgs, OptimizerArgs

NORM_CLASS = re.compile(r"Norm(\d+d)?$")


def param_groups(args: OptimizerArgs, model: nn.Module) -> list[dict[str, Any]]:
    """Torch parameter groups, one for each distinct pair of learning rate and weight decay, in the model's order."""
    names = _names_by_parameter(model)
    _check_group_names(args.groups, model)
    undecayed = set() if args.decay_norms_and_biases else _norms_and_biases(model)
    by_settings: dict[tuple[float, float], list[nn.Parameter]] = {}
    for parameter, its_names in names.items():
        group = _most_specific_group(args.groups, its_names)
        if group.freeze:
            parameter.requires_grad_(False)
        if not parameter.requires_grad:
            continue
        learning_rate = args.learning_rate if group.learning_rate is None else group.learning_rate
        weight_decay = args.weight_decay if group.weight_decay is None else group.weight_decay
        settings = (learning_rate, 0.0 if parameter in undecayed else weight_decay)
        by_settings.setdefault(settings, []).append(parameter)
    if not by_settings:
        raise UserError("nothing to train: the model has no parameters, or all of them are frozen")
    # Torch's fused steps take no sparse gradients.
    unfused = {"fused": False} if any(getattr(module, "sparse", False) for module in model.modules()) else {}
    return [
        {"params": parameters, "lr": learning_rate, "weight_decay": weight_decay, **unfused}
        for (learning_rate, weight_decay), parameters in by_settings.items()
    ]


def _names_by_parameter(model: nn.Module) -> dict[nn.Parameter, list[str]]:
    """Every parameter once, with all its names: one that is shared between layers has several."""
    names: dict[nn.Parameter, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(parameter, []).append(name)
    return names


def _most_specific_group(groups: dict[str, GroupArgs], names: list[str]) -> GroupArgs:
    """The group whose name is the longest path to the parameter under any of its names, the first of equals."""
    matches = [group for name in names for group in groups if name.startswith(group + ".")]
    return groups[max(matches, key=lambda match: match.count("."))] if matches else GroupArgs()


def _check_group_names(groups: dict[str, GroupArgs], model: nn.Module) -> None:
    """Raise a UserError for the first name that is no submodule with parameters."""
    submodules = {
        name: any(True for _ in module.parameters())
        for name, module in model.named_modules(remove_duplicate=False)
        if name
    }
    choices = sorted((name for name, has_any in submodules.items() if has_any), key=lambda name: name.count("."))
    for name in groups:
        if submodules.get(name):
            continue
        problem = (
            f'the submodule "{name}" has no parameters' if name in submodules else f'there is no submodule "{name}"'
        )
        near = nearest(name, choices)
        hint = f' (did you mean "{near}"?)' if near else ""
        known = listed(choices) or "no submodules with parameters"
        raise UserError(f"optimizer.groups: {problem}{hint}; the model has {known}")


def _norms_and_biases(model: nn.Module) -> set[nn.Parameter]:
    """Biases by their name, and all parameters of layers whose class, or a base of it, is named `...Norm`."""
    found: set[nn.Parameter] = set()
    for module in model.modules():
        is_norm = any(NORM_CLASS.search(cls.__name__) for cls in type(module).__mro__)
        for name, parameter in module.named_parameters(recurse=False):
            if is_norm or name == "bias" or name.startswith("bias_") or name.endswith("_bias"):
                found.add(parameter)
    return found

from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from labwright.args import UserError
from labwright.optimizers import AdamArgs, GroupArgs, SGDArgs


class Network(nn.Module):
    """A body with a norm layer, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3), nn.ReLU(), nn.Linear(3, 3))
        self.head = nn.Linear(3, 2)


class Tied(nn.Module):
    """A language model's shape: the head shares its weight with the embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, 3)
        self.head = nn.Linear(3, 5, bias=False)
        self.head.weight = self.embedding.weight


def settings_by_name(model: nn.Module, groups: list[dict]) -> dict[str, tuple[float, float]]:
    """Learning rate and weight decay of each parameter that is trained."""
    of = {parameter: (group["lr"], group["weight_decay"]) for group in groups for parameter in group["params"]}
    return {name: of[parameter] for name, parameter in model.named_parameters() if parameter in of}


def test_without_groups_all_parameters_share_one() -> None:
    model = Network()
    (group,) = AdamArgs(learning_rate=0.1, weight_decay=0.2).param_groups(model)
    assert list(map(id, group["params"])) == list(map(id, model.parameters()))
    assert (group["lr"], group["weight_decay"]) == (0.1, 0.2)


def test_norms_and_biases_are_spared_weight_decay_on_request() -> None:
    model = Network()
    args = SGDArgs(weight_decay=0.2, decay_norms_and_biases=False)
    decayed = {name for name, (_, decay) in settings_by_name(model, args.param_groups(model)).items() if decay}
    assert decayed == {"body.0.weight", "body.3.weight", "head.weight"}


@pytest.mark.parametrize(
    "layer", [nn.LSTM(2, 3), nn.MultiheadAttention(4, 2), nn.Conv2d(1, 2, 3), nn.Bilinear(2, 2, 2)]
)
def test_biases_of_every_kind_of_layer_are_spared(layer: nn.Module) -> None:
    args = SGDArgs(weight_decay=0.2, decay_norms_and_biases=False)
    for name, (_, decay) in settings_by_name(layer, args.param_groups(layer)).items():
        assert (decay == 0) == ("bias" in name), name


@pytest.mark.parametrize(
    "layer", [nn.BatchNorm2d(3), nn.GroupNorm(1, 3), nn.RMSNorm(3), nn.InstanceNorm1d(3, affine=True), nn.LayerNorm(3)]
)
def test_norm_layers_are_spared(layer: nn.Module) -> None:
    (group,) = SGDArgs(weight_decay=0.2, decay_norms_and_biases=False).param_groups(nn.Sequential(layer))
    assert group["weight_decay"] == 0


def test_head_trains_at_its_own_rate_while_the_body_is_frozen() -> None:
    model = Network()
    args = AdamArgs(groups={"head": GroupArgs(learning_rate=0.5), "body": GroupArgs(freeze=True)})
    groups = args.param_groups(model)
    assert settings_by_name(model, groups) == {"head.weight": (0.5, 0.0), "head.bias": (0.5, 0.0)}
    assert not any(parameter.requires_grad for parameter in model.body.parameters())


def test_most_specific_name_decides() -> None:
    model = Network()
    args = AdamArgs(
        learning_rate=0.1,
        groups={"body.3": GroupArgs(weight_decay=0.3), "body": GroupArgs(freeze=True)},
    )
    assert settings_by_name(model, args.param_groups(model)) == {
        "body.3.weight": (0.1, 0.3),
        "body.3.bias": (0.1, 0.3),
        "head.weight": (0.1, 0.0),
        "head.bias": (0.1, 0.0),
    }


def test_a_name_is_no_prefix_of_a_longer_word() -> None:
    model = nn.ModuleDict({"head": nn.Linear(1, 1), "head_two": nn.Linear(1, 1)})
    args = AdamArgs(groups={"head": GroupArgs(freeze=True)})
    assert set(settings_by_name(model, args.param_groups(model))) == {"head_two.weight", "head_two.bias"}


def test_unknown_submodule_lists_the_submodules_and_the_nearest() -> None:
    with pytest.raises(UserError) as error:
        AdamArgs(groups={"haed": GroupArgs(freeze=True)}).param_groups(Network())
    assert str(error.value) == (
        'optimizer.groups: there is no submodule "haed" (did you mean "head"?); '
        "the model has body, head, body.0, body.1, body.3"
    )


def test_the_list_of_submodules_is_bounded() -> None:
    model = nn.Sequential(*(nn.Linear(1, 1) for _ in range(50)))
    with pytest.raises(UserError, match="18, 19 and 30 more$"):
        AdamArgs(groups={"head": GroupArgs()}).param_groups(model)


def test_submodule_without_parameters_is_refused_in_words() -> None:
    with pytest.raises(UserError, match=r'the submodule "body.2" has no parameters'):
        AdamArgs(groups={"body.2": GroupArgs(freeze=True)}).param_groups(Network())


def test_an_error_freezes_nothing() -> None:
    model = Network()
    with pytest.raises(UserError):
        AdamArgs(groups={"body": GroupArgs(freeze=True), "haed": GroupArgs()}).param_groups(model)
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_freezing_everything_is_refused() -> None:
    args = AdamArgs(groups={"body": GroupArgs(freeze=True), "head": GroupArgs(freeze=True)})
    with pytest.raises(UserError, match="nothing to train"):
        args.param_groups(Network())


def test_parameters_that_the_model_froze_stay_out() -> None:
    model = Network()
    model.head.requires_grad_(False)
    assert set(settings_by_name(model, AdamArgs().param_groups(model))) == {
        name for name, _ in model.body.named_parameters(prefix="body")
    }


def test_tied_weight_is_trained_once_and_found_under_either_name() -> None:
    model = Tied()
    (group,) = AdamArgs(groups={"head": GroupArgs(learning_rate=0.5)}).param_groups(model)
    assert group["lr"] == 0.5 and len(group["params"]) == 1
    assert group["params"][0] is model.embedding.weight


group_args = st.builds(
    GroupArgs,
    learning_rate=st.none() | st.sampled_from([0.1, 0.2]),
    weight_decay=st.none() | st.sampled_from([0.0, 0.3]),
) | st.just(GroupArgs(freeze=True))


@settings(deadline=None)
@given(
    groups=st.dictionaries(st.sampled_from(["body", "body.0", "body.1", "head"]), group_args),
    decay_norms_and_biases=st.booleans(),
)
def test_every_trainable_parameter_is_in_exactly_one_group(
    groups: dict[str, GroupArgs], decay_norms_and_biases: bool
) -> None:
    model = Network()
    groups = {"body.3": GroupArgs(), **groups}
    args = AdamArgs(weight_decay=0.1, groups=groups, decay_norms_and_biases=decay_norms_and_biases)
    built = args.param_groups(model)
    seen = Counter(id(parameter) for group in built for parameter in group["params"])
    assert seen == Counter(id(parameter) for parameter in model.parameters() if parameter.requires_grad)
    assert {parameter.requires_grad for parameter in model.body[3].parameters()} == {True}
    args.build(built)


def test_order_is_that_of_the_model_every_time() -> None:
    args = AdamArgs(weight_decay=0.1, decay_norms_and_biases=False, groups={"head": GroupArgs(learning_rate=0.5)})

    def shapes() -> list[list[torch.Size]]:
        return [[parameter.shape for parameter in group["params"]] for group in args.param_groups(Network())]

    assert shapes() == shapes()
    assert [len(group) for group in shapes()] == [2, 4, 1, 1]

"""Networks that give probabilities, or several outputs: the answers and maps of the same network that gives logits."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import seewhy
from seewhy.cam.scores.form import AS_RETURNED, Form, LastCalls, formed
from seewhy.errors import ModelError, OptionError
from tests.models import FourConv, images, seeded

Ending = Callable[[Tensor], Any]


class Ended(FourConv):
    """The small network with something done to its logits at the end."""

    def __init__(self, ending: Ending, classes: int = 2) -> None:
        super().__init__(classes=classes)
        self.ending = ending

    def forward(self, x: Tensor) -> Any:
        return self.ending(super().forward(x))


class Pair(NamedTuple):
    shares: Tensor
    logits: Tensor


SOFTMAX: dict[str, Ending] = {
    "tensor": lambda z: z.softmax(1),
    "function": lambda z: functional.softmax(z, dim=-1),
    "torch": lambda z: torch.softmax(z, 1),
    "module": nn.Softmax(dim=1),
    "in a tuple": lambda z: (z.softmax(1),),
    "called logits": lambda z: {"logits": z.softmax(1)},
    "with its logits": lambda z: (z.softmax(1), z),
    "behind its logits": lambda z: [z, z.softmax(1)],
    "with names": lambda z: Pair(z.softmax(1), z),
    "in a dict": lambda z: OrderedDict(probabilities=z.softmax(1), features=z.sum(1, keepdim=True)),
    "with places": lambda z: z[:, :, None, None].softmax(1),
    "reshaped": lambda z: z.softmax(1).reshape(len(z), 1, 2).squeeze(1),
    "wider": lambda z: z.softmax(1).double(),
}
SIGMOID: dict[str, Ending] = {
    "tensor": lambda z: z.sigmoid(),
    "function": functional.sigmoid,
    "module": nn.Sigmoid(),
    "flat": lambda z: z.sigmoid()[:, 0],
    "squeezed": lambda z: torch.sigmoid(z).squeeze(1),
    "special": torch.special.expit,
}


def explained(network: nn.Module, **options: Any) -> seewhy.Explanation:
    method = options.pop("method", "grad-cam")
    return seewhy.explain(seewhy.load(network, **options), images(6), layers="conv2", method=method, progress=False)


def assert_same(one: seewhy.Explanation, other: seewhy.Explanation) -> None:
    assert [row.prediction for row in one.outcomes] == [row.prediction for row in other.outcomes]
    np.testing.assert_array_equal(
        np.stack([r.logits for r in one.outcomes]), np.stack([r.logits for r in other.outcomes])
    )
    np.testing.assert_array_equal(one.maps, other.maps)


@pytest.mark.parametrize("name", SOFTMAX)
def test_softmax_is_read_as_the_logits_behind_it(name: str) -> None:
    network = seeded(Ended(SOFTMAX[name]))
    wanted = explained(seeded(Ended(lambda z: z)))
    got = explained(network)
    assert_same(got, wanted)
    said = any("probabilities" in note or "outputs" in note for note in got.plan.notes)
    assert said or name == "with names"  # whose logits are called so


@pytest.mark.parametrize("name", SIGMOID)
def test_one_sigmoid_is_read_as_the_logit_behind_it(name: str) -> None:
    got, wanted = explained(seeded(Ended(SIGMOID[name], 1))), explained(seeded(Ended(lambda z: z, 1)))
    assert_same(got, wanted)
    assert got.plan.task == "classification" and any("its last step is sigmoid" in note for note in got.plan.notes)


def test_several_sigmoids_are_labels() -> None:
    got = explained(seeded(Ended(lambda z: z.sigmoid(), 3)))
    assert got.plan.task == "multi-label"
    assert_same(got, explained(seeded(Ended(lambda z: z, 3)), task="multi-label"))


def test_probabilities_made_by_hand_are_read_as_their_logarithms() -> None:
    by_hand = seeded(Ended(lambda z: z.exp() / z.exp().sum(1, keepdim=True), 3))
    got, wanted = explained(by_hand), explained(seeded(Ended(lambda z: z, 3)))
    shares = np.stack([row.logits for row in wanted.outcomes])
    expected = torch.from_numpy(shares).log_softmax(1).numpy()
    np.testing.assert_allclose(np.stack([row.logits for row in got.outcomes]), expected, atol=1e-5)
    assert any("add up to 1" in note for note in got.plan.notes)


def test_what_cannot_be_told_is_asked() -> None:
    network = seeded(Ended(lambda z: 1 - z.sigmoid(), 1))
    with pytest.raises(OptionError, match=r"probabilities or logits.*\n.*--output-form probabilities"):
        explained(network)
    as_logits = explained(network, output_form="logits")
    np.testing.assert_array_equal(as_logits.outcomes[0].logits, network(images(6)[:1]).detach().numpy()[0])
    told = explained(network, output_form="probabilities")
    wanted = explained(seeded(Ended(lambda z: -z, 1)))
    np.testing.assert_allclose(
        np.stack([r.logits for r in told.outcomes]), np.stack([r.logits for r in wanted.outcomes]), rtol=1e-3
    )
    np.testing.assert_allclose(told.maps, wanted.maps, rtol=1e-2, atol=1e-4)  # single digits are left of 1 - 1e-5


@pytest.mark.parametrize(
    ("ending", "how"),
    [
        (lambda z: 100 * z[:, 1:2].sigmoid(), "mul of sigmoid"),
        (lambda z: z[:, 1:2].sigmoid().mul(255).round(), "round of sigmoid"),
        (lambda z: nn.functional.logsigmoid(z[:, :1]), "log_?sigmoid"),
        (lambda z: z.sigmoid().log(), "log of sigmoid"),
        (lambda z: 2 * z.sigmoid() - 1, "sub of sigmoid"),
        (lambda z: z.softmax(1) * 10, "mul of softmax"),
    ],
)
def test_what_was_made_of_probabilities_is_not_taken_for_logits(ending: Ending, how: str) -> None:
    network = seeded(Ended(ending, 3))
    with pytest.raises(ModelError, match=rf"output is {how}.*\n.*0 to 1\.\n.*--task regression.*--output-form logits"):
        explained(network)
    as_logits = explained(network, output_form="logits").outcomes[0].logits
    np.testing.assert_allclose(as_logits, network(images(6)[:1]).detach().numpy()[0], rtol=1e-4)


@pytest.mark.parametrize(
    "ending",
    [
        lambda z: z.softmax(1).log(),
        lambda z: z * z.mean(1, keepdim=True).sigmoid(),  # a gate
        lambda z: z.mean(1, keepdim=True).sigmoid() * z,
        lambda z: 30 * nn.functional.normalize(z.sigmoid(), dim=1).matmul(torch.eye(3)) - 9,
    ],
)
def test_what_only_passes_a_squashing_function_is_logits(ending: Ending) -> None:
    assert explained(seeded(Ended(ending, 3))).plan.form == ""


def test_a_list_of_single_columns_is_no_choice_of_the_first() -> None:
    network = seeded(Ended(lambda z: list(z.split(1, 1)), 3))
    with pytest.raises(ModelError, match=r"3 outputs of one column each.*\n.*torch.cat\(outputs, 1\).*--output 0"):
        explained(network, classes=["a", "b", "c"])


def test_logits_between_0_and_1_are_logits() -> None:
    network = seeded(Ended(lambda z: z))
    with torch.no_grad():
        network.fc.weight.mul_(1e-3)
        network.fc.bias.fill_(0.5)
    assert explained(network).plan.form == ""


@pytest.mark.parametrize(
    ("ending", "form"),
    [
        (lambda z: (z.mean(1, keepdim=True), z), "output 1"),  # an age, then the classes
        (lambda z: (z, z.mean(1, keepdim=True)), ""),
        (lambda z: {"age": z.mean(1), "kind": z, "features": z.repeat(1, 8)}, "output kind"),
        (lambda z: {"heads": {"age": z.mean(1), "kind": z.softmax(1)}}, "output heads.kind, the logits before softmax"),
    ],
)  # fmt: skip
def test_of_several_outputs_the_one_that_fits_the_classes_is_read(ending: Ending, form: str) -> None:
    got = explained(seeded(Ended(ending, 3)), classes=["a", "b", "c"])
    assert got.plan.form == form
    assert_same(got, explained(seeded(Ended(lambda z: z, 3)), classes=["a", "b", "c"]))
    assert any("outputs" in note and "--output" in note for note in got.plan.notes)


def test_an_output_can_be_named() -> None:
    network = seeded(Ended(lambda z: {"age": z.mean(1, keepdim=True), "kind": z}))
    assert_same(explained(network, output="kind"), explained(seeded(Ended(lambda z: z))))
    assert explained(network, output="age", task="regression").outcomes[0].logits == pytest.approx(
        [float(network(images(6))["age"][0].detach())], rel=1e-5
    )
    with pytest.raises(
        ModelError, match=r"no tensor 'kinds'.  Nearest: kind.\n  It has: age of shape \(1, 1\), kind of shape \(1, 2\)"
    ):
        explained(network, output="kinds")
    with pytest.raises(OptionError, match=r"output_form is 'prob'"):
        explained(network, output_form="prob")


def test_a_formed_network_shares_all_and_the_model_is_untouched() -> None:
    model = seeded(Ended(lambda z: z.softmax(1)))
    before = dict(vars(model))
    twin = formed(model, Form(squash="softmax"))
    assert formed(model, Form(squash="softmax")) is twin and formed(model, AS_RETURNED) is model
    assert type(twin).__name__ == "Ended" and [n for n, _ in twin.named_modules()] == [
        n for n, _ in model.named_modules()
    ]
    assert twin.fc is model.fc and vars(model) == before
    model.ending = lambda z: (2 * z).softmax(1)  # what changes in the model changes in its twin
    torch.testing.assert_close(formed(model, Form(squash="softmax"))(images(2)), 2 * FourConv.forward(model, images(2)))


def test_the_last_calls_see_what_made_a_tensor() -> None:
    z = torch.randn(2, 3)
    with LastCalls() as calls:
        shares = z.softmax(1)
        flat = shares.squeeze()
        column = shares[:, 0]
    name, given, steps = calls.maker(flat)
    assert name == "softmax" and given is z and len(steps) == 2
    assert calls.maker(column)[1] is z and calls.maker(torch.ones(1)) == ("", None, [])


def test_a_column_of_a_softmax_is_no_row_of_logits() -> None:
    network = seeded(Ended(lambda z: z.softmax(1)[:, 1]))
    got, both = explained(network), explained(seeded(Ended(lambda z: z)))
    margins = [row.logits[1] - row.logits[0] for row in both.outcomes]
    np.testing.assert_allclose([row.logits[0] for row in got.outcomes], margins, rtol=1e-4)


@pytest.mark.parametrize(
    "ending",
    [lambda z: {"kind": z, "age": z.mean(1)}, lambda z: {"scores": z}, lambda z: Pair(z.mean(1), z),
     lambda z: [{"kind": z}, {"kind": z.mean(1)}]],
)  # fmt: skip
def test_an_output_in_any_place_and_order_is_read(ending: Ending) -> None:
    wanted = explained(seeded(Ended(lambda z: z)), classes=["a", "b"])
    assert_same(explained(seeded(Ended(ending)), classes=["a", "b"]), wanted)


def test_names_and_places_of_a_named_tuple_are_both_outputs() -> None:
    network = seeded(Ended(lambda z: Pair(z.mean(1), z)))
    assert_same(explained(network, output="logits"), explained(network, output="1"))


def test_a_hook_on_the_network_itself_is_part_of_it() -> None:
    model = seeded(Ended(lambda z: z))
    model.register_forward_hook(lambda module, args, output: output.softmax(1))
    assert_same(explained(model), explained(seeded(Ended(lambda z: z))))


def test_a_hook_with_keywords_is_given_them() -> None:
    model, plain = seeded(Ended(lambda z: z.softmax(1))), seeded(Ended(lambda z: 2 * z))
    model.register_forward_hook(lambda module, args, kwargs, output: output.log().mul(2).softmax(1), with_kwargs=True)
    got, wanted = explained(model), explained(plain)
    logits = [
        torch.from_numpy(np.stack([row.logits for row in made.outcomes])).log_softmax(1) for made in (got, wanted)
    ]
    torch.testing.assert_close(*logits, rtol=1e-4, atol=1e-4)


def test_probabilities_in_percent_are_read_as_their_logarithms() -> None:
    got, wanted = explained(seeded(Ended(lambda z: 100 * z.softmax(1), 3))), explained(seeded(Ended(lambda z: z, 3)))
    shares = torch.from_numpy(np.stack([row.logits for row in got.outcomes])).softmax(1)
    expected = torch.from_numpy(np.stack([row.logits for row in wanted.outcomes])).softmax(1)
    torch.testing.assert_close(shares, expected, atol=1e-5, rtol=1e-4)


def test_bounded_numbers_are_asked_of_though_another_head_comes_last() -> None:
    class Heads(Ended):
        def forward(self, x: Tensor) -> Any:
            shares = super().forward(x).sigmoid().clamp(1e-6, 1 - 1e-6)
            return shares, self.fc(torch.zeros(len(x), self.fc.in_features))

    with pytest.raises(OptionError, match="--output-form"):
        explained(seeded(Heads(lambda z: z, 1)), output="0")


def test_a_squeeze_of_all_axes_is_named() -> None:
    with pytest.raises(ModelError, match=r"squeeze\(1\)"):
        seewhy.explain(seewhy.load(seeded(Ended(lambda z: z.sigmoid().squeeze(), 1))), images(1), progress=False)


def test_rounded_percent_is_read_as_probabilities() -> None:
    got = explained(seeded(Ended(lambda z: (100 * (0.1 * z).softmax(1)).round(decimals=1), 3)), method="eigen-cam")
    wanted = explained(seeded(Ended(lambda z: 0.1 * z, 3)), method="eigen-cam")
    probabilities = [[row.probability for row in made.outcomes] for made in (got, wanted)]
    np.testing.assert_allclose(*probabilities, atol=2e-3)

"""The graph of a model: consumers, what lies between layers, the end, and cut points."""

from __future__ import annotations

from fixtures.observed import conv, dense, plain, stack

from lrdiag.diagnosis import network
from lrdiag.record.observed import UNKNOWN

RESIDUAL = stack(
    conv(16),  # 0
    plain("BatchNormalization"),
    plain("ReLU", "relu"),  # 2
    conv(16),
    plain("Add", sources=(2, 3)),  # 4
    plain("GlobalAveragePooling2D"),
    dense(10),  # 6
)


def test_consumers_and_what_follows_through_transparent_layers() -> None:
    assert network.consumers(RESIDUAL) == [[1], [2], [3, 4], [4], [5], [6], []]
    chain = stack(conv(16), plain("MaxPooling2D"), plain("Dropout", rate=0.5), plain("Flatten"), dense(10))
    assert network.following(chain, 0) == [4]
    assert network.following(chain, 0, through=network.keeps_values) == [], "pooling is in between"


def test_nothing_follows_directly_if_an_activation_an_add_or_an_unknown_operation_is_between() -> None:
    assert network.following(RESIDUAL, 0) == [], "a ReLU"
    assert network.following(RESIDUAL, 3) == [], "an add"
    unknown = stack(conv(16), plain("Lambda", sources=(UNKNOWN,)), dense(10))
    assert network.following(unknown, 0) == [], "no observed call receives it"
    both = stack(conv(16), plain("ReLU", "relu"), plain("Dense", "linear", (4,), sources=(0,), kernel=dense(4).kernel))
    assert network.following(both, 0) == [], "a ReLU receives it too"


def test_the_ending_leads_from_the_last_weights_to_the_scores() -> None:
    chain = stack(conv(16), plain("Flatten"), dense(10), plain("Dropout", rate=0.5), plain("Softmax", "softmax"))
    assert network.ending(chain, 10) == [2, 3, 4]
    assert network.preceding(chain, 4) == 2
    assert network.last_activation(chain, 10) == "softmax"
    assert network.last_activation(chain[:4], 10) == "linear"
    assert network.ending(chain, 7) == [], "its scores are not those of the last call"


def test_the_end_of_several_outputs_is_not_known() -> None:
    heads = stack(conv(16), plain("Flatten"), dense(3), plain("Dense", "softmax", (10,), sources=(1,)))
    assert network.last_call(heads, 10) is None
    unobserved = stack(conv(16), dense(3), plain("Dense", "softmax", (10,), sources=(UNKNOWN,)))
    assert network.last_call(unobserved, 10) == 2, "an operation that was not observed may receive the other"


def test_every_path_passes_a_cut_point() -> None:
    assert network.cut_points(RESIDUAL) == [0, 1, 2, 4, 5]
    gate = stack(
        conv(16), plain("GlobalAveragePooling2D"), dense(1), plain("Multiply", sources=(0, 2)), plain("Flatten"),
        dense(10),
    )  # fmt: skip
    assert network.cut_points(gate) == [0, 3, 4], "not the layers of the gate"
    unknown = stack(conv(16), dense(1), plain("Lambda", shape=(4,), sources=(UNKNOWN,)), dense(4), dense(10))
    assert network.cut_points(unknown) == [2, 3], "an unknown tensor may come from anywhere before"

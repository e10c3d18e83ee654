"""What travels to a node: blocks of bytes that come back as they went, and names of functions that may be asked for."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.activations.reading import Rows as ReadRows
from analysis.cluster.frames import answer_of, block
from analysis.cluster.nodes import function_of, name_of
from analysis.cluster.trial import Rows, Sums, Trial, add_rows


def test_an_answer_comes_back_as_it_went() -> None:
    rows = ReadRows({"0": np.arange(6, dtype=np.float16).reshape(3, 2)}, *(np.zeros(3, np.int32),) * 3, 2)
    back = answer_of(ReadRows, block(rows))
    assert back.dropped == 2 and back.activations["0"].dtype == np.float16
    assert np.array_equal(back.activations["0"], rows.activations["0"]) and back.tokens.shape == (3,)
    empty = answer_of(Trial, block(Trial(np.zeros((0, 4)))))
    assert empty.weights.shape == (0, 4)


@pytest.mark.parametrize("cut", [1, 9, 40])
def test_a_block_that_is_cut_off_is_no_answer(cut: int) -> None:
    data = block(Trial(np.arange(4.0)))
    with pytest.raises((OSError, EOFError)):
        answer_of(Trial, data[:-cut])


def test_a_block_of_another_class_is_refused() -> None:
    with pytest.raises(TypeError):
        answer_of(Rows, block(Trial(np.arange(4.0))))


def test_a_function_travels_by_its_name() -> None:
    name = name_of(add_rows)
    assert name == "analysis.cluster.trial:add_rows"
    assert function_of(name) == (add_rows, Trial, Rows, Sums)


@pytest.mark.parametrize(
    "name",
    [
        "os:system", "analysis:os", "analysis.cluster.nodes:name_of", "analysis.cluster.nodes:import_module",
        "analysis.cluster.trial:Trial", "analysis.cluster.trial:none", "analysis.cluster.nodes:Node.work",
        "analysis.cluster.trial:add_rows\n", "analysis..cluster:x",
    ],
)  # fmt: skip
def test_a_name_of_anything_else_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is no function of"):
        function_of(name)


def test_a_function_that_no_node_could_find_does_not_travel() -> None:
    def inside() -> None: ...

    for function in (inside, np.sum, test_an_answer_comes_back_as_it_went):
        with pytest.raises(ValueError, match="at the top of a module"):
            name_of(function)

"""The plan of row streaming: which rows are computed when, in plain integers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from row_nets import lively
from torch import nn

from swath.engines.rowgraph import trace_rows
from swath.engines.rowlaw import Reach, interpolated, repeat, shifted, spread, window
from swath.engines.rowplan import RowPlan
from swath.engines.rowwindows import LEAST
from swath.nets.zoo import build_net

REACHES = st.one_of(
    st.builds(window, st.integers(1, 7), st.integers(1, 3), st.integers(1, 3), st.integers(0, 4)),
    st.builds(spread, st.integers(1, 5), st.integers(1, 3), st.integers(1, 2), st.integers(0, 2), st.integers(0, 1)),
    st.builds(interpolated, st.sampled_from([2, 4, 8]), st.sampled_from([2, 4])),
    st.builds(repeat, st.integers(1, 5)),
    st.builds(shifted, st.integers(-2, 4), st.integers(-2, 4)),
)


@given(REACHES, st.integers(0, 60), st.integers(1, 20))
def test_rows_are_ready_when_all_they_read_is_there(reach: Reach, start, count):
    first, last = reach.span(start, start + count)
    assert first < last
    assert reach.span(start, start + 1)[0] == first
    assert reach.span(start + count - 1, start + count)[1] == last
    assert reach.ready(last) >= start + count
    assert reach.ready(last - 1) < start + count
    assert reach.offset(first) <= start


def test_reaches_by_hand():
    assert window(3, 2, 1, 1).span(0, 2) == (-1, 4)
    assert window(7, 2, 1, 3).extent(64) == 32
    assert spread(4, 2, 1, 1, 0).span(1, 2) == (0, 2)
    assert spread(2, 2, 1, 0, 0).extent(5) == 10
    assert interpolated(2, 2).span(0, 4) == (-1, 3)
    assert shifted(1, -2).extent(10) == 9


@pytest.fixture(scope="module")
def graph():
    return trace_rows(lively(build_net("unet", 3, 2, {"depth": 3, "width": 16})), 8)


@pytest.mark.parametrize("block", [1 << 18, 16 << 20])
@pytest.mark.parametrize("strip", [1, 8, 50, 500])
def test_steps_follow_on_each_other_within_their_bounds(graph, strip, block):
    height, width = 240, 160
    plan, done = RowPlan(graph.nodes, height, width, block), [0] * len(graph.nodes)
    for row in range(0, height, strip):
        rows = min(strip, height - row)
        done[0] += rows
        for step in plan.advance(rows):
            node = graph.nodes[step.node]
            assert done[step.node] == step.start < step.stop
            done[step.node] = step.stop
            for source, keep in zip(node.inputs, step.keep, strict=True):
                below = plan.heights[source]
                assert step.last <= done[source] or done[source] == below
                assert keep <= done[source] or done[step.node] == plan.heights[step.node]
            if node.operation.least:
                source = node.inputs[0]
                values = graph.nodes[source].channels * plan.widths[source] * (step.last - step.first)
                assert values >= LEAST
            if step.stop - step.start > 1 and not node.operation.least:
                assert plan.line[step.node] * (step.stop - step.start) <= block
    assert done == plan.heights
    assert all(plan.kept(position) == done[position] for position in range(len(done)))


def test_sizes_that_do_not_fit_are_refused(graph):
    with pytest.raises(ValueError, match=r"joins inputs of .* rows where the image has 12"):
        RowPlan(graph.nodes, 12, 16, 1 << 20)
    with pytest.raises(ValueError, match="gives 0 columns where the image has 4"):
        RowPlan(trace_rows(nn.Conv2d(3, 3, 5).eval(), 8).nodes, 8, 4, 1 << 20)

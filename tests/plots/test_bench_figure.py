import re

import pytest

from einthoven.plots.bench import bench_figure
from einthoven.plots.inline import figure_svg


def _row(model, way, kilobytes, ms, auroc):
    stated = None if auroc is None else {"value": auroc, "split": "validation"}
    threads = {"1": {"latency_ms": {"p50": ms}}}
    return {"model": model, "way": way, "file_bytes": 1000 * kilobytes, "auroc": stated, "threads": threads}


def _found(*rows):
    machine = {"cpu": "Some $CPU$", "cores": 2, "instructions": {"AVX2": True, "VNNI": False}}
    return {"rows": rows, "machine": machine, "settings": {"threads": [1, 2]}}


def _offsets(fig):
    return [tuple(map(float, each.get_offsets()[0])) for each in fig.axes[0].collections]


def test_each_way_is_where_its_latency_and_accuracy_are_and_as_large_as_its_file():
    fig = bench_figure(_found(_row("m", "torch", 2000, 4.0, 0.94), _row("m", "int8", 500, 0.5, 0.93)))
    assert _offsets(fig) == [(4.0, 0.94), (0.5, 0.93)]
    large, small = (each.get_sizes()[0] for each in fig.axes[0].collections)
    assert large / small == pytest.approx(4)
    assert fig.axes[0].get_xscale() == "log"


def test_differences_that_mean_nothing_are_not_blown_up():
    fig = bench_figure(_found(_row("m", "torch", 2000, 4.0, 0.93752), _row("m", "onnx", 2000, 2.0, 0.93751)))
    low, high = fig.axes[0].get_ylim()
    assert high - low >= 0.01


def test_the_key_names_every_way_also_one_without_a_stated_accuracy():
    fig = bench_figure(
        _found(_row("m_1$x$", "onnx", 2000, 4.0, 0.94), _row("other", "mine", 519, 0.512, None)),
    )
    text = re.sub(r"<[^>]*>", " ", figure_svg(fig))
    for words in ("m_1$x$", "other", "ONNX fp32", "mine", "519 kB", "2.0 MB", "0.51", "0.9400", "Some $CPU$, 2 cores"):
        assert words in text
    assert "VNNI" not in text
    assert len(_offsets(fig)) == 1


def test_many_models_and_ways_stay_inside_the_drawing():
    ways = [f"artefact-{k}" for k in range(9)]
    rows = [
        _row(f"model-{m}", way, 100 + 200 * m, 0.3 + m + k, 0.9 + 0.01 * m)
        for m in range(4)
        for k, way in enumerate(ways)
    ]
    fig = bench_figure(_found(*rows))
    fig.canvas.draw()
    box = fig.bbox
    for text in fig.axes[1].texts:
        inside = text.get_window_extent()
        assert box.y0 <= inside.y0
        assert inside.y1 <= box.y1
        assert inside.x1 <= box.x1


def test_without_a_stated_accuracy_there_is_nothing_to_draw():
    with pytest.raises(ValueError, match="no macro AUROC is stated"):
        bench_figure(_found(_row("m", "onnx", 2000, 4.0, None)))

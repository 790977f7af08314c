import numpy as np
import pytest

from operators.upscalers.ncnn_graph import layers_of, torch_session, weights_of
from operators.upscalers.upscaler import UPSCALERS, weight_files

NETWORKS = [one for scales in UPSCALERS.values() for one in scales if one.weights]


@pytest.mark.parametrize("one", NETWORKS, ids=lambda one: one.alias)
def test_torch_gives_what_ncnn_gives_to_a_hundredth_of_a_grey_level(one):
    picture = np.random.default_rng(1).random((17, 22, 3)).astype(np.float32)
    paths = weight_files(one)
    result = torch_session(paths[".param"], paths[".bin"], "cpu")(picture)
    assert np.abs(result - one.opened()(picture)).max() * 255 < 0.01


def test_weights_that_do_not_fit_their_layers_are_refused(tmp_path):
    paths = weight_files(NETWORKS[0])
    longer = tmp_path / "longer.bin"
    longer.write_bytes(paths[".bin"].read_bytes() + bytes(4))
    with pytest.raises(ValueError, match=r"longer.bin: \d+ bytes, the layers take \d+"):
        weights_of(layers_of(paths[".param"]), longer)


def test_a_layer_that_is_not_known_is_refused(tmp_path):
    graph, weights = tmp_path / "a.param", tmp_path / "a.bin"
    graph.write_text("7767517\n2 2\nInput in 0 1 data\nSoftmax last 1 1 data output 0=0\n")
    weights.write_bytes(b"")
    with pytest.raises(ValueError, match="no layer Softmax"):
        torch_session(graph, weights, "cpu")(np.zeros((2, 2, 3), np.float32))

"""A busy machine measures the same."""

from benchmarks.busy import burning, numbers
from utils.data.config import load_data


def test_numbers_do_not_depend_on_how_busy_the_machine_is(make_lively, tiny_cfg, label_by):
    model = make_lively(tiny_cfg)
    data = label_by(model)
    config = load_data(str(data))
    model.names = dict(config.names)
    quiet = numbers(model, config, 64, workers=0)
    with burning(6):
        busy = [numbers(model, config, 64, workers) for workers in (0, 2)]
    assert quiet[0][3] > 0.1 and busy == [quiet, quiet]

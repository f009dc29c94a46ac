"""The config file of slim.py: its keys, an older tool's keys, what flags override, what is refused."""

import re
from dataclasses import asdict

import pytest

from utils.cli.options import given_flags
from utils.errors import InputError
from utils.files.paths import ROOT
from utils.slimming.config import read_config
from utils.slimming.options import SlimOptions

TEMPLATE = ROOT / "data/slim.yaml"


@pytest.fixture
def config(tmp_path):
    """Return the function that writes a config file."""

    def write(text):
        file = tmp_path / "slim.yaml"
        file.write_text(text)
        return file

    return write


def combined(file, *words, say=lambda line: None):
    words = ["--config", str(file), *words]
    return SlimOptions.from_given(say=say, **given_flags(SlimOptions, words))


def test_the_template_documents_every_setting_with_its_default():
    assert asdict(combined(TEMPLATE)) == {**asdict(SlimOptions()), "config": str(TEMPLATE)}
    documented = re.findall(r"^(\w+):.*", TEMPLATE.read_text(), re.MULTILINE)
    assert sorted(documented) == sorted(set(asdict(SlimOptions())) - {"config"})


def test_flags_override_the_file_which_overrides_the_defaults(config):
    file = config("share: 0.3\nsteps: 4\nno_distill: true\nweights: a.pt\nbatch: 4\nmax_drop: 1e-2\n")
    options = combined(file, "--share", "0.5", "--seed", "3")
    assert (options.share, options.steps, options.no_distill) == (0.5, 4, True)  # 0.5 is the default, but it is given
    assert (options.weights, options.batch_size, options.max_drop, options.seed) == (["a.pt"], 4, 0.01, 3)


def test_a_size_goal_among_the_flags_replaces_that_of_the_file(config):
    options = combined(config("flops: 0.3\nmax_drop: 0.02\n"), "--size-mb", "2")
    assert (options.flops, options.size_mb, options.max_drop) == (None, 2, 0.02)


def test_keys_of_the_older_tool_are_understood_and_named(config):
    lines = []
    file = config(
        "input_model_path: a.pt\noutput_model_path: b.pt\nfinetuning_epochs: 7\nstop_loss: 0.2\n"
        "pruning_percent_step: 0.1\npruning_standart_deviation_part: 0.5\n"
    )
    options = combined(file, say=lines.append)
    assert (options.weights, options.out, options.finetune_epochs) == (["a.pt"], "b.pt", 7)
    assert (options.stop_loss, options.share, options.std_guard) == (0.2, 0.1, 0.5)
    assert len(lines) == 6
    assert f"{file}: finetuning_epochs is taken as finetune_epochs: epochs of fine-tuning in a step" in lines


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_dorp: 0.01", "unknown key 'max_dorp'; did you mean 'max_drop'?"),
        ("finetune_epoch: 3", "unknown key 'finetune_epoch'; did you mean 'finetune_epochs'?"),
        ("pruning_standard_deviation_part: 1", "did you mean 'pruning_standart_deviation_part'?"),
        ("zzz: 3", "unknown key 'zzz'; data/slim.yaml lists the keys"),
        ("7: 3", "unknown key 7; data/slim.yaml lists the keys"),
        ("config: other.yaml", "unknown key 'config'"),
        ("share: half", "share: 'half' must be of type float"),
        ("steps: 2.5", "steps: 2.5 must be of type int"),
        ("steps: true", "steps: True must be of type int"),
        ("no_distill: 1", "no_distill: 1 must be of type bool"),
        ("runtime: tflite", "runtime: 'tflite' must be one of torch, onnx"),
        ("pruning_percent_step: 0.1\nshare: 0.2", "'share': is another name for 'share', which is given too"),
        ("- share", "must be a YAML mapping with settings of slim.py"),
    ],
)
def test_what_a_file_may_not_say(config, text, message):
    with pytest.raises(InputError, match=re.escape(message)) as error:
        read_config(SlimOptions, config(text), say=lambda line: None)
    assert "slim.yaml" in str(error.value) and "\n" not in str(error.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match="none.yaml: no such config file"):
        combined(tmp_path / "none.yaml")


def test_epochs_among_the_flags_replace_those_of_both_phases(config):
    options = combined(config("sparse_epochs: 9\nfinetune_epochs: 8\n"), "--epochs", "5")
    assert (options.sparse_epochs, options.finetune_epochs) == (5, 5)
    options = combined(config("epochs: 9\n"), "--sparse-epochs", "5")
    assert (options.sparse_epochs, options.finetune_epochs) == (5, 9)

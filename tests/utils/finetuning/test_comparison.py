"""The photos that a fine-tuned network gets wrong and its teacher does not."""

import pytest

from tests.utils.training.runs import options
from utils.files.checkpoint import finished_content, save_checkpoint
from utils.finetuning.finetune import finetune, finetuning_hooks
from utils.finetuning.options import FinetuneOptions


@pytest.fixture
def taught(make_lively, tiny_cfg, tiny_yaml, label_by, drawn_data, tmp_path):
    """A function that returns options of one epoch under a teacher whose classes have these names."""

    def prepare(*names, **more):
        teacher = make_lively(tiny_cfg)
        label_by(teacher)
        teacher.names = dict(enumerate(names))
        save_checkpoint(tmp_path / "teacher.pt", finished_content(teacher))
        file = str(tmp_path / "teacher.pt")
        more = {"epochs": 1, "noplots": False, "teacher": file, **more}
        return options(tmp_path, drawn_data, tiny_yaml, FinetuneOptions, **more)

    return prepare


def test_what_only_the_teacher_sees_is_told_and_drawn(taught, capsys):
    run = finetune(taught("blue", "green", "red"))
    said, picture = capsys.readouterr().out, run.folder.path / "worst.jpg"
    assert "worst photos: the cut network is worse than the teacher network on 4 of 4 photos" in said
    assert "expect: 8 photos of " in said and "about 100% of the FLOPs stay" in said
    assert f"picture: {picture}" in said and picture.read_bytes().startswith(b"\xff\xd8")


def test_a_teacher_of_other_classes_is_not_compared(taught, capsys):
    run = finetune(taught("blue", "green", "violet"))
    assert "worst photos: they could not be shown: " in capsys.readouterr().out
    assert not (run.folder.path / "worst.jpg").exists()


def test_without_a_teacher_or_pictures_nothing_is_compared(taught):
    given = taught("blue", "green", "red", noplots=True)
    assert [type(hook).__name__ for hook in finetuning_hooks(given, print)] == ["Distillation", "Beginning", "Outlook"]
    given.teacher, given.noval = "none", True
    assert [type(hook).__name__ for hook in finetuning_hooks(given, print)] == ["Outlook"]

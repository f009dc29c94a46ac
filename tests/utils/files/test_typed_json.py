"""Dataclasses as JSON: what is written is read again, what is not of its type is named by file and key."""

from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from utils.errors import InputError
from utils.files.typed_json import read_json, write_json


@dataclass
class Inner:
    number: float
    pair: tuple[int, int] = (1, 2)


@dataclass
class Outer:
    kind: Literal["a", "b"]
    flag: bool
    name: str | None
    inner: list[Inner]
    table: dict[str, Inner] = field(default_factory=dict)
    free: Any = None


def test_what_is_written_is_read_again(tmp_path):
    whole = Outer("b", True, None, [Inner(0.5), Inner(2.0, (3, 4))], {"x.y": Inner(1.5)}, {"any": [1, None]})
    write_json(tmp_path / "a.json", whole)
    assert read_json(tmp_path / "a.json", Outer, "a test") == whole


def test_what_has_a_default_may_be_absent_and_whole_numbers_are_numbers(tmp_path):
    (tmp_path / "a.json").write_text('{"kind": "a", "flag": false, "name": "n", "inner": [{"number": 3}]}')
    found = read_json(tmp_path / "a.json", Outer, "a test")
    assert found == Outer("a", False, "n", [Inner(3.0)]) and isinstance(found.inner[0].number, float)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("{", "cannot be read as a test"),
        ("[]", "its content"),
        ('{"kind": "c", "flag": true, "name": null, "inner": []}', "kind"),
        ('{"kind": "a", "flag": 1, "name": null, "inner": []}', "flag"),
        ('{"kind": "a", "flag": true, "name": 1, "inner": []}', "name"),
        ('{"kind": "a", "flag": true, "name": null, "inner": {}}', "inner"),
        ('{"kind": "a", "flag": true, "name": null, "inner": [{"number": true}]}', "inner[0].number"),
        ('{"kind": "a", "flag": true, "name": null, "inner": [{"number": 1, "pair": [1]}]}', "inner[0].pair"),
        ('{"kind": "a", "flag": true, "name": null, "inner": [{"number": 1, "pair": [1, 1.5]}]}', "inner[0].pair[1]"),
        ('{"kind": "a", "flag": true, "name": null, "inner": [{}]}', "inner[0].number"),
        ('{"kind": "a", "flag": true, "name": null, "inner": [], "table": {"k": 1}}', "table.k"),
        ('{"kind": "a", "flag": true, "name": null, "inner": [], "more": 1}', "more"),
    ],
)
def test_file_and_key_of_a_wrong_value_are_named(tmp_path, text, key):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(InputError) as error:
        read_json(tmp_path / "a.json", Outer, "a test")
    assert str(error.value).startswith(f"{tmp_path / 'a.json'}: {key}") and "\n" not in str(error.value)

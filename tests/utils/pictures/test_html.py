"""Pages escape what they are given, and fail on what they are not given."""

import pytest
from jinja2 import UndefinedError
from markupsafe import Markup

from utils.pictures.html import TEMPLATES, environment, render, short_name, shown


def test_text_is_escaped_and_charts_are_not():
    template = environment().from_string("{{ name }}{{ chart }}")
    assert template.render(name="<b>\"'&", chart=Markup("<svg/>")) == "&lt;b&gt;&#34;&#39;&amp;<svg/>"


def test_a_value_that_is_not_given_is_an_error():
    with pytest.raises(UndefinedError, match="refresh"):
        render("slimming.html")


def test_every_template_can_be_read_and_none_switches_escaping_off():
    files = sorted(TEMPLATES.glob("*.html"))
    assert [file.name for file in files] == ["page.html", "parts.html", "pruning.html", "slimming.html"]
    for file in files:
        environment().get_template(file.name)
        assert not {"safe", "autoescape"} & set(file.read_text().replace("|", " ").split())


@pytest.mark.parametrize(
    ("layer", "name"), [("model.2.cv1.conv", "2.cv1"), ("model.0.bn", "0"), ("model.24.m.0", "24.m.0"), ("a", "a")]
)
def test_names_of_layers_are_short(layer, name):
    assert short_name(layer) == name


def test_a_missing_number_is_said():
    assert shown(0.0, "{:.1f}") == "0.0" and shown(None, "{:.1f}") == "not measured" and shown(None, "", "–") == "–"

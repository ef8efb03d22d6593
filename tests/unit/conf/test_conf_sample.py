"""The sample file is what the options say, and can be read."""

from pathlib import Path

from lmflow.conf import list_opts, load
from lmflow.conf.sample import render

SAMPLE = Path(__file__).parents[3] / "etc" / "lmflow" / "lmflow.conf.sample"


def test_the_sample_in_the_tree_is_the_generated_one() -> None:
    again = "generate it: python -c 'from lmflow.conf import sample; print(sample.render(), end=\"\")'"
    assert SAMPLE.read_text(encoding="utf-8") == render(), again


def test_the_sample_names_every_option() -> None:
    lines = render().splitlines()
    for group, opts in list_opts():
        assert f"[{getattr(group, 'name', group)}]" in lines
        for opt in opts:
            assert any(line.startswith(f"#{opt.name} =") for line in lines), opt.name


def test_the_sample_can_be_filled_in(tmp_path: Path) -> None:
    path = tmp_path / "lmflow.conf"
    path.write_text(render().replace("[pool:name]", "[pool:lab]").replace("#addresses =", "addresses ="))
    settings = load([path], {"HOME": str(tmp_path)})
    assert settings.pools["lab"].addresses == ("192.0.2.11", "192.0.2.12")
    assert settings.default_pool == "lab"

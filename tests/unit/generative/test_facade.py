"""The public names of the model library can be imported by a star, too."""

import sitegen.generative
import sitegen.ihdm


def test_star_imports() -> None:
    """`from sitegen.ihdm import *` brings every name; that of the library brings its folders."""
    for package in (sitegen.ihdm, sitegen.generative):
        found: dict[str, object] = {}
        exec(f"from {package.__name__} import *", found)
        assert {*package.__all__} == found.keys() - {"__builtins__"}
    assert {*sitegen.ihdm.__all__} == {*sitegen.ihdm._MODULES} == {*dir(sitegen.ihdm)}

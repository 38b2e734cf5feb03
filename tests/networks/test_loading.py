"""What loading a network takes."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from gannet.networks import DISCRIMINATORS, GENERATORS, TRANSLATORS
from gannet.networks.folder import WithoutValues, save_network

COMPILER = '{"sympy", "torch._dynamo", "torch._inductor"}'
LOADED = f"""
import sys
from pathlib import Path
from gannet.networks import GENERATORS
from gannet.networks.folder import load_network
load_network(Path(sys.argv[1]), GENERATORS)
print(sorted({COMPILER} & sys.modules.keys()))
"""
BUILT = f"""
import sys
from contextlib import suppress
import torch
from gannet.errors import UserError
from gannet.networks import DISCRIMINATORS, GENERATORS, TRANSLATORS
from gannet.networks.folder import WithoutValues
for table in (GENERATORS, TRANSLATORS, DISCRIMINATORS):
    for name in table.rows:
        for num_classes in (0, 3):
            with suppress(UserError), torch.device("meta"), WithoutValues():
                table.find(name)(32, 3, num_classes)
            if {COMPILER} & sys.modules.keys():
                sys.exit(f"the {{table.kind}} {{name}} needs more in WithoutValues")
"""


def said_by(*words: str) -> str:
    done = subprocess.run([sys.executable, "-c", *words], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_loading_imports_no_compiler(tmp_path: Path) -> None:
    facts = {"resolution": 32, "channels": 3, "classes": []}
    save_network(tmp_path, GENERATORS.find("dcgan")(32, 3, 0), {"name": "dcgan", **facts, "settings": {}})
    assert said_by(LOADED, str(tmp_path)) == "[]\n"


def test_no_network_needs_the_compiler_for_its_shapes() -> None:
    assert said_by(BUILT) == ""


def test_shapes_without_values_are_those_with_them() -> None:
    def shapes(build: Any) -> dict[str, torch.Size]:
        return {name: value.shape for name, value in build(32, 3, 0).state_dict().items()}

    for table in (GENERATORS, TRANSLATORS, DISCRIMINATORS):
        for name in table.rows:
            with torch.device("meta"):
                expected = shapes(table.find(name))
                with WithoutValues():
                    assert shapes(table.find(name)) == expected, name

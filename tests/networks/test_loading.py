"""What loading a network takes."""

import subprocess
import sys
from pathlib import Path

import pytest

from gannet.networks import GENERATORS
from gannet.networks.folder import save_network

LOADED = """
import sys
from pathlib import Path
from gannet.networks import GENERATORS
from gannet.networks.folder import load_network
load_network(Path(sys.argv[1]), GENERATORS)
print(sorted({"sympy", "torch._dynamo", "torch._inductor"} & sys.modules.keys()))
"""


@pytest.mark.parametrize("name", ["dcgan", "biggan"])
def test_loading_imports_no_compiler(name: str, tmp_path: Path) -> None:
    facts = {"resolution": 32, "channels": 3, "classes": []}
    G = GENERATORS.find(name)(32, 3, 0)
    save_network(tmp_path / "generator", G, {"name": name, **facts, "settings": {}})
    done = subprocess.run(
        [sys.executable, "-c", LOADED, str(tmp_path / "generator")], capture_output=True, text=True, check=False
    )
    assert done.stdout == "[]\n", done.stderr

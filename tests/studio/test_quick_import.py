import inspect
import subprocess
import sys
from pathlib import Path

import pytest

from studio.page.quick_import import STUB_WRITER, no_stub_writing

ROOT = Path(__file__).resolve().parents[2]
PROBE = """
import inspect, pathlib
writes = []
real = pathlib.Path.write_text
pathlib.Path.write_text = lambda self, *a, **k: writes.append(self) or real(self, *a, **k)
parses = []
import ast
parse = ast.parse
ast.parse = lambda *a, **k: parses.append(1) or parse(*a, **k)
from studio.page.quick_import import no_stub_writing
with no_stub_writing():
    import gradio
print(len(writes), len(parses), gradio.HTML(None).elem_id, "click" in dir(gradio.Button))
"""


def test_gradio_is_whole_and_wrote_no_stubs() -> None:
    probe = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROBE],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    writes, parses, elem_id, has_click = probe.stdout.split()
    assert (writes, elem_id, has_click) == ("0", "None", "True")
    assert int(parses) < 10  # about 140 otherwise


def test_only_the_stub_writer_is_refused() -> None:
    before = inspect.getfile
    with no_stub_writing():
        assert inspect.getfile(Path).endswith(".py")
        writer = {"__name__": STUB_WRITER, "inspect": inspect, "Path": Path}
        with pytest.raises(OSError, match="no stubs"):
            exec("inspect.getfile(Path)", writer)
    assert inspect.getfile is before

"""What the Dockerfile of a new project asks a package index for: run as it stands, against one of this test's own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.helm.test_image import ROOT

from stepwire_handlers.scaffold import write

FOREIGN = "99.0"  #: the version of somebody who registered our name
#: builds the project, for its own backend would come from an index too
BACKEND = """
import pathlib, tomllib, zipfile

def build_wheel(folder, config_settings=None, metadata_directory=None):
    project = tomllib.loads(pathlib.Path("pyproject.toml").read_text())["project"]
    needs = "".join(f"Requires-Dist: {one}\\n" for one in project["dependencies"])
    about = f"Metadata-Version: 2.1\\nName: {project['name']}\\nVersion: {project['version']}\\n{needs}"
    name, inside = f"{project['name']}-{project['version']}", f"{project['name']}-{project['version']}.dist-info"
    with zipfile.ZipFile(pathlib.Path(folder) / f"{name}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{inside}/METADATA", about)
        tags = "Root-Is-Purelib: true\\nTag: py3-none-any"
        wheel.writestr(f"{inside}/WHEEL", f"Wheel-Version: 1.0\\nGenerator: test\\n{tags}\\n")
        wheel.writestr(f"{inside}/RECORD", "")
    return f"{name}-py3-none-any.whl"
"""


def _wheel(folder: Path, version: str, needs: str = "") -> Path:
    """One called stepwire, with every extra that a project asks for; `needs` is what one of them brings."""
    folder.mkdir(parents=True, exist_ok=True)
    inside, path = f"stepwire-{version}.dist-info", folder / f"stepwire-{version}-py3-none-any.whl"
    extras = "".join(f"Provides-Extra: {name}\n" for name in ("claude", "serve", "kafka", "s3", "door", "console"))
    needs += 'Requires-Dist: stepwire[door]; extra == "console"\n'  # as ours does
    with zipfile.ZipFile(path, "w") as wheel:
        about = f"Metadata-Version: 2.1\nName: stepwire\nVersion: {version}\n{extras}{needs}"
        wheel.writestr(f"{inside}/METADATA", about)
        wheel.writestr(
            f"{inside}/WHEEL", "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{inside}/RECORD", "")
    return path


@pytest.fixture
def index(tmp_path: Path) -> Iterator[tuple[str, list[str]]]:
    """One that has a foreign, newer `stepwire`; and what it was asked for."""
    path = _wheel(tmp_path / "index" / "simple" / "stepwire", FOREIGN)
    (path.parent / "index.html").write_text(f'<a href="{path.name}">{path.name}</a>')
    asked = list[str]()

    class Noting(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            asked.append(self.path)

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Noting, directory=str(tmp_path / "index")))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/simple", asked
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """What `stepwire new acme` writes, but for what would build it."""
    folder = tmp_path / "acme"
    assert list(write(folder, "acme", "acme"))
    (folder / "backend.py").write_text(BACKEND)
    path = folder / "pyproject.toml"
    named = 'requires = ["hatchling"]\nbuild-backend = "hatchling.build"'
    assert named in path.read_text()
    path.write_text(path.read_text().replace(named, 'requires = []\nbuild-backend = "backend"\nbackend-path = ["."]'))
    return folder


def _built(project: Path, index: str) -> subprocess.CompletedProcess[str]:
    """The step of the Dockerfile that installs, with this index and an environment below the project."""
    text = (project / "Dockerfile").read_text()
    (command,) = re.findall(r"^RUN ((?:.*\\\n)*.*pip .*)$", text, flags=re.MULTILINE)
    (extras,) = re.findall(r"^ARG EXTRAS=(.+)$", text, flags=re.MULTILINE)
    assert command.count("/venv") == 2
    told = {"PIP_INDEX_URL": index, "PIP_CONFIG_FILE": os.devnull, "EXTRAS": f"{extras},console", "PIP_RETRIES": "0",
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}  # fmt: skip
    own = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    return subprocess.run(["sh", "-c", command.replace("/venv", str(project / "venv"))], cwd=project, env=own | told,
                          capture_output=True, text=True, check=False, timeout=120)  # fmt: skip


@pytest.mark.slow
def test_a_new_projects_image_asks_no_index_for_our_name(project: Path, index: tuple[str, list[str]]) -> None:
    """A newer `stepwire` of somebody else's is neither asked for nor taken; the extras are, and what they bring."""
    url, asked = index
    _wheel(project / "wheels", "0.1.0", 'Requires-Dist: acme-of-the-door; extra == "door"\n')
    refused = _built(project, url)  # the index has nothing of that name
    assert refused.returncode and "acme-of-the-door" in refused.stderr and {*asked} == {"/simple/acme-of-the-door/"}
    asked.clear()
    _wheel(project / "wheels", "0.1.0")
    done = _built(project, url)
    assert (done.returncode, asked) == (0, []), done.stderr
    listed = subprocess.run([sys.executable, "-m", "pip", "--python", str(project / "venv"), "list", "--format=json"],
                            capture_output=True, text=True, check=True)  # fmt: skip
    assert {one["name"]: one["version"] for one in json.loads(listed.stdout)} == {"acme": "0.1.0", "stepwire": "0.1.0"}


@pytest.mark.parametrize("versions", [(), ("0.1.0", "0.2.0")])
def test_an_image_without_its_one_wheel_is_not_built(project: Path, versions: tuple[str, ...]) -> None:
    """None, or two of which one would be old: the words say where it belongs, and nothing is installed."""
    for version in versions:
        _wheel(project / "wheels", version)
    done = _built(project, "http://127.0.0.1:1/simple")
    assert done.returncode == 1 and "put one wheel of Stepwire into wheels/" in done.stderr
    assert all(f"stepwire-{version}-" in done.stderr for version in versions) and not (project / "venv").exists()


def test_make_in_a_new_project_takes_no_stepwire_by_its_name(project: Path) -> None:
    """Neither a checkout nor a wheel is there: nothing is made, and the words say what to set."""
    own = {name: value for name, value in os.environ.items() if name != "STEPWIRE_SOURCE"}
    done = subprocess.run(["make", "test"], cwd=project, env=own, capture_output=True, text=True, check=False)
    assert done.returncode and "set STEPWIRE_SOURCE to a checkout" in done.stderr and not (project / ".venv").exists()


def test_our_own_image_takes_its_versions_from_the_lock() -> None:
    """By hash, without us in it; ourselves from the sources, without asking for anything."""
    text = (ROOT / "Dockerfile").read_text()
    assert "--no-emit-project" in text and "--require-hashes -r requirements.txt" in text
    assert re.findall(r"uv pip install [^\n]*--no-deps \.$", text, flags=re.MULTILINE)

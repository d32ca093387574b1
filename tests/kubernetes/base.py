"""The base image of the Dockerfile, where no registry gives it: Debian from its packages, Python from this machine.

In: a Docker client. Out: the image `python:3.12-slim` in its daemon. Promise: kept as a file in the user's cache, whole
or not at all; an image that is there, or can be pulled, is taken as it is.
"""

from __future__ import annotations

import shutil
import subprocess
import tarfile
from pathlib import Path

from tests.helm.tools import NotHere, kept, run

NAME = "python:3.12-slim"
VERSION = "3.12"
#: what Python's own modules are linked against, and the certificates
LIBRARIES = (
    "ca-certificates", "libbz2-1.0", "libcrypt1", "libexpat1", "libffi8", "liblzma5", "libncursesw6", "libnsl2",
    "libreadline8", "libsqlite3-0", "libssl3", "libuuid1", "zlib1g",
)  # fmt: skip
#: of Debian and of Python what an official slim image does not have either
LEFT_OUT = (
    "usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info", "var/cache", "var/lib/apt/lists",
    f"usr/local/lib/python{VERSION}/test", f"usr/local/lib/python{VERSION}/idlelib",
)  # fmt: skip
#: what this machine trusts, a company's own authority among it
TRUSTED = Path("/etc/ssl/certs/ca-certificates.crt")
#: the machine's own names an interpreter that is elsewhere
PIP = f"""#!/usr/local/bin/python{VERSION}
import sys
from pip._internal.cli.main import main
sys.exit(main())
"""


def base_image(docker: list[str]) -> str:
    """Have it in the daemon; says where it came from."""
    if not subprocess.run([*docker, "image", "inspect", NAME], capture_output=True, check=False).returncode:
        return f"{NAME} was there"
    if not subprocess.run([*docker, "pull", "-q", NAME], capture_output=True, check=False).returncode:
        return f"{NAME} was pulled"
    packed = kept(f"base-python-{VERSION}", _pack) / "root.tar"
    run([*docker, "import", "--change", 'CMD ["python3"]', str(packed), NAME], packed.parent)
    return f"{NAME} was made of Debian's packages and this machine's Python"


def _pack(folder: Path) -> None:
    root = folder / "root"
    if not shutil.which("debootstrap"):
        raise NotHere(f"{NAME} is neither here nor to be pulled, and there is no debootstrap: apt-get install it")
    run(["debootstrap", "--variant=minbase", f"--include={','.join(LIBRARIES)}", "bookworm", str(root)], folder)
    shutil.copytree(_python(), root / "usr" / "local", symlinks=True, dirs_exist_ok=True,
                    ignore=shutil.ignore_patterns("__pycache__", "config-*", "*.a"))  # fmt: skip
    programs = root / "usr" / "local" / "bin"
    for name in ("python", "python3"):
        (programs / name).unlink(missing_ok=True)
        (programs / name).symlink_to(f"python{VERSION}")
    for name in ("pip", "pip3", f"pip{VERSION}"):
        (programs / name).write_text(PIP)
        (programs / name).chmod(0o755)
    shutil.copy(TRUSTED, root / TRUSTED.relative_to("/"))
    run(["chroot", str(root), "ldconfig"], folder)
    with tarfile.open(folder / "root.tar", "w") as packed:
        packed.add(root, ".", filter=_wanted)
    shutil.rmtree(root)


def _wanted(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    name = entry.name.removeprefix("./")
    return None if any(name.startswith(f"{out}/") for out in LEFT_OUT) or entry.isdev() else entry


def _python() -> Path:
    """The folder that a Python of this version was installed into."""
    ask = "import sys; print(sys.base_prefix)"
    candidates = [
        shutil.which(f"python{VERSION}"),
        *map(str, Path.home().glob(f".pyenv/versions/{VERSION}.*/bin/python")),
    ]
    for candidate in filter(None, candidates):
        done = subprocess.run([candidate, "-c", ask], capture_output=True, text=True, check=False)
        prefix = Path(done.stdout.strip() or "/nowhere")
        if not done.returncode and (prefix / "lib" / f"python{VERSION}").is_dir() and prefix != Path("/usr"):
            return prefix
    raise NotHere(
        f"{NAME} is neither here nor to be pulled, and no Python {VERSION} of its own folder is on this machine"
    )

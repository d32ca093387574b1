"""The author's module: an app is imported by its name, `MODULE:app`.

In: the name. Out: the app. Whatever is wrong with the name, or goes wrong in the module, is told in one line with its
place in the author's code; nothing of it is a traceback of ours.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stepwire import App


def load_app(name: str) -> App:
    """Import an app. Raises SettingsError that says what is wrong with the name or the module; WiringError."""
    from stepwire import App, SettingsError

    module, _, attribute = name.partition(":")
    attribute = attribute or "app"
    if not all(part.isidentifier() for part in module.split(".")):
        hint = module.removesuffix(".py").replace("/", ".").strip(".")
        near = f", such as {hint}:{attribute}" if hint and hint != module else ""
        raise SettingsError(f"{name!r} names no module; write MODULE:app with the module's dotted name{near}")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    found = getattr(_imported(module), attribute, None)
    if found is None:
        raise SettingsError(f"{module} has no {attribute!r}; write MODULE:NAME of an App in it")
    if not isinstance(found, App):
        raise SettingsError(f"{name} is a {type(found).__name__}, not an App; write MODULE:NAME of an App")
    for event in found.wiring.events:
        try:
            event.model_rebuild()  # pydantic puts off what it cannot read, and fails at the first event
        except Exception as error:  # noqa: BLE001 - whatever an annotation of the author's comes to
            raise SettingsError(f"the fields of {event.__name__} cannot be read: {error}") from None
    return found


def _imported(module: str) -> Any:
    """The module. Whatever goes wrong in it is its author's, so it is told with its place, without a traceback."""
    import importlib

    from stepwire.errors import SettingsError, StepwireError

    try:
        return importlib.import_module(module)
    except StepwireError:
        raise
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if module.endswith(".py"):
            raise SettingsError(
                f"{module!r} is a file; write the module's name: {module.removesuffix('.py')}:app"
            ) from None
        if module == missing or module.startswith(missing + "."):
            raise SettingsError(_nowhere(missing)) from None
        raise SettingsError(f"{module} needs the package {missing}, which is not installed") from None
    except (Exception, SystemExit) as error:  # noqa: BLE001 - it is the author's module; whatever it raises is said
        raise SettingsError(f"{module} cannot be imported: {_place(error)}{type(error).__name__}: {error}") from None


def _nowhere(missing: str) -> str:
    """Where a module was looked for; who writes MODULE:app is mostly in another folder, such as a client's."""
    package, _, name = missing.rpartition(".")
    if package:
        folder = Path(package.replace(".", "/"))
        is_project = folder.is_dir() and not (folder / "__init__.py").exists()
        inside = f"; if {folder} is the project's folder, start in it (stepwire --directory {folder} …)"
        return f"{package} has no module {name!r}{inside * is_project}; write MODULE:app with a module that is there"
    return (
        f"there is no module {missing!r} in {Path.cwd()}, and none is installed: start in the project's folder or name "
        f"it (stepwire --directory DIR …), or install the project where stepwire is installed"
    )


def _place(error: BaseException) -> str:
    """The line of the author's code that an import ended at; what it called of ours or of pydantic's is no help."""
    import traceback

    import pydantic

    import stepwire

    if isinstance(error, SyntaxError):
        return ""  # its message names the place
    called = ("<frozen", *(str(Path(str(package.__file__)).parent) for package in (stepwire, pydantic)))
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [frame for frame in frames if not frame.filename.startswith(called)]
    return f"{theirs[-1].filename}, line {theirs[-1].lineno}: " if theirs else ""

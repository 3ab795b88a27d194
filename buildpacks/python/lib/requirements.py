"""Prints the requirements of an app in the format pip reads: of requirements.txt, Pipfile.lock or pyproject.toml, else the app
itself, which its setup.py describes. Refuses another Python than this one."""

import glob
import json
import pathlib
import platform
import sys
import tomllib


def refuse(message):
    sys.exit(f"       {message}")


HAVE = platform.python_version()


def check_python(where, wanted):
    """Whether this Python satisfies a specifier as PEP 440 has them, or a version."""
    sys.path[:0] = glob.glob(f"{sys.base_prefix}/share/python-wheels/pip-*.whl")
    from pip._vendor.packaging.specifiers import SpecifierSet

    if wanted and not SpecifierSet(wanted if wanted[0] in "<>=!~" else f"=={wanted}.*").contains(HAVE):
        minor = ".".join(HAVE.split(".")[:2])
        refuse(f"{where} asks for Python {wanted}, but this buildpack has Python {HAVE}: {minor} takes it")


def of_pipfile_lock(file):
    lines = []
    lock = json.loads(file.read_text())
    check_python("Pipfile.lock", lock.get("_meta", {}).get("requires", {}).get("python_version", ""))
    for name, entry in sorted(lock.get("default", {}).items()):
        if "version" not in entry:
            refuse(f"{name} in Pipfile.lock has no version: list what comes from elsewhere in requirements.txt")
        extras = f"[{','.join(entry['extras'])}]" if entry.get("extras") else ""
        markers = f" ; {entry['markers']}" if entry.get("markers") else ""
        lines.append(f"{name}{extras}{entry['version']}{markers}")
    return lines


def of_pyproject(file):
    project = tomllib.loads(file.read_text()).get("project")
    if project is None:
        refuse("pyproject.toml has no [project] table: export the requirements to requirements.txt")
    if "dependencies" in project.get("dynamic", []):
        refuse("the dependencies in pyproject.toml are dynamic: export them to requirements.txt")
    check_python("requires-python in pyproject.toml", project.get("requires-python", "").strip())
    return project.get("dependencies", [])


def name_ignored(build, used):
    """Which lock files of the app have no effect, in the log, beside the file that has."""
    for name in ("Pipfile.lock", "poetry.lock", "uv.lock", "pdm.lock"):
        if name == used or not (build / name).exists():
            continue
        reason = f"{used} goes before it" if name == "Pipfile.lock" else "this buildpack does not read it"
        print(f"       {name} is ignored: {reason}", file=sys.stderr)


def main(build):
    requirements = build / "requirements.txt"
    order = ("requirements.txt", "Pipfile.lock", "pyproject.toml", "setup.py")
    name_ignored(build, next((name for name in order if (build / name).exists()), "setup.py"))
    if requirements.exists():
        # By reference, so that what it refers to is found beside it, and pip names the right file in its messages.
        text = requirements.read_text()
        return [f"-r {requirements}"] if any(line.lstrip().startswith("-") for line in text.splitlines()) else text.splitlines()
    if (build / "Pipfile.lock").exists():
        return of_pipfile_lock(build / "Pipfile.lock")
    if (build / "Pipfile").exists():
        refuse("there is a Pipfile without Pipfile.lock: pipenv lock makes it")
    if (build / "pyproject.toml").exists():
        return of_pyproject(build / "pyproject.toml")
    return ["-e ."]


try:
    for line in main(pathlib.Path(sys.argv[1])):
        print(line)
except (ValueError, OSError, AttributeError, TypeError) as error:
    refuse(f"the requirements of the app could not be read: {error}")

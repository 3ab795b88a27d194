"""Prints the requirements of an app in the format pip reads: of requirements.txt, Pipfile.lock or pyproject.toml."""

import json
import pathlib
import sys
import tomllib


def refuse(message):
    sys.exit(f"       {message}")


def of_pipfile_lock(file):
    lines = []
    for name, entry in sorted(json.loads(file.read_text()).get("default", {}).items()):
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
    return project.get("dependencies", [])


def main(build):
    requirements = build / "requirements.txt"
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
    refuse("setup.py alone does not say which versions it needs: add a requirements.txt, for example with the line .")


try:
    for line in main(pathlib.Path(sys.argv[1])):
        print(line)
except (ValueError, OSError, AttributeError, TypeError) as error:
    refuse(f"the requirements of the app could not be read: {error}")

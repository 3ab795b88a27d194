"""A small web app: greets, and reports how its process and a child of it are confined."""

import os
import subprocess
import sys

from flask import Flask, jsonify

app = Flask(__name__)


@app.get("/")
def greet():
    return jsonify(hello="hello-python", instance=int(os.environ.get("CF_INSTANCE_INDEX", 0)), python=sys.version.split()[0])


def confinement(status):
    wanted = ("Uid", "Seccomp", "NoNewPrivs", "CapEff")
    fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    return {name: fields[name].split()[0] for name in wanted}


@app.get("/confinement")
def report():
    with open("/proc/self/status", encoding="utf-8") as status:
        own = confinement(status.read())
    child = subprocess.run(["cat", "/proc/self/status"], capture_output=True, text=True, check=True)
    unshare = subprocess.run(["unshare", "--user", "true"], capture_output=True, text=True, check=False)
    return jsonify(
        own=own,
        child=confinement(child.stdout),
        unshare=unshare.returncode,
        memory_limit=os.environ.get("MEMORY_LIMIT"),
    )

# Sourced by supply; `here`, `build`, `cache`, `deps` and `index` are set.
runtime=$(echo "$here"/prepacked/python-*/)
runtime=${runtime%/}
runtime_name=$(basename "$runtime")
python_version=${runtime_name#python-}
python_minor=${python_version%.*}
environment=$deps/$index

# The stack's trust store, which also knows the authorities of the machine, for example those of an inspecting proxy.
export PIP_CERT=${PIP_CERT:-/etc/ssl/certs/ca-certificates.crt}
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_NO_PYTHON_VERSION_WARNING=1 PYTHONDONTWRITEBYTECODE=

check_runtime() { # RUNTIME.TXT
  local wanted
  [ -f "$1" ] || return 0
  wanted=$(head -c 100 "$1" | head -n 1 | tr -d '[:space:]')
  case $wanted in
    '' | python-3 | python-3.x | "python-$python_minor" | "python-$python_minor.x" | "python-$python_version") return 0 ;;
  esac
  echo "       runtime.txt asks for $wanted, but this buildpack has Python $python_version: python-$python_minor.x takes it" >&2
  exit 1
}

# The file of pyenv and the like names a release to the last digit, which is seldom meant: the same series will do, and is named.
check_python_version() { # .PYTHON-VERSION
  local wanted
  [ -f "$1" ] || return 0
  wanted=$(head -c 1000 "$1" | sed -e 's/#.*//' -e 's/^[[:space:]]*\(python-\)\{0,1\}//' -e 's/[[:space:]].*//' -e '/^$/d' | head -n 1)
  case $wanted in
    '' | 3 | system | "$python_minor" | "$python_minor.x" | "$python_version") return 0 ;;
    "$python_minor".*)
      echo "       .python-version asks for $wanted; this buildpack has Python $python_version, which is of the same series"
      return 0
      ;;
  esac
  echo "       .python-version asks for $wanted, but this buildpack has Python $python_version: $python_minor takes it" >&2
  exit 1
}

# What builds a package that is a directory of the app: pip would fetch it anew for each.
supply_build_tools() { # DIRECTORY
  local wheels=$deps/.prepacked/$runtime_name/share/python-wheels
  pip install --quiet --no-index --no-cache-dir --no-warn-script-location --target "$1" "$wheels"/setuptools-*.whl "$wheels"/wheel-*.whl ||
    { echo '       setuptools could not be supplied' >&2; exit 1; }
}

# A package that is a directory of the app is found where the app runs, which is not where it was staged.
move_editable() {
  local file
  { grep -rlIF --include='*.pth' --include='*.egg-link' --include='__editable__*' --include=direct_url.json "$build" \
    "$environment/lib/python$python_minor/site-packages" || true; } | while IFS= read -r file; do
    sed -i "s|$build|/home/vcap/app|g" "$file"
  done
}

# DEPS/INDEX is a virtual environment that refers to the tree in the buildpack, whose ready-made archive goes into the droplet
# (see the builder).
install_python() {
  local name tree=$deps/.prepacked/$runtime_name
  mkdir -p "$deps/.prepacked" "$environment/bin" "$environment/lib/python$python_minor/site-packages" "$environment/profile.d"
  [ -e "$tree" ] || ln -s "$runtime" "$tree"
  ln -s "../../.prepacked/$runtime_name/bin/python$python_minor" "$environment/bin/python"
  for name in python3 "python$python_minor"; do ln -s python "$environment/bin/$name"; done
  for name in "$tree"/lib/*-linux-gnu/*.so*; do ln -s "../../${name#"$deps/"}" "$environment/lib/$(basename "$name")"; done
  printf 'home = %s\ninclude-system-site-packages = false\nversion = %s\n' "$tree/bin" "$python_version" >"$environment/pyvenv.cfg"
  cat >"$environment/bin/pip" <<PIP
#!/bin/bash
here=\$(dirname "\$0")
exec "\$here/python" "\$(echo "\$here"/../../.prepacked/$runtime_name/share/python-wheels/pip-*.whl)/pip" "\$@"
PIP
  chmod 755 "$environment/bin/pip"
  ln -s pip "$environment/bin/pip3"
  export PATH=$environment/bin:$PATH LD_LIBRARY_PATH=$environment/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
}

write_profile() {
  cat >"$deps/$index/profile.d/python.sh" <<'PROFILE'
export LANG=${LANG:-en_US.UTF-8}
export PYTHONHASHSEED=${PYTHONHASHSEED:-random}
export PYTHONUNBUFFERED=${PYTHONUNBUFFERED:-1}
PROFILE
}

# Installs what a requirements file names. Where every requirement has one exact version, the packages of a staging with the same
# file are used again as they are; else pip asks the index, and the cache spares it the downloads.
install_packages() { # REQUIREMENTS
  local key tools options=()
  if [ ! -s "$1" ]; then
    echo '       No dependencies'
    return
  fi
  key=$(packages_key "$1")
  if restore_packages "$1" "$key"; then
    echo '       Requirements are the same as last time: using the packages of the build cache'
    return
  fi
  if [ -d "$build/vendor" ] && compgen -G "$build/vendor/*.whl" >/dev/null; then
    echo '       Installing packages from vendor, without the package index'
    options=(--no-index "--find-links=$build/vendor")
  fi
  if [ "$(cat "$1")" = '-e .' ]; then
    tools=$(mktemp -d)
    supply_build_tools "$tools"
    export PYTHONPATH=$tools${PYTHONPATH:+:$PYTHONPATH}
    options+=(--no-build-isolation)
  fi
  (cd "$build" && pip install --requirement "$1" --cache-dir "$cache/pip" --progress-bar off --no-warn-script-location "${options[@]}") |
    sed -u 's/^/       /' || { echo '       pip install failed' >&2; exit 1; }
  [ -z "${tools:-}" ] || rm -rf "$tools"
  keep_packages "$1" "$key"
}

packages_key() { # REQUIREMENTS
  { cat "$1"; echo "$runtime_name $environment ${PIP_INDEX_URL:-} ${PIP_EXTRA_INDEX_URL:-}"; } | sha256sum
}

restore_packages() { # REQUIREMENTS KEY
  is_pinned "$1" && [ "$(cat "$cache/packages.key" 2>/dev/null)" = "$2" ] || return 1
  rm -rf "$environment/lib/python$python_minor"
  cp -al "$cache/packages/lib" "$environment/lib/python$python_minor"
  if [ -n "$(ls "$cache/packages/bin")" ]; then cp -al "$cache"/packages/bin/* "$environment/bin/"; fi
}

keep_packages() { # REQUIREMENTS KEY
  rm -rf "$cache/packages" "$cache/packages.key"
  if is_pinned "$1"; then
    mkdir -p "$cache/packages/bin"
    cp -al "$environment/lib/python$python_minor" "$cache/packages/lib"
    find "$environment/bin" -type f ! -name pip -exec cp -al -t "$cache/packages/bin" {} +
    echo "$2" >"$cache/packages.key"
    rm -rf "$cache/pip"
  elif [ -d "$cache/pip" ] && [ "$(du -sm "$cache/pip" | cut -f1)" -gt 300 ]; then
    rm -rf "$cache/pip"
  fi
}

# Whether every line names one version of one package.
is_pinned() { # REQUIREMENTS
  ! sed -e 's/[[:space:]]*#.*//' -e '/^[[:space:]]*$/d' "$1" | grep -qvE '^[A-Za-z0-9][A-Za-z0-9._-]*(\[[^]]*\])?[[:space:]]*===?[[:space:]]*[A-Za-z0-9.!+-]+[[:space:]]*(;.*)?$'
}

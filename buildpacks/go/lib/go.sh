# Sourced by supply, finalize and release; `here` is the buildpack's directory.
vendored_version=$(sed -n '1s/^go//p' "$here/vendor/go/VERSION")

fail() {
  echo "       $1" >&2
  exit 1
}

# What is built, one package a word: "./cmd/web ./cmd/worker", or import paths below the app's own package.
packages_to_install() {
  local wanted=${GO_INSTALL_PACKAGE_SPEC:-.}
  [[ $wanted =~ ^[A-Za-z0-9_./\ -]+$ ]] || fail "GO_INSTALL_PACKAGE_SPEC is not a list of packages: $wanted"
  echo "$wanted"
}

# The app's own import path: from go.mod, else from GOPACKAGENAME.
package_name() { # BUILD
  local name=${GOPACKAGENAME:-}
  if [ -f "$1/go.mod" ]; then
    name=$(sed -n 's/^module[[:space:]]\{1,\}"\{0,1\}\([^"[:space:]]*\).*/\1/p' "$1/go.mod" | head -n 1)
  fi
  [ -n "$name" ] || fail 'To use vendored packages without a go.mod, set GOPACKAGENAME to the import path of your app'
  [[ $name =~ ^[A-Za-z0-9._~/-]+$ && ! /$name/ =~ /\.\.?/ ]] || fail "This is not an import path: $name"
  echo "$name"
}

# The program's file: the last part of its import path that is not a version, as `go install` names it.
program_name() { # BUILD PACKAGE
  local path=$2 base
  case $path in
    . | ./) path=$(package_name "$1") ;;
  esac
  path=${path%/}
  base=${path##*/}
  if [[ $base =~ ^v[0-9]+$ && $path == */* ]]; then
    path=${path%/*}
    base=${path##*/}
  fi
  echo "$base"
}

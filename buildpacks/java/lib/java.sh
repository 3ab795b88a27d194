# Sourced by detect, supply, finalize and release; `here` is the buildpack's directory.
jre=$(echo "$here"/prepacked/jre-*/)
jre=${jre%/}
jre_name=$(basename "$jre")
jre_version=${jre_name#jre-}

fail() {
  echo "       $1" >&2
  exit 1
}

# One attribute of a manifest: lines go on after a line break with a space.
manifest_attribute() { # NAME <MANIFEST
  tr -d '\r' | awk -v name="$1" '
    /^ / { value = value substr($0, 2); next }
    { if (found) exit; found = (index($0, name ": ") == 1); value = substr($0, length(name) + 3) }
    END { if (found) print value }'
}

# The manifest of a jar; nothing where it has none.
jar_manifest() { # JAR
  unzip -p "$1" META-INF/MANIFEST.MF 2>/dev/null || true
}

is_executable_jar() { # JAR
  [ -n "$(jar_manifest "$1" | manifest_attribute Main-Class)" ]
}

# The jars in a directory that a JVM starts with -jar, without those that come beside the real one.
executable_jars() { # DIRECTORY
  local jar
  for jar in "$1"/*.jar; do
    case ${jar##*/} in
      '*.jar' | original-*.jar | *-sources.jar | *-javadoc.jar | *-tests.jar | *.jar.original) continue ;;
    esac
    if is_executable_jar "$jar"; then echo "$jar"; fi
  done
}

# What kind of app this is: "exploded" (a jar, as the cf CLI uploads it: unpacked), "maven", "jar", "war", or "".
kind_of() { # BUILD
  if [ -f "$1/pom.xml" ]; then
    echo maven
  elif [ -d "$1/WEB-INF" ]; then
    echo war
  elif [ -f "$1/META-INF/MANIFEST.MF" ] && { [ -n "$(manifest_attribute Main-Class <"$1/META-INF/MANIFEST.MF")" ] || [ -n "$(java_main_class)" ]; }; then
    echo exploded
  elif [ -n "$(executable_jars "$1")" ]; then
    echo jar
  fi
}

# The settings of JBP_CONFIG_* are YAML in one line, "{ memory_calculator: { stack_threads: 25 } }", with or without [ ]. Those
# that this buildpack knows are single words or quoted texts.
config_value() { # VARIABLE KEY
  printf ' %s' "${!1:-}" | tr '\n' ' ' |
    sed -n -E "s/.*[{[, ]\"?'?$2'?\"?: *(\"([^\"]*)\"|'([^']*)'|([^],}\"' ][^],}]*)).*/\2\3\4/p" | sed 's/[[:space:]]*$//' | head -n 1
}

java_main_class() {
  config_value JBP_CONFIG_JAVA_MAIN java_main_class
}

# Sourced by supply and finalize: what the app's JBP_CONFIG_* ask for.

# Says what is not followed, so that nobody relies on it.
check_settings() {
  local name version
  for name in $(compgen -v JBP_CONFIG_ || true); do
    case $name in
      JBP_CONFIG_OPEN_JDK_JRE | JBP_CONFIG_JAVA_MAIN | JBP_CONFIG_JAVA_OPTS) ;;
      *) echo "       WARNING: $name is not known to this buildpack and changes nothing" ;;
    esac
  done
  version=$(config_value JBP_CONFIG_OPEN_JDK_JRE version)
  case $version in
    '' | 17.* | '+' | '17+') ;;
    *) echo "       WARNING: JBP_CONFIG_OPEN_JDK_JRE asks for version $version; this buildpack has $jre_version alone" ;;
  esac
}

# A whole number of JBP_CONFIG_OPEN_JDK_JRE's memory_calculator, or the default.
number_of() { # KEY DEFAULT
  local value
  value=$(config_value JBP_CONFIG_OPEN_JDK_JRE "$1")
  if [ -z "$value" ]; then
    echo "$2"
  elif [[ $value =~ ^[0-9]{1,9}$ ]]; then
    echo "$value"
  else
    fail "JBP_CONFIG_OPEN_JDK_JRE: $1 is not a whole number: $value"
  fi
}

# Classes in the app: those of its jars, and of the jars in those (BOOT-INF/lib).
count_classes() { # DIRECTORY
  local total jar inner work
  total=$(find "$1" -name '*.class' -type f | wc -l)
  work=$(mktemp -d)
  while IFS= read -r -d '' jar; do
    total=$((total + $(unzip -Z1 "$jar" 2>/dev/null | grep -c '\.class$' || true)))
    unzip -Z1 "$jar" 2>/dev/null | grep -q '\.jar$' || continue
    unzip -qq -o -j "$jar" '*.jar' -d "$work" 2>/dev/null </dev/null || true
    for inner in "$work"/*.jar; do
      [ -f "$inner" ] || continue
      total=$((total + $(unzip -Z1 "$inner" 2>/dev/null | grep -c '\.class$' || true)))
    done
    rm -f "$work"/*
  done < <(find "$1" -name '*.jar' -type f -print0)
  rmdir "$work" 2>/dev/null || rm -rf "$work"
  echo "$total"
}

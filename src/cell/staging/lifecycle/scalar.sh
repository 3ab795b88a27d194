# Reading a text of YAML or JSON in a shell: what stands in one scalar. Sourced.

# The text of a JSON (or double-quoted YAML) string, from what stands between its quotes.
unquoted() {
  local rest=$1 text='' next hex='^[0-9a-fA-F]{4}$' LC_ALL=C.UTF-8
  while [[ $rest == *\\* ]]; do
    text+=${rest%%\\*} rest=${rest#*\\}
    next=${rest:0:1} rest=${rest:1}
    case $next in
      n) next=$'\n' ;;
      t) next=$'\t' ;;
      r) next=$'\r' ;;
      u)
        [[ ${rest:0:4} =~ $hex ]] || return 1
        printf -v next "\\u${rest:0:4}"
        rest=${rest:4}
        ;;
    esac
    text+=$next
  done
  printf '%s' "$text$rest"
}

# The text of a YAML scalar, whose lines have been joined. What is no text on its own (a block, a list, a reference) gives none.
scalar() {
  local double='^"([^"\\]|\\.)*"$' single="^'([^']|'')*'$"
  if [[ $1 =~ $double ]]; then
    unquoted "${1:1:-1}"
  elif [[ $1 =~ $single ]]; then
    printf '%s' "${1:1:-1}" | sed "s/''/'/g"
  elif [[ $1 != [\|\>\[{\&*!\#]* ]]; then
    printf '%s' "${1%% \#*}"
  fi
}

# The text that stands for a key of a mapping: of the file's own, or of the one that stands in it for PARENT. 1 where it has none. 2 where that takes
# more of YAML to tell than is read here (keys in quotes, blocks, lists, references, numbers, a line that is no entry), or the file is large:
# a reader that knows all of it may find another text, or another key.
scalar_of() { # KEY FILE [PARENT]
  local line text gap='' last=-1 i level='' within='' found='' entry='^( *)([A-Za-z0-9_.-]+):( +(.*))?$'
  local -a indents=() keys=() values=()
  # Without a backslash there is no other way to write it.
  [ -f "$2" ] && grep -q -F -e "$1" -e '\' -- "$2" || return 1
  [ "$(head -c 65537 -- "$2" | wc -c)" -le 65536 ] || return 2
  while IFS= read -r line || [ -n "$line" ]; do
    line=${line%"${line##*[![:space:]]}"} text=${line#"${line%%[! ]*}"}
    case $text in
      '') gap=1 && continue ;;
      '#'*) [ $last -lt 0 ] || is_whole "${values[last]}" || return 2 && gap=1 && continue ;;
      ---) [ $last -lt 0 ] || return 2 && continue ;;
    esac
    if [ $last -ge 0 ] && [ -n "${values[last]}" ] && [ $((${#line} - ${#text})) -gt "${indents[last]}" ]; then
      # A further line of the same text.
      [ -z "$gap" ] && [[ ${values[last]} == [\'\"]* || ${values[last]} != *' #'* ]] || return 2
      values[last]+=" $text"
      continue
    fi
    [[ $line =~ $entry ]] || return 2
    last=$((last + 1)) gap=''
    indents[last]=${#BASH_REMATCH[1]} keys[last]=${BASH_REMATCH[2]} values[last]=${BASH_REMATCH[4]}
  done <"$2"
  if [ -z "${3:-}" ]; then within=-1; fi
  for ((i = 0; i <= last; i++)); do
    is_whole "${values[i]}" || return 2
    if [ -n "$within" ] && [ "${indents[i]}" -gt "$within" ]; then
      level=${level:-${indents[i]}}
      [ "${indents[i]}" -ge "$level" ] || return 2
      # Of a Procfile each entry is a command.
      [ -n "${3:-}" ] || [[ ${indents[i]} -eq $level && ${values[i]} == [!\[{]* ]] || return 2
      [ "${indents[i]}" -eq "$level" ] && [ "${keys[i]}" = "$1" ] || continue
      [ -z "$found" ] && [[ ${values[i]} == [!\[{]* ]] || return 2
      found=$i
    elif [ "${indents[i]}" -eq 0 ] && [ "${keys[i]}" = "${3:-}" ]; then
      [ -z "$within" ] && [[ ${values[i]} != [!\[{]* ]] || return 2
      within=0
    elif [ "${indents[i]}" -eq 0 ]; then
      within=${within:+99999}
    fi
  done
  [ -n "$found" ] || return 1
  scalar "${values[found]}"
}

# Does every reader of YAML take this, that stands behind a key, for the text that `scalar` gives (or for nothing, or an empty list or mapping)?
is_whole() { # VALUE
  local double='^"([^"\\]|\\["\\/ntr]|\\u[0-9a-fA-F]{4})*"$' single="^'([^']|'')*'$" text=${1%% \#*}
  local other='^([-+.]?[0-9].*|~|[nN](ull|ULL)|[tT](rue|RUE)|[fF](alse|ALSE)|[-+]?\.([iI](nf|NF)|[nN](an|AN)))$'
  [[ $1 == '' || $1 == '{}' || $1 == '[]' || $1 =~ $double || $1 =~ $single ]] && return
  [[ $text != [-?:,\[\]{}\#\&*!\|\>\'\"%@\`]* && $text != *': '* && $text != *: && $text != *$'\t'* && ! $text =~ $other ]]
}

# The command of the process type web as the platform takes it from a result: the Procfile's, else the buildpacks' own. None where a shell cannot
# tell: a droplet that says no command is better than one with another's.
web_command() { # RESULT
  local file
  scalar_of web "$1/Procfile" && return
  [ $? -eq 1 ] || return
  for file in "$1"/launch-*.yml; do
    scalar_of web "$file" >/dev/null
    [ $? -eq 1 ] || return
  done
  scalar_of web "$1/release.yml" default_process_types
}

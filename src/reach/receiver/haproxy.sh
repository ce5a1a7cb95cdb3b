# The files that are current go into the memory of the running HAProxy (its Runtime API): each certificate that it has
# read from them, under the name that it prints for it. Status 1: refused. 2: it cannot be asked, or does not know them yet,
# or they are too big for it: a reload is needed.
hot_swap() {
  known=$(echo 'show ssl cert' | ask_socket "$socket" 2>/dev/null)
  swapped=2
  while IFS= read -r name; do
    case $name in '' | '#'* | '*'*) continue ;; esac
    [ "$name" -ef "$base/current/${files%% *}" ] || continue
    swap_in "$name" || return $?
    swapped=0
  done <<EOF
$known
EOF
  return "$swapped"
}

# The key goes through pipes alone. An empty line ends a payload: there is none inside.
swap_in() { # name
  said=$({
    printf 'set ssl cert %s <<\n' "$1"
    for file in $files; do grep . "$base/current/$file"; done
    echo
  } | ask_socket "$socket")
  case $said in
    *'Transaction created'* | *'Transaction updated'*) ;;
    *[!$newline\ ]*) printf '%s\n' "$said"; return 1 ;;
    # More than its buffer holds (tune.bufsize): it hangs up.
    *) return 2 ;;
  esac
  said=$(printf 'commit ssl cert %s\n' "$1" | ask_socket "$socket")
  case $said in *Success*) return 0 ;; esac
  printf '%s\n' "$said"
  printf 'abort ssl cert %s\n' "$1" | ask_socket "$socket"
  return 1
}

# Says stdin to a unix socket and prints what it answers, by whichever program is here. Status 127: none is.
ask_socket() { # socket
  if command -v socat >/dev/null 2>&1; then
    timeout "$socket_seconds" socat -t "$socket_seconds" - "UNIX-CONNECT:$1"
  elif nc -h 2>&1 </dev/null | grep -q -e -U; then
    timeout "$socket_seconds" nc -U "$1"
  elif command -v perl >/dev/null 2>&1; then
    timeout "$socket_seconds" perl -e 'use Socket; $/ = undef; socket(S, PF_UNIX, SOCK_STREAM, 0) && connect(S, sockaddr_un($ARGV[0]))
      && defined(syswrite(S, <STDIN>)) or exit 1; print <S>' "$1"
  elif command -v python3 >/dev/null 2>&1; then
    timeout "$socket_seconds" python3 -c 'import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(sys.stdin.buffer.read())
for part in iter(lambda: s.recv(65536), b""): sys.stdout.buffer.write(part)' "$1"
  else
    return 127
  fi
}

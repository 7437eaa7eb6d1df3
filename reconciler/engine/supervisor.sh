# In: $1 the run's ref, $2 the folder to work in, then the command. Out: state/started, state/usage, state/exit.
# Runs in the run's folder as leader of its own session; shell built-ins only, so it costs one process and no disk read.
# Standard input is the launcher's pipe: closing it says that the start is on disk (or was refused).
asked=
trap 'asked=143' TERM
trap 'asked=130' INT
trap 'asked=129' HUP
trap : QUIT USR1 USR2 ALRM
set -uf

begun() { shift 19; start=$1; }
read -r boot </proc/sys/kernel/random/boot_id
read -r stat </proc/$$/stat
begun ${stat##*) }

is_mine() { { read -r have <ref; } 2>/dev/null && [ "$have" = "$1" ]; }

# Who I am comes before the claim, so a claim never lacks an owner.
is_mine "$1" && echo "$$ $start $boot" >|"state/supervisor.$$" || exit 1
# The claim: an empty file, created exclusively by one supervisor. A link in its place says that the run is void.
set -C
if ! { printf "" >state/started; } 2>/dev/null; then
  printf "" >|"state/supervisor.$$"
  exit 1
fi
set +C
# Without a ref the folder is being removed, and the claim proved nothing.
is_mine "$1" || exit 1
exec </dev/null 3>&2 2>/dev/null # what this shell itself would say ("Killed") is no output of the job

code=$asked
if [ -z "$code" ]; then
  (
    exec 2>&3 3>&-
    . ./environment || exit 126
    cd -P -- "$2" || exit 126
    unset OLDPWD
    shift 2
    exec "$@"
  )
  code=$?
fi
times >|state/usage
# In place, over the blanks reserved for it: a full disk cannot lose the exit code.
printf '%-15s\n' "$code" 1<>state/exit

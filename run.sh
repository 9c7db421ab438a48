#!/usr/bin/env bash
# Sets the studio up once, then starts it. ./run.sh --help tells what it can do.
#
# Written for bash 3.2 (macOS) and newer. Standard output belongs to the program that is
# started; everything this script has to say goes to standard error.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
VENV=$ROOT/.venv
PIP_RANGE='pip>=25.1,<27'  # 25.1 resumes broken downloads

usage() {
    cat <<'TEXT'
Usage: ./run.sh [--full] [COMMAND] [ARGUMENTS]

The first start makes .venv beside this script, installs what is needed and fetches the
face models; later starts install nothing.

Commands:
  (none)            serve the page, by default on http://127.0.0.1:7860
  fuse ...          fuse a source face into a target picture  (./run.sh fuse --help)
  batch ...         fuse many photographs; can be interrupted (./run.sh batch --help)
  detect ...        list the faces of a picture               (./run.sh detect --help)
  models ...        download, verify or list the networks' files (./run.sh models --help)
  setup             only install; check the face models and fetch those that are not whole
  bench NAME ...    run benchmarks/NAME.py                    (./run.sh bench lists them)
  screenshots       make the pictures of the page in docs/images anew; needs Chromium
  test [ARGUMENTS]  install everything, then check style, types, import rules and run the
                    tests; arguments go to pytest

Options:
  --full            install torch, torchvision and modelscope as well (several GB). Without
                    it they are installed only where there is an NVIDIA GPU
  --help            this text

Environment:
  PYTHON            the Python (3.10 to 3.13) that .venv is made with
  STUDIO_...        settings; config.yaml lists them
TEXT
}

say() { printf 'run.sh: %s\n' "$*" >&2; }

die() {
    local code=$1
    shift
    say "$*"
    exit "$code"
}

# --- what is installed ---------------------------------------------------------------------
# A level is a set of requirements files. .venv/installed-LEVEL holds the checksums of the
# files that it was installed from; it is emptied before pip starts and written when pip is
# done, so a level counts as installed only if its last installation came to its end. The
# face models are a level of their own, fetched by the program that knows them.

level_files() {
    case $1 in
        core) echo requirements-core.txt ;;
        full) echo requirements-core.txt requirements.txt ;;
        bench) echo requirements-core.txt requirements-bench.txt ;;
        bench-full) echo requirements-core.txt requirements.txt requirements-bench.txt ;;
        dev) echo requirements-core.txt requirements.txt requirements-bench.txt requirements-dev.txt ;;
        models) echo preprocess/face_models.py ;;
    esac
}

levels_within() {
    case $1 in
        core) echo core ;;
        full) echo core full ;;
        bench) echo core bench ;;
        bench-full) echo core full bench bench-full ;;
        dev) echo core full bench bench-full dev ;;
    esac
}

level_key() {
    # shellcheck disable=SC2046 # the names hold no spaces
    (cd "$ROOT" && cksum $(level_files "$1"))
}

is_installed() {
    local level=$1 stamp=$VENV/installed-$1 found=
    [ -x "$VENV/bin/python" ] && [ -s "$stamp" ] || return 1
    found=$(<"$stamp")
    [ "$found" = "$(level_key "$level")" ]
}

# Once everything was installed here, it stays so: an emptied stamp still tells the level.
app_level() {
    if [ -e "$VENV/installed-full" ]; then
        echo full
    elif [ ! -e "$VENV/installed-core" ] && has_nvidia_gpu; then
        echo full
    else
        echo core
    fi
}

has_nvidia_gpu() {
    command -v nvidia-smi >/dev/null 2>&1 && nvidia-smi -L 2>/dev/null | grep '^GPU ' >/dev/null
}

# --- installing ----------------------------------------------------------------------------

# Prints the path of a Python's own binary with all links followed: a .venv made with it is
# seen to be broken, and made anew, when that very version is replaced by another. (Here and
# below -I keeps Python from importing what happens to lie in the person's folder.)
PROBE='
import os, sys
if not (3, 10) <= sys.version_info[:2] <= (3, 13):
    sys.exit(3)
try:
    import ensurepip, venv
except ImportError:
    sys.exit(4)
print(os.path.realpath(sys.executable))
'

find_python() {
    local candidate path code without_venv='' version
    if [ -n "${PYTHON:-}" ]; then
        set -- "$PYTHON"
    else
        set -- python3 python3.13 python3.12 python3.11 python3.10
    fi
    for candidate in "$@"; do
        code=0
        path=$("$candidate" -I -c "$PROBE" 2>/dev/null) || code=$?
        if [ "$code" -eq 0 ]; then
            echo "$path"
            return
        fi
        [ "$code" -ne 4 ] || [ -n "$without_venv" ] || without_venv=$candidate
    done
    if [ -n "$without_venv" ]; then
        version=$("$without_venv" -I -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        die 1 "$without_venv (Python $version) cannot make virtual environments; on Debian and" \
            "Ubuntu install what is missing with: sudo apt-get install python3-venv" \
            "(or python$version-venv), then start again"
    fi
    if [ -n "${PYTHON:-}" ]; then
        die 1 "PYTHON=$PYTHON is not a Python 3.10, 3.11, 3.12 or 3.13; name one, or unset PYTHON"
    fi
    die 1 "no Python 3.10, 3.11, 3.12 or 3.13 found; install one (Debian, Ubuntu:" \
        "sudo apt-get install python3 python3-venv), or name one: PYTHON=/path/to/python ./run.sh"
}

# The kernel frees the lock when the last process that holds it ends, however it ends. Bash
# has no such lock and macOS no flock(1), so Python takes it for the descriptor it inherits.
take_lock() {
    mkdir -p "$VENV"
    exec 9>"$VENV/lock"
    if ! "$1" -I -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)' 2>/dev/null; then
        say "another run.sh is installing; waiting for it"
        "$1" -I -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX)'
    fi
}

make_venv() {
    local python=$1
    if "$VENV/bin/python" -I -c "$PROBE" >/dev/null 2>&1 &&
        "$VENV/bin/python" -I -m pip --version >/dev/null 2>&1; then
        return
    fi
    find "$VENV" -mindepth 1 -maxdepth 1 ! -name lock -exec rm -rf {} +
    say "making .venv with $python"
    "$python" -I -m venv "$VENV" ||
        die 1 "$python could not make the virtual environment $VENV; see the lines above"
}

# A killed pip leaves two kinds of things. It writes a package's RECORD last: one without it
# was cut off while it was being unpacked, and must not be found, for pip would take it for
# installed. And folders that begin with ~ are what it was about to delete.
clear_after_killed_pip() {
    local folder
    for folder in "$VENV"/lib/python3*/site-packages/*.dist-info; do
        if [ -d "$folder" ] && [ ! -e "$folder/RECORD" ]; then
            rm -rf "$folder"
        fi
    done
    rm -rf "$VENV"/lib/python3*/site-packages/~*
}

# Without pkg-config, pyvips is installed as pure Python, and libvips is the one that
# pyvips-binary brings; with it, pyvips would be compiled against a libvips of the system's.
pip_install() {
    PKG_CONFIG=false "$VENV/bin/python" -I -m pip install \
        --disable-pip-version-check --no-input --quiet "$@" ||
        die 1 "installing failed; see pip's lines above. If the package index could not be" \
            "reached, check the network, or the index and proxy that pip is set up for" \
            "(pip config list), and start again: what is installed already is kept"
}

install() {
    local level=$1 python inner stamp
    local -a wanted=()
    python=$(find_python)
    trap 'say "interrupted; the next start goes on from here"; exit 130' INT
    take_lock "$python"
    if ! is_installed "$level"; then  # the other run.sh may have done it meanwhile
        make_venv "$python"
        clear_after_killed_pip
        for stamp in "$VENV"/installed-* "$VENV/installed-$level"; do
            if [ -e "$stamp" ] || [ "$stamp" = "$VENV/installed-$level" ]; then : >"$stamp"; fi
        done
        say "installing ($level); the first time this takes a minute or more"
        for inner in $(level_files "$level"); do
            wanted+=(-r "$ROOT/$inner")
        done
        pip_install --upgrade "$PIP_RANGE"
        pip_install "${wanted[@]}"
        for inner in $(levels_within "$level"); do
            level_key "$inner" >"$VENV/installed-$inner"
        done
    fi
    exec 9>&-
    trap - INT
}

ensure() {
    is_installed "$1" || install "$1" >&2
}

# --- starting ------------------------------------------------------------------------------

# Runs a module of the studio with the person's folder as the current one, so that relative
# paths mean what they say; -m would also import from that folder, this does not.
LAUNCH='
import sys
sys.path[:] = [sys.argv[1], *filter(None, sys.path)]
import runpy
module = sys.argv[2]
del sys.argv[1:3]
runpy.run_module(module, run_name="__main__", alter_sys=True)
'

launch() { exec "$VENV/bin/python" -c "$LAUNCH" "$ROOT" "$@"; }

fetch_models() {
    "$VENV/bin/python" -c "$LAUNCH" "$ROOT" preprocess.face_models >&2 || exit
    level_key models >"$VENV/installed-models"
}

prepare() {
    ensure "$1"
    is_installed models || fetch_models
}

run_benchmark() {
    local name=${1:-} file
    case $name in
        '' | .* | */*) file= ;;
        *) file=$ROOT/benchmarks/$name.py ;;
    esac
    if [ ! -f "$file" ]; then
        say "bench needs the name of a benchmark; there are:"
        (cd "$ROOT/benchmarks" && ls -1 ./*.py) | sed -e 's|^\./|  |' -e 's|\.py$||' >&2
        exit 2
    fi
    shift
    if [ "$LEVEL" = full ]; then prepare bench-full; else prepare bench; fi
    launch "benchmarks.$name" "$@"
}

FAILED=

check() {
    local name=$1
    shift
    say "$name"
    "$@" || FAILED="$FAILED $name,"
}

run_checks() {
    local python=$VENV/bin/python
    prepare dev
    cd "$ROOT"
    check 'ruff check' "$python" -m ruff check .
    check 'ruff format' "$python" -m ruff format --check .
    check mypy "$python" -m mypy
    check lint-imports "$python" "$VENV/bin/lint-imports"
    check shellcheck "$VENV/bin/shellcheck" run.sh .ci/run
    check pytest "$python" -m pytest -n auto "$@"
    [ -z "$FAILED" ] || die 1 "failed:${FAILED%,}"
}

FULL=
while [ $# -gt 0 ]; do
    case $1 in
        --full) FULL=1 ;;
        -h | --help)
            usage
            exit 0
            ;;
        -*) die 2 "there is no option $1; ./run.sh --help lists what there is" ;;
        *) break ;;
    esac
    shift
done
COMMAND=${1:-serve}
[ $# -eq 0 ] || shift
if [ -n "$FULL" ]; then LEVEL=full; else LEVEL=$(app_level); fi

case $COMMAND in
    serve)
        prepare "$LEVEL"
        exec "$VENV/bin/python" "$ROOT/app.py" "$@"
        ;;
    fuse | batch | detect)
        prepare "$LEVEL"
        launch studio.cli "$COMMAND" "$@"
        ;;
    models)  # says itself which files are missing
        ensure "$LEVEL"
        launch studio.cli models "$@"
        ;;
    setup)
        ensure "$LEVEL"
        fetch_models
        ;;
    bench) run_benchmark "$@" ;;
    screenshots)
        prepare dev
        launch tools.screenshots "$@"
        ;;
    test) run_checks "$@" ;;
    *) die 2 "there is no command $COMMAND; ./run.sh --help lists what there is" ;;
esac

"""run.sh in a project of its own, offline.

Everything is real but for two things that would need a network: `python -m venv` makes only
the layout, and `python -m pip` only writes down how it was called.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOOLS = "bash cat cksum cp dirname find grep ln ls mkdir rm sed sleep touch"
"""All that run.sh and the Python below may find on the PATH."""

PYTHON = r"""#!/usr/bin/env bash
# A Python whose venv and pip do nothing but leave their traces; all other code is run for real.
isolated=
if [ "$1" = -I ]; then isolated=-I; shift; fi
case "$1 $2" in
    "-m venv")
        echo venv >>"$LOG"
        mkdir -p "$3/bin" "$3/lib/python3.11/site-packages"
        ln -s "$0" "$3/bin/python"
        ln -s "$(dirname "$0")/shellcheck" "$3/bin/shellcheck"
        touch "$3/bin/pip"
        ;;
    "-m pip")
        [ -e "$(dirname "$0")/pip" ] || exit 1
        case $3 in install) shift 2; echo "pip $*" >>"$LOG"; eval "${PIP_DOES:-}" ;; esac
        ;;
    "-c "*)
        shift
        code=$1
        shift
        exec REAL $isolated -c "import sys; sys.executable = '$0'; ${PYTHON_IS:-}
$code" "$@"
        ;;
    "-m ruff" | "-m mypy" | "-m pytest") shift; echo "$*" >>"$LOG"; exit "${CHECKS_EXIT:-0}" ;;
    *lint-imports*) echo lint-imports >>"$LOG" ;;
    *) exec REAL "$@" ;;
esac
"""
REPORT = """
import json, os, sys
print(json.dumps({"program": "NAME", "arguments": sys.argv[1:], "cwd": os.getcwd()}))
"""
MODELS = """
import os, sys
print("this is no place for words")
open(os.environ["LOG"], "a").write("models\\n")
sys.exit(int(os.environ.get("MODELS_EXIT", "0")))
"""


class Project:
    """A checkout with run.sh, a folder of programs, and a log of what was installed."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "the studio"
        self.elsewhere = folder / "elsewhere"
        self.programs = folder / "programs"
        self.log = folder / "log"
        self.venv = self.root / ".venv"
        for made in (self.root, self.elsewhere, self.programs):
            made.mkdir()
        shutil.copy(ROOT / "run.sh", self.root)
        for name in ("requirements-core", "requirements", "requirements-bench", "requirements-dev"):
            self.write(f"{name}.txt", "")
        for name in ("app", "studio/cli", "benchmarks/speed"):
            self.write(f"{name}.py", REPORT.replace("NAME", name))
        self.write("preprocess/face_models.py", MODELS)
        for tool in TOOLS.split():
            path = shutil.which(tool)
            assert path, tool
            (self.programs / tool).symlink_to(path)
        self.add_program("shellcheck", '#!/usr/bin/env bash\necho "shellcheck $*" >>"$LOG"\n')
        self.add_program("python3", PYTHON.replace("REAL", sys.executable))

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    def add_program(self, name: str, text: str) -> None:
        path = self.programs / name
        path.write_text(text)
        path.chmod(0o755)

    def start(self, *arguments: str, **variables: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [str(self.root / "run.sh"), *arguments],
            cwd=self.elsewhere,
            env={"PATH": str(self.programs), "HOME": str(self.root), "LOG": str(self.log)}
            | variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        process = self.start(*arguments, **variables)
        output, messages = process.communicate(timeout=60)
        return subprocess.CompletedProcess(arguments, process.returncode, output, messages)

    def take_log(self) -> list[str]:
        """What was installed since the last call; requirements files by their names alone."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return [self._shorten(line) for line in lines]

    def _shorten(self, line: str) -> str:
        if not line.startswith("pip"):
            return line
        if "pip>=" in line:
            return "pip itself"
        return " ".join(word.strip() for word in line.split(f"-r {self.root}/")[1:])


CORE = ["venv", "pip itself", "requirements-core.txt", "models"]
FULL = ["venv", "pip itself", "requirements-core.txt requirements.txt", "models"]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_help_lists_every_command(project: Project) -> None:
    for flag in ("--help", "-h"):
        done = project.run(flag)
        assert done.returncode == 0
        for word in ("fuse", "detect", "models", "setup", "bench", "test", "--full", "PYTHON"):
            assert f"  {word}" in done.stdout
    assert not project.venv.exists()


@pytest.mark.parametrize("word", ["frobnicate", "--frobnicate", "-x"])
def test_what_is_not_known_is_refused_and_installs_nothing(project: Project, word: str) -> None:
    done = project.run(word)
    assert done.returncode == 2
    assert f"{word}; ./run.sh --help" in done.stderr
    assert done.stdout == ""
    assert not project.venv.exists()


def test_the_first_start_installs_and_the_second_does_not(project: Project) -> None:
    first = project.run("fuse", "--ratio", "0.5")
    assert first.returncode == 0, first.stderr
    assert project.take_log() == CORE
    second = project.run("fuse", "--ratio", "0.5")
    assert project.take_log() == []
    assert second.stderr == ""
    for done in (first, second):  # one line of JSON, whatever was installed before it
        assert json.loads(done.stdout) == {
            "program": "studio/cli",
            "arguments": ["fuse", "--ratio", "0.5"],
            "cwd": str(project.elsewhere),
        }


def test_without_a_command_the_page_is_served(project: Project) -> None:
    done = project.run()
    assert json.loads(done.stdout)["program"] == "app"


def test_modules_of_the_current_folder_are_not_imported(project: Project) -> None:
    (project.elsewhere / "studio").mkdir()
    for name in ("studio/cli.py", "studio/__init__.py", "json.py", "runpy.py", "fcntl.py", "os.py"):
        (project.elsewhere / name).write_text("raise SystemExit('imported from the wrong place')")
    done = project.run("detect", "a picture.jpg")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["arguments"] == ["detect", "a picture.jpg"]


def test_asking_about_the_models_fetches_none(project: Project) -> None:
    done = project.run("models", "list")
    assert json.loads(done.stdout)["arguments"] == ["models", "list"]
    assert project.take_log() == ["venv", "pip itself", "requirements-core.txt"]
    project.run("--full", "models", "download")
    assert project.take_log() == ["pip itself", "requirements-core.txt requirements.txt"]


def test_the_exit_code_is_the_program_s(project: Project) -> None:
    project.write("studio/cli.py", "raise SystemExit(3)")
    assert project.run("fuse").returncode == 3


def test_changed_requirements_are_installed(project: Project) -> None:
    project.run("fuse")
    project.take_log()
    project.write("requirements-dev.txt", "ruff")
    project.write("requirements.txt", "torch")
    project.run("fuse")
    assert project.take_log() == []
    project.write("requirements-core.txt", "numpy")
    project.run("fuse")
    assert project.take_log() == ["pip itself", "requirements-core.txt", "models"]


def test_changed_models_are_fetched(project: Project) -> None:
    project.run("fuse")
    project.take_log()
    project.write("preprocess/face_models.py", MODELS + "# another model\n")
    project.run("fuse")
    assert project.take_log() == ["models"]


def test_full_is_remembered(project: Project) -> None:
    project.run("fuse")
    assert project.take_log() == CORE
    project.run("--full", "fuse")
    assert project.take_log() == FULL[1:]
    project.run("fuse")
    assert project.take_log() == []
    project.write("requirements.txt", "torch")
    project.run("fuse")
    assert project.take_log() == FULL[1:]


def test_an_nvidia_gpu_brings_everything(project: Project) -> None:
    project.add_program("nvidia-smi", "#!/usr/bin/env bash\necho 'GPU 0: NVIDIA H100'\n")
    project.run("fuse")
    assert project.take_log() == FULL


def test_a_driver_without_a_gpu_does_not(project: Project) -> None:
    project.add_program("nvidia-smi", "#!/usr/bin/env bash\necho 'No devices found'; exit 6\n")
    project.run("fuse")
    assert project.take_log() == CORE


def test_an_installed_studio_does_not_ask_for_the_gpu(project: Project) -> None:
    project.run("fuse")
    project.add_program("nvidia-smi", '#!/usr/bin/env bash\necho asked >>"$LOG"\n')
    project.take_log()
    project.run("fuse")
    assert project.take_log() == []


def test_a_failed_installation_is_told_and_taken_up_again(project: Project) -> None:
    failed = project.run("fuse", PIP_DOES="exit 1")
    assert failed.returncode == 1
    assert failed.stdout == ""
    assert "installing failed" in failed.stderr
    assert "start again" in failed.stderr
    assert project.take_log() == ["venv", "pip itself"]
    assert project.run("fuse").returncode == 0
    assert project.take_log() == CORE[1:]


def test_an_unreachable_index_while_updating_does_not_pass_for_installed(project: Project) -> None:
    project.run("fuse")
    before = (project.root / "requirements-core.txt").read_text()
    project.write("requirements-core.txt", "numpy")
    project.run("fuse", PIP_DOES="exit 1")
    project.write("requirements-core.txt", before)  # as before, but is it all there?
    project.take_log()
    project.run("fuse")
    assert project.take_log() == CORE[1:]


def wait_for_log(project: Project, word: str) -> None:
    until = time.monotonic() + 30
    while not (project.log.exists() and word in project.log.read_text()):
        assert time.monotonic() < until, f"{word} was not started"
        time.sleep(0.01)


def test_ctrl_c_while_installing(project: Project) -> None:
    process = project.start("fuse", PIP_DOES="exec sleep 60")
    wait_for_log(project, "pip")
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: everyone in front gets it
    _, messages = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "interrupted; the next start goes on from here" in messages
    assert "installing failed" not in messages
    project.take_log()
    assert project.run("fuse").returncode == 0
    assert project.take_log() == CORE[1:]


def test_a_kill_while_installing_is_recovered_from(project: Project) -> None:
    process = project.start("fuse", PIP_DOES="exec sleep 60")
    wait_for_log(project, "pip")
    packages = project.venv / "lib/python3.11/site-packages"
    for name in ("whole-1.0", "half-1.0"):
        (packages / f"{name}.dist-info").mkdir()
        (packages / f"{name}.dist-info" / "METADATA").write_text("")
    (packages / "whole-1.0.dist-info" / "RECORD").write_text("")
    (packages / "~ld-1.0.dist-info").mkdir()
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)
    project.take_log()
    assert project.run("fuse").returncode == 0
    assert project.take_log() == CORE[1:]
    assert [path.name for path in packages.iterdir()] == ["whole-1.0.dist-info"]


def test_a_half_made_environment_is_made_anew(project: Project) -> None:
    (project.venv / "bin").mkdir(parents=True)
    (project.venv / "bin" / "python").symlink_to(project.programs / "python3")  # but no pip
    (project.venv / "leftover").write_text("")
    assert project.run("fuse").returncode == 0
    assert project.take_log() == CORE
    assert not (project.venv / "leftover").exists()


def test_an_environment_whose_python_is_gone_is_made_anew(project: Project) -> None:
    project.run("fuse")
    project.take_log()
    (project.venv / "bin" / "python").unlink()
    (project.venv / "bin" / "python").symlink_to("/nowhere/python3.9")
    assert project.run("fuse").returncode == 0
    assert project.take_log() == CORE


def test_two_starts_at_once_install_once(project: Project) -> None:
    variables = {"PIP_DOES": "sleep 0.3"}
    both = [project.start("fuse", **variables) for _ in range(2)]
    messages = ""
    for process in both:
        output, said = process.communicate(timeout=60)
        assert process.returncode == 0, said
        assert json.loads(output)["program"] == "studio/cli"
        messages += said
    log = project.take_log()
    assert [line for line in log if line != "models"] == CORE[:-1]
    assert messages.count("waiting for it") == 1


def test_a_python_too_old_is_told(project: Project) -> None:
    old = "sys.version_info = (3, 9, 18)"
    done = project.run("fuse", PYTHON_IS=old)
    assert done.returncode == 1
    assert "no Python 3.10, 3.11, 3.12 or 3.13 found" in done.stderr
    named = str(project.programs / "python3")
    done = project.run("fuse", PYTHON_IS=old, PYTHON=named)
    assert done.returncode == 1
    assert f"PYTHON={named} is not a Python 3.10" in done.stderr
    assert not project.venv.exists()


def test_a_python_too_new_is_passed_over_for_one_that_fits(project: Project) -> None:
    shutil.copy(project.programs / "python3", project.programs / "python3.12")
    project.add_program("python3", "#!/usr/bin/env bash\nexit 3\n")
    assert project.run("fuse").returncode == 0
    assert (project.venv / "bin" / "python").resolve() == project.programs / "python3.12"


def test_a_python_without_venv_names_the_package(project: Project) -> None:
    done = project.run("fuse", PYTHON_IS="sys.modules['ensurepip'] = None")
    assert done.returncode == 1
    assert "apt-get install python3-venv" in done.stderr
    assert not project.venv.exists()


def test_models_that_cannot_be_fetched_stop_the_start(project: Project) -> None:
    failed = project.run("fuse", MODELS_EXIT="4")
    assert failed.returncode == 4
    assert failed.stdout == ""
    assert project.take_log() == CORE
    assert project.run("fuse").returncode == 0
    assert project.take_log() == ["models"]


def test_setup_looks_after_the_models_each_time(project: Project) -> None:
    for expected in (CORE, ["models"]):
        done = project.run("setup")
        assert (done.returncode, done.stdout) == (0, "")
        assert project.take_log() == expected


def test_bench_runs_a_script_by_its_name(project: Project) -> None:
    done = project.run("bench", "speed", "--json", "out.json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "program": "benchmarks/speed",
        "arguments": ["--json", "out.json"],
        "cwd": str(project.elsewhere),
    }
    both = "requirements-core.txt requirements-bench.txt"
    assert project.take_log() == ["venv", "pip itself", both, "models"]
    project.run("fuse")
    assert project.take_log() == []


@pytest.mark.parametrize("arguments", [(), ("slow",), ("../app",), (".speed",)])
def test_bench_lists_what_there_is(project: Project, arguments: tuple[str, ...]) -> None:
    done = project.run("bench", *arguments)
    assert done.returncode == 2
    assert done.stderr.splitlines()[1:] == ["  speed"]
    assert not project.venv.exists()


CHECKS = [
    "ruff check .",
    "ruff format --check .",
    "mypy",
    "lint-imports",
    "shellcheck run.sh .ci/run",
    "pytest -n auto -k faces",
]


def test_test_installs_everything_and_runs_each_check(project: Project) -> None:
    done = project.run("test", "-k", "faces")
    assert done.returncode == 0, done.stderr
    everything = " ".join(f"requirements{part}.txt" for part in ("-core", "", "-bench", "-dev"))
    assert project.take_log() == ["venv", "pip itself", everything, "models", *CHECKS]
    for arguments in (("--full", "fuse"), ("bench", "speed"), ("fuse",)):
        project.run(*arguments)
        assert project.take_log() == []


def test_a_failed_check_is_told_after_the_others_have_run(project: Project) -> None:
    done = project.run("test", "-k", "faces", CHECKS_EXIT="1")
    assert done.returncode == 1
    assert project.take_log()[-len(CHECKS) :] == CHECKS
    assert done.stderr.splitlines()[-1] == ("run.sh: failed: ruff check, ruff format, mypy, pytest")

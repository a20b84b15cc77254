"""How every command behaves: help, version, old option names, exit codes, wrong calls."""

import re
import subprocess
import sys
from inspect import signature
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

import vlm_aes
from vlm_aes import cli
from vlm_aes.bulk.settings import ChooseSettings, RunSettings
from vlm_aes.cli.app import OLD_OPTIONS
from vlm_aes.cli.choose import choose
from vlm_aes.cli.score import score

NAMES = ["score", "explain", "compare", "choose", "xmp", "gallery", "evaluate", "audit", "finetune",
         "distill", "ensemble", "route", "export", "push", "demo", "samples"]  # fmt: skip


def run(*words):
    return CliRunner().invoke(cli.app, list(map(str, words)), prog_name="vlm-aes")


def test_the_help_lists_the_commands_in_the_order_people_need():
    assert re.findall(r"^  ([a-z]+)  ", run("--help").output.partition("Commands:")[2], re.M) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_help_has_groups_and_an_example_and_a_short_name(name):
    shown = run(name, "-h")
    assert shown.exit_code == 0
    assert f"Example:\n    vlm-aes {name} " in shown.output
    assert not re.search(r"\b[Pp]ictures?\b", shown.output)
    assert "Options:" not in shown.output
    assert shown.output == run(name, "--help").output


def test_the_help_is_what_the_docs_say():
    from tests.docs_cli import render

    page = Path(__file__).parents[2] / "docs" / "cli.md"
    assert page.read_text(encoding="utf-8") == render(), "run: python tests/docs_cli.py"


def test_the_version_is_that_of_the_package():
    assert run("--version").output == f"vlm-aes {vlm_aes.__version__}\n"


@pytest.mark.parametrize(("command", "settings"), [(score, RunSettings), (choose, ChooseSettings)])
def test_every_option_is_a_setting_of_the_same_name_and_default(command, settings):
    of_command, of_settings = (
        {p.name: p.default for p in signature(f).parameters.values()} for f in (command, settings)
    )
    assert of_command == of_settings


@pytest.mark.parametrize("name", OLD_OPTIONS)
def test_old_option_names_are_known_hidden_and_lead_to_real_ones(name):
    shown = run(name, "--help").output
    for old, new in OLD_OPTIONS[name].items():
        assert re.search(rf"^  {new}\b", shown, re.M)
        assert not re.search(rf"^  {old} ", shown, re.M)
        result = run(name, "--no-such-option", old)
        assert f"{old} is now {new}" in result.stderr
        assert "No such option" in result.stderr and "--no-such-option" in result.stderr


RATINGS = "path,rating\n" + "".join(f"{i}.jpg,{i % 5}\n" for i in range(25))
PAIRS = "path_a,path_b,preferred\na.jpg,b.jpg,a\n"
WRONG = [
    ("score", "Missing argument"),
    ("score EMPTY", "no image found in"),
    ("score GOOD --model nowhere", "neither a preset nor a hub id"),
    ("score GOOD --resume", "--resume goes with --out"),
    ("score GOOD --overwrite", "--overwrite goes with --out or --html"),
    ("score GOOD --out x.csv --resume --overwrite", "exclude each other"),
    ("score GOOD --scale big", "not like 1-5"),
    ("score GOOD --batch-size 0", "batch-size"),
    ("score GOOD --cascade", "--cascade and --per go with --top-k"),
    ("score GOOD --top-k 1 --fraction .5", "name one of --top-k"),
    ("score GOOD --top-k 1 --per burst", "vlm-aes choose TABLE --per burst"),
    ("score GOOD --top-k 0", "at least 1"),
    ("score GOOD --engine spark", "--engine is local or ray, not spark"),
    ("score GOOD --engine ray", "--engine ray goes with --out"),
    ("score GOOD --workers 2", "--workers goes with --engine ray"),
    ("score GOOD --dry-run", "go with --xmp"),
    ("score GOOD --xmp --dry-run --out x.csv", "--dry-run writes nothing"),
    ("score GOOD --xmp --xmp-layout both", "--xmp-layout both: choose one of auto"),
    ("score GOOD --stars-among run", "--stars-among goes with --stars or --xmp"),
    ("score GOOD --stars 1,2", "five ascending percentiles"),
    ("score GOOD --html none/x.html", "there is no folder none"),
    ("score GOOD --html GOOD", "exists: name another one, or replace it with --overwrite"),
    ("score GOOD --fast --attributes", "leave --attributes or --fast out"),
    ("explain GOOD --precision int3", "choose one of auto"),
    ("explain GOOD --html none/x.html", "there is no folder none"),
    ("compare GOOD", "2 to 20"),
    ("choose", "name a table that score wrote"),
    ("choose gone.csv --top-k 1", "gone.csv cannot be read as a table"),
    ("choose t.csv --bands 40,60 --top-k 1", "leave the other choices out"),
    ("choose --undo EMPTY", "holds no choice"),
    ("gallery gone.csv", "Missing option '--html'"),
    ("gallery gone.csv --html GOOD", "exists: name another one"),
    ("evaluate gone.csv", "gone.csv"),
    ("evaluate GOOD", "GOOD"),
    ("evaluate r.csv --html none/x.html", "there is no folder none"),
    ("finetune r.csv", "Missing option '--out'"),
    ("finetune r.csv --out new --resume --overwrite", "exclude each other"),
    ("finetune p.csv --out new --rating-column stars", "leave --ratings-scale, --transform and"),
    ("audit --images EMPTY", "no image"),
    ("ensemble r.csv --member facts --out EMPTY", "exists: name another one"),
    ("route gone.csv --to a=facts --to b=facts --out EMPTY", "exists: name another one"),
    ("export --out GOOD", "exists: name another one"),
    ("push EMPTY nobody --dry-run", "OWNER/NAME"),
    ("demo --allow gone", "--allow gone: there is no such folder"),
]


@pytest.mark.parametrize(("words", "message"), WRONG)
def test_a_wrong_call_says_what_to_do_ends_with_two_and_writes_nothing(tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    Path("none-here").mkdir()
    Image.new("RGB", (32, 32)).save("good.jpg")
    Path("r.csv").write_text(RATINGS)
    Path("p.csv").write_text(PAIRS)
    places = {"EMPTY": "none-here", "GOOD": "good.jpg"}
    before = sorted(p.name for p in tmp_path.iterdir())
    result = run(*(places.get(word, word) for word in words.split()))
    assert result.exit_code == 2, result.output
    assert places.get(message, message) in " ".join(result.stderr.split())
    assert result.stdout == ""
    assert sorted(p.name for p in tmp_path.iterdir()) == before


PROGRAM = "import sys; sys.argv = ['vlm-aes', 'samples', 'x']; from vlm_aes.cli import app, main; "


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        ("KeyboardInterrupt()", 130, "vlm-aes: interrupted"),
        ("BrokenPipeError(32, 'Broken pipe')", 0, ""),
        ("OSError(28, 'No space left on device', 'x.csv')", 2, "vlm-aes: x.csv: No space left on device"),
        ("OutputError('x.csv exists', 'name another')", 2, "vlm-aes: x.csv exists: name another"),
        ("KeyError('a bug')", 1, "Traceback"),
    ],
)
def test_an_error_becomes_an_exit_code_in_one_place(error, code, message):
    program = (
        "import vlm_aes.images.samples as s\nfrom vlm_aes.errors import OutputError\n"
        f"def fail(folder): raise {error}\ns.write_samples = fail\n{PROGRAM} main()"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.returncode == code, result.stderr
    assert message in result.stderr if message else result.stderr == ""


def test_a_reader_that_has_gone_is_no_error(tmp_path):
    program = f"{PROGRAM} sys.argv[1:] = ['score', '--help']; main()"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0

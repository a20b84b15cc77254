"""How every command behaves: help, version, old option names, exit codes, wrong calls, streams."""

import json
import re
import subprocess
import sys
from inspect import signature
from pathlib import Path

import pytest
from PIL import Image

import vlm_aes
from tests import docs_cli
from tests import tiny_checkpoints as tiny
from tests.cli import run
from tests.golden.make import png
from vlm_aes.bulk.settings import ChooseSettings, RunSettings
from vlm_aes.cli.app import OLD_OPTIONS
from vlm_aes.cli.choose import choose
from vlm_aes.cli.score import score
from vlm_aes.output.table import Columns

NAMES = ["score", "explain", "compare", "cull", "choose", "xmp", "gallery", "evaluate", "audit", "finetune",
         "distill", "ensemble", "route", "export", "merge", "push", "demo", "samples"]  # fmt: skip


def test_the_help_lists_the_commands_in_the_order_people_need_and_is_what_the_docs_say():
    assert re.findall(r"^  ([a-z]+)  ", run("--help").output.partition("Commands:")[2], re.M) == NAMES
    page = (Path(__file__).parents[2] / "docs/cli.md").read_text(encoding="utf-8")
    assert page == docs_cli.render(), "run: python tests/docs_cli.py"
    assert run("--version").output == f"vlm-aes {vlm_aes.__version__}\n"


@pytest.mark.parametrize("name", NAMES)
def test_help_has_groups_and_an_example_and_a_short_name(name):
    shown = run(name, "-h")
    assert shown.exit_code == 0
    assert f"Example:\n    vlm-aes {name} " in shown.output
    assert not re.search(r"\b[Pp]ictures?\b", shown.output)
    assert "Options:" not in shown.output
    assert shown.output == run(name, "--help").output


@pytest.mark.parametrize(("command", "settings"), [(score, RunSettings), (choose, ChooseSettings)])
def test_every_option_is_a_setting_of_the_same_name_and_default(command, settings):
    of = [{p.name: p.default for p in signature(f).parameters.values()} for f in (command, settings)]
    assert of[0] == of[1]


@pytest.mark.parametrize("name", OLD_OPTIONS)
def test_old_option_names_are_known_hidden_and_lead_to_real_ones(name):
    shown = run(name, "--help").output
    for old, new in OLD_OPTIONS[name].items():
        assert re.search(rf"^  {new}\b", shown, re.M)
        assert not re.search(rf"^  {old} ", shown, re.M)
        said = run(name, "--no-such-option", old).stderr
        assert all(words in said for words in (f"{old} is now {new}", "No such option", "--no-such-option"))


WRONG_SCORES = [
    ("--model nowhere", "neither a preset nor a hub id"), ("--resume", "--resume goes with --out"),
    ("--overwrite", "--overwrite goes with --out or --html"),
    ("--out x.csv --resume --overwrite", "exclude each other"), ("--scale big", "not like 1-5"),
    ("--batch-size 0", "batch-size"), ("--cascade", "--cascade and --per go with --top-k"),
    ("--top-k 1 --fraction .5", "name one of --top-k"), ("--top-k 1 --per burst", "vlm-aes choose TABLE --per burst"),
    ("--top-k 0", "at least 1"), ("--engine spark", "--engine is local or ray, not spark"),
    ("--engine ray", "--engine ray goes with --out"), ("--workers 2", "--workers goes with --engine ray"),
    ("--dry-run", "go with --xmp"),
    ("--xmp --dry-run --out x.csv", "--dry-run writes nothing: leave --out, --html and --dataset out"),
    ("--xmp --xmp-layout both", "--xmp-layout both: choose one of auto"),
    ("--stars-among run", "--stars-among goes with --stars or --xmp"), ("--stars 1,2", "five ascending percentiles"),
    *((f"--{place}", "there is no folder none") for place in
      ("html none/x.html", "stats none/x.json", "dataset none/x", "out none/x.csv", "out none/shards/")),
    ("--stats EMPTY", "is no file: name another place"), ("--out GOOD/", "is no folder: name another place"),
    ("--html EMPTY --overwrite", "is no file: name another place"), ("--stats /dev/null", "is no file"),
    ("--stats GOOD/x.json", "there is no folder GOOD"), ("--out /proc/x.csv", "/proc/x.csv cannot be written"),
    ("--html GOOD", "exists: name another one, or replace it with --overwrite"),
    ("--html EMPTY", "exists: name another one, or replace it with --overwrite"),
    ("--fast --attributes", "leave --attributes or --fast out"),
]  # fmt: skip
WRONG = [
    *((f"score GOOD {words}", message) for words, message in WRONG_SCORES),
    ("score", "Missing argument"), ("score EMPTY", "no image found in"),
    ("explain GOOD --precision int3", "choose one of auto"),
    ("explain GOOD --html none/x.html", "there is no folder none"), ("compare GOOD", "2 to 20"),
    ("choose gone.csv --link none/x", "there is no folder none"), ("choose gone.csv --move GOOD", "is no folder"),
    ("distill --images GOOD --out none/x", "there is no folder none"),
    ("distill --images GOOD --out .", "holds no model, so it is not replaced"),
    ("export --out none/x.onnx", "there is no folder none"),
    ("route gone.csv --to a=facts --to b=facts --out . --overwrite", "holds no model, so it is not replaced"),
    ("choose", "name a table that score wrote"), ("choose gone.csv --top-k 1", "gone.csv cannot be read as a table"),
    ("choose t.csv --bands 40,60 --top-k 1", "leave the other choices out"), ("choose --undo EMPTY", "holds no choice"),
    ("gallery gone.csv", "Missing option '--html'"), ("gallery gone.csv --html GOOD", "exists: name another one"),
    ("evaluate gone.csv", "gone.csv"), ("evaluate GOOD", "GOOD"), ("evaluate r.csv", "row 1, column path: no file"),
    ("evaluate r.csv --html none/x.html", "there is no folder none"), ("finetune r.csv", "Missing option '--out'"),
    ("finetune r.csv --out new --resume --overwrite", "exclude each other"),
    ("finetune p.csv --out new --rating-column stars", "leave --ratings-scale, --transform and"),
    ("audit --images EMPTY", "no image"), ("ensemble r.csv --member facts --out EMPTY", "exists: name another one"),
    ("route gone.csv --to a=facts --to b=facts --out EMPTY", "exists: name another one"),
    ("export --out GOOD", "exists: name another one"), ("push EMPTY nobody --dry-run", "OWNER/NAME"),
    ("demo --allow gone", "--allow gone: there is no such folder"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "message"), WRONG)
def test_a_wrong_call_says_what_to_do_ends_with_two_and_writes_nothing(tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    Path("none-here").mkdir()
    Image.new("RGB", (32, 32)).save("good.jpg")
    Path("r.csv").write_text("path,rating\n" + "".join(f"{i}.jpg,{1 + i % 5}\n" for i in range(25)))
    Path("p.csv").write_text("path_a,path_b,preferred\na.jpg,b.jpg,a\n")
    places = {"EMPTY": "none-here", "GOOD": "good.jpg"}
    before = sorted(p.name for p in tmp_path.iterdir())
    result = run(*(re.sub("EMPTY|GOOD", lambda name: places[name[0]], word) for word in words.split()))
    assert result.exit_code == 2, result.output
    assert message.replace("GOOD", places["GOOD"]) in " ".join(result.stderr.split())
    assert result.stdout == ""
    assert sorted(p.name for p in tmp_path.iterdir()) == before


PROGRAM_HELP = "sys.argv[1:] = ['score', '--help']; "
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


@pytest.mark.parametrize("write", ["", "console().print('x')", "print_json({})", "print('x')", "print('x' * 10**6)"])
def test_a_reader_that_has_gone_is_no_error(write):
    called = "import vlm_aes.images.samples as s; from vlm_aes.cli.loading import *\n"
    called += f"def write(folder): {write}; raise SystemExit(1)\ns.write_samples = write\n" if write else ""
    program = f"{called}{PROGRAM}{'' if write else PROGRAM_HELP} main()"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    """A good image, a turned one, and two bad files; files of every kind are in tests/golden."""
    folder = tmp_path_factory.mktemp("zoo")
    photo = tiny.images(1)[0].resize((120, 90))
    photo.save(folder / "good.jpg")
    exif = Image.Exif()
    exif[0x0112] = 6
    photo.save(folder / "turned.jpg", exif=exif)
    (folder / "cut.jpg").write_bytes((folder / "good.jpg").read_bytes()[:900])
    (folder / "huge.png").write_bytes(png(30_000, 30_000, 8, bytes(5000)))
    return folder


ERRORS = {"cut.jpg": "truncated", "huge.png": "too_large", "gone.jpg": "missing"}


def test_the_list_is_on_stdout_and_all_else_on_stderr_and_little_memory_is_needed(zoo, tiny_checkpoint, tmp_path):
    status = tmp_path / "status"
    words = ["vlm-aes", "score", str(zoo), "--model", str(tiny_checkpoint("fast_vlm")), "--rationale"]
    # getrusage would tell of the process that started this one, too
    code = (
        f"import shutil, sys; from vlm_aes.cli import app; sys.argv = {words}\n"
        f"try: app()\nfinally: shutil.copyfile('/proc/self/status', {str(status)!r})"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 1, result.stderr
    assert "good.jpg" in result.stdout
    rated = re.sub(rf".* ({'|'.join(ERRORS.values())}): .*", "", result.stdout)
    assert all(len(line) <= 80 for line in rated.splitlines())
    assert result.stderr.startswith("Loading ") and "4 images in" in result.stderr
    assert int(status.read_text().split("VmHWM:")[1].split()[0]) < 2_000_000  # kilobytes


def test_paths_come_from_stdin_and_each_is_a_row_with_a_score_on_the_scale_or_an_error(zoo, tiny_checkpoint, tmp_path):
    out = tmp_path / "t.jsonl"
    words = ["score", "-", "--model", tiny_checkpoint("fast_vlm"), "--out", out, "--facts", "--rationale"]
    paths = "".join(f"{zoo / name}\n" for name in ["good.jpg", "turned.jpg", *ERRORS])
    assert run(*words, "--attributes", "--scale", "1-5", input=paths).exit_code == 1
    rows = {Path(row["path"]).name: row for row in map(json.loads, out.read_text().splitlines())}
    assert {name: row["error"].split(": ")[0] for name, row in rows.items() if row["error"]} == ERRORS
    assert all(rows[name]["score"] is None for name in ERRORS)
    good, turned = rows["good.jpg"], rows["turned.jpg"]
    assert 0 <= good["score"] <= 100
    assert good["score_scaled"] == pytest.approx(1 + good["score"] / 25)
    assert (turned["width"], turned["height"]) == (90, 120)


def test_explain_prints_one_json_object_or_text(zoo, tiny_checkpoint):
    words = ["--model", tiny_checkpoint("fast_vlm")]
    data = json.loads(run("explain", zoo / "good.jpg", *words, "--json").stdout)
    assert {*Columns(rationale=True).names, "facts", "attributes", "claims"} <= set(data)
    assert data["facts"]["exposure"]["unit"] == "stops"
    assert "excellent" in run("explain", zoo / "good.jpg", *words).stdout
    assert run("explain", zoo / "cut.jpg", *words).exit_code == 1


def test_samples_are_written_once(tmp_path):
    result = run("samples", tmp_path / "s")
    assert (result.exit_code, result.stdout) == (0, "")
    files = sorted((tmp_path / "s").iterdir())
    assert len(files) == 28
    before = files[0].stat().st_mtime_ns
    run("samples", tmp_path / "s")
    assert files[0].stat().st_mtime_ns == before

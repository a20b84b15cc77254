"""Write docs/cli.md from the commands' own help: ``python tests/docs_cli.py``."""

from pathlib import Path

from typer.testing import CliRunner

from vlm_aes.cli import COMMANDS, app


def render() -> str:
    """The page."""
    parts = ["# Command line\n\nWritten from the commands' own help by `python tests/docs_cli.py`.\n"]
    for words in ((), *((command.__name__,) for command in COMMANDS)):
        result = CliRunner().invoke(app, [*words, "--help"], prog_name="vlm-aes", env={"COLUMNS": "80", "TERM": "dumb"})
        name = " ".join(("vlm-aes", *words))
        parts.append(f"## `{name}`\n\n```\n{result.output.strip()}\n```\n")
    return "\n".join(parts)


if __name__ == "__main__":
    (Path(__file__).parent.parent / "docs" / "cli.md").write_text(render(), encoding="utf-8")

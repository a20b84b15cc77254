from typer.testing import CliRunner

from vlm_aes import cli


def run(*words, **streams):
    """The command in this process."""
    return CliRunner().invoke(cli.app, list(map(str, words)), prog_name="vlm-aes", **streams)

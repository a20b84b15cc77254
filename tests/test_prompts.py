from pathlib import Path

import pytest

from vlm_aes.errors import PromptError
from vlm_aes.prompts import PRESETS, load_prompt, prompt_for


@pytest.mark.parametrize("preset", PRESETS.values(), ids=lambda p: p.name)
def test_presets_have_the_prompts_they_were_trained_on(preset):
    prompt = prompt_for(preset.name)
    assert prompt == prompt_for(preset.model)
    if preset.name.startswith("q-realign"):
        assert (prompt.image_first, prompt.thinking, prompt.stem) == (True, False, " The aesthetics of the image is")
        assert prompt.words == (" bad", " poor", " fair", " good", " excellent")
    else:
        assert (prompt.image_first, prompt.stem) == (False, "The quality of this image is ")
        assert prompt.words == ("Bad", "Poor", "Fair", "Good", "Excellent")
        assert "evaluator. \nYour rating" in prompt.question


MINIMAL = 'name="mine"\nquestion="q"\nstem="s"\nwords=["a","b","c","d","e"]\n'


def test_a_folder_without_a_prompt_of_its_own_has_the_default(tmp_path):
    assert prompt_for("someone/some-model").name == prompt_for(tmp_path).name == "default"
    (tmp_path / "vlm_aes.toml").write_text(MINIMAL)
    assert prompt_for(tmp_path).name == "mine"


WRONG = {
    "x = [": "not TOML", 'name = "x"': "missing", MINIMAL + '[stems]\nl="s"': "needs a question",
    'name="x"\nquestion="q"\nstem="s"\nwords=["a"]': "five different", MINIMAL + "surprise=1": "surprise",
}  # fmt: skip


@pytest.mark.parametrize(("text", "reason"), WRONG.items(), ids=WRONG.values())
def test_wrong_prompt_files(tmp_path, text, reason):
    file = tmp_path / "p.toml"
    file.write_text(text)
    with pytest.raises(PromptError, match=reason):
        load_prompt(file)
    with pytest.raises(PromptError, match="give a TOML file or one of default"):
        load_prompt("nowhere")


def test_styles_and_languages_where_the_prompts_have_them():
    prompt = load_prompt("default")
    brief = prompt.with_style("brief", "French {")
    assert "twenty words" in brief.critique
    assert brief.critique.format(facts="", score=1, level="bad").endswith("Write it in French {.")
    assert prompt.with_style(None, None) == prompt
    with pytest.raises(PromptError, match="knows brief, teacher, curator"):
        prompt.with_style("epic", None)


def test_nano_says_what_it_was_not_taught():
    nano = load_prompt(Path(__file__).parent.parent / "vlm_aes/models/nano/vlm_aes.toml")
    with pytest.raises(PromptError, match="it has only one"):
        nano.with_style("brief", None)
    with pytest.raises(PromptError, match="in English only"):
        nano.with_style(None, "French")

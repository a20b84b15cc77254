"""``explain`` and ``compare``: a few images, with reasons."""

from vlm_aes.cli import options as opt
from vlm_aes.cli.app import exit_if, note
from vlm_aes.cli.loading import console, load, print_json, say
from vlm_aes.files import check_place


def explain(
    image: opt.Image,
    model: opt.Model,
    style: opt.Style,
    language: opt.Language,
    precision: opt.Precision,
    device: opt.Device,
    json: opt.Json,
    html: opt.ExplanationPage,
    any_base: opt.AnyBase,
) -> None:
    """Explain the score of one photo: critique, facts, suggestions."""
    if html is not None:
        check_place(html)
    assessor = load(model, precision, device, reasons=True, any_base=any_base)

    from vlm_aes.explain import explanation as explaining
    from vlm_aes.explain import terminal
    from vlm_aes.output.table import Columns

    explanation = explaining.explain(assessor.with_style(style, language), image)
    if json:
        print_json(
            terminal.as_json(
                explanation,
                Columns(rationale=True, degradations=tuple(explanation.assessment.degradations)).row(
                    explanation.assessment
                ),
            )
        )
    else:
        terminal.explain(console(), explanation)
    exit_if(explanation.assessment.error)
    if html is not None:
        from vlm_aes.explain.page import write_page

        write_page(html, assessor, explanation)
        say(f"page in {html}")


def compare(
    images: opt.ComparedImages, model: opt.Model, precision: opt.Precision, device: opt.Device, json: opt.Json
) -> None:
    """Rank a few photos and give a reason for each step."""
    assessor = load(model, precision, device, reasons=True)

    from vlm_aes.explain import compare as comparing
    from vlm_aes.explain import terminal

    comparison = comparing.compare(assessor, images)
    if json:
        print_json(terminal.comparison_as_json(comparison))
    else:
        terminal.comparison(console(), comparison)
    for failed in comparison.errors:
        note(f"{failed.path}: {failed.error}")
    exit_if(comparison.errors)

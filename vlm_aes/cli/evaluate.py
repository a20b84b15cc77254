"""``evaluate`` and ``audit``: how good the scores and the critiques of a model are."""

from vlm_aes.cli import options as opt
from vlm_aes.cli.app import exit_if, note
from vlm_aes.cli.loading import console, load, print_json, progress_bar, read_table, say
from vlm_aes.errors import SettingsError
from vlm_aes.files import check_place
from vlm_aes.models.nano import NANO_NAME


def evaluate(
    ratings: opt.Ratings,
    images: opt.Images,
    rating_column: opt.RatingColumn,
    ratings_scale: opt.RatingsScale,
    transform: opt.Transform,
    split: opt.Split,
    groups: opt.Series,
    model: opt.Models,
    fast: opt.Fast,
    any_base: opt.AnyBase,
    precision: opt.Precision,
    device: opt.Device,
    batch_size: opt.BatchSize,
    facts: opt.FactsBaseline,
    json: opt.Json,
    html: opt.EvaluationPage,
) -> None:
    """Measure models on your ratings, with 95% intervals."""
    names: list[str | None] = [*model] if model else [None]
    if len(set(names)) < len(names):
        raise SettingsError("--model names one model twice")
    if html is not None:
        if len(names) > 1:
            raise SettingsError("--html is the page of one model; leave it out, or name one --model")
        check_place(html)
    table = read_table(
        ratings, images, ratings_scale, transform=transform, column=rating_column, series_column=groups, min_images=3
    )
    table, training = table.split(split) if split is not None else (table, None)

    from vlm_aes.evaluation import differences
    from vlm_aes.evaluation import evaluate as evaluation
    from vlm_aes.output.terminal import print_estimates

    reports: dict[str, evaluation.EvaluationReport] = {}
    for name in names:
        assessor = load(name, precision, device, fast=fast, any_base=any_base)
        with progress_bar("rating", len(table)) as progress:
            report = evaluation.evaluate(
                assessor,
                table,
                others=training,
                facts=facts and not reports,  # of the photos, so once is enough
                batch_size=batch_size,
                progress=progress,
            )
        reports[name or NANO_NAME] = report
        for line in report.notes:
            note(line)
        if not json:
            prefix = f"{name or NANO_NAME}: " if len(names) > 1 else ""
            print_estimates(console(), prefix + report.heading, report.in_words())
            if report.groups is not None:
                print_estimates(console(), f"\n{report.groups.heading}", report.groups.in_words())
    found = differences.differences(reports)
    if json:
        print_json(differences.as_json(reports, found) if len(names) > 1 else report.as_json())
    for pair in () if json else found:
        console().print(
            f"\n{pair.verdict}: SRCC of {pair.a} less that of {pair.b} "
            f"{pair.srcc.value:+.3f} ({pair.srcc.low:+.3f} to {pair.srcc.high:+.3f}), {pair.n} images"
            + (f"; about {pair.images_needed:,} would tell" if pair.images_needed else ""),
            soft_wrap=True,
            markup=False,
        )
    if html is not None:
        from vlm_aes.evaluation.page import write_evaluation

        write_evaluation(html, report, table, model=assessor.model_id, prompt=assessor.prompt_id, terms=assessor.terms)
        say(f"page in {html}")
    exit_if(any(report.n_error for report in reports.values()))


def audit(
    images: opt.AuditedImages,
    limit: opt.Limit,
    model: opt.Model,
    precision: opt.Precision,
    device: opt.Device,
    json: opt.Json,
) -> None:
    """Measure how far the critiques of a model can be trusted."""
    assessor = load(model, precision, device, reasons=True)

    from vlm_aes.bulk.sources import PassedOver, find_image_paths
    from vlm_aes.explain import audit as auditing
    from vlm_aes.explain import terminal

    passed_over = PassedOver()
    figures = auditing.audit(assessor, auditing.sample(list(find_image_paths(images, passed_over)), limit))
    if json:
        print_json(figures)
    else:
        terminal.audit(console(), figures)
    say("\n".join(passed_over.lines()))
    exit_if(figures["n_error"] or passed_over)

"""``ensemble`` and ``route``: one model made of several."""

from dataclasses import asdict

from vlm_aes.cli import options as opt
from vlm_aes.cli.app import exit_if
from vlm_aes.cli.loading import console, print_json, progress_bar, read_table, say_loading, say_saved
from vlm_aes.files import check_model_folder


def ensemble(
    ratings: opt.Ratings,
    member: opt.Members,
    out: opt.RaterFolder,
    images: opt.Images,
    ratings_scale: opt.RatingsScale,
    precision: opt.Precision,
    device: opt.Device,
    seed: opt.Seed,
    json: opt.Json,
    overwrite: opt.Overwrite,
) -> None:
    """Fit the weights of several models to your ratings."""
    check_model_folder(out, overwrite=overwrite)
    table = read_table(ratings, images, ratings_scale, min_images=20)
    say_loading(*member)

    from vlm_aes.output.terminal import count_text
    from vlm_aes.training import ensemble as fitting

    members = fitting.open_members(member, precision=precision, device=device)
    with progress_bar("rating", len(table)) as progress:
        rated = fitting.score_members(table, members, progress)
    fitted = fitting.fit(rated, seed)
    figures = fitting.figures(fitted, rated.ratings, member)
    fitting.save(fitted, members, rated.ratings, out, reference=table.name, overwrite=overwrite)
    n = len(rated.ratings)
    weights = dict(zip(member, map(float, fitted.weights), strict=True))
    if json:
        values = {name: {k: asdict(v) for k, v in own.items()} for name, own in figures.items()}
        report = {"n": n, "n_error": rated.n_error, "intercept": fitted.intercept, "weights": weights}
        print_json(report | {"figures": values})
    else:
        show = console()
        show.print(f"{count_text(n, 'image')}, out of fold, 95% intervals")
        for name, own in figures.items():
            srcc, plcc, weight = own["srcc"], own["plcc"], weights.get(name)
            text = "" if weight is None else f"weight {weight:.3f}" if weight else "adds nothing"
            line = f"SRCC {srcc.value:.3f} ({srcc.low:.3f} to {srcc.high:.3f})  PLCC {plcc.value:.3f}  {text}"
            show.print(f"{name[-32:]:<32} {line}", soft_wrap=True, markup=False)
    say_saved(out)
    exit_if(rated.n_error)


def route(
    routes: opt.Routes,
    to: opt.RouteModels,
    out: opt.RaterFolder,
    json: opt.Json,
    overwrite: opt.Overwrite,
    images: opt.Images,
    tower: opt.RouteTower,
    device: opt.Device,
    seed: opt.Seed,
) -> None:
    """Learn which kind of image goes to which model."""
    check_model_folder(out, overwrite=overwrite)
    say_loading(tower)

    from vlm_aes.output.terminal import count_text
    from vlm_aes.training import router as routing

    named = routing.parse_routes(to)
    table = routing.read_routes(routes, images, [route.name for route in named])
    report = routing.train_router(table, named, tower, out, seed=seed, device=device, overwrite=overwrite)
    if json:
        print_json(asdict(report))
    else:
        print(f"{count_text(report.n, 'image')}, {report.accuracy:.1%} sent to the right route, out of fold")
    say_saved(out)
    exit_if(report.n_error)

"""Every argument and option of the commands, with its default, in the groups of the help."""

from collections.abc import Callable
from inspect import Parameter, Signature
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from vlm_aes.models.nano import NANO_NAME

INPUT = "Input"
MODEL = "Model"
COLUMNS = "Columns"
CHOOSING = "Choosing"
TRAINING = "Training"
SIDECARS = "Stars and XMP sidecars"
OUTPUT = "Output"
SERVER = "Server"
PERFORMANCE = "Performance"
GROUPS = (INPUT, MODEL, COLUMNS, CHOOSING, TRAINING, SIDECARS, OUTPUT, SERVER, PERFORMANCE)
"""Groups of options, in the order of the help."""


def option(default: Any, group: str, metavar: str, help: str, **settings: Any) -> Any:
    """An option with a value; its name is that of the parameter. A default of ``...`` makes it required."""
    return _with_default(typer.Option(metavar=metavar, help=help, rich_help_panel=group, **settings), default)


def flag(group: str, name: str, help: str, default: bool = False, short: str = "") -> Any:
    """An option without a value."""
    names = filter(None, (name, short))
    return _with_default(typer.Option(*names, help=help, rich_help_panel=group), default)


def argument(metavar: str, help: str, default: Any = ...) -> Any:
    """A value that stands without a name."""
    return _with_default(typer.Argument(metavar=metavar, help=help), default)


def _with_default(parameter: Any, default: Any) -> Any:
    parameter.default_value = default  # Typer takes none here: see set_defaults
    return parameter


def set_defaults(command: Callable[..., None]) -> Callable[..., None]:
    """Give the parameters of a command the defaults that stand with their options."""
    parameters = []
    for name, hint in get_type_hints(command, include_extras=True).items():
        if name != "return":
            default = hint.__metadata__[0].default_value
            default = Parameter.empty if default is ... else default
            parameters.append(Parameter(name, Parameter.POSITIONAL_OR_KEYWORD, default=default, annotation=hint))
    command.__signature__ = Signature(parameters)  # type: ignore[attr-defined]  # read by Typer
    return command


Paths = Annotated[
    list[str],
    argument(
        "PATH", "Photos, folders, quoted globs, tables, .tar archives, datasets, addresses, or - for a list on stdin."
    ),
]
PathsUnlessUndo = Annotated[
    list[str] | None, argument("PATH", "Photos, folders, quoted globs, or - for a list on stdin.", None)
]
Image = Annotated[str, argument("IMAGE", "A photo.")]
ComparedImages = Annotated[list[str], argument("IMAGE", "Two to twenty photos.")]
Table = Annotated[Path, argument("TABLE", "Table that score wrote, or its folder of shards.")]
TableUnlessUndo = Annotated[Path | None, argument("TABLE", "Table that score wrote, or its folder of shards.", None)]
Ratings = Annotated[Path, argument("RATINGS", "Ratings: .csv, .jsonl, .parquet, or a folder of .parquet files.")]
Routes = Annotated[Path, argument("ROUTES", ".csv with a path and a route in each row.")]
Upload = Annotated[Path, argument("FOLDER", "Folder that finetune, distill or --dataset wrote.")]
Repository = Annotated[str, argument("OWNER/NAME", "Repository on the hub; created if missing.")]
Finetuned = Annotated[str, argument("MODEL", "Folder or hub id of a finetuned model.")]
SamplesFolder = Annotated[Path, argument("DIR", "Folder for the photos.")]

# Input
ImageColumn = Annotated[
    str | None, option(None, INPUT, "NAME", "Table column with image paths or image bytes. Default: path or image.")
]
NullIn = Annotated[bool, flag(INPUT, "--null", "A NUL ends each path on stdin, as from find -print0.", short="-0")]
Images = Annotated[
    Path | None,
    option(None, INPUT, "DIR", "Folder that relative paths in the table start from. Default: the current one."),
]
AuditedImages = Annotated[
    list[str],
    option(
        ..., INPUT, "PATH", "Photos to audit on, as PATH of score; may be repeated. More photos give surer figures."
    ),
]
DistilledImages = Annotated[
    list[str], option(..., INPUT, "PATH", "Photos to learn from, as PATH of score; may be repeated.")
]
Limit = Annotated[int, option(500, INPUT, "N", "Largest number of photos, drawn by chance.", min=2)]
HumanRatings = Annotated[
    Path | None, option(None, INPUT, "RATINGS", "Table of human ratings as for evaluate, with paths below --images.")
]
RatingColumn = Annotated[str, option("rating", INPUT, "NAME", "Table column with the ratings.")]
RatingsScale = Annotated[
    str | None, option(None, INPUT, "LOW-HIGH", "Scale of the ratings, such as 1-7. Default: told by the ratings.")
]
Transform = Annotated[
    str,
    option(
        "", INPUT, "NAME", "Transform of counts such as likes: log, cube-root, rank or per-age; z-score for z-scores."
    ),
]
Split = Annotated[str | None, option(None, INPUT, "NAME", "Split to measure on: train, validation or test.")]
Series = Annotated[
    str,
    option(
        "", INPUT, "COLUMN", "Table column with the group of each image, such as its burst: how well is the best found?"
    ),
]
ValidationShare = Annotated[float, option(0.15, INPUT, "F", "Share of images for model selection and calibration.")]
TestShare = Annotated[float, option(0.15, INPUT, "F", "Share of images for the final metrics.")]
Terms = Annotated[str, option("", INPUT, "TEXT", "Licence of the ratings, for the card.")]
FastTable = Annotated[
    Path | None,
    option(None, INPUT, "TABLE", "Table of the same images by a fast head, to show where the two disagree."),
]

# Model
Model = Annotated[
    str | None,
    option(
        None,
        MODEL,
        "MODEL",
        "Preset, hub id, folder, rater file, FILE.onnx, HEAD:FILE or openai:URL#NAME. "
        "Default: nano, the embedded model.",
    ),
]
Models = Annotated[
    list[str] | None, option(None, MODEL, "MODEL", "As for score; several times to compare models on the same photos.")
]
CullModel = Annotated[
    str | None, option(None, MODEL, "MODEL", "Model whose fast head rates the photos. Default: nano.")
]
SimilarityModel = Annotated[
    str | None, option(None, MODEL, "MODEL", "Checkpoint whose vision tower measures image similarity. Default: nano.")
]
Fast = Annotated[bool, flag(MODEL, "--fast", "Score with the fast head of the model.")]
AnyBase = Annotated[bool, flag(MODEL, "--any-base", "Put an adapter also on a base that it was not trained on.")]
FitFast = Annotated[bool, flag(MODEL, "--fast", "Fit only the fast head of the model, in seconds.")]
Precision = Annotated[
    str, option("auto", MODEL, "TYPE", "Number type of the weights: auto, fp32, bf16, fp16, 8bit or 4bit.")
]
Device = Annotated[str, option("auto", MODEL, "DEVICE", "Processor: auto, cpu, cuda or mps.")]
Style = Annotated[
    str | None,
    option(None, MODEL, "NAME", "Style of the critique, where the model has several: brief, teacher or curator."),
]
Language = Annotated[
    str | None, option(None, MODEL, "NAME", "Language of the critique, where the model speaks it: French, German, ...")
]
Members = Annotated[
    list[str],
    option(
        ...,
        MODEL,
        "MODEL",
        "Member: what --model takes, fast:MODEL for its fast head, or facts for measured facts; repeat it for each.",
    ),
]
RouteModels = Annotated[
    list[str],
    option(..., MODEL, "ROUTE=MODEL", "Model of a route, or ROUTE=fast:MODEL for its fast head; repeat it for each."),
]
RouteTower = Annotated[
    str, option(NANO_NAME, MODEL, "TOWER", "Vision tower that tells the routes apart: folder, hub id, or nano.")
]
Teacher = Annotated[
    str | None, option(None, MODEL, "MODEL", "Model whose scores are learned. Default: nano, or none with --ratings.")
]
Tower = Annotated[
    str | None, option(None, MODEL, "TOWER", "Vision tower: folder or hub id. Default: that of the checkpoint.")
]

# Columns
Rationale = Annotated[
    bool,
    flag(
        COLUMNS,
        "--rationale",
        "Critique of each image; with --top-k, --fraction or --threshold only of the selected ones.",
    ),
]
Facts = Annotated[bool, flag(COLUMNS, "--facts", "Measured facts: exposure, sharpness, noise, ...")]
Tags = Annotated[bool, flag(COLUMNS, "--tags", "Scene, tags and degradations, as the model sees them.")]
Attributes = Annotated[bool, flag(COLUMNS, "--attributes", "Scores of composition, color, light and more.")]
Scale = Annotated[
    str | None, option(None, COLUMNS, "LOW-HIGH", "Scale on which scores are shown, such as 1-10; adds score_scaled.")
]

# Choosing
TopK = Annotated[int | None, option(None, CHOOSING, "N", "Number of best images to keep.")]
Fraction = Annotated[float | None, option(None, CHOOSING, "F", "Share of best images to keep, 0 to 1.")]
Threshold = Annotated[float | None, option(None, CHOOSING, "T", "Lowest score to keep, 0 to 100.")]
Per = Annotated[str, option("all", CHOOSING, "GROUP", "Group to select from: all or folder.")]
PerBurst = Annotated[str, option("all", CHOOSING, "GROUP", "Group to select from: all, folder or burst.")]
KeepCount = Annotated[
    int | None,
    option(None, CHOOSING, "N", "About how many photos to keep, beside the sets. Default: only the sure ones.", min=1),
]
Cascade = Annotated[
    bool,
    flag(CHOOSING, "--cascade", "Score everything with the fast head; re-score borderline images with the full model."),
]
Distinct = Annotated[bool, flag(CHOOSING, "--distinct", "Keep only the best of near-duplicates.")]
SkipWarned = Annotated[bool, flag(CHOOSING, "--skip-warned", "Leave out images with a warning, such as not_a_photo.")]
Bands = Annotated[
    str | None, option(None, CHOOSING, "SCORES", "Sort all images into bands that part at these scores, such as 40,60.")
]

# Training
Full = Annotated[bool, flag(TRAINING, "--full", "Train the weights instead of LoRA adapters.")]
TrainTower = Annotated[bool, flag(TRAINING, "--train-tower", "Train the vision tower and projector as well.")]
LoraRank = Annotated[int, option(16, TRAINING, "N", "Rank of the LoRA adapters.", min=1)]
NoRidge = Annotated[bool, flag(TRAINING, "--no-ridge", "Train LoRA only, without the ridge residual.")]
Epochs = Annotated[
    float | None,
    option(None, TRAINING, "N", "Passes over the training data. Default: 4 over ratings, 8 over pairs.", min=0.01),
]
LearningRate = Annotated[
    float, option(0, TRAINING, "RATE", "Learning rate. Default: 5e-4, with --full 2e-5.", min=0, show_default=False)
]
Labels = Annotated[str, option("raters", TRAINING, "KIND", "Soft labels: raters, gaussian, two-hot or hard.")]
RatingWeight = Annotated[float, option(1, TRAINING, "W", "Weight of the soft-label loss.", min=0)]
RankingWeight = Annotated[float, option(1, TRAINING, "W", "Weight of the ranking loss.", min=0)]
CritiqueWeight = Annotated[float, option(0.05, TRAINING, "W", "Weight of the critique loss.", min=0)]

# Stars and XMP sidecars
Stars = Annotated[
    str | None,
    option(None, SIDECARS, "P,P,P,P,P", "Percentiles from which 1 to 5 stars are given. Default: 0,20,50,80,95."),
]
StarsAmong = Annotated[
    str, option("reference", SIDECARS, "SET", "Photos that the percentiles refer to: reference (of the model) or run.")
]
Xmp = Annotated[bool, flag(SIDECARS, "--xmp", "Write stars, keywords and critiques into XMP sidecars.")]
XmpLayout = Annotated[
    str,
    option(
        "auto",
        SIDECARS,
        "NAME",
        "Names of sidecars: darktable (name.ext.xmp), adobe (name.xmp), by-kind (adobe for raw, else darktable), "
        "or auto (those that exist, else darktable).",
    ),
]
OverwriteRatings = Annotated[bool, flag(SIDECARS, "--overwrite-ratings", "Also replace stars that a person gave.")]
Unrated = Annotated[
    int, option(0, SIDECARS, "N", "Stars that mean not rated yet; darktable gives new photos 1.", min=0, max=5)
]
Caption = Annotated[bool, flag(SIDECARS, "--caption", "Also write the critique where programs show a caption.")]
UndoSidecars = Annotated[
    bool, flag(SIDECARS, "--undo", "Take out of the sidecars what was written; a person's values stay.")
]
DryRun = Annotated[bool, flag(SIDECARS, "--dry-run", "Show what would be written; change nothing.")]

CullXmp = Annotated[bool, flag(SIDECARS, "--xmp", "Write picks, colour labels and stars into XMP sidecars.")]
CullDryRun = Annotated[bool, flag(SIDECARS, "--dry-run", "Show the verdicts; write no sidecar and no link.")]

# Output
Out = Annotated[
    str | None,
    option(None, OUTPUT, "FILE|DIR/", "Table to write: .csv, .jsonl, .parquet, or a folder/ of Parquet shards."),
]
ModelFolder = Annotated[Path, option(..., OUTPUT, "DIR", "Folder of the new model to write.")]
HeadFolder = Annotated[
    Path, option(..., OUTPUT, "DIR", "Checkpoint, which gets a fast/ folder; or a folder for the head alone.")
]
RaterFolder = Annotated[Path, option(..., OUTPUT, "DIR", "Folder to write; it loads with --model.")]
OnnxFile = Annotated[Path, option(..., OUTPUT, "FILE", "FILE.onnx to write; it loads with --model.")]
ResumeRun = Annotated[bool, flag(OUTPUT, "--resume", "Resume an interrupted run; finished rows stay.")]
ResumeTraining = Annotated[bool, flag(OUTPUT, "--resume", "Resume an interrupted training.")]
Overwrite = Annotated[bool, flag(OUTPUT, "--overwrite", "Overwrite an existing result.")]
OverwriteFiles = Annotated[bool, flag(OUTPUT, "--overwrite", "Replace an existing --out or --html.")]
Json = Annotated[bool, flag(OUTPUT, "--json", "Result as one JSON object on stdout.")]
FactsBaseline = Annotated[
    bool, flag(OUTPUT, "--facts/--no-facts", "Baseline of measured facts, learned from the same ratings.", True)
]
Gallery = Annotated[Path | None, option(None, OUTPUT, "FILE", "Gallery to write: a page without network.")]
GalleryPage = Annotated[Path, option(..., OUTPUT, "FILE", "Page to write.")]
ExplanationPage = Annotated[Path | None, option(None, OUTPUT, "FILE", "Page to write, with a heat map of the score.")]
EvaluationPage = Annotated[Path | None, option(None, OUTPUT, "FILE", "Page to write, with plots.")]
Dataset = Annotated[Path | None, option(None, OUTPUT, "DIR", "Dataset to write, with images and rows.")]
Stats = Annotated[Path | None, option(None, OUTPUT, "FILE", "JSON file for the statistics of the run.")]
Copy = Annotated[Path | None, option(None, OUTPUT, "DIR", "Folder to copy the images into.")]
Link = Annotated[Path | None, option(None, OUTPUT, "DIR", "Folder to link the images into.")]
Move = Annotated[Path | None, option(None, OUTPUT, "DIR", "Folder to move the images into.")]
CullTable = Annotated[Path | None, option(None, OUTPUT, "FILE", "Table to write: .csv, .jsonl or .parquet.")]
OverwriteTable = Annotated[bool, flag(OUTPUT, "--overwrite", "Replace an existing --out.")]
LinkVerdicts = Annotated[
    Path | None, option(None, OUTPUT, "DIR", "Folder to link the photos into, with a folder for each verdict.")
]
UndoCull = Annotated[
    Path | None,
    option(None, OUTPUT, "DIR", "Folder to take back: its links, or the marks in the sidecars of its photos."),
]
CullLog = Annotated[
    Path | None, option(None, OUTPUT, "FILE", "JSON lines of every verdict, and of every sidecar in a dry run.")
]
Undo = Annotated[Path | None, option(None, OUTPUT, "DIR", "Folder to take back: undoes --copy, --link or --move.")]
NullOut = Annotated[bool, flag(OUTPUT, "--null", "End each printed path with a NUL, as for xargs -0.", short="-0")]
License = Annotated[str | None, option(None, OUTPUT, "ID", "License such as apache-2.0, for a card that names none.")]
Revision = Annotated[str | None, option(None, OUTPUT, "BRANCH", "Branch; created if missing. Default: main.")]
Private = Annotated[bool, flag(OUTPUT, "--private", "Create a private repository.")]
Message = Annotated[str, option("", OUTPUT, "TEXT", "Message of the commit.")]
ListOnly = Annotated[bool, flag(OUTPUT, "--dry-run", "List the files; nothing is pushed.")]

# Server
Host = Annotated[str, option("127.0.0.1", SERVER, "ADDRESS", "Address to listen on; 0.0.0.0 for the network.")]
Port = Annotated[
    int | None, option(None, SERVER, "N", "Port to listen on. Default: the first free one from 7860.", min=0, max=65535)
]
Allow = Annotated[
    list[Path] | None, option(None, SERVER, "DIR", "Folder here that visitors may have sorted; may be repeated.")
]

# Performance
BatchSize = Annotated[int, option(16, PERFORMANCE, "N", "Images per forward pass.", min=1)]
Accumulate = Annotated[int, option(1, PERFORMANCE, "N", "Forward passes per training step.", min=1)]
Quantize = Annotated[
    str, option("", PERFORMANCE, "BITS", "Quantization of the base under LoRA, to save memory: 4bit or 8bit.")
]
Checkpointing = Annotated[bool, flag(PERFORMANCE, "--checkpointing", "Gradient checkpointing: less memory, slower.")]
Seed = Annotated[int, option(0, PERFORMANCE, "N", "Random seed: same seed, same result.")]
Smoke = Annotated[bool, flag(PERFORMANCE, "--smoke", "Ten steps only, to check the setup.")]
EmbeddingCache = Annotated[
    Path | None, option(None, PERFORMANCE, "DIR", "Folder of stored embeddings. Default: in the cache of the user.")
]
Engine = Annotated[
    str, option("local", PERFORMANCE, "NAME", "Engine: local, or ray on this machine or the cluster in RAY_ADDRESS.")
]
Workers = Annotated[
    int | None,
    option(None, PERFORMANCE, "N", "Number of Ray workers. Default: one per GPU, or one per two CPU cores.", min=1),
]

"""Suites: what they mean, and what is said of one that cannot be run."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

import softmining_nerfstudio
from softmining_nerfstudio.benchmark import environment
from softmining_nerfstudio.benchmark.errors import SuiteError
from softmining_nerfstudio.benchmark.results import Run
from softmining_nerfstudio.benchmark.run import plan, suite_file
from softmining_nerfstudio.benchmark.run.suite import Suite
from softmining_nerfstudio.benchmark.run.task import Task

CONFIGS = Path(softmining_nerfstudio.__file__).parents[1] / "configs"
GOOD = """\
method = "softmining-lite"
arguments = "--pipeline.model.near-plane 1"
steps = 100
measure_every = 30
seeds = [4, 7]
baseline = "uniform"
[methods]
uniform = "--sampling-type uniform"
"lmc, hot" = '''--sampling-type lmc
  --pipeline.datamanager.pixel-sampler.langevin.noise 8'''
stock = "nerfacto --mixed-precision False"
[scenes]
disc = "blender-data --data {data}/disc"
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "suite.toml"
    path.write_text(GOOD)
    return path


def prepare(path: Path, data: Path) -> None:
    """Everything that is looked at before the first run starts."""
    suite = suite_file.load(path)
    suite.require_scenes(suite.scenes, data)
    plan.checked(suite, suite.runs(suite.methods, suite.scenes), data, path.parent)


def test_a_command_is_that_of_ns_train(path: Path) -> None:
    suite = suite_file.load(path)
    common, scene = ["--pipeline.model.near-plane", "1"], ["blender-data", "--data", "my data/disc"]
    assert suite.command("lmc, hot", "disc", Path("my data")) == [
        *("softmining-lite", *common, "--sampling-type", "lmc"),
        *("--pipeline.datamanager.pixel-sampler.langevin.noise", "8", *scene),
    ]
    assert suite.command("stock", "disc", Path("my data")) == [
        "nerfacto",
        *common,
        "--mixed-precision",
        "False",
        *scene,
    ]


def test_methods_of_a_seed_are_run_side_by_side(path: Path) -> None:
    suite = suite_file.load(path)
    runs = suite.runs(["stock", "uniform"], ["disc"])
    assert runs == [
        Run("disc", method, seed) for seed, method in [(4, "uniform"), (4, "stock"), (7, "stock"), (7, "uniform")]
    ]


def test_every_seed_begins_with_another_method(path: Path) -> None:
    """So that the methods' places among the runs of a seed are as different as can be."""
    names = [f"m{number}" for number in range(9)]
    suite = replace(suite_file.load(path), methods=dict.fromkeys(names, ""), scenes={"a": "", "b": ""}, seeds=(5, 6, 7))
    runs = suite.runs(names, ["a", "b"])
    assert len(set(runs)) == len(runs) == 9 * 2 * 3
    orders = [[run.method for run in runs if run.seed == seed and run.scene == "b"] for seed in (5, 6, 7)]
    assert orders == [names, names[3:] + names[:3], names[6:] + names[:6]]


def test_measurements_are_evenly_spaced_and_some_of_them_are_shown(path: Path) -> None:
    suite = suite_file.load(path)
    tasks = plan.tasks_of(suite, [Run("disc", "uniform", 7), Run("disc", "uniform", 4)], Path("data"), Path("out"))
    assert [step for step in range(1, 101) if tasks[0].number(step) > tasks[0].number(step - 1)] == [30, 60, 90]
    assert [task.strip_view for task in tasks] == [None, 0]  # only the first seed's
    rare = replace(tasks[1], render_every=2)
    assert [number for number in range(4) if rare.is_shown(number)] == [0, 2]
    assert rare.is_shown(3, last=True)
    assert (suite.with_steps(1000).measure_every, suite.with_steps(20).measure_every) == (300, 10)


def test_each_method_trains_once_for_each_budget(path: Path) -> None:
    path.write_text(GOOD.replace("steps = 100\n", "minutes = [0.5, 2]\n").replace('stock = "nerfacto --mixed', '# "'))
    suite = suite_file.load(path).with_budgets()
    assert list(suite.methods) == ["uniform, 30 s", "uniform, 120 s", "lmc, hot, 30 s", "lmc, hot, 120 s"]
    assert suite.baseline == "uniform, 120 s"
    runs = suite.runs(suite.methods, suite.scenes)
    tasks = {task.method: task for task in plan.tasks_of(suite, runs, Path("data"), path.parent)}
    assert {name: task.length for name, task in tasks.items() if "hot" in name} == {
        "lmc, hot, 30 s": 30,
        "lmc, hot, 120 s": 120,
    }
    with pytest.raises(SuiteError, match="last for minutes"):
        suite.with_steps(10)


def tasks_of(suite: Suite, methods: list[str]) -> list[Task]:
    return plan.tasks_of(suite, suite.runs(methods, suite.scenes), Path("data"), Path("out"))


def test_a_single_budget_leaves_methods_their_names(path: Path) -> None:
    path.write_text(GOOD.replace("steps = 100\n", "minutes = [0.5]\n"))
    suite = suite_file.load(path).with_budgets()
    plan.require_parsable(suite, tasks_of(suite, ["uniform"]))
    twice = replace(suite, arguments="--minutes 1")
    with pytest.raises(SuiteError, match="--minutes is not for a suite"):
        plan.require_parsable(suite, tasks_of(twice, ["uniform"]))
    assert (suite.baseline, suite.methods["uniform"]) == ("uniform", "--sampling-type uniform --minutes 0.5")


def test_a_suite_has_steps_or_minutes(path: Path) -> None:
    path.write_text("minutes = [1]\n" + GOOD)
    with pytest.raises(SuiteError, match="steps or minutes, not both"):
        suite_file.load(path)


@pytest.mark.parametrize("name", sorted(path.name for path in CONFIGS.glob("*.toml")))
def test_the_suites_of_the_package_are_ones_that_ns_train_can_run(name: str, tmp_path: Path) -> None:
    suite = suite_file.load(CONFIGS / name)
    assert len(suite.seeds) >= 3
    first_scene, first_method = list(suite.scenes)[:1], list(suite.methods)[:1]
    runs = suite.runs(suite.methods, first_scene) + suite.runs(first_method, suite.scenes)
    plan.require_parsable(suite, plan.tasks_of(suite, runs, Path("data"), tmp_path))


@pytest.mark.parametrize(
    ("before", "after", "line", "says"),
    [
        ("steps = 100", "steps = 100\nstep = 3", 4, "'step'.*Allowed: .*steps"),
        ("[scenes]", "[scene]", 12, "'scene'.*Allowed: .*scenes"),
        ("steps = 100", "steps = '100'", 3, "steps is '100'.* 1 "),
        ("steps = 100", "steps = true", 3, "steps is True"),
        ("seeds = [4, 7]", "seeds = [4, 4]", 5, r"seeds is \[4, 4\]"),
        ("steps = 100", "steps = ", 3, "TOML.*line 3"),
        ('uniform = "--sampling', 'uniform = "--sampling\\', 8, "TOML.*line 8"),
        ("steps = 100", "", None, "no steps"),
        ('baseline = "uniform"', 'baseline = "unifrom"', 6, "baseline is 'unifrom'.*Allowed: uniform, lmc, hot, stock"),
        ("uniform = ", "uniform = 1 #", 8, "'uniform' is 1"),
        ("--mixed-precision False", "--mixed-precision 'False", 11, "'stock'.*No closing quotation"),
        ("stock = ", "lmc-hot = ", 11, "'lmc-hot' and 'lmc, hot'"),
        ("[scenes]\n", "[scenes]\nball = '{data}/ball'\n", 13, "/ball .*'ball'.*: .*disc"),
        ('"nerfacto ', '"nerfato ', 11, "'nerfato'.*Allowed: .*nerfacto"),
        ("type uniform", "type unifrom", 8, "ns-train refuses: .*unifrom.*foreground"),
        ("--mixed-precision False", "--sampling-type uniform", 11, "ns-train refuses: .*--sampling-type"),
        ("blender-data", "blender", 13, "ns-train refuses: .*blender"),
        ("--mixed-precision False", "--machine.num-devices 2", None, "stock .* 2 devices.* 1"),
        ("--mixed-precision False", "--relative-model-dir ../x", 11, "--relative-model-dir is not for a suite"),
        ("--mixed-precision False", "--method-name ../x", 11, "--method-name is not"),
        ("--mixed-precision False", "--logging.relative-log-dir ../x", 11, "--logging.relative-log-dir is not"),
        ("--mixed-precision False", "--output-dir x", 11, "--output-dir is not"),
        ("--mixed-precision False", "--load-dir x", 11, "--load-dir is not"),
        ("--mixed-precision False", "--max_num_iterations=30000", 11, "--max-num-iterations is not .* own steps"),
        ("--mixed-precision False", "--machine.seed 42", 11, "--machine.seed is not for a suite.* own seeds"),
        ("--mixed-precision False", "--vis viewer", 11, "--vis is not for a suite"),
        ("--mixed-precision False", "--steps-per-save 10", 11, "--steps-per-save is not for a suite"),
        ("type uniform", "type uniform --minutes 2", 8, r"--minutes is not for a suite.* minutes = \[2"),
        ("lmc\n", "lmc --minutes=2\n", 9, "--minutes is not for a suite"),
        ("nerfacto --mixed", "splatfacto --mixed", 11, "splatfacto trains on whole images.* on rays"),
        ("stock = ", f"{'s' * 300} = ", 11, "a name has 300 characters; expected at most 100"),
        ("seeds = [4, 7]", "seeds = [4, -7]", 5, r"seeds is \[4, -7\]"),
        ("steps = 100", "steps = 100\nstrip_view = 2", 4, r"strip_view is 2, but .*line 14 \(disc\) has .* 0 to 1"),
    ],
)
def test_a_suite_that_cannot_be_run_is_refused_with_line_and_remedy(
    path: Path, blender_scene: Path, before: str, after: str, line: int | None, says: str
) -> None:
    assert before in GOOD
    path.write_text(GOOD.replace(before, after, 1))
    where = f"{path}.*line {line}.*" if line else f"{path}.*"
    with pytest.raises(SuiteError, match=f"(?s){'' if 'TOML' in says else where}{says}"):
        prepare(path, blender_scene.parent)


@pytest.mark.parametrize("option", ["--data ", "--data="])
def test_a_scene_that_names_its_own_folder_is_looked_at(path: Path, blender_scene: Path, option: str) -> None:
    path.write_text(GOOD.replace("--data {data}/disc", f"{option}{blender_scene}"))
    assert suite_file.load(path).paths("disc", None) == [str(blender_scene)]
    prepare(path, None)  # type: ignore[arg-type]
    path.write_text(GOOD.replace("--data {data}/disc", f"{option}/nowhere/disc"))
    with pytest.raises(SuiteError, match=r"line 13.*there is no /nowhere/disc"):
        prepare(path, None)  # type: ignore[arg-type]


def test_a_scene_without_held_out_views_is_refused(path: Path, blender_scene: Path, tmp_path: Path) -> None:
    """nerfstudio holds out none of nine images or fewer."""
    frames = json.loads((blender_scene / "transforms_train.json").read_text())["frames"]
    for frame in frames:
        frame["file_path"] = str(blender_scene / f"{frame['file_path']}.png")
    camera = {"w": 24, "h": 24, "cx": 12, "cy": 12, "fl_x": 33, "fl_y": 33}
    (tmp_path / "disc").mkdir()
    (tmp_path / "disc" / "transforms.json").write_text(json.dumps({**camera, "frames": frames}))
    path.write_text(GOOD.replace("blender-data", "nerfstudio-data"))
    with pytest.raises(SuiteError, match=r"line 13.*no held-out views.*--eval-mode interval"):
        prepare(path, tmp_path)
    path.write_text(GOOD.replace("blender-data", "nerfstudio-data --eval-mode interval"))
    prepare(path, tmp_path)


def test_a_suite_without_its_data_is_refused(path: Path) -> None:
    with pytest.raises(SuiteError, match=r"line 13.*'disc'.*--data"):
        prepare(path, None)  # type: ignore[arg-type]
    with pytest.raises(SuiteError, match=r"other\.toml.*No such file"):
        suite_file.load(path.with_name("other.toml"))


def test_methods_can_be_added_to_results_but_not_changed(path: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    record(suite_file.load(path), folder, "old")
    path.write_text(GOOD.replace("[scenes]", "more = ''\n[scenes]").replace("seeds = [4, 7]", "seeds = [7, 1]"))
    record(suite_file.load(path), folder, "new")
    recorded = json.loads((folder / "suite.json").read_text())
    assert recorded["suite"]["methods"]["more"] == ""
    assert recorded["suite"]["seeds"] == [4, 7, 1]
    assert [session["environment"]["cpu"] for session in recorded["sessions"]] == ["old", "new"]
    assert [session["asked"]["seeds"] for session in recorded["sessions"]] == [[4, 7], [7, 1]]
    for before, after in {"steps = 100": "steps = 99", "type uniform": "type edges"}.items():
        path.write_text(GOOD.replace(before, after))
        with pytest.raises(SuiteError, match=r"line \d.*--output"):
            record(suite_file.load(path), folder)


def test_a_session_is_noted_if_it_differs_from_the_last(path: Path, tmp_path: Path) -> None:
    suite, folder = suite_file.load(path), tmp_path / "out"
    for cpu in ("a", "a", "b", "a"):
        record(suite, folder, cpu, Path("data"))
    sessions = json.loads((folder / "suite.json").read_text())["sessions"]
    assert [(session["data"], session["environment"]["cpu"]) for session in sessions] == [
        ("data", "a"),
        ("data", "b"),
        ("data", "a"),
    ]


def record(suite: Suite, folder: Path, cpu: str = "", data: Path | None = None) -> None:
    plan.record_suite(suite, suite.runs(suite.methods, suite.scenes), data, folder, {"cpu": cpu})


def test_names_of_different_runs_never_collide(path: Path) -> None:
    suite = replace(suite_file.load(path), scenes={"a": "", "a b": ""}, methods={"b c": "", "c": ""})
    tasks = plan.tasks_of(suite, suite.runs(suite.methods, suite.scenes), None, Path("out"))
    assert len({task.name for task in tasks}) == len(tasks) == 8


def test_the_commit_of_a_checkout_is_known(tmp_path: Path) -> None:
    assert environment.commit_of(tmp_path) is None
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "first"]):
        subprocess.run([*git, *words], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout
    commit = environment.commit_of(tmp_path)
    assert commit is not None
    assert head.startswith(commit)

"""Splits, caches, rendering, training, export: on a small table made here, in seconds."""

import csv
import dataclasses
import hashlib
import json

import numpy as np
import pytest
from conftest import TEXTBOOK

from syngony.structure import Structure
from syngony.structure_table import StructureRecord, TableInfo, write_structures
from syngony.symmetry import space_group_of

torch = pytest.importorskip("torch", reason="training needs the 'train' extra")

from syngony.errors import InputError, ModelError  # noqa: E402
from syngony.inference import Network, scores_from_logits  # noqa: E402
from syngony.learning.classifier import Classifier  # noqa: E402
from syngony.learning.export import export_run  # noqa: E402
from syngony.learning.line_cache import JoinedLines, LineCache, build_line_cache  # noqa: E402
from syngony.learning.patterns import RenderedPatterns, Renderer  # noqa: E402
from syngony.learning.recipes import recipe_settings, train_recipe  # noqa: E402
from syngony.learning.settings import TrainingSettings  # noqa: E402
from syngony.learning.split import SIDES, side_of, split_table  # noqa: E402
from syngony.learning.training import load_run, train  # noqa: E402
from syngony.views import ImageView, ProfileView  # noqa: E402

VIEW = ImageView(size=32, colour_map="planes", axis="ln_q", two_theta_range=(5.06, 90), background=True)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Textbook crystals with drawn lattice scales, each under a formula of its own."""
    metals = ("Li", "Na", "K", "Rb", "Cs", "Mg", "Ca", "Sr", "Ba", "Zn", "Cd", "Cu", "Ag", "Au", "Ni", "Co", "Fe")
    rng = np.random.default_rng(3)
    records = []
    for number in range(170):
        build = list(TEXTBOOK.values())[number % len(TEXTBOOK)]
        parent = build()
        swap = {s: metals[(number + i) % len(metals)] for i, s in enumerate(sorted(set(parent.species) - {"O"}))}
        species = [swap.get(s, s) for s in parent.species]
        crystal = Structure(parent.lattice * rng.uniform(0.9, 1.1), species, parent.frac_coords)
        records.append(StructureRecord(f"test-{number}", space_group_of(crystal), crystal))
    path = tmp_path_factory.mktemp("table") / "table.parquet"
    assert write_structures(path, records, TableInfo("tests", "none")) == 170
    return path


@pytest.fixture(scope="module")
def cache(table, tmp_path_factory):
    return build_line_cache(table, tmp_path_factory.mktemp("cache"), workers=1)


def small(**changes) -> TrainingSettings:
    defaults = {
        "network": "mobilenetv2",
        "view": VIEW.as_dict(),
        "head": "space_group",
        "conditions": "mixed",
        "patterns": 96,
        "epoch_patterns": 32,
        "validation_patterns": 16,
        "batch_size": 16,
        "threads": 1,
    }
    return TrainingSettings(**(defaults | changes))


def test_a_formula_is_always_on_one_side_and_the_shares_are_as_stated(table, tmp_path):
    assert side_of("Ti2 O4") == side_of("O2Ti") == side_of("Ti8 O16")
    drawn = [side_of(f"Na{i} Cl{i + 1}") for i in range(1, 4001)]
    assert 0.035 < drawn.count("test") / 4000 < 0.065
    assert 0.01 < drawn.count("validation") / 4000 < 0.03
    counts = [split_table(table, tmp_path / f"{side}.parquet", side) for side in SIDES]
    assert sum(counts) == 170


def test_the_cache_holds_the_lines_and_is_made_once(cache, table, tmp_path):
    assert len(cache) == 170
    q, intensity = cache.lines(1)
    assert intensity.max() == pytest.approx(100.0)
    assert (np.diff(q) > 0).all()
    calls = []
    first = build_line_cache(table, tmp_path, workers=1, progress=lambda *a: calls.append(a))
    again = build_line_cache(table, tmp_path, workers=1, progress=lambda *a: calls.append(a))
    assert len(calls) == 1
    assert np.array_equal(first.q, again.q)
    some = build_line_cache(table, tmp_path, rows=np.array([3, 5]), workers=1)
    assert some.material_id.tolist() == ["test-3", "test-5"]
    assert np.array_equal(some.lines(1)[0], first.lines(5)[0])


@pytest.mark.parametrize("conditions", ["ideal", "lab", "mixed", "calculated"])
def test_a_seed_decides_the_patterns(cache, conditions):
    renderer = Renderer(cache, VIEW, conditions)

    def epoch(seed: int, number: int) -> torch.Tensor:
        batches = RenderedPatterns(renderer, range(100), 32, batch_size=8, seed=seed, epoch=number)
        return torch.cat([inputs for inputs, _, _ in batches])

    assert torch.equal(epoch(1, 0), epoch(1, 0))
    assert not torch.equal(epoch(1, 0), epoch(2, 0))
    assert not torch.equal(epoch(1, 0), epoch(1, 1))
    values = epoch(1, 0)
    assert values.shape == (32, 3, 32, 32)
    assert values.min() >= 0
    assert values.max() <= 1


def test_loading_processes_change_nothing(cache):
    patterns = RenderedPatterns(Renderer(cache, VIEW, "lab"), range(100), 48, batch_size=8, seed=4)
    alone = list(torch.utils.data.DataLoader(patterns, batch_size=None))
    shared = list(torch.utils.data.DataLoader(patterns, batch_size=None, num_workers=2))
    for one, other in zip(alone, shared, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_every_structure_is_seen_once_before_any_is_seen_again(cache):
    renderer = Renderer(cache, VIEW, "ideal")
    drawn = np.concatenate([RenderedPatterns(renderer, range(60), 20, seed=9, epoch=e)._draw() for e in range(3)])
    assert sorted(drawn.tolist()) == list(range(60))


def test_balance_draws_systems_equally(cache):
    patterns = RenderedPatterns(Renderer(cache, VIEW), range(170), 4000, balance=True)
    shares = np.bincount(patterns.system[patterns._draw()], minlength=7) / 4000
    present = np.unique(patterns.system)
    assert np.allclose(shares[present], 1 / len(present), atol=0.03)


def test_system_logits_are_sums_over_space_groups():
    model = Classifier(small(), VIEW, 10).eval()
    logits = torch.randn(5, 230)
    expected = scores_from_logits(logits.numpy()).systems
    assert np.allclose(torch.softmax(model.system_logits(logits), 1).numpy(), expected, atol=1e-6)


@pytest.fixture(scope="module")
def run(cache, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    train(small(), cache, folder, range(128), range(128, 170), progress=False)
    return folder


def losses(folder) -> list[float]:
    with (folder / "curves.csv").open() as stream:
        return [float(row["train_loss"]) for row in csv.DictReader(stream)]


def test_a_run_leaves_curves_and_checkpoints(run):
    assert len(losses(run)) == 3
    assert {p.name for p in (run / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    assert TrainingSettings.read(run) == small()
    # The last checkpoint is of the last epoch, whether or not that one was the best.
    assert torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["epoch"] == 2
    with pytest.raises(ModelError, match="--resume"):
        train(small(), None, run, [], [])  # type: ignore[arg-type]


def test_a_run_is_not_resumed_on_another_table(run, cache):
    settings = TrainingSettings.read(run)
    one, other = (dataclasses.replace(settings, structures=name) for name in ("one", "other"))
    one.write(run)
    try:
        with pytest.raises(ModelError, match="another table"):
            train(other, cache, run, range(128), range(128, 170), resume=True, progress=False)
    finally:
        settings.write(run)


def test_an_interrupted_run_ends_as_an_undisturbed_one(run, cache, tmp_path):
    class Stop(Exception):
        pass

    class Interrupted(Renderer):
        left = 80  # an epoch and its validation, then half of the next

        def __call__(self, index, rng):
            Interrupted.left -= 1
            if Interrupted.left < 0:
                raise Stop
            return super().__call__(index, rng)

    with pytest.raises(Stop):
        renderer = Interrupted(cache, VIEW, "mixed")
        train(small(), cache, tmp_path, range(128), range(128, 170), progress=False, renderer=renderer)
    train(small(), cache, tmp_path, range(128), range(128, 170), progress=False, resume=True)
    weights, expected = load_run(tmp_path, "last").state_dict(), load_run(run, "last").state_dict()
    assert all(torch.allclose(weights[name], expected[name], atol=1e-5) for name in expected)
    assert losses(tmp_path) == pytest.approx(losses(run), abs=1e-4)


def test_the_exported_network_says_what_torch_says(run, cache, tmp_path):
    network = export_run(run, tmp_path / "tiny.onnx", card={"licence": "MIT"})
    model = load_run(run)
    inputs, _, _ = next(iter(RenderedPatterns(Renderer(cache, VIEW), range(170), batch_size=9, shuffle=False)))
    with torch.inference_mode():
        expected = torch.softmax(model.system_logits(model(inputs)), 1).numpy()
    assert np.allclose(network.scores(inputs.numpy()).systems, expected, atol=1e-5)
    card = json.loads((tmp_path / "tiny.json").read_text())
    assert card["licence"] == "MIT"
    assert card["view"] == VIEW.as_dict()
    assert Network.load(tmp_path / "tiny.onnx").view == VIEW


def test_a_damaged_network_is_refused(run, tmp_path):
    export_run(run, tmp_path / "tiny.onnx")
    card = json.loads((tmp_path / "tiny.json").read_text())
    (tmp_path / "odd.onnx").write_bytes(b"no network")
    digest = hashlib.sha256(b"no network").hexdigest()
    (tmp_path / "odd.json").write_text(json.dumps(card | {"sha256": digest}))
    with pytest.raises(ModelError, match="cannot load"):
        Network.load(tmp_path / "odd.onnx").scores(np.zeros((1, *VIEW.shape), np.float32))
    (tmp_path / "odd.json").write_text(json.dumps(card | {"sha256": digest, "view": {"kind": "hologram"}}))
    with pytest.raises(ModelError, match="no view"):
        Network.load(tmp_path / "odd.onnx")
    with (tmp_path / "tiny.onnx").open("ab") as stream:
        stream.write(b"x")
    with pytest.raises(ModelError, match="sha256"):
        Network.load(tmp_path / "tiny.onnx")
    (tmp_path / "tiny.json").write_text("{")
    with pytest.raises(ModelError, match="not JSON"):
        Network.load(tmp_path / "tiny.onnx")
    (tmp_path / "tiny.json").unlink()
    with pytest.raises(ModelError, match="no card"):
        Network.load(tmp_path / "tiny.onnx")
    with pytest.raises(ModelError, match="choose one of"):
        Network.load("nonsense")


def test_joined_lines_are_those_of_their_parts(cache):
    joined = JoinedLines([cache, cache])
    assert len(joined) == 2 * len(cache)
    for index in (0, 169, 170, 339):
        assert np.array_equal(joined.lines(index)[0], cache.lines(index % 170)[0])
        assert joined.space_group[index] == cache.space_group[index % 170]
        assert np.array_equal(joined.phase(index).reciprocal, cache.phase(index % 170).reciprocal)


def test_a_share_of_an_epoch_comes_from_further_structures(cache):
    def drawn(epoch: int, share: float) -> np.ndarray:
        patterns = RenderedPatterns(
            Renderer(cache, VIEW), range(100), 400, also=range(100, 170), also_share=share, seed=1, epoch=epoch
        )
        return patterns._draw()

    assert 0.25 < np.mean(drawn(0, 0.3) >= 100) < 0.35
    assert (drawn(0, 1.0) >= 100).all()
    assert (drawn(0, 0.0) < 100).all()
    assert np.array_equal(drawn(2, 0.3), drawn(2, 0.3))
    assert not np.array_equal(drawn(2, 0.3), drawn(3, 0.3))


def test_a_steady_run_can_be_made_longer(cache, tmp_path, monkeypatch):
    """Rates are constant, then fall to zero; made longer, the run goes on from before they fell."""
    rows = range(128), range(128, 170)
    settings = small(schedule="steady", patterns=160, decay_share=0.4)
    assert settings.steady_epochs == 3
    train(settings, cache, tmp_path / "run", *rows, progress=False)
    first = list(csv.DictReader((tmp_path / "run" / "curves.csv").open()))
    assert len(first) == 5
    assert float(first[-1]["learning_rate"]) == pytest.approx(0.0, abs=1e-9)
    longer = dataclasses.replace(settings, patterns=256)
    with monkeypatch.context() as patch:  # killed before it has a checkpoint of its own
        patch.setattr(Classifier, "training_step", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train(longer, cache, tmp_path / "run", *rows, resume=True, progress=False)
    train(longer, cache, tmp_path / "run", *rows, resume=True, progress=False)
    assert TrainingSettings.read(tmp_path / "run").patterns == 256
    second = list(csv.DictReader((tmp_path / "run" / "curves.csv").open()))
    assert [int(row["epoch"]) for row in second] == list(range(1, 9))
    train(longer, cache, tmp_path / "whole", *rows, progress=False)
    whole = list(csv.DictReader((tmp_path / "whole" / "curves.csv").open()))
    assert [row["train_loss"] for row in second[3:]] == [row["train_loss"] for row in whole[3:]]
    with pytest.raises(ModelError, match="too few"):
        train(dataclasses.replace(settings, patterns=64), cache, tmp_path / "run", *rows, resume=True, progress=False)


@pytest.mark.parametrize("name", ["syngony", "line_attention", "residual_1d"])
def test_networks_of_ours_take_their_views(name):
    from syngony.networks import build
    from syngony.views import view_from_dict

    view = view_from_dict(recipe_settings(name, "robust", 10).view)
    network = build(name, view.shape, 230).eval()
    with torch.inference_mode():
        assert network(torch.rand(2, *view.shape)).shape == (2, 230)


def test_attention_is_an_option_of_ours():
    from syngony.networks import build

    network = build("syngony", (1, 512), 7, widths=(8, 8, 16), layers=2, heads=2).eval()
    with torch.inference_mode():
        assert network(torch.rand(3, 1, 512)).shape == (3, 7)
    with pytest.raises(ValueError, match="profile"):
        build("syngony", (3, 32, 32), 7)


def test_empty_places_of_a_list_of_lines_change_nothing():
    from syngony.networks import build

    network = build("line_attention", (5, 20), 7, width=32, layers=2, heads=2).eval()
    lines = torch.zeros(1, 5, 20)
    lines[0, 0, :9] = torch.linspace(-4, 0, 9)
    lines[0, 1:4, :9] = torch.rand(3, 9)
    lines[0, 4, :9] = 1.0
    with torch.inference_mode():
        assert torch.allclose(network(lines), network(lines[:, :, :9]), atol=1e-5)


def test_the_papers_two_stages_with_weights_of_a_folder(cache, tmp_path):
    from transformers import MobileNetV2Config, MobileNetV2ForImageClassification

    torch.manual_seed(1)
    pretrained = MobileNetV2ForImageClassification(MobileNetV2Config(image_size=32, num_labels=3))
    pretrained.save_pretrained(tmp_path / "weights")
    # One epoch of transfer and no fine-tuning yet: the backbone is as it was, the head is not.
    settings = small(
        head="system", transfer_patterns=32, patterns=32, network_options={"weights": str(tmp_path / "weights")}
    )
    seen = {}

    class Watched(Renderer):
        pass

    original = Classifier.on_train_epoch_start

    def watch(self):
        original(self)
        weight = next(self.network.backbone().parameters())
        seen[self.current_epoch] = (weight.requires_grad, weight.detach().clone())

    Classifier.on_train_epoch_start = watch
    try:
        train(settings, cache, tmp_path / "run", range(128), range(128, 170), progress=False,
              renderer=Watched(cache, VIEW, "ideal"))  # fmt: skip
    finally:
        Classifier.on_train_epoch_start = original
    first = next(pretrained.mobilenet_v2.parameters())
    assert not seen[0][0]
    assert seen[1][0]
    assert torch.equal(seen[0][1], first)
    assert torch.equal(seen[1][1], first)
    assert not torch.equal(next(load_run(tmp_path / "run", "last").network.backbone().parameters()), first)


def test_weights_that_cannot_be_had(tmp_path, monkeypatch, caplog):
    from syngony.networks.mobilenetv2 import build

    with pytest.raises(ModelError, match="no MobileNetV2 weights"):
        build((3, 32, 32), 7, weights=str(tmp_path / "nowhere"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    network = build((3, 32, 32), 7, weights="imagenet")
    assert not network.pretrained
    assert "random" in caplog.text


def test_mobilenet_is_the_size_the_paper_says():
    from syngony.networks import build

    network = build("mobilenetv2", (3, 64, 64), 7)
    assert sum(p.numel() for p in network.parameters()) == 2_232_839


def test_recipes_and_their_errors(table, tmp_path):
    assert recipe_settings("mobilenetv2", "paper", 10).head == "system"
    assert ProfileView(**{k: v for k, v in recipe_settings("residual_1d", "robust", 10).view.items() if k != "kind"})
    with pytest.raises(InputError, match="no recipe"):
        recipe_settings("mobilenetv2", "secret", 10)
    with pytest.raises(InputError, match="no network"):
        recipe_settings("alexnet", "paper", 10)
    with pytest.raises(InputError, match="larger table"):
        train_recipe("mobilenetv2", table, tmp_path / "run", batch_size=1000, patterns=1000, progress=False)


def test_a_cache_cannot_be_mistaken(cache):
    assert isinstance(cache, LineCache)
    assert cache.offsets[-1] == len(cache.q) == len(cache.strength) == len(cache.hkl)
    assert cache.rotation_offsets[-1] == len(cache.rotations)
    assert cache.hkl.dtype == np.int16


def test_the_cache_gives_the_phase_that_the_structure_gives(cache, table):
    from syngony.diffraction.laboratory import Conditions, Phase, measure
    from syngony.structure_table import read_table

    conditions = Conditions(
        march=0.7, anisotropy=1.5, size=0.1, lattice_strain=(0.01, 0, 0.02, 0, 0.01, 0), noise=False
    )
    for index, row in enumerate(read_table(table).to_pylist()[:5]):
        direct = Phase.from_structure(StructureRecord.from_row(row).structure)
        one, other = (measure(p, conditions, np.random.default_rng(0)) for p in (direct, cache.phase(index)))
        # Positions in single precision, and no lines under the cache's limit.
        assert np.abs(one.intensity - other.intensity).max() < 2e-3 * one.intensity.max()


def test_a_temperature_undoes_overconfidence():
    from syngony.learning.calibration import fit_temperature

    rng = np.random.default_rng(0)
    logits = 2.0 * rng.standard_normal((20_000, 7))
    probabilities = scores_from_logits(logits).systems
    truth = (probabilities.cumsum(1) > rng.random((20_000, 1))).argmax(1)
    assert fit_temperature(logits, truth) == pytest.approx(1.0, abs=0.05)
    assert fit_temperature(3 * logits, truth) == pytest.approx(3.0, abs=0.15)


def test_settled_batch_norm_is_the_mean_over_batches(cache):
    from syngony.learning.calibration import settle_batch_norm

    model = Classifier(small(), VIEW, 10)
    layer = next(m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d))
    seen = []
    hook = layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    batches = list(RenderedPatterns(Renderer(cache, VIEW), range(160), batch_size=32, shuffle=False))
    settle_batch_norm(model, batches)
    hook.remove()
    assert torch.allclose(layer.running_mean, torch.stack([x.mean((0, 2, 3)) for x in seen]).mean(0), atol=1e-3)
    assert layer.momentum == 0.1
    assert not model.training

"""The networks of publications, and adding one by following the docs alone."""

import re
from pathlib import Path

import numpy as np
import pytest
from conftest import TEXTBOOK

torch = pytest.importorskip("torch", reason="networks need the 'train' extra")

from torch import nn  # noqa: E402

from syngony import networks  # noqa: E402
from syngony.errors import InputError  # noqa: E402
from syngony.extinction_groups import extinction_group_indices, extinction_groups  # noqa: E402
from syngony.inference import Network, scores_from_logits  # noqa: E402
from syngony.learning.classifier import OUTPUTS, Classifier  # noqa: E402
from syngony.learning.export import export_run  # noqa: E402
from syngony.learning.line_cache import build_line_cache  # noqa: E402
from syngony.learning.patterns import RenderedPatterns, Renderer  # noqa: E402
from syngony.learning.recipes import RECIPES, recipe_settings, train_recipe  # noqa: E402
from syngony.learning.settings import TrainingSettings  # noqa: E402
from syngony.learning.training import load_run, save_weights, train  # noqa: E402
from syngony.networks._thinned_means import ThinnedMeans  # noqa: E402
from syngony.networks.oviedo2019 import Stretches  # noqa: E402
from syngony.networks.park2017 import SameConvolution  # noqa: E402
from syngony.structure import Structure  # noqa: E402
from syngony.structure_table import StructureRecord, TableInfo, write_structures  # noqa: E402
from syngony.symmetry import SYSTEM_OF_GROUP, space_group_of  # noqa: E402
from syngony.views import ProfileView, ideal_grid, view_from_dict  # noqa: E402

DOCS = Path(__file__).resolve().parents[1] / "docs" / "extending.md"


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    rng = np.random.default_rng(5)
    records = []
    for number in range(40):
        parent = list(TEXTBOOK.values())[number % len(TEXTBOOK)]()
        crystal = Structure(parent.lattice * rng.uniform(0.9, 1.1), parent.species, parent.frac_coords)
        records.append(StructureRecord(f"t-{number}", space_group_of(crystal), crystal))
    path = tmp_path_factory.mktemp("table") / "table.parquet"
    write_structures(path, records, TableInfo("tests", "none"))
    return path


@pytest.fixture(scope="module")
def cache(table, tmp_path_factory):
    return build_line_cache(table, tmp_path_factory.mktemp("cache"), workers=1, highest=111.0)


@pytest.mark.parametrize("name", networks.names())
@pytest.mark.parametrize("recipe", RECIPES)
def test_every_network_takes_its_view(name, recipe):
    settings = recipe_settings(name, recipe, 10)
    view = view_from_dict(settings.view)
    network = networks.build(name, view.shape, OUTPUTS[settings.head]).eval()
    with torch.inference_mode():
        assert network(torch.rand(2, *view.shape)).shape == (2, OUTPUTS[settings.head])


@pytest.mark.parametrize("name", networks.names())
def test_every_network_is_the_same_once_exported(name, tmp_path):
    settings = recipe_settings(name, "paper", 10)
    model = Classifier(settings, view_from_dict(settings.view), 1).eval()
    settings.write(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    save_weights(model, tmp_path, "settled")
    assert export_run(tmp_path, tmp_path / "network.onnx").card["network"] == name  # raises where they differ


def test_a_network_that_is_not_there_is_named_with_those_that_are():
    with pytest.raises(InputError, match=r"no network 'alexnet'.*park2017"):
        networks.build("alexnet", (1, 10), 7)


def parameters(name: str, outputs: int) -> int:
    shape = view_from_dict(recipe_settings(name, "paper", 10).view).shape
    return sum(p.numel() for p in networks.build(name, shape, outputs).parameters())


def test_networks_are_the_size_that_was_published():
    # Lee's notebook prints 2,786,615. Park: convolutions of 100, 50 and 25 points, 880 features, dense layers.
    assert parameters("lee2022", 7) == 2_786_615
    stages = (100 + 1) * 80 + (50 * 80 + 1) * 80 + (25 * 80 + 1) * 80
    for outputs, (first, second) in {7: (700, 70), 99: (4040, 202), 230: (2300, 1150)}.items():
        dense = 881 * first + (first + 1) * second + (second + 1) * outputs
        assert parameters("park2017", outputs) == stages + dense
    assert parameters("oviedo2019", 7) == (8 + 1) * 32 + (5 * 32 + 1) * 32 + (3 * 32 + 1) * 32 + 33 * 7


def test_the_mean_of_a_class_activation_map_is_the_logit():
    torch.manual_seed(0)
    network = networks.build("oviedo2019", (1, 1200), 7).eval()
    profiles = torch.rand(3, 1, 1200)
    with torch.inference_mode():
        maps = network.class_activation(profiles)
        assert maps.shape == (3, 7, 10)
        assert torch.allclose(maps.mean(-1) + network.head.bias, network(profiles), atol=1e-6)


@pytest.mark.parametrize(("channels", "points", "kernel"), [(1, 1200, 8), (32, 150, 5), (3, 101, 3)])
def test_stretches_say_what_a_convolution_whose_stride_is_its_kernel_says(channels, points, kernel):
    stretches, convolution = Stretches(channels, 4, kernel, kernel), SameConvolution(channels, 4, kernel, kernel)
    convolution.load_state_dict(stretches.state_dict())
    profiles = torch.rand(2, channels, points)
    with torch.inference_mode():
        assert torch.allclose(stretches(profiles), convolution(profiles), atol=1e-6)


@pytest.mark.parametrize(("width", "stride", "points"), [(3, 2, 2001), (3, 3, 200), (4, 2, 9)])
def test_thinned_means_are_those_of_torch_where_the_same_points_are_dropped(width, stride, points):
    thinned = ThinnedMeans(0.3, width, stride)
    x = torch.randn(4, 5, points, requires_grad=True)
    ours = thinned(x)
    weights = torch.randn_like(ours)
    (gradient,) = torch.autograd.grad((ours * weights).sum(), x)
    ones = torch.ones_like(x, requires_grad=True)
    torch.manual_seed(7)
    (reached,) = torch.autograd.grad(thinned(ones).sum(), ones)
    torch.manual_seed(7)
    kept = (reached > 0) | (torch.arange(points) >= (ours.shape[-1] - 1) * stride + width)  # no mean has the last ones
    rates = 1.0 - kept.float().mean() if points > 100 else torch.tensor(0.3)
    assert abs(float(rates) - 0.3) < 0.02
    torch.manual_seed(7)
    again = thinned(x)
    same = nn.functional.avg_pool1d(x.relu() * kept / (1 - round(0.3 * 65536) / 65536), width, stride)
    assert torch.allclose(again, same, atol=1e-6)
    assert torch.allclose(*(torch.autograd.grad((y * weights).sum(), x)[0] for y in (again, same)), atol=1e-6)
    assert not torch.equal(ours, again), "each draw is another"
    assert gradient.shape == x.shape


def test_nothing_is_thinned_once_a_network_is_trained():
    x = torch.randn(2, 3, 50, requires_grad=True)
    assert torch.equal(ThinnedMeans(0.3, 3, 2).eval()(x), nn.functional.avg_pool1d(x.relu(), 3, 2))
    with pytest.raises(ValueError, match="dropout rate"):
        ThinnedMeans(1.0, 3, 2)


def test_a_map_points_where_the_pattern_is():
    torch.manual_seed(0)
    network = networks.build("oviedo2019", (1, 1200), 7).eval()
    empty, line = torch.zeros(1, 1, 1200), torch.zeros(1, 1, 1200)
    line[..., 365] = 1.0
    with torch.inference_mode():
        change = (network.class_activation(line) - network.class_activation(empty)).abs().sum(1)[0]
    assert change.argmax() == 365 // 120
    assert change[[0, 1, 2, 4, 5, 6, 7, 8, 9]].max() < 1e-6


def test_varied_profiles_differ_in_width_and_keep_positions(cache):
    view = ProfileView("two_theta", 10_001, (10.0, 110.0), "linear", background=False)
    renderer = Renderer(cache, view, "profiles")
    one, again, other = (renderer(1, np.random.default_rng(seed))[0] for seed in (1, 1, 2))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
    ideal = Renderer(cache, view, "ideal")(1, np.random.default_rng(0))[0]
    assert abs(int(one.argmax()) - int(ideal.argmax())) <= 1
    assert ideal[9000:].max() > 0  # lines beyond 100 degrees are there
    assert (one > 0.5).sum() != (other > 0.5).sum()


def test_widths_of_varied_profiles_are_positive_at_every_angle():
    from syngony.diffraction.varied_profiles import VariedProfiles

    angles = np.linspace(0.1, 179.0, 500)
    for seed in range(200):
        shape, share = VariedProfiles().draw(np.random.default_rng(seed))
        fwhm, _ = shape.widths(angles)
        assert fwhm.min() > 0.01
        assert 0 <= share <= 1


def test_ideal_patterns_reach_as_far_as_a_network_looks():
    ends = {name: view_from_dict(recipe_settings(name, "paper", 10).view) for name in networks.names()}
    ends = {name: ideal_grid(view).two_theta_range for name, view in ends.items()}
    assert ends.pop("park2017") == (0.0, 110.0)
    assert set(ends.values()) == {(0.0, 90.0)}


def test_extinction_groups_give_space_groups_and_systems():
    settings = recipe_settings("oviedo2019", "paper", 10, head="extinction_group")
    model = Classifier(settings, view_from_dict(settings.view), 10).eval()
    logits = torch.randn(4, len(extinction_groups()))
    scores = scores_from_logits(logits.numpy())
    assert np.allclose(scores.systems.sum(1), 1.0)
    assert np.allclose(torch.softmax(model.system_logits(logits), 1).numpy(), scores.systems, atol=1e-5)
    expected = torch.softmax(logits, 1).numpy()
    for row in range(4):
        assert np.allclose(np.bincount(extinction_group_indices(), scores.space_groups[row]), expected[row])
    group = torch.tensor([0, 5, 100, 229])
    system = torch.tensor(SYSTEM_OF_GROUP[group.numpy()])
    classes = torch.tensor(extinction_group_indices()[group.numpy()])
    assert model.loss(logits, system, group) == pytest.approx(
        float(torch.nn.functional.cross_entropy(logits, classes)), rel=1e-6
    )
    with pytest.raises(InputError, match="no head"):
        Classifier(recipe_settings("oviedo2019", "paper", 10, head="colour"), view_from_dict(settings.view), 10)


def test_a_run_of_another_label_is_not_gone_on_with(table, tmp_path):
    recipe_settings("park2017", "paper", 100).write(tmp_path)
    with pytest.raises(InputError, match="a run of park2017 for the system"):
        train_recipe("park2017", table, tmp_path, recipe="paper", head="space_group", resume=True)


def example() -> str:
    """The file that the docs show."""
    return re.search(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)[1]


def test_the_example_of_the_docs_is_short():
    assert len(example().splitlines()) <= 40


def test_a_network_is_added_by_following_the_docs_alone(cache, tmp_path, monkeypatch):
    folder = tmp_path / "my_networks"
    folder.mkdir()
    (folder / "dense.py").write_text(example())
    monkeypatch.setattr(networks, "__path__", [*networks.__path__, str(folder)])  # what SYNGONY_NETWORKS does
    assert "dense" in networks.names()
    settings = recipe_settings(
        "dense", "robust", 64, epoch_patterns=32, validation_patterns=16, batch_size=8, threads=1
    )
    train(settings, cache, tmp_path / "run", range(30), range(30, 40), progress=False)
    assert TrainingSettings.read(tmp_path / "run").network == "dense"
    network = export_run(tmp_path / "run", tmp_path / "dense.onnx")
    inputs, _, _ = next(iter(RenderedPatterns(Renderer(cache, network.view), range(8), batch_size=8, shuffle=False)))
    with torch.inference_mode():
        model = load_run(tmp_path / "run")
        expected = torch.softmax(model.system_logits(model(inputs)), 1).numpy()
    assert np.allclose(Network.load(tmp_path / "dense.onnx").scores(inputs.numpy()).systems, expected, atol=1e-5)


def test_the_environment_names_a_folder_of_networks(tmp_path):
    import os
    import subprocess
    import sys

    (tmp_path / "dense.py").write_text(example())
    environment = {**os.environ, networks.FOLDER_VARIABLE: str(tmp_path)}
    code = "from syngony import networks; print(networks.build('dense', (1, 16), 7).layers[1].in_features)"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "16"


def test_options_of_a_network_are_its_own(table, tmp_path):
    asked = {"structures": str(table), "output": tmp_path / "run", "patterns": 64, "progress": False}
    with pytest.raises(InputError, match=r"no option 'widths': it takes dense, dropout"):
        train_recipe("park2017", **asked, options={"widths": [8]})


@pytest.mark.parametrize("patterns", [100, 20_000, 30_000, 64_000, 1_000_000])
def test_a_budget_is_kept_whatever_its_size(patterns):
    settings = recipe_settings("syngony", "robust", patterns)
    assert abs(settings.epochs * settings.epoch_patterns - patterns) < settings.epochs
    assert min(patterns, 13_000) <= settings.epoch_patterns <= 30_000

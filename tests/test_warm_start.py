"""Training that starts from an exported network: on a small table, in seconds."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the 'train' extra")

from test_learning import cache, table  # noqa: E402, F401

from syngony.errors import InputError, ModelError  # noqa: E402
from syngony.inference import Network  # noqa: E402
from syngony.learning.classifier import Classifier  # noqa: E402
from syngony.learning.ensemble import join  # noqa: E402
from syngony.learning.export import export_run  # noqa: E402
from syngony.learning.patterns import RenderedPatterns, Renderer  # noqa: E402
from syngony.learning.recipes import recipe_settings, train_recipe  # noqa: E402
from syngony.learning.settings import TrainingSettings  # noqa: E402
from syngony.learning.training import train  # noqa: E402
from syngony.learning.warm_start import start_from  # noqa: E402
from syngony.views import ProfileView  # noqa: E402

VIEW = ProfileView(points=256, intensity="sqrt+fourth root", measured=True)


def small(**changes) -> TrainingSettings:
    defaults = {
        "network": "syngony",
        "network_options": {"widths": (8, 12)},
        "view": VIEW.as_dict(),
        "head": "space_group",
        "patterns": 128,
        "epoch_patterns": 64,
        "validation_patterns": 16,
        "batch_size": 16,
        "threads": 1,
    }
    return TrainingSettings(**(defaults | changes))


@pytest.fixture(scope="module")
def exported(cache, tmp_path_factory):  # noqa: F811
    folder = tmp_path_factory.mktemp("run")
    train(small(), cache, folder, range(128), range(128, 170), progress=False)
    return export_run(folder, folder / "first.onnx", which="last")


def batches(cache, rows=range(170)):  # noqa: F811
    return list(RenderedPatterns(Renderer(cache, VIEW), rows, batch_size=16, shuffle=False))


def test_it_says_what_the_file_says_and_can_be_trained(exported, cache):  # noqa: F811
    model = Classifier(small(seed=5), VIEW, 1)
    some = batches(cache)
    start_from(model, exported.path, some)
    inputs = some[0][0]
    session = exported._session
    said = session.run(None, {session.get_inputs()[0].name: inputs.numpy()})[0]
    # Trained in any other mode, normalisations would keep the statistics of the start and nothing would drop out.
    assert all(layer.training for layer in model.modules())
    with torch.no_grad():
        assert np.allclose(model.eval()(inputs).numpy(), said, atol=1e-4)
        # Normalisations have the statistics of their inputs: in training the whole sample says nearly the same.
        everything = torch.cat([batch[0] for batch in some])
        settled = model.eval()(everything)
        model.network.train()
        model.network.head[0].eval()  # dropout apart
        assert (model(everything) - settled).abs().max() < 0.05 * settled.std()


def test_a_run_goes_on_from_an_export(exported, cache, tmp_path):  # noqa: F811
    """At a rate of nearly nothing the network stays what it was."""
    rest = {"learning_rate": 1e-9, "start": exported.card["sha256"]}
    model = train(
        small(**rest), cache, tmp_path, range(128), range(128, 170), progress=False, start=exported.path
    )  # fmt: skip
    inputs = batches(cache)[0][0]
    session = exported._session
    said = session.run(None, {session.get_inputs()[0].name: inputs.numpy()})[0]
    with torch.no_grad():
        assert (model(inputs) - torch.from_numpy(said)).abs().mean() < 0.2 * said.std()
    assert TrainingSettings.read(tmp_path).start == exported.card["sha256"]


def test_a_network_without_normalisations_goes_on_too(cache, tmp_path):  # noqa: F811
    view = ProfileView("two_theta", 1024, (10.0, 110.0), "linear", background=False)
    options = {"network": "park2017", "network_options": {"dense": (16, 8)}, "view": view.as_dict(), "head": "system"}
    train(small(**options), cache, tmp_path, range(128), range(128, 170), progress=False)
    exported = export_run(tmp_path, tmp_path / "first.onnx", which="last")
    inputs = next(iter(RenderedPatterns(Renderer(cache, view), range(16), batch_size=16, shuffle=False)))[0]
    model = Classifier(small(**options, seed=5), view, 1)
    start_from(model, exported.path, [])
    said = exported._session.run(None, {"pattern": inputs.numpy()})[0]
    with torch.no_grad():
        assert np.allclose(model.eval()(inputs).numpy(), said, atol=1e-5)
    wider = Classifier(small(**(options | {"network_options": {"dense": (16, 9)}})), view, 1)
    with pytest.raises(ModelError, match="same network"):
        start_from(wider, exported.path, [])


def test_another_network_is_refused(exported, cache, table, tmp_path):  # noqa: F811
    wider = Classifier(small(network_options={"widths": (8, 16)}), VIEW, 1)
    with pytest.raises(ModelError, match="same network"):
        start_from(wider, exported.path, batches(cache))
    deeper = Classifier(small(network_options={"widths": (8, 12, 12)}), VIEW, 1)
    with pytest.raises(ModelError, match="convolutions"):
        start_from(deeper, exported.path, batches(cache))
    assert recipe_settings("syngony", "robust", 1000).view != VIEW.as_dict()
    with pytest.raises(InputError, match="same network"):
        train_recipe("syngony", table, tmp_path / "run", patterns=128, start=str(exported.path), progress=False)


def test_several_networks_as_one(exported, cache, table, tmp_path):  # noqa: F811
    other = tmp_path / "other"
    train(small(seed=9), cache, other, range(128), range(128, 170), progress=False)
    second = export_run(other, tmp_path / "second.onnx", which="last")
    joined = join([exported, second], tmp_path / "both.onnx", table, tmp_path / "lines")
    some = batches(cache)
    inputs = some[0][0].numpy()

    def logits(network):
        return network._session.run(None, {"pattern": inputs})[0]

    assert np.allclose(logits(joined), 0.5 * (logits(exported) + logits(second)), atol=5e-3)  # half precision
    assert joined.path.stat().st_size < 0.7 * (exported.path.stat().st_size + second.path.stat().st_size)
    assert joined.card["parameters"] == 2 * exported.card["parameters"]
    assert [one["sha256"] for one in joined.card["members"]] == [n.card["sha256"] for n in (exported, second)]
    assert joined.card["temperature"] > 0
    assert joined.card["core_seconds"] == exported.card["core_seconds"] + second.card["core_seconds"]
    # Training goes on from the last of them.
    model = Classifier(small(seed=5), VIEW, 1)
    start_from(model, joined.path, some)
    with torch.no_grad():
        assert np.allclose(model.eval()(torch.from_numpy(inputs)).numpy(), logits(second), atol=5e-3)
    # A joined one counts as one.
    all_three = join([joined, exported], tmp_path / "all.onnx", table, tmp_path / "lines")
    assert np.allclose(logits(all_three), 0.5 * (logits(joined) + logits(exported)), atol=5e-3)
    assert [one["sha256"] for one in all_three.card["members"]] == [
        n.card["sha256"] for n in (exported, second, exported)
    ]
    start_from(model, all_three.path, some)
    with torch.no_grad():
        assert np.allclose(model.eval()(torch.from_numpy(inputs)).numpy(), logits(exported), atol=5e-3)
    wider = {**exported.card, "view": ProfileView(points=128).as_dict()}
    with pytest.raises(ModelError, match="no mean"):
        join([exported, Network(second.path, wider)], tmp_path / "no.onnx", table, tmp_path / "lines")

"""The fast forms of the networks against ModelScope's classes, on weights drawn at random.

Each network is filled with slices of one pool of random numbers, which is quicker than to
draw them; spectral norms are iterated as training does, so that layers keep the signal's size.
"""

import gc
import math
import warnings
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.errors import EngineUnavailableError, ModelMissingError, OptionError

torch = pytest.importorskip("torch", reason="torch is not installed; ./run.sh --full installs it")
pytest.importorskip("modelscope", reason="modelscope is not installed; ./run.sh --full does it")

from modelscope.models.cv.image_face_fusion.facegan.gpen_model import (  # noqa: E402
    FullGenerator,
)
from modelscope.models.cv.image_face_fusion.network.aei_flow_net import AEI_Net  # noqa: E402
from modelscope.models.cv.image_face_fusion.network.bfm import ParametricFaceModel  # noqa: E402
from modelscope.models.cv.image_face_fusion.network.facerecon_model import (  # noqa: E402
    ReconNetWrapper,
)
from modelscope.models.cv.image_face_fusion.network.model_irse import Backbone  # noqa: E402
from torch.nn import functional as F  # noqa: E402, N812

from benchmarks.measuring.random_weights import write_face_model, write_mask  # noqa: E402
from fusion.engines.unet.nets import loading  # noqa: E402
from fusion.engines.unet.nets.enhancing import Enhancer  # noqa: E402
from fusion.engines.unet.nets.fusing import Fuser  # noqa: E402
from fusion.engines.unet.nets.landmarks import JawModel  # noqa: E402
from fusion.engines.unet.nets.layers import Place  # noqa: E402
from fusion.engines.unet.nets.networks import Networks, _Parts  # noqa: E402
from fusion.engines.unet.nets.recognition import Recogniser, Reconstruction  # noqa: E402

CPU = torch.device("cpu")
EXACT = Place(CPU, torch.float32)
HALF = Place(CPU, torch.bfloat16)
LEVELS = 127.5  # of 255 in a picture of [-1, 1]
POOL = 1_000_003  # a prime: no two channels of a layer are alike


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """No gradients, one thread; ModelScope's classes call torch.meshgrid and others as of old."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # threads that wait for each other are slow beside other tests
    with torch.no_grad(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module="torch|modelscope")
        yield
    torch.set_num_threads(threads)


def drawn(build: Callable[[], Any], seed: int = 0) -> Any:
    """A network of ModelScope's in evaluation mode, every weight and statistic random."""
    with torch.device("meta"):
        network = build()
    network.to_empty(device="cpu")
    pool = torch.randn(POOL, generator=torch.Generator().manual_seed(seed))
    start = 0
    for name, value in network.state_dict().items():
        if not value.is_floating_point():
            value.zero_()
            continue
        repeats = math.ceil((start + value.numel()) / POOL)
        noise = pool.repeat(repeats)[start : start + value.numel()].view(value.shape)
        value.copy_(_scaled(name, noise))
        start = (start + value.numel()) % POOL
    for layer in network.modules():
        if hasattr(layer, "weight_bar"):
            matrix = layer.weight_bar.flatten(1)
            for _ in range(4):
                layer.weight_v.copy_(F.normalize(matrix.T @ layer.weight_u, dim=0))
                layer.weight_u.copy_(F.normalize(matrix @ layer.weight_v, dim=0))
    return network.requires_grad_(False).eval()


def _scaled(name: str, noise: Any) -> Any:
    if name.endswith("running_var"):
        return 0.5 + noise.abs()
    if name.endswith(("kernel", "down.weight")):  # of filters that are known
        return noise.abs() / noise.abs().sum()
    if noise.ndim > 1:
        return noise / math.sqrt(noise[0].numel())
    return 0.5 + 0.1 * noise if name.endswith(("weight", "gamma")) else 0.1 * noise


def noise(*shape: int, seed: int = 1) -> Any:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def faces(count: int, size: int) -> Any:
    """Smooth pictures in [-1, 1], N x 3 x size x size."""
    coarse = noise(count, 3, 12, 12, seed=7)
    return F.interpolate(coarse, (size, size), mode="bicubic").mul(0.5).clamp(-1, 1)


def decibels(made: Any, wanted: Any) -> float:
    """Peak signal-to-noise ratio of pictures in [-1, 1]."""
    return float(-10 * torch.log10(((made - wanted) / 2).square().mean()))


@pytest.fixture(scope="module")
def gpen() -> Any:
    """GPEN of 128 px: its resolutions of 4 to 64 px scale pictures, that of 128 px weights."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(3)
        network = FullGenerator(128, 512, 8, 2).requires_grad_(False)
    for name, value in network.named_parameters():
        if name.endswith(("activate.bias", "0.1.bias")):
            value.normal_(0, 0.2)
        elif name.endswith("noise.weight"):
            value.fill_(0.6)
        elif name.endswith("modulation.weight"):
            value.mul_(0.3)
        elif ".to_rgb" in name and name.endswith("conv.weight"):
            value.mul_(0.2)
    return network.eval()


def test_enhancer_paints_what_gpen_paints(gpen: Any) -> None:
    network, pictures = gpen, faces(2, 128)
    wanted = network(pictures)[0]
    enhance = Enhancer(network, EXACT)
    made = torch.cat([enhance(picture[None]) for picture in pictures])
    assert float(wanted.std()) > 0.1
    assert float((made - wanted).abs().max()) * LEVELS < 0.05
    assert decibels(Enhancer(network, HALF)(pictures[:1]), wanted[:1]) > 42
    assert torch.equal(enhance(pictures[:1]), made[:1])


@pytest.mark.parametrize("rows", [10, 30])
def test_strips_do_not_show(rows: int, gpen: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = faces(1, 128)
    monkeypatch.setattr("fusion.engines.unet.nets.enhancing._STRIP", rows)
    in_strips = Enhancer(gpen, EXACT)(picture)
    assert float((in_strips - gpen(picture)[0]).abs().max()) * LEVELS < 0.05


def test_the_form_for_compiling_is_the_same(gpen: Any) -> None:
    picture = faces(1, 128)
    plain = Enhancer(gpen, Place(CPU, torch.float32, packed=False))(picture)
    assert float((plain - gpen(picture)[0]).abs().max()) * LEVELS < 0.05


def test_fuser_makes_what_the_unet_makes() -> None:
    network = drawn(lambda: AEI_Net(c_id=512, num_kp=17, device=CPU))
    pictures, identities = faces(1, 256), F.normalize(noise(1, 512, seed=3))
    own = 0.6 * torch.tanh(noise(1, 17, 2, seed=4))
    wanted_points = own + 0.04 * noise(1, 17, 2, seed=5)
    wanted, _, _ = network(pictures, identities, {"value": wanted_points}, {"value": own})
    made = Fuser(network, EXACT)(pictures, identities, wanted_points, own)
    assert float(wanted.std()) > 0.1
    assert float((made - wanted).abs().max()) * LEVELS < 0.3
    half = Fuser(network, HALF)(pictures, identities, wanted_points, own)
    assert decibels(half, wanted) > 38


def test_recogniser_finds_the_same_identities() -> None:
    network = drawn(lambda: Backbone([112, 112], 50, "ir"))
    pictures = faces(2, 256)
    small = F.interpolate(pictures, (112, 112), mode="bilinear", align_corners=True)
    wanted, _ = network(small)
    made = Recogniser(network, HALF)(pictures)  # float32 wherever the others compute
    assert float((made - wanted).abs().max()) < 2e-5
    assert made.norm(dim=1).numpy() == pytest.approx(1, abs=1e-6)


def test_reconstruction_finds_the_same_coefficients() -> None:
    network = drawn(lambda: ReconNetWrapper(net_recon="resnet50", use_last_fc=False))
    pictures = faces(2, 256) * 0.5 + 0.5
    wanted = network(F.interpolate(pictures, size=224, mode="bilinear"))
    made = Reconstruction(network, HALF)(pictures)
    assert made.shape == (2, 257)
    assert float((made - wanted).abs().max() / wanted.std()) < 1e-4


def test_jaw_is_the_face_model_s(tmp_path: Path) -> None:
    (tmp_path / "BFM").mkdir()
    write_face_model(tmp_path / loading.FACE_MODEL)
    coefficients = (0.3 * noise(3, 257)).numpy()
    model = ParametricFaceModel(bfm_folder=str(tmp_path / "BFM"))
    model.to("cpu")
    pixels = model.compute_for_render(torch.from_numpy(coefficients))[3][:, :17].numpy()
    wanted = np.stack((pixels[..., 0] / 224, 1 - pixels[..., 1] / 224), axis=-1) * 2 - 1
    assert JawModel(tmp_path).points(coefficients) == pytest.approx(wanted, abs=1e-5)


def test_face_model_is_the_same_each_time(tmp_path: Path) -> None:
    for name in ("a.mat", "b.mat"):
        write_face_model(tmp_path / name, seed=4)
    assert (tmp_path / "a.mat").read_bytes() == (tmp_path / "b.mat").read_bytes()


@pytest.mark.parametrize("prefix", ["", "module.", "module.model."])
def test_prefixes_of_parallel_training_are_taken_off(
    prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "AEI_Net", lambda **_: torch.nn.Linear(3, 2))
    weights = {f"{prefix}weight": torch.ones(2, 3), f"{prefix}bias": torch.zeros(2)}
    torch.save({"state_dict": weights}, tmp_path / loading.FUSING)
    assert torch.equal(loading.load_fusing(tmp_path).weight, torch.ones(2, 3))


def test_files_are_named_when_they_cannot_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "Backbone", lambda *_: torch.nn.Linear(3, 2))
    path = tmp_path / loading.IDENTITY
    path.parent.mkdir()

    def complaint() -> str:
        with pytest.raises(ModelMissingError) as caught:
            loading.load_identity(tmp_path)
        assert str(path) in caught.value.message
        assert "./run.sh models download" in caught.value.message
        return caught.value.message

    assert "is not there" in complaint()
    torch.save({"weight": torch.ones(2, 3)}, path)
    assert "lacks bias" in complaint()
    torch.save({"weight": torch.ones(3, 3), "bias": torch.zeros(2)}, path)
    assert "weight is (3, 3), not (2, 3)" in complaint()
    torch.save([1, 2], path)
    assert "holds no weights" in complaint()
    path.write_bytes(path.read_bytes()[:200])
    assert "is damaged" in complaint()
    for text in (b"<html>not found</html>", b"hello, this is a page about an error"):
        path.write_bytes(text)
        assert "is damaged" in complaint()


def test_old_files_and_those_with_more_than_asked_for_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "Backbone", lambda *_: torch.nn.Linear(3, 2))
    path = tmp_path / loading.IDENTITY
    path.parent.mkdir()
    weights = {"weight": torch.ones(2, 3), "bias": torch.zeros(2), "head.weight": torch.ones(9)}
    torch.save(weights, path, _use_new_zipfile_serialization=False)
    assert torch.equal(loading.load_identity(tmp_path).weight, torch.ones(2, 3))


def test_places_that_cannot_be_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="float64"):
        Networks.load(tmp_path, dtype="float64")
    with pytest.raises(OptionError, match="float16 needs a GPU"):
        Networks.load(tmp_path, dtype="float16")
    with pytest.raises(OptionError, match="device toaster"):
        Networks.load(tmp_path, device="toaster")
    with pytest.raises(EngineUnavailableError, match="cuda:99"):
        Networks.load(tmp_path, device="cuda:99")
    with pytest.raises(ModelMissingError, match=r"alpha\.jpg is not there"):
        Networks.load(tmp_path)
    write_mask(tmp_path / loading.MASK)
    with pytest.raises(ModelMissingError, match=r"CurricularFace_Backbone\.pth is not there"):
        Networks.load(tmp_path)


class Layers:
    """Stands for a network; can hang in a cycle."""

    cycle: object = None

    def __call__(self, pictures: Any, *_: Any) -> Any:
        assert len(pictures) == 1
        return pictures


def networks_of(layers: Layers, compiled: bool = False) -> Networks:
    parts = _Parts(layers, layers, layers, layers, jaw=None)  # type: ignore[arg-type]
    return Networks(parts, EXACT, np.zeros((256, 256, 3), np.float32), compiled)


def test_closing_frees_what_hangs_in_cycles() -> None:
    layers = Layers()
    layers.cycle = layers
    there = weakref.ref(layers)
    gc.disable()
    try:
        networks = networks_of(layers)
        del layers
        networks.close()
        assert there() is None
    finally:
        gc.enable()
    with pytest.raises(EngineUnavailableError, match="unloaded"):
        networks.identities(np.zeros((1, 256, 256, 3), np.float32))


@pytest.mark.parametrize("compiled", [False, True])
def test_crops_go_through_one_by_one(compiled: bool) -> None:
    crops = np.random.default_rng(1).uniform(size=(3, 8, 8, 3)).astype(np.float32)
    found = networks_of(Layers(), compiled).coefficients(crops)
    assert np.array_equal(found, crops.transpose(0, 3, 1, 2))


@pytest.fixture
def gpu(cuda: str) -> Iterator[Any]:
    """A CUDA device that does not round to TensorFloat-32."""
    with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
        yield torch.device(cuda)


@pytest.mark.gpu
def test_enhancer_on_a_gpu(gpu: Any, gpen: Any) -> None:
    picture = faces(1, 128)
    wanted = gpen(picture)[0]
    exact = Enhancer(gpen, Place(gpu, torch.float32))(picture.to(gpu)).cpu()
    assert float((exact - wanted).abs().max()) * LEVELS < 0.3
    half = Enhancer(gpen, Place(gpu, torch.float16))(picture.to(gpu)).cpu()
    assert decibels(half, wanted) > 42


@pytest.mark.gpu
def test_fuser_on_a_gpu(gpu: Any) -> None:
    network = drawn(lambda: AEI_Net(c_id=512, num_kp=17, device=CPU))
    pictures, identities = faces(2, 256), F.normalize(noise(2, 512, seed=3))
    own = 0.6 * torch.tanh(noise(2, 17, 2, seed=4))
    points = own + 0.04 * noise(2, 17, 2, seed=5)
    wanted, _, _ = network(pictures, identities, {"value": points}, {"value": own})
    given = [value.to(gpu) for value in (pictures, identities, points, own)]
    half = Fuser(network, Place(gpu, torch.float16))(*given).cpu()
    assert decibels(half, wanted) > 38

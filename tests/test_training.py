"""The training recipe's parts that need no torch, and, where torch is there, one step of it."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import sys

import cv2
import numpy as np
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))  # training/ is not installed

from training import bank as banks
from training import compose, labels, objects, pack, pieces, placing, sources, surfaces


def disc(side: int = 96, radius: int = 30, colour: tuple[int, int, int] = (20, 40, 200)):
    bgr = np.full((side, side, 3), 250, np.uint8)
    alpha = np.zeros((side, side), np.uint8)
    cv2.circle(bgr, (side // 2, side // 2), radius, colour, -1, cv2.LINE_AA)
    cv2.circle(alpha, (side // 2, side // 2), radius, 255, -1, cv2.LINE_AA)
    return bgr, alpha.astype(np.float32) / 255


@pytest.fixture(scope="module")
def bank() -> pieces.Bank:
    rng = np.random.default_rng(3)
    textures = [rng.integers(0, 256, (64, 64, 3), np.uint8) for _ in range(3)]
    drawn = [objects.draw_object(rng, textures, 96) for _ in range(8)]
    bgr, alpha = disc()
    return pieces.Bank(
        cutouts={
            "exact": [pieces.Cutout.make(bgr, alpha)],
            "drawn": [cutout for cutout in drawn if cutout is not None],
        },
        pictures={
            "renders": [pieces.Picture(bgr, np.rint(alpha * 255).astype(np.uint8))],
            "clothing": [
                pieces.Picture(
                    bgr, np.rint(alpha * 255).astype(np.uint8), np.full(alpha.shape, 255, np.uint8)
                )
            ],
        },
        textures=textures,
        scenes=textures,
        empties=textures,
    )


def test_a_sample_depends_on_seed_and_index_alone(bank):
    one, again = (compose.make_sample(5, 77, bank, 96, 64) for _ in range(2))
    for name, plane in one.items():
        np.testing.assert_array_equal(plane, again[name])
    other = compose.make_sample(5, 78, bank, 96, 64)
    assert not np.array_equal(one["image"], other["image"])


@pytest.mark.slow
def test_samples_are_well_formed_and_some_are_empty(bank):
    samples = [compose.make_sample(0, i, bank, 96, 64) for i in range(60)]
    for sample in samples:
        assert sample["image"].shape == (3, 96, 64)
        assert sample["alpha"].shape == sample["weight"].shape == (96, 64)
        assert sample["weight"].max() > 0
    filled = [sample["alpha"].max() > 128 for sample in samples]
    assert 0.6 < np.mean(filled) < 1


def test_cutout_keeps_the_alpha_and_none_of_the_background():
    bgr, alpha = disc()
    cutout = pieces.Cutout.make(bgr, alpha)
    full, half = cutout.levels
    assert half.shape[0] == full.shape[0] // 2 or half.shape[0] == (full.shape[0] + 1) // 2
    soft = (full[..., 3] > 10) & (full[..., 3] < 245)
    assert soft.any()
    # The white of the background has left the edge: what is there is the disc's own red.
    assert np.abs(full[soft][:, :3].astype(int) - (20, 40, 200)).max() < 12


def test_cutout_of_nothing_is_none():
    assert pieces.Cutout.make(np.zeros((40, 40, 3), np.uint8), np.zeros((40, 40))) is None


def test_composed_alpha_is_where_the_subject_is(bank):
    only_disc = pieces.Bank({"exact": bank.cutouts["exact"]}, {}, bank.textures, [], [])
    for i in range(20):
        bgr, alpha = compose.compose(np.random.default_rng(i), only_disc, 96, 80)
        assert bgr.shape[:2] == alpha.shape == (96, 80)
        assert alpha.min() >= 0 and alpha.max() <= 1
        assert (alpha > 0.5).any()


def test_what_stands_about_is_no_subject(bank):
    only_disc = pieces.Bank({"exact": bank.cutouts["exact"]}, {}, bank.textures[:1], [], [])
    background = np.full((96, 128, 3), 230, np.float32)
    changed = [
        np.abs(compose._dress(np.random.default_rng(i), only_disc, background) - background).max()
        for i in range(12)
    ]
    assert sum(difference > 20 for difference in changed) > 6  # something stands there
    assert (background == 230).all()


def test_the_background_shows_through_openwork():
    open_inside = []
    for i in range(30):
        mask = objects.openwork(np.random.default_rng(i), 160)
        assert mask.shape == (160, 160) and mask.max() > 0.9
        open_inside.append(mask[40:120, 40:120].min() < 0.1)
    assert np.mean(open_inside) > 0.8


def test_stripes_are_bars_and_gaps_whole_or_broken():
    broken = 0
    for i in range(24):
        mask = objects.stripes(np.random.default_rng(i), 96)
        assert mask.shape == (96, 96) and mask.dtype == np.float32
        assert mask.min() == 0 and 0.5 < mask.max() <= 1 and 0.02 < mask.mean() < 0.8
        bars = mask[mask.max(axis=1) > 0.5]
        broken += bool((bars.max(axis=1) - bars.min(axis=1)).max() > 0.5)
    assert 4 <= broken <= 20


def test_a_print_is_shaded_paint_on_the_subject():
    alpha = np.zeros((96, 80), np.float32)
    alpha[16:80, 16:64] = 1
    bgr = np.full((96, 80, 3), 128, np.uint8)
    bgr[:, 40:] = 96
    background = np.full((96, 80, 3), 220, np.float32)
    shares, steps = [], []
    for i in range(24):
        out = surfaces.print_on(np.random.default_rng(i), bgr, alpha, background)
        changed = np.abs(out - bgr).max(axis=2) > 8
        shares.append(changed[alpha > 0].mean())
        if shares[-1] > 0.5:
            steps.append(out[16:80, 16:40].mean() > out[16:80, 40:64].mean())
    assert 0.1 < np.mean(shares) < 0.9  # neither nothing nor everything is painted over
    assert np.mean(steps) > 0.6  # the darker half stays the darker one
    nothing = surfaces.print_on(np.random.default_rng(0), bgr, np.zeros_like(alpha), background)
    assert nothing is bgr


def test_glass_shows_the_background_within_and_keeps_its_walls():
    alpha = np.zeros((96, 80), np.float32)
    alpha[16:80, 16:64] = 1
    bgr = np.full((96, 80, 3), (40, 40, 160), np.uint8)
    background = np.full((96, 80, 3), (200, 120, 60), np.float32)
    middles, walls = [], []
    for i in range(24):
        out = surfaces.vitrify(np.random.default_rng(i), bgr, alpha, background)
        own = np.linalg.norm(out - background, axis=2) / np.linalg.norm(bgr - background, axis=2)
        middles.append(own[20:30, 36:44].mean())
        walls.append(own[20:30, 16].mean())
    assert np.mean(middles) < 0.5 < np.mean(walls)
    nothing = surfaces.vitrify(np.random.default_rng(0), bgr, np.zeros_like(alpha), background)
    assert nothing is bgr


def test_a_pair_stands_apart_by_a_little_background():
    bgr, alpha = disc()
    bgr[:] = (20, 40, 200)  # as colours are that were bled outwards
    for i in range(24):
        colours, both = placing.pair(np.random.default_rng(i), bgr, alpha)
        assert colours.shape == bgr.shape and both.shape == alpha.shape
        assert both.min() >= 0 and both.max() <= 1
        count, _, stats, _ = cv2.connectedComponentsWithStats((both > 0.5).astype(np.uint8))
        assert count == 3, "the background and two discs"
        (left, width), (other, _) = sorted((int(s[0]), int(s[2])) for s in stats[1:])
        assert 0 < other - left - width <= 0.08 * alpha.shape[1]
        red = colours[both > 0.5].astype(int)
        assert np.abs(red - (20, 40, 200)).max() <= 1  # the edges have not darkened
    nothing = np.zeros_like(alpha)
    assert placing.pair(np.random.default_rng(0), bgr, nothing)[1] is nothing


def test_pictures_are_padded_right_and_below_by_their_last_pixel():
    plane = np.arange(6, dtype=np.uint8).reshape(2, 3)
    np.testing.assert_array_equal(
        compose.pad(plane, 3, 4), [[0, 1, 2, 2], [3, 4, 5, 5], [3, 4, 5, 5]]
    )


def test_frames_are_what_the_network_takes():
    frames = {compose.frame_of(0, i, 224) for i in range(60)}
    assert frames == {(224, 224), (224, 160), (160, 224)}
    for h, w in frames:
        assert h % 32 == w % 32 == 0


def test_refine_moves_a_soft_label_onto_the_edge():
    bgr, alpha = disc(192, 60)
    soft = cv2.GaussianBlur(alpha, (0, 0), 4)
    before, after = np.abs(soft - alpha).mean(), np.abs(labels.refine(bgr, soft) - alpha).mean()
    assert after < 0.5 * before


def test_unsure_labels_are_not_learnt_from():
    sure = np.zeros((320, 320), np.float32)
    sure[80:240, 80:240] = 1
    assert labels.describe("a/b.jpg", sure, 0.01, 1.0).is_sure
    assert not labels.describe("a/b.jpg", sure * 0.8, 0.01, 1.0).is_sure
    assert not labels.describe("a/b.jpg", sure, 0.3, 1.0).is_sure
    assert not labels.describe("a/b.jpg", sure, 0.01, 0.8).is_sure  # the teachers disagree
    assert not labels.describe("a/b.jpg", np.zeros_like(sure), 0.0, 1.0).is_sure
    border = sure.copy()
    border[:60] = 1
    border[:, :60] = border[-60:] = 1
    assert not labels.describe("a/b.jpg", border, 0.01, 1.0).is_sure


def test_near_duplicates_fall_into_one_group():
    rng = np.random.default_rng(0)
    prints = rng.random((6, 144)) > 0.5
    prints[4] = prints[1]
    prints[4, :6] ^= True  # six bits off: a duplicate of 1
    prints[5] = prints[4]
    prints[5, 100:106] ^= True  # a duplicate of 4, and through it of 1
    np.testing.assert_array_equal(sources.group_duplicates(prints), [0, 1, 2, 3, 1, 1])


@pytest.mark.slow
def test_split_holds_whole_duplicates_apart():
    shared = sources.find_shared()
    if not (shared / "data" / "train").is_dir():
        pytest.skip("no shared training data: set ALPHABEAM_SHARED")
    train, out = sources.find_sources(shared)
    assert len(train.photos) > 3000 and len(train.cutouts) > 50
    for name in ("photos", "cutouts", "textures", "scenes"):
        inside, outside = set(getattr(train, name)), set(getattr(out, name))
        assert inside and outside and not inside & outside
    # The full-size test photos were taken from these two sets, none of which may be learnt from.
    assert not {p for p in train.photos if p.parent.name in ("otel", "gcp_boutique")}


def test_false_source_says_how_to_mend_it(tmp_path):
    with pytest.raises(FileNotFoundError, match="ALPHABEAM_SHARED"):
        sources.find_sources(tmp_path)


MODELS = pathlib.Path(__file__).parents[1] / "transforms" / "matting" / "models"


def shipped():
    onnxruntime = pytest.importorskip("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(MODELS / "catalogue.onnx"), options)


def test_shipped_model_is_small_and_as_described():
    import hashlib

    data = (MODELS / "catalogue.onnx").read_bytes()
    about = json.loads((MODELS / "catalogue.json").read_text())
    assert len(data) < 12_000_000
    assert hashlib.sha256(data).hexdigest() == about["sha256"]
    assert about["input_size"] % about["multiple"] == 0
    assert about["layout"] == "letterbox"


@pytest.mark.slow
def test_shipped_model_takes_any_size_and_finds_the_subject_only():
    session = shipped()
    bgr, alpha = disc(320, 90, (60, 60, 60))
    plain = np.full_like(bgr, 250)
    x = np.stack([bgr, plain])[..., ::-1].transpose(0, 3, 1, 2).astype(np.float32) / 255
    p = session.run(["alpha"], {"image": x})[0]
    assert p.shape == (2, 1, 320, 320)
    assert p.min() >= 0 and p.max() <= 1
    said, true = p[0, 0] > 0.5, alpha > 0.5
    assert (said & true).sum() / (said | true).sum() > 0.9
    assert (p[1] > 0.5).mean() < 0.01
    wide = session.run(["alpha"], {"image": np.zeros((1, 3, 352, 416), np.float32)})[0]
    assert wide.shape == (1, 1, 352, 416)


def test_a_run_learns_and_can_be_resumed(bank, tmp_path, monkeypatch):
    pytest.importorskip("torch")
    from training import train as training
    from training.encoder import Encoder
    from training.train import Plan, train

    random = list(Encoder().state_dict().values())  # nobody is to need the published ones here
    weights = {str(n): x for n, x in enumerate(random) if x.ndim}
    monkeypatch.setattr(training, "published_weights", lambda: weights)
    plan = Plan(samples=24, batch=4, sizes=((0.0, 64),), rate=1e-3)
    with pytest.raises(TimeoutError, match="run again"):
        train(bank, plan, tmp_path, minutes=0, every=0)
    with pytest.raises(ValueError, match="another --work"):
        train(bank, dataclasses.replace(plan, seed=9), tmp_path)
    net = train(bank, plan, tmp_path)
    assert not net.training
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    assert json.loads(lines[0])["samples"] == 4
    assert json.loads(lines[-1])["samples"] == 24


def test_steps_of_kernels_are_orthogonal_and_lead_down():
    torch = pytest.importorskip("torch")
    from training.muon import Muon, orthogonal

    random = torch.Generator().manual_seed(1)
    for shape in ((12, 40), (40, 12), (16, 16)):
        values = torch.linalg.svdvals(orthogonal(torch.randn(shape, generator=random)))
        assert values.min() > 0.3 and values.max() < 1.3
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.Conv2d(8, 1, 1))
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.randn(p.shape, generator=random) * 0.2)
    image = torch.randn((4, 3, 16, 16), generator=random)
    optimiser = Muon(net, 2e-2, 0.0, ends=[net[2].weight])
    losses = []
    for _ in range(60):
        loss = (net(image) - image[:, :1, 1:-1, 1:-1]).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    flags = {id(p): group["kernels"] for group in optimiser.param_groups for p in group["params"]}
    assert [flags[id(p)] for p in net.parameters()] == [True, False, False, False]


def test_a_network_started_from_the_shipped_file_computes_the_same(bank):
    torch = pytest.importorskip("torch")
    from training.network import CatalogueNet, Exported
    from training.start import start_from

    pictures = np.stack([compose.make_sample(5, i, bank, 96, 96)["image"] for i in range(6)])
    batch = torch.from_numpy(pictures).float() / 255
    net = CatalogueNet()
    start_from(MODELS / "catalogue.onnx", net, [batch[:3], batch[3:]])
    said = shipped().run(["alpha"], {"image": batch.numpy()})[0]
    with torch.no_grad():
        assert np.abs(Exported(net.eval())(batch).numpy() - said).max() < 1e-3
        # Its statistics are those of the pictures, so that training finds it as it was left.
        assert np.abs(Exported(net.train())(batch).numpy() - said).max() < 1e-2


def test_a_file_of_another_network_is_refused():
    pytest.importorskip("torch")
    from training.network import CatalogueNet
    from training.start import start_from

    with pytest.raises(ValueError, match="does not fit"):
        start_from(MODELS / "catalogue.onnx", CatalogueNet(widths=(16, 32, 64, 96, 128)), [])


def test_mixed_weights_lie_between_two_files():
    pytest.importorskip("torch")
    onnx = pytest.importorskip("onnx")
    from training.mix import mix

    old = onnx.load(str(MODELS / "catalogue.onnx"))
    new = onnx.ModelProto()
    new.CopyFrom(old)
    before = onnx.numpy_helper.to_array(old.graph.initializer[0])
    new.graph.initializer[0].CopyFrom(
        onnx.numpy_helper.from_array(before + before.dtype.type(1), old.graph.initializer[0].name)
    )
    middle = onnx.numpy_helper.to_array(mix(old, new, 0.25).graph.initializer[0])
    np.testing.assert_allclose(middle, before + 0.25, atol=2e-2)
    with pytest.raises(ValueError, match="different networks"):
        mix(old, onnx.load(str(MODELS / "refiner.onnx")), 0.5)


def test_the_encoder_takes_published_weights_and_no_others():
    torch = pytest.importorskip("torch")
    from training.encoder import Encoder

    torch.manual_seed(1)
    theirs = Encoder(1.0, 1.0)
    weights = {f"layer.{n}": x for n, x in enumerate(theirs.state_dict().values()) if x.ndim}
    weights |= {"_conv_head.weight": torch.ones(3), "_fc.bias": torch.ones(2)}
    own = Encoder(1.0, 1.0)
    own.load(weights)
    image = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        one, other = (net.eval()(image) for net in (own, theirs))
    assert own.widths == tuple(x.shape[1] for x in one) == (16, 24, 40, 112, 320)
    assert [tuple(x.shape[2:]) for x in one] == [(32, 48), (16, 24), (8, 12), (4, 6), (2, 3)]
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    with pytest.raises(ValueError, match="another encoder"):
        Encoder(1.1, 1.2).load(weights)


def test_thawed_deep_the_encoder_learns_where_it_looks_at_large_parts():
    pytest.importorskip("torch")
    from training.encoder import Encoder

    encoder = Encoder(0.5, 0.5)
    encoder.thaw_deep()
    learning = [name for name, p in encoder.named_parameters() if p.requires_grad]
    assert learning
    assert all(
        name.startswith(("stages.3", "stages.4", "stages.5", "stages.6")) for name in learning
    )
    kernels = {name: p for name, p in encoder.named_parameters() if p.ndim == 4}
    aside = {name for name in kernels if ".body.1." in name}
    assert aside and not aside & set(learning), "the kernels of single channels stay as they are"
    assert {name for name in kernels if name.startswith("stages.6")} - aside <= set(learning)


def test_a_product_in_hard_light_throws_its_shadow_on_the_background_only(bank, monkeypatch):
    drawn = [
        compose._in_hard_light(np.random.default_rng(seed), bank, 96, 128) for seed in range(6)
    ]
    monkeypatch.setattr(compose.Sun, "cast", lambda self, picture, shadow: picture)
    without = [
        compose._in_hard_light(np.random.default_rng(seed), bank, 96, 128) for seed in range(6)
    ]
    for (sunny, alpha), (plain, same) in zip(drawn, without, strict=True):
        assert np.array_equal(alpha, same)
        darker = (plain - sunny).max(axis=2)
        assert darker[alpha > 0.999].max(initial=0) < 1
        assert darker[alpha < 0.01].max() > 20, "a shadow of which the truth knows nothing"


def test_a_packed_bank_is_the_same_bank(bank, tmp_path):
    shaded = pieces.Cutout.make(*disc(), shadow=np.full((96, 96), 96, np.uint8))
    whole = dataclasses.replace(bank, cutouts={**bank.cutouts, "models": [shaded]})
    pack.write_bank(whole, tmp_path / "bank.zip", textures=2)
    again = pack.read_bank(tmp_path / "bank.zip")
    assert {name: len(pool) for name, pool in again.cutouts.items()} == {
        name: len(pool) for name, pool in whole.cutouts.items()
    }
    assert len(again.textures) == 2 and len(again.scenes) == len(bank.scenes)
    for pool, cutouts in whole.cutouts.items():
        for one, other in zip(cutouts, again.cutouts[pool], strict=True):
            assert one.origin == other.origin
            np.testing.assert_array_equal(one.levels[0][..., 3], other.levels[0][..., 3])
            off = np.abs(one.levels[0].astype(int) - other.levels[0])[..., :3].mean()
            assert off < (25 if pool == "drawn" else 3)  # drawn things here show bare noise
    np.testing.assert_array_equal(again.cutouts["models"][0].shadow, shaded.shadow)
    clothing = again.pictures["clothing"][0]
    np.testing.assert_array_equal(clothing.alpha, bank.pictures["clothing"][0].alpha)
    np.testing.assert_array_equal(clothing.trust, bank.pictures["clothing"][0].trust)


@pytest.mark.slow
def test_what_is_drawn_does_not_depend_on_how_many_draw(bank):
    drawn = []
    for workers in (1, 2):
        own = dataclasses.replace(bank, cutouts={})
        banks.add_drawn(own, 4, 10, workers)
        drawn.append(own.cutouts)
    assert drawn[0].keys() == drawn[1].keys() >= {"drawn", "packs"}
    for pool, cutouts in drawn[0].items():
        for one, other in zip(cutouts, drawn[1][pool], strict=True):
            np.testing.assert_array_equal(one.levels[0], other.levels[0])


def test_samples_that_are_used_again_are_mirrored_and_lit_anew(bank):
    torch = pytest.importorskip("torch")
    from training.train import Plan, _Pool

    plan = Plan(batch=8, reuse=2, seed=3)
    pool = _Pool(plan)
    batches = [
        {
            name: torch.from_numpy(np.stack([s[name] for s in made]))
            for name in ("image", "alpha", "weight", "exact")
        }
        for made in (
            [compose.make_sample(5, 4 * n + i, bank, 96, 96) for i in range(4)] for n in range(2)
        )
    ]
    assert pool.mix(batches[0], 0) is None  # there is nothing to use again yet
    mixed = pool.mix(batches[1], 1)
    assert mixed["image"].shape == (8, 3, 96, 96) and mixed["image"].dtype == torch.uint8
    assert torch.equal(mixed["image"][:4], batches[1]["image"])
    for again, once in zip(mixed["alpha"][4:], batches[0]["alpha"], strict=True):
        assert torch.equal(again, once) or torch.equal(again, once.flip(-1))
    assert not torch.equal(mixed["image"][4:], batches[0]["image"])
    larger = _Pool(dataclasses.replace(plan, enlarged=1.0, sizes=((0.0, 96),)))
    larger.mix(batches[0], 0)
    assert larger.mix(batches[1], 1)["image"].shape == (8, 3, 128, 128)

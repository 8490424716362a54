"""The fifteen losses: formulas against torch.distributions or a slow loop, and that each can be learnt."""

import math

import pytest
import timm
import torch
from torch.distributions import Independent, Normal, kl_divergence

import sweeps.zoo.mini  # noqa: F401
from sweeps.zoo.mini import adversarial, generative, labelled, pretexts, views
from sweeps.zoo.mini.objective import frozen
from sweeps.zoo.mini.objectives import OBJECTIVES
from sweeps.zoo.mini.world import draw


def test_kl_is_that_of_torch_distributions() -> None:
    torch.manual_seed(0)
    mean, log_variance = torch.randn(5, 7, dtype=torch.float64), torch.randn(5, 7, dtype=torch.float64)
    posterior = Independent(Normal(mean, (0.5 * log_variance).exp()), 1)
    prior = Independent(Normal(torch.zeros_like(mean), torch.ones_like(mean)), 1)
    torch.testing.assert_close(generative.kl_to_standard_normal(mean, log_variance), kl_divergence(posterior, prior))


def test_the_likelihood_is_that_of_torch_distributions() -> None:
    torch.manual_seed(1)
    target, mean = torch.randn(2, 4, 3, 8, 8, dtype=torch.float64)
    log_scale = torch.tensor(-0.7, dtype=torch.float64)
    expected = -Normal(mean, log_scale.exp()).log_prob(target).flatten(1).sum(1)
    torch.testing.assert_close(generative.gaussian_nll(target, mean, log_scale), expected)


def test_the_vae_loss_is_likelihood_plus_divergence_per_channel() -> None:
    torch.manual_seed(2)
    vae = generative.Vae(timm.create_model("mini_resnet_v2_50", num_classes=0)).eval()
    pixels = torch.randint(0, 256, (6, 32, 32, 3), dtype=torch.uint8)
    loss = vae(pixels, torch.zeros(6), torch.Generator().manual_seed(5))
    images = views.to_float(pixels)
    mean, log_variance = vae.posterior(vae.body(images)).chunk(2, 1)
    posterior = Normal(mean, (0.5 * log_variance).exp())
    latent = mean + posterior.scale * torch.randn(mean.shape, generator=torch.Generator().manual_seed(5))
    likelihood = Normal(vae.decoder(latent), vae.log_scale.exp()).log_prob(images).sum((1, 2, 3))
    bound = likelihood - kl_divergence(posterior, Normal(0.0, 1.0)).sum(1)
    assert float(loss.detach()) == pytest.approx(
        -float(bound.mean().detach()) / 3072, rel=1e-5
    )  # float32 sums of 3072 terms


def test_nt_xent_is_the_double_loop_of_the_paper() -> None:
    torch.manual_seed(3)
    rows, n, temperature = torch.randn(10, 4, dtype=torch.float64), 5, 0.3
    total = 0.0
    for i in range(2 * n):
        scores = {k: float(torch.cosine_similarity(rows[i], rows[k], dim=0)) / temperature for k in range(2 * n)}
        others = sum(math.exp(score) for k, score in scores.items() if k != i)
        total += -math.log(math.exp(scores[(i + n) % (2 * n)]) / others)
    assert float(pretexts.nt_xent(rows, temperature)) == pytest.approx(total / (2 * n), rel=1e-9)


def test_a_quarter_turn_is_a_quarter_turn() -> None:
    pixels = torch.arange(32 * 32 * 3).reshape(1, 32, 32, 3).repeat(4, 1, 1, 1)
    rotation = pretexts.Rotation(timm.create_model("mini_mobilenet_v1", num_classes=0))
    turned = rotation._turned(pixels, torch.arange(4))
    torch.testing.assert_close(turned[0], pixels[0])
    # Counter-clockwise: what was at the right edge comes to the top.
    torch.testing.assert_close(turned[1][0], pixels[0][:, -1])
    torch.testing.assert_close(turned[2], pixels[0].flip(0, 1))
    torch.testing.assert_close(turned[3][:, 0], pixels[0][-1])


def test_mmd_is_the_double_loop_of_the_paper_and_nothing_for_equal_samples() -> None:
    torch.manual_seed(5)
    one, other = torch.randn(4, 3, dtype=torch.float64), 0.5 + torch.randn(6, 3, dtype=torch.float64)

    def kernel(a: torch.Tensor, b: torch.Tensor) -> float:
        return sum(6 * s / (6 * s + float((a - b).square().sum())) for s in (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0))

    means = [sum(kernel(a, b) for a in x for b in y) / (len(x) * len(y))
             for x, y in ((one, one), (other, other), (one, other))]  # fmt: skip
    assert float(generative.mmd(one, other)) == pytest.approx(means[0] + means[1] - 2 * means[2], rel=1e-9)
    assert float(generative.mmd(one, one[[2, 0, 3, 1]])) == pytest.approx(0, abs=1e-12)
    assert float(generative.mmd(one, other + 3)) > float(generative.mmd(one, other)) > 0


def test_the_mixtures_divergence_is_the_posteriors_for_one_image_and_nothing_at_the_prior() -> None:
    torch.manual_seed(6)
    mean, log_variance, code = (torch.randn(5, 3, dtype=torch.float64) for _ in range(3))
    posterior, prior = Normal(mean, (0.5 * log_variance).exp()), Normal(0.0, 1.0)
    # One image: log q(z) - log p(z), whose mean over draws of z is the divergence.
    alone = posterior.log_prob(code).sum(1) - prior.log_prob(code).sum(1)
    for row in range(5):
        part = slice(row, row + 1)
        assert float(generative.mixture_kl(mean[part], log_variance[part], code[part])) == pytest.approx(
            float(alone[row])
        )
    # Several: the double loop over codes and posteriors.
    total = 0.0
    for z in code:
        mixed = sum(math.exp(float(posterior.log_prob(z)[j].sum())) for j in range(5)) / 5
        total += math.log(mixed) - float(prior.log_prob(z).sum())
    assert float(generative.mixture_kl(mean, log_variance, code)) == pytest.approx(total / 5, rel=1e-9)
    zero = torch.zeros(5, 3, dtype=torch.float64)
    assert float(generative.mixture_kl(zero, zero, code)) == pytest.approx(0, abs=1e-12)


def test_the_bound_of_the_mixture_lies_between_its_divergence_and_the_mean_of_the_posteriors() -> None:
    # Two images, far apart and narrow: each alone costs much, their mixture less, by log 2 and no more.
    mean = torch.tensor([[-3.0], [3.0]], dtype=torch.float64)
    log_variance = torch.full((2, 1), -2.0, dtype=torch.float64)
    own = float(generative.kl_to_standard_normal(mean, log_variance).mean())
    rng, drawn = torch.Generator().manual_seed(0), []
    for _ in range(4000):
        code = mean + (0.5 * log_variance).exp() * torch.randn(2, 1, generator=rng, dtype=torch.float64)
        drawn.append(float(generative.mixture_kl(mean, log_variance, code)))
    assert sum(drawn) / len(drawn) == pytest.approx(own - math.log(2), abs=0.05)  # four standard errors


def test_orders_are_as_far_apart_as_72_permutations_of_nine_can_be() -> None:
    orders = pretexts.orders()
    assert orders.shape == (72, 9)
    assert all(sorted(order.tolist()) == list(range(9)) for order in orders)
    alike = (orders[:, None] == orders[None]).sum(2)
    assert alike[~torch.eye(72, dtype=torch.bool)].max() == 1  # Hamming distance 8 or 9
    # Sharply transitive on pairs: every way to send cells 0 and 1 to two places occurs once, so no 73rd would fit.
    assert len({(int(order[0]), int(order[1])) for order in orders}) == 72


def test_a_patch_is_cut_out_of_its_cell() -> None:
    pixels = torch.arange(2 * 32 * 32 * 3, dtype=torch.int32).reshape(2, 32, 32, 3)
    cells = torch.arange(9).expand(2, 9)
    patches = pretexts.cut(pixels, cells, torch.Generator().manual_seed(1))
    assert patches.shape == (2, 9, 9, 9, 3)
    seen = set()
    for image in range(2):
        for cell in range(9):
            corner = int(patches[image, cell, 0, 0, 0]) // 3 - image * 1024
            row, column = corner // 32 - (0, 11, 22)[cell // 3], corner % 32 - (0, 11, 22)[cell % 3]
            assert {row, column} <= {0, 1}
            seen.add((row, column))
            top, left = corner // 32, corner % 32
            torch.testing.assert_close(patches[image, cell], pixels[image, top : top + 9, left : left + 9])
    assert len(seen) == 4  # all four jitters


def test_the_pair_of_patches_is_the_middle_and_the_answer() -> None:
    task = pretexts.PatchLocation(timm.create_model("mini_mobilenet_v1", num_classes=0))
    shown = task.question(torch.arange(8))
    assert shown[:, 0].tolist() == [4] * 8
    # Row by row around the middle: upper left, upper, upper right, left, right, lower left, lower, lower right.
    sides = [(int(cell) // 3 - 1, int(cell) % 3 - 1) for cell in shown[:, 1]]
    assert sides == [(-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1)]


def test_nine_labels_in_ten_are_hidden_and_never_read() -> None:
    labels = torch.arange(4).repeat_interleave(30)
    seen = labelled.one_in(10, labels)
    assert torch.bincount(seen[seen >= 0]).tolist() == [3, 3, 3, 3]
    assert bool(((seen == labels) | (seen == -1)).all())
    torch.testing.assert_close(labelled.one_in(1, labels), labels)
    torch.manual_seed(8)
    semi = OBJECTIVES["semi_rotation"](timm.create_model("mini_mobilenet_v1", num_classes=0), 4).eval()
    torch.testing.assert_close(semi.seen(labels), seen)
    pixels = torch.randint(0, 256, (8, 32, 32, 3), dtype=torch.uint8)
    hidden = torch.full((8,), -1)

    def loss(with_labels: torch.Tensor) -> float:
        return float(semi(pixels, with_labels, torch.Generator().manual_seed(0)).detach())

    plain = float(semi.pretext(pixels, hidden, torch.Generator().manual_seed(0)).detach())
    assert loss(hidden) == pytest.approx(plain)  # no label: the pretext alone
    one = torch.cat([torch.tensor([2]), hidden[1:]])
    features = semi.pretext.solve(pixels, torch.Generator().manual_seed(0))[0]
    own = torch.nn.functional.cross_entropy(semi.head(features[:1]), torch.tensor([2]))
    assert loss(one) == pytest.approx(plain + float(own.detach()), rel=1e-5)


def test_two_views_of_an_exemplar_have_the_images_label() -> None:
    torch.manual_seed(9)
    joint = OBJECTIVES["sup_exemplar"](timm.create_model("mini_mobilenet_v1", num_classes=0), 4).eval()
    pixels, labels = torch.randint(0, 256, (6, 32, 32, 3), dtype=torch.uint8), torch.tensor([0, 1, 2, 3, 0, 1])
    features, pretext = joint.pretext.solve(pixels, torch.Generator().manual_seed(0))
    assert len(features) == 12
    each = [torch.nn.functional.cross_entropy(joint.head(part), labels) for part in features.chunk(2)]
    found = joint(pixels, labels, torch.Generator().manual_seed(0))
    torch.testing.assert_close(found, pretext + (each[0] + each[1]) / 2)


def test_a_hinge_is_paid_inside_the_margin_only() -> None:
    assert float(adversarial.hinge(torch.tensor([1.0, 2.0]), torch.tensor([-1.0, -5.0]))) == 0
    assert float(adversarial.hinge(torch.tensor([0.0, 3.0]), torch.tensor([0.5, -2.0]))) == pytest.approx(0.5 + 0.75)


def test_a_frozen_player_passes_the_gradient_on_and_keeps_none() -> None:
    player, x = torch.nn.Linear(3, 1), torch.ones(2, 3, requires_grad=True)
    with frozen(player):
        score = player(x).sum()
    assert all(parameter.requires_grad for parameter in player.parameters())
    score.backward()
    assert x.grad is not None
    assert all(parameter.grad is None for parameter in player.parameters())


@pytest.mark.parametrize("classes", [0, 5])
def test_each_player_of_a_gan_pays_its_own_loss(classes: int) -> None:
    torch.manual_seed(10)
    gan = adversarial.BigGan(timm.create_model("mini_mobilenet_v1", num_classes=0), classes)
    pixels, labels = torch.randint(0, 256, (8, 32, 32, 3), dtype=torch.uint8), torch.arange(8) % 5
    gan.train()(pixels, labels, torch.Generator().manual_seed(0)).backward()
    found = {name: parameter.grad.clone() for name, parameter in gan.named_parameters() if parameter.grad is not None}
    assert found.keys() == dict(gan.named_parameters()).keys()
    gan.zero_grad()
    # The discriminator's gradient is that of the hinge alone: the made images count as given.
    made = gan._made(labels, torch.Generator().manual_seed(0)).detach()
    adversarial.hinge(gan.judge(views.to_float(pixels), labels), gan.judge(made, labels)).backward()
    for name, parameter in gan.named_parameters():
        if not name.startswith("generator"):
            torch.testing.assert_close(found[name], parameter.grad, rtol=1e-3, atol=1e-5)  # float32, batch norm
    gan.zero_grad()
    (-gan.judge(gan._made(labels, torch.Generator().manual_seed(0)), labels).mean()).backward()
    for name, parameter in gan.generator.named_parameters():
        torch.testing.assert_close(found[f"generator.{name}"], parameter.grad, rtol=1e-3, atol=1e-5)
    assert (gan.names is None) == (classes == 0)


def test_the_critic_of_codes_learns_from_codes_it_cannot_change() -> None:
    torch.manual_seed(11)
    wae = generative.WaeGan(timm.create_model("mini_mobilenet_v1", num_classes=0))
    code, prior = torch.randn(6, 64, requires_grad=True), torch.randn(6, 64)
    wae.penalty(code, prior).backward()
    found = [parameter.grad.clone() for parameter in wae.critic.parameters()]
    moved = code.grad.clone()
    wae.zero_grad()
    softplus = torch.nn.functional.softplus
    (softplus(-wae.critic(prior)).mean() + softplus(wae.critic(code.detach())).mean()).backward()
    for one, parameter in zip(found, wae.critic.parameters(), strict=True):
        torch.testing.assert_close(one, parameter.grad)
    code.grad = None
    softplus(-wae.critic(code)).mean().backward()
    torch.testing.assert_close(moved, code.grad)


GAMES = ("cond_biggan", "uncond_biggan")  # two players' losses need not fall


@pytest.mark.parametrize("loss", list(OBJECTIVES))
def test_each_loss_falls(loss: str) -> None:
    torch.manual_seed(4)
    images = draw("scenes", "train", 0, per_class=12)
    pixels, labels = torch.from_numpy(images.pixels), torch.from_numpy(images.labels)
    body = timm.create_model("mini_mobilenet_v2", num_classes=13 if loss == "supervised" else 0)
    objective = OBJECTIVES[loss](body, 13).to(memory_format=torch.channels_last)
    optimiser, rng = torch.optim.AdamW(objective.parameters(), 3e-3), torch.Generator().manual_seed(0)
    losses = []
    for _ in range(20):
        index = torch.randperm(len(labels), generator=rng)[:48]
        value = objective(pixels[index], labels[index], rng)
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        losses.append(float(value.detach()))
    assert all(math.isfinite(value) for value in losses)
    before = {key: value.clone() for key, value in objective.state_dict().items()}
    assert 0 <= objective.eval().held_out(pixels[:40], labels[:40]) <= 1
    assert all(torch.equal(value, before[key]) for key, value in objective.state_dict().items())
    if loss not in GAMES:
        assert sum(losses[-4:]) < 0.97 * sum(losses[:4])


def test_views_keep_shape_and_range() -> None:
    rng = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (8, 32, 32, 3), dtype=torch.uint8)
    images = views.to_float(pixels)
    assert images.shape == (8, 3, 32, 32)
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert images.min() >= -1
    assert images.max() <= 1
    moved = views.shifted(pixels, rng)
    assert moved.shape == pixels.shape
    assert not torch.equal(moved, pixels)
    # Away from the border a moved image is a plain crop of the original: each of its pixels is one of the original's.
    centre = moved[0, 8:24, 8:24].numpy().tobytes()
    crops = {pixels[0, 8 + i : 24 + i, 8 + j : 24 + j].numpy().tobytes() for i in range(-3, 4) for j in range(-3, 4)}
    assert centre in crops
    assert views.strong(images, rng).shape == images.shape

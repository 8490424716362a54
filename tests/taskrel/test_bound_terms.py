"""The terms of the bound: known answers, textbook oracles, and laws. Figures are the specification's."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import bound as slow
from scipy.optimize import minimize
from scipy.special import logsumexp

from taskrel.bound.head import Head
from taskrel.bound.lipschitz import contrasts, tau_labels, tau_pair
from taskrel.bound.maps import Affine, Joint
from taskrel.bound.sample import Sample
from taskrel.bound.terms import directions, evaluate
from taskrel.bound.transport import blocks, class_costs, entropic, floor, w1

LAW = settings(deadline=None, max_examples=250)


def t(array):
    return torch.tensor(np.asarray(array, dtype=np.float64))


def toy_arrays():
    r = np.random.default_rng(0)
    centres = r.normal(size=(4, 8)) * (2 / np.sqrt(8)) * 2
    y = np.repeat(np.arange(4), 150)
    return centres[y] + r.normal(size=(600, 8)), y


def toy_head(z, y, l2=1e-2):
    """Ridge logistic regression, bias free."""
    n, d = z.shape

    def objective(v):
        w, c = v[: 4 * d].reshape(4, d), v[4 * d :]
        logs = z @ w.T + c
        logs = (
            logs - np.log(np.exp(logs - logs.max(1, keepdims=True)).sum(1, keepdims=True)) - logs.max(1, keepdims=True)
        )
        error = np.exp(logs)
        error[np.arange(n), y] -= 1
        value = -logs[np.arange(n), y].mean() + l2 / 2 * np.square(w).sum()
        return value, np.concatenate([(error.T @ z / n + l2 * w).ravel(), error.mean(0)])

    v = minimize(objective, np.zeros(4 * d + 4), jac=True, method="L-BFGS-B",
                 options={"maxiter": 5000, "ftol": 1e-15, "gtol": 1e-10}).x  # fmt: skip
    return Head(t(v[: 4 * d].reshape(4, d)), t(v[4 * d :]))


Z, Y = toy_arrays()
HEAD = toy_head(Z, Y)
REFERENCE = Sample(t(Z), Y, 4)
STILL = Affine.identity(REFERENCE.features)
EVEN = np.full(4, 0.25)
FIRST = np.eye(8)[0]
# The specification's head stopped a little before its optimum: its figures agree to this much.
CLOSE = 3e-4


def bound(target, ids, labels, weights=EVEN, affine=STILL, head=HEAD):
    labels = np.asarray(labels, dtype=float)
    joint = Joint.product(labels, np.asarray(weights))
    return evaluate(head, affine, joint, REFERENCE, Sample(t(target), np.asarray(ids), len(labels)))


def check(terms, reference_loss, mismatch, distance, total, by_label, target_loss):
    found = (terms.reference_loss, terms.label_mismatch, terms.wasserstein, terms.total, terms.total_by_label,
             terms.target_loss)  # fmt: skip
    assert found == pytest.approx(
        (reference_loss, mismatch, distance, total, by_label, target_loss), rel=CLOSE, abs=1e-9
    )
    slow.assert_ordered(terms)


def test_the_toy_is_the_specifications():
    assert Z.sum() == pytest.approx(-1038.766045)
    assert tau_pair(HEAD.weights) == pytest.approx(2.98896, rel=CLOSE)
    assert HEAD.accuracy(REFERENCE) == pytest.approx(0.9617, abs=1e-4)


def test_identical_tasks():
    check(bound(Z, Y, np.eye(4)), 0.120735, 0, 0, 0.120735, 0.120735, 0.120735)


def test_labels_renamed():
    renamed = np.array([2, 0, 3, 1])
    check(bound(Z, renamed[Y], np.eye(4)[:, renamed]), 0.120735, 0, 0, 0.120735, 0.120735, 0.120735)


def test_features_mapped():
    r = np.random.default_rng(1)
    m, b = r.normal(size=(8, 8)), r.normal(size=8)
    terms = bound(Z @ m.T + b, Y, np.eye(4), affine=Affine(t(m), t(b)))
    check(terms, 0.120735, 0, 0, 0.120735, 0.120735, 0.120735)
    assert terms.tau == pytest.approx(4.53093, rel=CLOSE)
    assert terms.residual_inverse < 1e-12


def test_another_prior():
    rows = np.concatenate([np.tile(np.flatnonzero(k == Y), k + 1) for k in range(4)])
    check(bound(Z[rows], Y[rows], np.eye(4), np.arange(1, 5) / 10), 0.126262, 0, 0, 0.126262, 0.126262, 0.126262)


def test_a_class_split_in_two():
    target = np.concatenate([Z[Y == 0], Z[Y == 0], Z[Y > 0], Z[Y > 0]])
    ids = np.concatenate([np.repeat([0, 1], 150), Y[Y > 0] + 1, Y[Y > 0] + 1])
    labels = np.vstack([[0.5, 0, 0, 0], [0.5, 0, 0, 0], np.eye(4)[1:]])
    check(bound(target, ids, labels), 0.120735, math.log(2) / 4, 0, 0.294022, 0.294022, 0.294022)


def test_classes_merged():
    terms = bound(Z, Y // 2, [[1, 1, 0, 0], [0, 0, 1, 1]])
    check(terms, 0.120735, 0, 0, 0.120735, 0.120735, 0.086433)
    assert max(terms.tau_by_label) == pytest.approx(2.73830, rel=CLOSE)


def test_labels_drawn_at_random():
    terms = bound(Z, Y, np.full((4, 4), 0.25))
    check(terms, 0.120735, 1.386294, 3.403272, 11.679266, 1.507030, 1.386294)
    assert max(terms.tau_by_label) == 0
    assert terms.vacuous
    assert terms.trivial == pytest.approx(math.log(4))


def test_one_target_label():
    check(bound(Z, 0 * Y, np.ones((1, 4))), 0.120735, 0, 0, 0.120735, 0.120735, 0)


def test_a_class_of_the_reference_unused():
    labels = np.eye(4)[:3]
    check(bound(Z[Y < 3], Y[Y < 3], labels, [1 / 3, 1 / 3, 1 / 3, 0]), 0.114537, 0, 0, 0.114537, 0.114537, 0.090829)


def test_a_shift():
    check(bound(Z + 1.3 * FIRST, Y, np.eye(4)), 0.120735, 0, 1.3, 4.006380, 3.810120, 0.172161)
    moved = bound(Z + 1.3 * FIRST, Y, np.eye(4), affine=Affine(1.0, t(1.3 * FIRST)))
    check(moved, 0.120735, 0, 0, 0.120735, 0.120735, 0.120735)


def sampled(terms_affine, target, head=HEAD):
    """The constant as released: the longest gradient seen, in the coordinates before the map."""
    x = terms_affine.undo(t(target))
    probs = head.logs(x).exp()
    seen = [((probs - torch.eye(4, dtype=torch.float64)[k]) @ head.weights).norm(dim=1).max() for k in range(4)]
    return float(max(seen))


@pytest.mark.parametrize(
    ("noise", "expected"),
    [("normal", (0.221813, 13.380521, 12.721257, 1.443102)), ("along", (0.3, 18.054482, 17.148664, 4.114742))],
)
def test_the_released_bound_breaks_where_ours_holds(noise, expected):
    direction = (HEAD.weights[1] - HEAD.weights[0]).numpy()
    added = {
        "normal": 0.1 * np.random.default_rng(1).normal(size=Z.shape),
        "along": 0.3 * direction / np.linalg.norm(direction),
    }[noise]
    target, shrunk = 0.05 * Z + added, Affine(0.05, t(np.zeros(8)))
    terms = bound(target, Y, np.eye(4), affine=shrunk)
    distance, total, by_label, loss = expected
    check(terms, 0.120735, 0, distance, total, by_label, loss)
    released = terms.reference_loss + terms.label_mismatch + sampled(shrunk, target) * terms.wasserstein
    assert released < terms.target_loss
    assert terms.total_projected >= terms.target_loss


@pytest.mark.parametrize(
    ("l2", "tau", "loss", "total", "measured"),
    [(1e3, 0.0014, 1.3843, 1.3869, 1.3843),
     (1.0, 0.6297, 0.6530, 1.8153, 0.6891), (0.1, 1.5304, 0.2467, 3.0719, 0.3474),
     (0.01, 2.9890, 0.1207, 5.6385, 0.2849)],
)  # fmt: skip
def test_the_curve_over_tau(l2, tau, loss, total, measured):
    target = Z + 0.7 * np.random.default_rng(1).normal(size=Z.shape) + FIRST
    moved = Affine(1.0, t(target.mean(0) - Z.mean(0)))
    terms = bound(target, Y, np.eye(4), affine=moved, head=toy_head(Z, Y, l2))
    assert terms.wasserstein == pytest.approx(1.8461, abs=1e-4)
    assert (terms.tau, terms.reference_loss, terms.total, terms.target_loss) == pytest.approx(
        (tau, loss, total, measured), rel=1e-3, abs=1e-4
    )


def problem(seed, classes_r, classes_t, d=3, n=40, scale=1.0):
    """A random head, map and table, some classes of the reference without weight."""
    r = np.random.default_rng(seed)

    def part(classes):
        ids = np.concatenate([np.arange(classes), r.integers(0, classes, n)])
        return Sample(t(r.normal(size=(len(ids), d)) + r.normal(size=(classes, d))[ids]), ids, classes)

    reference, target = part(classes_r), part(classes_t)
    table = r.dirichlet(np.full(classes_r, r.choice([0.1, 1.0])), size=classes_t) * target.prior[:, None]
    if classes_r > 1:
        table[:, r.integers(classes_r)] *= r.integers(2)
    table *= (target.prior / np.maximum(table.sum(axis=1), 1e-300))[:, None]
    head = Head(t(scale * r.normal(size=(classes_r, d))), t(r.normal(size=classes_r)))
    return head, Affine(t(r.normal(size=(d, d)) + np.eye(d)), t(r.normal(size=d))), Joint(table), reference, target


@LAW
@given(seed=st.integers(0, 10**6), classes_r=st.integers(2, 6), classes_t=st.integers(1, 6),
       scale=st.sampled_from([0.01, 0.3, 3.0]))  # fmt: skip
def test_the_bound_is_above_the_loss_of_the_transformed_classifier(seed, classes_r, classes_t, scale):
    terms = evaluate(*problem(seed, classes_r, classes_t, scale=scale))
    slow.assert_ordered(terms)
    assert terms.residual_prior < 1e-12


@LAW
@given(seed=st.integers(0, 10**6), classes=st.integers(2, 5))
def test_shifts_come_close_to_breaking_it_and_do_not(seed, classes):
    """A shift along two rows of the weights is the worst that can be done to a classifier."""
    head, affine, _, reference, _ = problem(seed, classes, classes, scale=2.0)
    affine = Affine(0.1 + float(np.random.default_rng(seed).random()), affine.shift)
    rows = affine.pull(head.weights)
    gap = 0.2 * (rows[1] - rows[0]) / (rows[1] - rows[0]).norm()
    target = reference.mapped(affine.apply(reference.features) + gap)
    terms = evaluate(head, affine, Joint(np.diag(target.prior)), reference, target)
    assert terms.wasserstein == pytest.approx(0.2)
    assert terms.total_projected >= terms.target_loss - 1e-12
    assert terms.total_projected - terms.reference_loss == pytest.approx(
        float(np.dot(terms.prior, np.multiply(terms.tau_by_label, 0.2)))
    )
    # In logits it costs a label no more than its own logit loses against the rest.
    lost = (gap @ rows.T).numpy()
    assert terms.logits_mismatch == pytest.approx(sum(p * max(abs(lost - lost[y])) for y, p in enumerate(terms.prior)))


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 10**6))
def test_every_term_is_the_textbooks(seed):
    head, affine, joint, reference, target = problem(seed, 3, 2, n=5)
    terms = evaluate(head, affine, joint, reference, target)
    w, c, labels, weights = head.weights.numpy(), head.bias.numpy(), joint.labels, joint.weights
    losses = [slow.loss(w, c, z, k, np.eye(3)) * weights[k] / reference.counts[k]
              for z, k in zip(reference.features.numpy(), reference.ids, strict=True)]  # fmt: skip
    assert terms.reference_loss == pytest.approx(sum(losses))
    entropy = -sum(weights[j] * p * math.log(p) for j in range(3) for p in labels[:, j] if p > 0 and weights[j] > 0)
    assert terms.label_mismatch == pytest.approx(entropy)
    moved = reference.features.numpy() @ affine.linear.numpy().T + affine.shift.numpy()
    far = slow.joint_transport(moved, reference.ids, target.features.numpy(), target.ids, joint.table)
    assert terms.wasserstein == pytest.approx(far, rel=1e-6)
    back = np.linalg.solve(affine.linear.numpy(), (target.features - affine.shift).numpy().T).T
    measured = np.mean([slow.loss(w, c, z, k, labels) for z, k in zip(back, target.ids, strict=True)])
    assert terms.target_loss == pytest.approx(measured)


@LAW
@given(seed=st.integers(0, 10**6), classes_r=st.integers(2, 6), classes_t=st.integers(1, 5))
def test_no_gradient_is_longer_than_the_constant_of_its_label(seed, classes_r, classes_t):
    head, affine, joint, _, _ = problem(seed, classes_r, classes_t)
    r = np.random.default_rng(seed)
    rows, labels = affine.pull(head.weights), joint.labels
    probs = r.dirichlet(np.full(classes_r, 0.3), size=2000)
    exact = tau_labels(rows, labels)
    for y in range(classes_t):
        given = probs * labels[y]
        given /= np.maximum(given.sum(axis=1, keepdims=True), 1e-300)
        longest = np.linalg.norm((probs - given) @ rows.numpy(), axis=1)[(probs @ labels[y]) > 1e-200].max(initial=0)
        assert longest <= exact[y] + 1e-9
    assert exact.max() <= tau_pair(rows) + 1e-12


@LAW
@given(seed=st.integers(0, 10**6), classes_r=st.integers(1, 6), classes_t=st.integers(1, 5))
def test_the_loss_changes_no_more_than_the_differences_it_can_follow(seed, classes_r, classes_t):
    _, _, joint, _, _ = problem(seed, classes_r, classes_t)
    r = np.random.default_rng(seed)
    one = 3 * r.normal(size=(300, classes_r))
    two = one + r.choice([1e-3, 1.0]) * r.normal(size=one.shape)
    for y, label in enumerate(joint.labels):
        if not label.any():
            continue
        furthest = np.abs((two - one) @ contrasts(label)).max(axis=1, initial=0)
        first, second = (logsumexp(s, axis=1, b=label) - logsumexp(s, axis=1) for s in (one, two))
        assert (np.abs(second - first) <= furthest + 1e-9).all(), y


def test_differences_that_a_loss_follows():
    """Its own class against every other where it has one; two that it does not tell apart not at all."""
    assert sorted(map(tuple, np.abs(contrasts(np.array([0.0, 0.5, 0.0])).T))) == [(0, 1, 1), (1, 1, 0)]
    assert contrasts(np.array([0.3, 0.3])).shape == (2, 0)
    assert np.abs(contrasts(np.array([0.8, 0.2]))[:, 0]).tolist() == pytest.approx([1 / 3, 1 / 3])


def test_the_constant_of_a_label_is_reached():
    """Two classes with B = (.8, .2) at p_0 sqrt(.8) = p_1 sqrt(.2)."""
    rows, labels = t([[1.0, 0.0], [0.0, 0.0]]), np.array([[0.8, 0.2], [0.2, 0.8]])
    p = np.sqrt([0.2, 0.8])
    p /= p.sum()
    q = p * labels[0] / (p @ labels[0])
    assert tau_labels(rows, labels)[0] == pytest.approx(abs(p[0] - q[0]))
    assert tau_labels(rows, np.eye(2)).tolist() == [1.0, 1.0]
    assert tau_labels(rows, np.ones((1, 2))).tolist() == [0.0]


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10**6), change=st.sampled_from(["scale", "turn", "rename", "reorder", "twice"]))
def test_changes_that_change_nothing(seed, change):
    head, affine, joint, reference, target = problem(seed, 3, 4)
    before = evaluate(head, affine, joint, reference, target)
    r = np.random.default_rng(seed)
    if change == "scale":
        affine = Affine(5 * affine.linear, 5 * affine.shift)
        target = target.mapped(5 * target.features)
    elif change == "turn":
        turn = t(np.linalg.qr(r.normal(size=(3, 3)))[0])
        affine = Affine(turn @ affine.linear, turn @ affine.shift)
        target = target.mapped(target.features @ turn.T)
    elif change == "rename":
        names = r.permutation(4)
        joint, target = Joint(joint.table[np.argsort(names)]), Sample(target.features, names[target.ids], 4)
    elif change == "reorder":
        target, reference = target.take(r.permutation(len(target))), reference.take(r.permutation(len(reference)))
    else:
        target = target.take(np.tile(np.arange(len(target)), 2))
    after = evaluate(head, affine, joint, reference, target)
    for name in ("total", "total_by_label", "total_projected", "total_logits", "target_loss"):
        assert getattr(after, name) == pytest.approx(getattr(before, name), rel=1e-9)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 6), m=st.integers(1, 6))
def test_distance_against_the_linear_program(seed, n, m):
    r = np.random.default_rng(seed)
    x, y, a, b = t(r.normal(size=(n, 2))), t(r.normal(size=(m, 2))), r.dirichlet(np.ones(n)), r.dirichlet(np.ones(m))
    costs = np.linalg.norm(x.numpy()[:, None] - y.numpy(), axis=2)
    exact = slow.transport(costs, a, b) if n * m > 1 else costs[0, 0]
    found, rough = w1(x, y, a, b), w1(x, y, a, b, exact_pairs=0)
    assert found.value == pytest.approx(exact, abs=1e-9)
    assert found.gap == 0
    assert exact - 1e-9 <= rough.value <= exact + rough.gap + 1e-9
    for plan in (found.plan, rough.plan):
        assert plan.sum(axis=1) == pytest.approx(a)
        assert plan.sum(axis=0) == pytest.approx(b)
    assert found.value >= float((t(a) @ x - t(b) @ y).norm()) - 1e-9


def test_the_entropic_distance_is_near_and_says_how_near():
    r = np.random.default_rng(0)
    x, y = t(r.normal(size=(200, 16))), t(r.normal(size=(150, 16)) + 0.5)
    exact = w1(x, y)
    rough = entropic(torch.cdist(x, y), np.full(200, 1 / 200), np.full(150, 1 / 150))
    assert exact.value <= rough.value <= exact.value * 1.01
    assert rough.value - exact.value <= rough.gap <= 0.05 * exact.value


def test_costs_of_classes_are_distances_or_above():
    _, _, _, reference, target = problem(3, 6, 5)
    exact = class_costs(reference, target, near=10)
    for k, j in ((0, 0), (3, 5), (4, 2)):
        alone = w1(reference.features[reference.ids == j], target.features[target.ids == k]).value
        assert exact[k, j] == pytest.approx(alone, rel=1e-6)
    assert (class_costs(reference, target, near=2) >= exact - 1e-9).all()
    without = Sample(reference.features, np.minimum(reference.ids, 4), 6)
    assert np.isinf(class_costs(without, target)[:, 5]).all()


def test_the_floor_is_the_distance_between_halves():
    two = Sample(t([[0.0], [3.0], [10.0], [14.0], [5.0]]), np.array([0, 0, 1, 1, 2]), 3)
    assert floor(two) == pytest.approx((3 + 4) / 2)
    assert floor(Sample(t([[0.0], [3.0]]), np.array([0, 1]), 2)) is None


def test_the_classifier_is_blind_outside_its_directions():
    head, affine, joint, reference, target = problem(0, 2, 2, d=5)
    seen = directions(affine.pull(head.weights))
    assert seen.shape == (5, 1)
    blind = t(np.random.default_rng(1).normal(size=(len(target), 5)))
    blind -= blind @ seen @ seen.T
    one, two = (evaluate(head, affine, joint, reference, target.mapped(z))
                for z in (target.features, target.features + 7 * blind))  # fmt: skip
    assert two.target_loss == pytest.approx(one.target_loss)
    assert two.total_projected == pytest.approx(one.total_projected)
    assert two.total_logits == pytest.approx(one.total_logits)
    assert two.total > one.total


def test_a_head_that_sees_nothing_has_the_entropy_of_the_prior():
    _, affine, _, reference, target = problem(5, 4, 4)
    blind = Head(torch.zeros(4, 3, dtype=torch.float64), t(np.log(target.prior)))
    terms = evaluate(blind, affine, Joint(np.diag(target.prior)), reference, target)
    assert terms.tau == terms.distribution_mismatch == 0
    assert terms.total == pytest.approx(terms.trivial)
    assert terms.target_loss == pytest.approx(terms.trivial)


def test_what_cannot_be_computed_says_why():
    head, affine, joint, reference, target = problem(0, 3, 2)
    with pytest.raises(ValueError, match=r"table must be \(2, 3\)"):
        evaluate(head, affine, Joint(joint.table.T.copy()), reference, target)
    with pytest.raises(ValueError, match="features must be finite"):
        target.mapped(target.features * math.nan)
    empty = Sample(target.features, 0 * target.ids, 2)
    with pytest.raises(ValueError, match=r"target must have examples of every class with mass, got none of \[1\]"):
        evaluate(head, affine, joint, reference, empty)
    nothing = evaluate(head, affine, joint.rescaled(np.array([1.0, 0.0])), reference, empty)
    assert nothing.total >= nothing.target_loss
    assert blocks(reference, empty, joint.rescaled(np.array([1.0, 0.0]))).couplings[1] is None
    with pytest.raises(ValueError, match="prior must be zero where it was"):
        joint.rescaled(np.array([1.0, 0.0])).rescaled(np.array([0.5, 0.5]))
    with pytest.raises(ValueError, match="linear must be invertible"):
        evaluate(head, Affine(torch.zeros(3, 3, dtype=torch.float64), affine.shift), joint, reference, target)
    with pytest.raises(ValueError, match="table must sum to 1"):
        Joint(np.ones((2, 2)))

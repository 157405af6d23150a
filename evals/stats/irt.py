"""Item response: how hard each task is and along which dimensions, from who solved what.

Model: P(submission s solves task i) = logistic(b_i + a_i·θ_s), with Gaussian priors whose scales are estimated
(b, and the first column of a) or given (the other columns of a, which would shrink to nothing otherwise).
Fitted by mean-field variational Bayes with Pólya-Gamma weights, which turns every update into a ridge regression.
Sources: Birnbaum 1968 (two-parameter model); Polson, Scott, Windle 2013; Durante, Rigon 2019 (the bound).

Assumes: solving one task tells nothing of another once θ is known. Nothing that rests on this file needs it to be
true for its honesty, only for its narrowness: see `estimate`.
Not covered: guessing and slipping asymptotes, response times, missing answers.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

Array = NDArray[np.float64]

OTHER_LOADING_SD = 0.5
"""Prior spread of the loadings beyond the first: chosen by held-out likelihood and error among 0.3, 0.5, 0.8."""
ABILITY_PRECISION = 0.15
"""Prior precision of a new submission's general ability: weak, so that one far from all known ones is believed."""
FARTHEST = 30.0
"""General abilities beyond it solve nothing or everything."""
SWEEPS = 100
FIXED_POINT_STEPS = 15


class Items(NamedTuple):
    """What is known of N tasks. Row i of `mean` is (b_i, a_i1 … a_iK); D = K + 1."""

    mean: Array
    """(N, D)"""
    cov: Array
    """(N, D, D): how unsure the fit is."""

    @property
    def moments(self) -> Array:
        """E[w wᵀ] for each task, (N, D, D)."""
        return self.cov + _squared(self.mean)


class Abilities(NamedTuple):
    """What is known of M submissions. Row s of `mean` is (1, θ_s1 … θ_sK)."""

    mean: Array
    """(M, D)"""
    cov: Array
    """(M, D, D); the first row and column are zero."""

    @property
    def moments(self) -> Array:
        return self.cov + _squared(self.mean)


class Posterior(NamedTuple):
    """A submission seen on some tasks."""

    ability: Array
    """(D,), the first entry is 1."""
    cov: Array
    """(D, D)"""
    held_out: Array
    """(n,): the probability of solving each seen task, predicted from the other seen tasks."""


def fit(solved: Array, dims: int = 5, sweeps: int = SWEEPS) -> tuple[Items, Abilities]:
    """Tasks and abilities from `solved` (M, N), zeros and ones, none missing. Deterministic."""
    items, abilities = _start(solved, dims)
    signs = solved - 0.5
    for _ in range(sweeps):
        weights = _weights(abilities.moments, items.moments)
        items = _update_items(items, abilities, weights, signs)
        weights = _weights(abilities.moments, items.moments)
        abilities = _update_abilities(items, abilities, weights, signs)
        items, abilities = _standardised(items, abilities)
    return items, abilities


def posterior(items: Items, seen: NDArray[np.intp], outcome: Array) -> Posterior:
    """A new submission's ability from `outcome` (n,) in [0, 1] on the tasks `seen` (n,).

    The mean of several attempts counts as one answer: attempts at one task share its surprises.
    """
    size = items.mean.shape[1]
    prior = _ability_prior(size)
    mean, moments = items.mean[seen], items.moments[seen]
    flat, signs = moments.reshape(len(seen), -1), outcome - 0.5
    ability, cov = np.eye(size)[0], np.zeros((size, size))
    cov[1:, 1:] = np.eye(size - 1)
    for _ in range(FIXED_POINT_STEPS):
        weights = _mean_weight(flat @ (cov + np.outer(ability, ability)).ravel())
        total = (weights @ flat).reshape(size, size)
        pull = signs @ mean[:, 1:] - total[0, 1:]
        cov[1:, 1:] = np.linalg.inv(total[1:, 1:] + prior)
        ability = np.concatenate([[1.0], cov[1:, 1:] @ pull])
    own = weights[:, None, None] * moments
    others = np.linalg.inv(total[1:, 1:] + prior - own[:, 1:, 1:])
    held = np.ones((len(seen), size))
    held[:, 1:] = np.einsum("nab,nb->na", others, pull - signs[:, None] * mean[:, 1:] + own[:, 0, 1:])
    spread = np.zeros_like(own)
    spread[:, 1:, 1:] = others
    return Posterior(ability, cov, _held_out(Items(mean, items.cov[seen]), held, spread))


def general_ability(items: Items, rate: float, chance: Array) -> tuple[Array, Array]:
    """The ability (D,) of one who solves `rate` of all tasks and is otherwise like the average submission.

    With it how unsure it would be (D, D) after answers on a sample with inclusion probabilities `chance` (N,).
    """
    size = items.mean.shape[1]
    unsure, ability = np.zeros((size, size)), np.eye(size)[0]
    low, high = -FARTHEST, FARTHEST
    while high - low > 1e-3:
        ability[1] = (low + high) / 2
        low, high = (ability[1], high) if predict(items, ability, unsure).mean() < rate else (low, ability[1])
    weights = chance * _mean_weight(
        items.moments.reshape(len(chance), -1) @ np.outer(ability, ability).ravel()
    )
    total = np.einsum("n,nab->ab", weights, items.moments)[1:, 1:]
    unsure[1:, 1:] = np.linalg.inv(total + _ability_prior(size))
    return ability, unsure


def predict(items: Items, ability: Array, cov: Array) -> Array:
    """P(solve) for each task (N,), averaged over what is not known of the task and of the ability."""
    return np.asarray(predict_all(items, Abilities(ability[None], cov[None]))[0], float)


def predict_all(items: Items, abilities: Abilities) -> Array:
    """P(solve) of every submission on every task, (M, N)."""
    tasks, count = len(items.mean), len(abilities.mean)
    variance = abilities.moments.reshape(count, -1) @ items.cov.reshape(tasks, -1).T
    variance += abilities.cov.reshape(count, -1) @ _squared(items.mean).reshape(tasks, -1).T
    return _smoothed(np.asarray(abilities.mean @ items.mean.T, float), variance)


def _ability_prior(size: int) -> Array:
    """Precision of a new submission's ability, (D - 1, D - 1)."""
    prior = np.eye(size - 1)
    prior[0, 0] = ABILITY_PRECISION
    return prior


def _held_out(items: Items, ability: Array, cov: Array) -> Array:
    """P(solve) for each task (n,) by an ability of its own, (n, D) and (n, D, D)."""
    second = cov + _squared(ability)
    variance = np.einsum("nab,nab->n", items.cov, second) + np.einsum("nab,nab->n", _squared(items.mean), cov)
    return _smoothed(np.einsum("na,na->n", items.mean, ability), variance)


def _squared(vectors: Array) -> Array:
    return vectors[:, :, None] * vectors[:, None, :]


def _smoothed(centre: Array, variance: Array) -> Array:
    """The mean of the logistic of a Gaussian, by MacKay's 1992 approximation."""
    return np.asarray(expit(centre / np.sqrt(1 + np.pi * variance / 8)), float)


def _mean_weight(square: Array) -> Array:
    """E[ω] of a Pólya-Gamma(1, c) variable from c²."""
    c = np.sqrt(np.maximum(square, 1e-9))
    return np.asarray(np.tanh(c / 2) / (2 * c), float)


def _weights(left: Array, right: Array) -> Array:
    """(M, N) weights from the moments of submissions and tasks."""
    return _mean_weight(left.reshape(len(left), -1) @ right.reshape(len(right), -1).T)


def _start(solved: Array, dims: int) -> tuple[Items, Abilities]:
    """Row and column logits, and the leading directions of what they leave unexplained."""
    count, tasks = solved.shape
    ease = logit((solved.sum(0) + 1) / (count + 2))
    level = logit((solved.sum(1) + 1) / (tasks + 2))
    level = (level - level.mean()) / level.std()
    rest = solved - expit(1.2 * level[:, None] + ease)
    left, _, right = np.linalg.svd(rest, full_matrices=False)
    theta = np.column_stack([np.ones(count), level, left[:, : dims - 1] * np.sqrt(count)])
    loads = np.column_stack([ease, np.ones(tasks), right[: dims - 1].T * np.sqrt(tasks) / 2])
    unsure = np.eye(dims + 1) / 10
    known = unsure.copy()
    known[0, 0] = 0
    return Items(loads, np.tile(unsure, (tasks, 1, 1))), Abilities(theta, np.tile(known, (count, 1, 1)))


def _update_items(items: Items, abilities: Abilities, weights: Array, signs: Array) -> Items:
    """One ridge regression a task, with the prior's centre and scale taken from all tasks."""
    size = items.mean.shape[1]
    centre = items.mean.mean(0)
    centre[2:] = 0
    variance = ((items.mean - centre) ** 2 + np.diagonal(items.cov, axis1=1, axis2=2)).mean(0)
    variance[2:] = OTHER_LOADING_SD**2
    precision = (weights.T @ abilities.moments.reshape(len(abilities.mean), -1)).reshape(-1, size, size)
    cov = np.linalg.inv(precision + np.diag(1 / variance))
    pull = signs.T @ abilities.mean + centre / variance
    return Items(np.einsum("nab,nb->na", cov, pull), np.asarray(cov, float))


def _update_abilities(items: Items, abilities: Abilities, weights: Array, signs: Array) -> Abilities:
    """One ridge regression a submission, with a standard normal prior."""
    size = items.mean.shape[1]
    total = (weights @ items.moments.reshape(len(items.mean), -1)).reshape(-1, size, size)
    cov, mean = np.zeros_like(total), abilities.mean.copy()
    cov[:, 1:, 1:] = np.linalg.inv(total[:, 1:, 1:] + np.eye(size - 1))
    mean[:, 1:] = np.einsum("sab,sb->sa", cov[:, 1:, 1:], signs @ items.mean[:, 1:] - total[:, 0, 1:])
    return Abilities(mean, cov)


def _standardised(items: Items, abilities: Abilities) -> tuple[Items, Abilities]:
    """The same probabilities with abilities of mean 0 and unit covariance, as their prior says."""
    theta = abilities.mean[:, 1:]
    centre = theta.mean(0)
    spread = (theta - centre).T @ (theta - centre) / len(theta) + abilities.cov[:, 1:, 1:].mean(0)
    root = np.linalg.cholesky(spread)
    back = np.linalg.inv(root)
    turn = np.eye(len(root) + 1)
    turn[0, 1:], turn[1:, 1:] = centre, root.T
    mean, cov = abilities.mean.copy(), abilities.cov.copy()
    mean[:, 1:] = (theta - centre) @ back.T
    cov[:, 1:, 1:] = back @ cov[:, 1:, 1:] @ back.T
    turned = np.asarray(turn @ items.cov @ turn.T, float)
    return Items(items.mean @ turn.T, turned), Abilities(mean, cov)

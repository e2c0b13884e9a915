# %% [markdown]
# # A diffusion model of a dust plume, step by step
#
# The coarse field shows a plume as a few blocks. Many fine plumes fit them. A diffusion model learns to draw
# one of these: it starts from noise and takes the noise away, looking at the coarse field. This page builds
# one from plain torch and the pieces that the package is made of, and trains it for a minute.
#
# The plumes are made up: no real dust is in here.

# %%
# %matplotlib inline
import math
from itertools import pairwise
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import torch
from matplotlib.figure import Figure
from torch.nn.functional import avg_pool2d, interpolate, mse_loss

from xdownscale import noise
from xdownscale.diffusion.denoise import estimate, target
from xdownscale.diffusion.sample import Sampler, mean, sample
from xdownscale.diffusion.schedule import Flow
from xdownscale.nn.denoiser import Denoiser
from xdownscale.patches import Tiling, layout

folder = Path(mkdtemp())
generator = torch.Generator().manual_seed(1)
N = 64  # cells of a side; a coarse cell has 8 by 8 of them


def show(name, images, limits=None, colours="viridis"):
    """Images in a row, with one colour scale."""
    low, high = limits or (
        min(float(i.min()) for i in images.values()),
        max(float(i.max()) for i in images.values()),
    )
    figure = Figure(figsize=(2.5 * len(images) + 0.8, 2.9), layout="constrained")
    axes = figure.subplots(1, len(images), squeeze=False)[0]
    for axis, (title, image) in zip(axes, images.items(), strict=True):
        drawn = axis.imshow(np.asarray(image).squeeze(), origin="lower", vmin=low, vmax=high, cmap=colours)
        axis.set(title=title, xticks=[], yticks=[])
    figure.colorbar(drawn, ax=axes, shrink=0.8)
    figure.savefig(folder / f"{name}.png")
    return figure


# %% [markdown]
# ## 1. Plumes, and what is left to draw
#
# A plume leaves a source, meanders downwind, widens and fades; a field has three, and its logarithm is x. The
# coarse field y is the mean of x over 8 by 8 cells, and U y interpolates it back. The residual r = (x - U y)
# / scale is all that there is to draw: the rest is known.


# %%
def plumes(count):
    """Logarithms of made-up plumes, shape (count, 1, N, N)."""

    def uniform(low, high):
        return low + (high - low) * torch.rand((count, 3, 1, 1), generator=generator)

    axis = (torch.arange(N) + 0.5) / N
    y, x = axis[:, None] - uniform(0.1, 0.9), axis[None, :] - uniform(0.1, 0.9)
    wind = uniform(0, 2 * math.pi)
    along, across = x * wind.cos() + y * wind.sin(), y * wind.cos() - x * wind.sin()
    along = along.clip(0)
    meander = along * 0.25 * torch.sin(2 * math.pi * (uniform(1, 4) * along + uniform(0, 1)))
    width = 0.012 + uniform(0.02, 0.10) * along
    thickness = (
        uniform(0.3, 1.5) * torch.exp(-((across - meander) ** 2) / (2 * width**2)) * torch.exp(-1.5 * along)
    )
    return torch.log(0.05 + (thickness * (along > 0)).sum(1, keepdim=True))


def coarsened(x):
    """Means of 8 by 8 cells, interpolated back: U y."""
    return interpolate(avg_pool2d(x, 8), scale_factor=8.0, mode="bicubic")


x, unseen = plumes(2000), plumes(64)
scale = (x - coarsened(x)).std()
r, given = (x - coarsened(x)) / scale, coarsened(x)
r_unseen, given_unseen = (unseen - coarsened(unseen)) / scale, coarsened(unseen)
show("plume", {"x": x[0], "U y": given[0], "x - U y": x[0] - given[0]})

# %% [markdown]
# ## 2. Noise comes in
#
# x_t = (1 - t) r + t e goes in a straight line from the residual at t = 0 to noise e at t = 1. The noise has
# the residual's own spectrum, so that large waves and small ones drown at the same time. White noise would
# swallow small waves early and large ones late.

# %%
process = Flow()
kernel = noise.estimate(r[:, 0].numpy(), radius=16).kernel()


def noises(count, first=0):
    """Shaped noise of unit variance, shape (count, 1, N, N); a seed and a number make a field."""
    drawn = [
        noise.shaped(kernel, (0, N), (0, N), seed=1, member=first + k, instant=None) for k in range(count)
    ]
    return torch.from_numpy(np.stack(drawn))[:, None]


def mixed(r, e, t):
    """x_t, for times of shape (B,)."""
    return process.alpha(t).view(-1, 1, 1, 1) * r + process.sigma(t).view(-1, 1, 1, 1) * e


e = noises(1)
show("noising", {f"t = {t}": mixed(r[:1], e, torch.tensor([t])) for t in (0.0, 0.25, 0.5, 0.75, 1.0)})

# %% [markdown]
# ## 3. Where the answer is known
#
# To take noise away is to ask: given x_t, what is r on average? If r is Gaussian with standard deviation s,
# the answer can be written down: E[r | x_t] = a s² x_t / (a² s² + t²) with a = 1 - t. A hundred thousand
# pairs agree.

# %%
s = 0.5


def exact(x_t, t):
    """E[r | x_t] of a Gaussian r."""
    a = 1 - t
    return a * s**2 / (a**2 * s**2 + t**2) * x_t


pairs_r, pairs_e = s * torch.randn(100_000, generator=generator), torch.randn(100_000, generator=generator)
figure = Figure(figsize=(5.2, 3.6), layout="constrained")
axis = figure.subplots()
errors = []
for t in (0.2, 0.5, 0.8):
    x_t = (1 - t) * pairs_r + t * pairs_e
    edges = torch.linspace(-1, 1, 11)
    middles = 0.5 * (edges[1:] + edges[:-1])
    found = torch.stack([pairs_r[(x_t > a) & (x_t <= b)].mean() for a, b in pairwise(edges)])
    axis.plot(middles, exact(middles, t), label=f"t = {t}")
    axis.plot(middles, found, "k.", markersize=4)
    errors.append(float((found - exact(middles, t)).abs().max()))
axis.set(xlabel="x_t", ylabel="mean of r given x_t")
axis.legend()
figure.savefig(folder / "exact.png")
print(f"formula and averages differ by {max(errors):.3f} at most")
figure

# %% [markdown]
# With that answer at hand a sampler walks from t = 1 to 0. It is told nothing but E[r | x_t], again and
# again, and what comes out should have the standard deviation s. Two evaluations miss it by a fifth, four by
# a hundredth; from there twice as many divide the error by about four, since `midpoint` is of second order.

# %%
start = torch.randn(100_000, generator=generator, dtype=torch.float64)
ratios = {
    n: float(sample(exact, start, process, Sampler("midpoint", n)).std() / s / start.std())
    for n in (2, 4, 8, 16)
}
figure = Figure(figsize=(4.4, 3.2), layout="constrained")
axis = figure.subplots()
axis.loglog(list(ratios), [abs(1 - ratio) for ratio in ratios.values()], "o-")
axis.set(xlabel="evaluations", ylabel="error of the standard deviation, relative")
figure.savefig(folder / "order.png")
print("standard deviation over s:", ", ".join(f"{n} evaluations {ratio:.3f}" for n, ratio in ratios.items()))
figure

# %% [markdown]
# ## 4. A network learns the answer
#
# Plumes are not Gaussian, so a network has to learn E[r | x_t, U y]. What it predicts is the velocity e - r
# of the straight line; r is then x_t - t (e - r). The squared error makes it predict the average of all e - r
# that lead through the same x_t: nobody needs to know which one it was.

# %%
torch.manual_seed(1)
network = Denoiser(condition=1, channels=(16, 24, 32), blocks=1)
steps, batch = 800, 8
pool = noises(400)  # drawn once, and turned about for variety
optimiser = torch.optim.AdamW(network.parameters(), lr=2e-3)
decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
losses = []
for _ in range(steps):
    chosen = torch.randint(len(r), (batch,), generator=generator)
    e = pool[torch.randint(len(pool), (batch,), generator=generator)]
    turn, flip = (int(torch.randint(k, (), generator=generator)) for k in (4, 2))
    e = torch.rot90(e.flip(-1) if flip else e, turn, (-2, -1))
    t = torch.sigmoid(torch.randn(batch, generator=generator))
    t[0] = 1.0  # one of eight at the noise end, where every draw begins
    predicted = network(mixed(r[chosen], e, t), t, given[chosen])
    loss = mse_loss(predicted, target(process, r[chosen], e, t))
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    decay.step()
    losses.append(loss.item())
network.eval()
figure = Figure(figsize=(5.2, 3.2), layout="constrained")
axis = figure.subplots()
axis.plot(np.convolve(losses, np.ones(25) / 25, "valid"))
axis.set(xlabel="step", ylabel="squared error of e - r, mean of 25 steps", yscale="log")
figure.savefig(folder / "loss.png")
print(f"squared error {np.mean(losses[:25]):.2f} at the beginning, {np.mean(losses[-25:]):.2f} at the end")
figure

# %% [markdown]
# ## 5. Draws
#
# A draw starts from noise and asks the network 2, 4 or 8 times. One question at t = 1 gives the conditional
# mean: the best single guess, and too smooth. More questions give more of the variance back, the short waves
# last. Printed is the variance of r over the truth's, on 64 unseen fields: all of it, and that of waves
# shorter than 8 cells. A minute of training does not bring them to one.


# %%
def denoise_with(condition):
    """What a sampler asks: (x_t, t) to the estimate of r."""

    def denoise(x_t, t):
        level = torch.full((len(x_t),), t)
        return estimate(process, x_t, network(x_t, level, condition.expand(len(x_t), -1, -1, -1)), level)

    return torch.inference_mode()(denoise)


def short(fields):
    """Variance of waves shorter than 8 cells."""
    return noise.rings(fields[:, 0].double().numpy(), 33)[8:].mean()


denoise, start = denoise_with(given_unseen), noises(64, first=1000)
draws = {"mean": mean(denoise, start)}
draws |= {f"{n} evaluations": sample(denoise, start, process, Sampler("midpoint", n)) for n in (2, 4, 8)}
shares = {
    name: (float(d.var() / r_unseen.var()), float(short(d) / short(r_unseen))) for name, d in draws.items()
}
for name, (everything, fine) in shares.items():
    print(f"{name:14} variance {everything:.2f}, of short waves {fine:.2f}")
show("draws", {"truth": r_unseen[0]} | {name: d[0] for name, d in draws.items()})

# %% [markdown]
# Noise of another number is another member. Each takes its plumes where the coarse field has some, and they
# differ where it leaves room. Their coarse means are near to the field's, not equal to it: the package sees
# to that afterwards.

# %%
denoise, start = denoise_with(given_unseen[:1]), noises(16, first=2000)
members = sample(denoise, start, process, Sampler("midpoint", 8))
fits = given_unseen[:1] + scale * members
missed = float((avg_pool2d(fits, 8) - avg_pool2d(unseen[:1], 8)).std() / avg_pool2d(unseen[:1], 8).std())
print(f"coarse means of the members miss the field's by {missed:.2f} of its standard deviation")
show("members", {"U y": given_unseen[0], "truth": unseen[0], "member 0": fits[0], "member 1": fits[1]})

# %% [markdown]
# ## 6. Why finished patches must not be averaged
#
# A large domain is cut into patches that overlap. Draw each patch from noise of its own and average where
# they overlap: seams vanish, and so does what was drawn. The average of independent draws with weights w
# keeps the share Σ w² of their variance. Merging the *estimates* inside every step instead, with one noise
# field for the whole domain, keeps it: there is one draw, and patches only help to compute it.

# %%
patches = layout((0, N, None), (0, N, None), Tiling(patch=32, halo=0, ramp=16, stride=8))
sampler = Sampler("midpoint", 8)
condition = given_unseen[:1]
averaged, kept = torch.zeros_like(start), torch.zeros(N, N)
for number, patch in enumerate(patches):
    weight = torch.from_numpy(patches.weight(patch))
    own = noises(len(start), first=3000 + 100 * number)[..., :32, :32]
    finished = sample(denoise_with(patches.extract(condition, patch)), own, process, sampler)
    patches.accumulate(averaged, patch, finished, weight)
    patches.accumulate(kept, patch, weight, weight)


def merged(x_t, t):
    """The patches' estimates of r, merged into one field."""
    out = torch.zeros_like(x_t)
    for patch in patches:
        guess = denoise_with(patches.extract(condition, patch))(patches.extract(x_t, patch), t)
        patches.accumulate(out, patch, guess, torch.from_numpy(patches.weight(patch)))
    return out


stepwise = sample(merged, start, process, sampler)
variance = {
    name: float(fields.var(0).mean() / members.var(0).mean())
    for name, fields in (("averaged at the end", averaged), ("merged inside every step", stepwise))
}
for name, share in variance.items():
    print(f"{name:25} {share:.2f} of the members' variance")
print(f"the sum of squared weights {float(kept.mean()):10.2f}")
show(
    "patches",
    {"in one piece": members[0], "averaged at the end": averaged[0], "merged every step": stepwise[0]},
)

# %% [markdown]
# What the package adds to this page: exact conservative grids in place of 8 by 8 means, an encoder of the
# coarse history, patches whose halos get no weight, a noise that belongs to absolute cells, calibration of
# the spread, and members that keep the coarse mean.

# %%
print(f"figures are in {folder}")

"""Denoising diffusion: a UNet with time embedding, group norm, attention and upsampling, averaged weights, sampling."""

import copy
import math
import sys

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

torch.manual_seed(0)
device = torch.device(sys.argv[1] if len(sys.argv) > 1 else "cpu")
timesteps = 50
betas = torch.linspace(1e-4, 0.02, timesteps, device=device)
alphas = 1.0 - betas
alphas_cumprod = torch.cumprod(alphas, dim=0)


class TimeEmbedding(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.dim = dim

    def forward(self, time):
        half = self.dim // 2
        freqs = torch.exp(torch.arange(half, device=time.device) * -(math.log(10000) / (half - 1)))
        args = time[:, None] * freqs[None, :]
        return torch.cat((args.sin(), args.cos()), dim=-1)


class ResBlock(nn.Module):
    def __init__(self, dim_in, dim_out, time_dim):
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(4, dim_in), nn.Conv2d(dim_in, dim_out, 3, padding=1)
        self.norm2, self.conv2 = nn.GroupNorm(4, dim_out), nn.Conv2d(dim_out, dim_out, 3, padding=1)
        self.time = nn.Sequential(nn.SiLU(), nn.Linear(time_dim, dim_out))
        self.res = nn.Conv2d(dim_in, dim_out, 1) if dim_in != dim_out else nn.Identity()

    def forward(self, x, t):
        h = self.conv1(F.silu(self.norm1(x)))
        h = h + self.time(t)[:, :, None, None]
        return self.conv2(F.silu(self.norm2(h))) + self.res(x)


class Attention(nn.Module):
    def __init__(self, dim, heads=2):
        super().__init__()
        self.heads, self.scale = heads, (dim // heads) ** -0.5
        self.norm = nn.GroupNorm(1, dim)
        self.to_qkv, self.to_out = nn.Conv2d(dim, dim * 3, 1, bias=False), nn.Conv2d(dim, dim, 1)

    def forward(self, x):
        b, c, h, w = x.shape
        qkv = self.to_qkv(self.norm(x)).chunk(3, dim=1)
        q, k, v = (t.reshape(b, self.heads, c // self.heads, h * w) for t in qkv)
        sim = torch.einsum("b h d i, b h d j -> b h i j", q * self.scale, k)
        attn = (sim - sim.amax(dim=-1, keepdim=True).detach()).softmax(dim=-1)
        out = torch.einsum("b h i j, b h d j -> b h i d", attn, v)
        return self.to_out(out.permute(0, 1, 3, 2).reshape(b, c, h, w)) + x


class UNet(nn.Module):
    def __init__(self, dim=8):
        super().__init__()
        self.time = nn.Sequential(TimeEmbedding(dim), nn.Linear(dim, 32), nn.GELU(), nn.Linear(32, 32))
        self.stem = nn.Conv2d(1, dim, 3, padding=1)
        self.down1, self.pool = ResBlock(dim, dim, 32), nn.Conv2d(dim, 2 * dim, 4, 2, 1)
        self.mid1, self.mid2 = ResBlock(2 * dim, 2 * dim, 32), ResBlock(2 * dim, 2 * dim, 32)
        self.attn = Attention(2 * dim)
        self.up = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(2 * dim, dim, 3, padding=1))
        self.up1, self.out = ResBlock(2 * dim, dim, 32), nn.Conv2d(dim, 1, 1)

    def forward(self, x, t):
        t = self.time(t)
        skip = self.down1(self.stem(x), t)
        x = self.mid2(self.attn(self.mid1(self.pool(skip), t)), t)
        return self.out(self.up1(torch.cat((self.up(x), skip), dim=1), t))


model = UNet().to(device)
ema_model = copy.deepcopy(model).eval().requires_grad_(False)
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, eps=1e-6)


def extract(a, t, shape):
    return a.gather(-1, t).reshape(t.shape[0], *((1,) * (len(shape) - 1)))


def train_step(x0, t, noise):
    optimizer.zero_grad()
    a = extract(alphas_cumprod, t, x0.shape)
    loss = F.mse_loss(model(a.sqrt() * x0 + (1 - a).sqrt() * noise, t), noise)
    loss.backward()
    optimizer.step()
    with torch.no_grad():
        for ema, p in zip(ema_model.parameters(), model.parameters()):
            ema.mul_(0.9).add_(p, alpha=0.1)
    return loss


def train(steps):
    losses, rng = [], np.random.default_rng(4)
    for _ in range(steps):
        x0, noise = torch.from_numpy(rng.standard_normal((2, 4, 1, 8, 8)).astype(np.float32)).to(device)
        t = torch.tensor(rng.integers(0, timesteps, 4), device=device).long()
        losses.append(train_step(x0, t, noise).item())
    return losses


@torch.inference_mode()
def evaluate():
    x = torch.from_numpy(np.random.default_rng(5).standard_normal((2, 1, 8, 8)).astype(np.float32)).to(device)
    for i in reversed(range(0, timesteps, 10)):
        t = torch.full((2,), i, device=device, dtype=torch.long)
        x = (x - betas[i] / (1 - alphas_cumprod[i]).sqrt() * ema_model(x, t)) / alphas[i].sqrt()
    return x.abs().mean().item()

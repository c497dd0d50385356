"""A vision transformer: patches by a strided convolution, a class token, pre-norm encoder layers, mixup of labels."""

import sys

import numpy as np
import torch
from torch import nn, optim
from torch.utils.data import DataLoader, Dataset

torch.manual_seed(0)
device = torch.device(sys.argv[1] if len(sys.argv) > 1 else "cpu")


class Pictures(Dataset):
    def __init__(self, count):
        rng = np.random.default_rng(3)
        self.images = rng.random((count, 3, 16, 16), dtype=np.float32)
        self.labels = rng.integers(0, 10, count)

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        image = torch.from_numpy(self.images[index])
        return (image - 0.5) / 0.5, int(self.labels[index])


class PatchEmbedding(nn.Module):
    def __init__(self, image_size, patch_size, channels, dim):
        super().__init__()
        self.num_patches = (image_size // patch_size) ** 2
        self.proj = nn.Conv2d(channels, dim, kernel_size=patch_size, stride=patch_size)

    def forward(self, x):
        return self.proj(x).flatten(2).transpose(1, 2)


class ViT(nn.Module):
    def __init__(self, image_size=16, patch_size=4, dim=32, depth=2, heads=4, num_classes=10):
        super().__init__()
        self.patch_embed = PatchEmbedding(image_size, patch_size, 3, dim)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, self.patch_embed.num_patches + 1, dim))
        layer = nn.TransformerEncoderLayer(
            d_model=dim,
            nhead=heads,
            dim_feedforward=64,
            dropout=0.0,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.encoder = nn.TransformerEncoder(layer, num_layers=depth, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.head = nn.Linear(dim, num_classes)
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        nn.init.trunc_normal_(self.cls_token, std=0.02)

    def forward(self, x):
        x = self.patch_embed(x)
        cls = self.cls_token.expand(x.shape[0], -1, -1)
        x = torch.cat((cls, x), dim=1) + self.pos_embed
        return self.head(self.norm(self.encoder(x))[:, 0])


loader = DataLoader(Pictures(16), batch_size=4, shuffle=False)
model = ViT().to(device)
criterion = nn.CrossEntropyLoss()
optimizer = optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05, eps=1e-6)
scheduler = optim.lr_scheduler.SequentialLR(
    optimizer,
    schedulers=[
        optim.lr_scheduler.LinearLR(optimizer, start_factor=0.2, total_iters=4),
        optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=8),
    ],
    milestones=[4],
)


def train_step(images, labels):
    lam = 0.7
    mixed = lam * images + (1 - lam) * images.flip(0)
    optimizer.zero_grad()
    output = model(mixed)
    loss = lam * criterion(output, labels) + (1 - lam) * criterion(output, labels.flip(0))
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)
    optimizer.step()
    return loss


def train(steps):
    model.train()
    losses = []
    while len(losses) < steps:
        for images, labels in loader:
            losses.append(train_step(images.to(device), labels.to(device)).item())
            scheduler.step()
            if len(losses) >= steps:
                return losses
    return losses


def evaluate():
    model.eval()
    correct, total, probability = 0, 0, 0.0
    with torch.no_grad():
        for images, labels in loader:
            images, labels = images.to(device), labels.to(device)
            outputs = torch.softmax(model(images), dim=1)
            _, predicted = torch.max(outputs.data, 1)
            total += labels.size(0)
            correct += (predicted == labels).sum().item()
            probability += outputs.gather(1, labels.unsqueeze(1)).sum().item()
    return correct / total + probability / total


if __name__ == "__main__":
    print(train(10), evaluate())

"""MobileNetV2 with narrow layers and SiLU on pictures of 32 by 32: depthwise convolutions, batch norm, a smoothed loss."""

import sys

import numpy as np
import torch
import torch.nn as nn
import torch.optim as optim
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
device = torch.device(sys.argv[1] if len(sys.argv) > 1 else "cpu")


def conv_bn(inp, oup, kernel, stride, groups=1, act=True):
    layers = [
        nn.Conv2d(inp, oup, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(oup),
    ]
    if act:
        layers.append(nn.SiLU(inplace=True))
    return nn.Sequential(*layers)


class InvertedResidual(nn.Module):
    def __init__(self, inp, oup, stride, expand_ratio):
        super().__init__()
        hidden = int(round(inp * expand_ratio))
        self.use_res_connect = stride == 1 and inp == oup
        layers = []
        if expand_ratio != 1:
            layers.append(conv_bn(inp, hidden, 1, 1))
        layers += [conv_bn(hidden, hidden, 3, stride, groups=hidden), conv_bn(hidden, oup, 1, 1, act=False)]
        self.conv = nn.Sequential(*layers)

    def forward(self, x):
        if self.use_res_connect:
            return x + self.conv(x)
        return self.conv(x)


class MobileNetV2(nn.Module):
    # t, c, n, s
    settings = [(1, 8, 1, 1), (2, 8, 2, 1), (2, 12, 3, 2), (2, 16, 4, 2)]
    settings += [(2, 16, 3, 1), (2, 24, 3, 1), (2, 32, 1, 1)]

    def __init__(self, num_classes=10):
        super().__init__()
        features = [conv_bn(3, 8, 3, 2)]
        channels = 8
        for t, c, n, s in self.settings:
            for i in range(n):
                features.append(InvertedResidual(channels, c, s if i == 0 else 1, t))
                channels = c
        features.append(conv_bn(channels, 64, 1, 1))
        self.features = nn.Sequential(*features)
        self.classifier = nn.Sequential(nn.Dropout(0.0), nn.Linear(64, num_classes))

        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, mode="fan_out")
            elif isinstance(m, nn.BatchNorm2d):
                nn.init.ones_(m.weight)
                nn.init.zeros_(m.bias)
            elif isinstance(m, nn.Linear):
                nn.init.normal_(m.weight, 0, 0.01)
                nn.init.zeros_(m.bias)

    def forward(self, x):
        x = self.features(x)
        x = nn.functional.adaptive_avg_pool2d(x, (1, 1))
        return self.classifier(torch.flatten(x, 1))


rng = np.random.default_rng(0)
images = rng.standard_normal((32, 3, 32, 32)).astype(np.float32)
labels = rng.integers(0, 10, 32)
train_set = TensorDataset(torch.from_numpy(images), torch.from_numpy(labels))
train_loader = DataLoader(train_set, batch_size=8, shuffle=False, num_workers=0, drop_last=True)

model = MobileNetV2().to(device)
criterion = nn.CrossEntropyLoss(label_smoothing=0.1).to(device)
optimizer = optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=4e-5, nesterov=True)
scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=10)


def train_step(images, targets):
    optimizer.zero_grad()
    loss = criterion(model(images), targets)
    loss.backward()
    optimizer.step()
    return loss


def train(steps):
    model.train()
    losses = []
    while len(losses) < steps:
        for images, targets in train_loader:
            images, targets = images.to(device, non_blocking=True), targets.to(device, non_blocking=True)
            losses.append(train_step(images, targets).item())
            scheduler.step()
            if len(losses) == steps:
                break
    return losses


@torch.no_grad()
def evaluate():
    model.eval()
    outputs = torch.cat([model(images.to(device)) for images, _ in train_loader])
    targets = torch.cat([targets for _, targets in train_loader]).to(device)
    return criterion(outputs, targets).item()


if __name__ == "__main__":
    print(sum(p.numel() for p in model.parameters()), "parameters", train(10), evaluate())

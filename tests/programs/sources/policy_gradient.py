"""REINFORCE with a learned baseline on a cart that balances a pole: Categorical, an environment in NumPy."""

import sys

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from torch.distributions import Categorical

torch.manual_seed(543)
device = torch.device(sys.argv[1] if len(sys.argv) > 1 else "cpu")
gamma, length = 0.99, 16


class CartPole:
    """The equations of motion of a pole on a cart, in steps of 20 ms."""

    def __init__(self, seed):
        self.state = np.random.default_rng(seed).uniform(-0.05, 0.05, 4)

    def step(self, action):
        x, x_dot, theta, theta_dot = self.state
        force = 10.0 if action == 1 else -10.0
        temp = (force + 0.05 * theta_dot**2 * np.sin(theta)) / 1.1
        theta_acc = (9.8 * np.sin(theta) - np.cos(theta) * temp) / (
            0.5 * (4 / 3 - 0.1 * np.cos(theta) ** 2 / 1.1)
        )
        x_acc = temp - 0.05 * theta_acc * np.cos(theta) / 1.1
        self.state = self.state + 0.02 * np.array([x_dot, x_acc, theta_dot, theta_acc])
        return self.state.astype(np.float32), 1.0 if abs(self.state[2]) < 0.1 else -1.0


class Policy(nn.Module):
    def __init__(self):
        super().__init__()
        self.affine1 = nn.Linear(4, 32)
        self.action_head = nn.Linear(32, 2)
        self.value_head = nn.Linear(32, 1)

    def forward(self, x):
        x = F.relu(self.affine1(x))
        return F.softmax(self.action_head(x), dim=-1), self.value_head(x)


model = Policy().to(device)
optimizer = optim.RMSprop(model.parameters(), lr=1e-3, eps=1e-4)
eps = np.finfo(np.float32).eps.item()


def select_action(state, rng):
    """The action whose share of [0, 1) holds the number that NumPy draws."""
    with torch.no_grad():
        probs, _ = model(torch.from_numpy(state).float().unsqueeze(0).to(device))
    m = Categorical(probs)
    assert m.sample().shape == (1,)
    return int(rng.random() >= m.probs[0, 0].item())


def run_episode(seed):
    env, rng = CartPole(seed), np.random.default_rng(seed + 100)
    states, actions, rewards = [], [], []
    state = env.state.astype(np.float32)
    for _ in range(length):
        states.append(state)
        actions.append(select_action(state, rng))
        state, reward = env.step(actions[-1])
        rewards.append(reward)
    returns, R = [], 0.0
    for r in rewards[::-1]:
        R = r + gamma * R
        returns.insert(0, R)
    returns = torch.tensor(returns, device=device)
    returns = (returns - returns.mean()) / (returns.std() + eps)
    return torch.as_tensor(np.stack(states)).to(device), torch.tensor(actions).to(device), returns


def train_step(states, actions, returns):
    probs, values = model(states)
    policy = Categorical(probs=probs)
    advantage = returns - values.squeeze(-1)
    policy_loss = -(policy.log_prob(actions) * advantage.detach()).sum()
    value_loss = F.smooth_l1_loss(values.squeeze(-1), returns, reduction="sum")
    loss = policy_loss + value_loss - 0.01 * policy.entropy().mean()
    optimizer.zero_grad()
    loss.backward()
    for param in model.parameters():
        param.grad.data.clamp_(-1, 1)
    optimizer.step()
    return loss


def train(steps):
    losses = []
    for i_episode in range(steps):
        losses.append(train_step(*run_episode(i_episode)).item())
    return losses


def evaluate():
    model.eval()
    states, _, _ = run_episode(1000)
    with torch.no_grad():
        probs, values = model(states)
    return (Categorical(probs).entropy().mean() + values.mean()).item()


if __name__ == "__main__":
    print(train(10), evaluate())

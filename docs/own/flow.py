"""A sampler file whose velocity is known: a flow to sixteen pictures of a sun over the sea."""

import numpy as np

Y, X = np.mgrid[-0.6:0.6:36j, -1:1:60j]
SKY = np.stack([0.2 + Y, -0.1 + 0.6 * Y, 0.4 - 0.4 * Y])
SEA = np.stack([-0.8 + 0 * Y, -0.5 - 0.4 * Y, 0.0 - 0.6 * Y])
SUN = np.array([1.0, 0.6, -0.6])[:, None, None]


def picture(angle):
    """Return the picture with the sun at an angle, from the left horizon to the right one."""
    distance = np.hypot(X + 0.75 * np.cos(angle), Y - 0.15 + 0.55 * np.sin(angle))
    return np.where(Y > 0.15, SEA, SKY + np.clip(10 * (0.2 - distance), 0, 1) * (SUN - SKY))


PICTURES = np.stack([picture(angle) for angle in np.linspace(0.15, np.pi - 0.15, 16)])


class Sampler:
    """The flow from noise at t = 0 to a picture at t = 1."""

    shape = PICTURES.shape[1:]
    value_range = (-1, 1)
    axis = ("t", "", np.linspace(0, 1, 51))
    start_in_words = "Gaussian noise"
    subject = "wide pictures of a sun over the sea"

    def start(self, normal):
        """Return the states at t = 0."""
        return normal

    def step(self, x, i, normal):
        """Return the next states, and the means of the pictures to which x can lead."""
        t, after = self.axis[2][i], self.axis[2][i + 1]
        x = np.asarray(x, np.float64)
        squares = ((x[:, None] - t * PICTURES) ** 2).sum((2, 3, 4)) / (1 - t) ** 2
        weights = np.exp((squares.min(1, keepdims=True) - squares) / 2)
        mean = np.tensordot(weights / weights.sum(1, keepdims=True), PICTURES, 1)
        return x + (after - t) / (1 - t) * (mean - x), mean

    def corrupt(self, images, i, normal):
        """Return the states of level i that lead to given pictures."""
        t = self.axis[2][i]
        return t * images + (1 - t) * normal
